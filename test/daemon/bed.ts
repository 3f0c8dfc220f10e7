/** A configuration on a table in a real MariaDB, for tests that open it in this process. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Configuration } from '../../src/daemon/open_sources.js'
import { readConfiguration } from '../../src/daemon/open_sources.js'
import { createLog } from '../../src/log.js'
import type { Log } from '../../src/log.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'

/** The part of tap's test object that is used here. */
type Test = { teardown(action: () => unknown): void }

type Bed = {
  readonly mariadb: Mariadb
  readonly log: Log
  /** Writes the file, with these maps of `database: db` and what else is given, and reads it. */
  readonly read: (maps: object, more?: object) => Promise<Configuration>
}

/** `table` has a key `k`, a value `v`, and one row. `onLine` is told of errors in the log. */
export const startBed = async (
  t: Test, table: string, row: readonly [key: string, value: string], onLine: (line: string) => void = () => undefined,
): Promise<Bed> => {
  const mariadb = await startMariadb({
    sql: `CREATE TABLE ${table} (k VARCHAR(99) PRIMARY KEY, v TEXT); INSERT INTO ${table} VALUES ('${row.join('\', \'')}')`,
  })
  t.teardown(() => mariadb.stop())
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const { socket, user, password, database: dbname } = mariadb
  const log = createLog({ level: 'error', format: 'text', journal: false }, onLine, Date.now)
  return {
    mariadb, log,
    read: async (maps, more = {}) => {
      const file = join(folder, 'holdfast.yaml')
      writeFileSync(file, JSON.stringify({
        listen: [{ socketmap: `unix:${folder}/s` }], health: 'off', ...more,
        databases: { db: { hosts: `unix:${socket}`, user, password, dbname } }, maps,
      }))
      const configuration = await readConfiguration(file, {}, log, null)
      if (configuration === null) throw new Error('the configuration has faults')
      return configuration
    },
  }
}
