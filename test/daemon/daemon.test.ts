/** What a reload of the daemon leaves in memory. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createEvents } from '../../src/admin/history.js'
import { startDaemon } from '../../src/daemon/daemon.js'
import type { Configuration } from '../../src/daemon/open_sources.js'
import { readConfiguration } from '../../src/daemon/open_sources.js'
import { inheritedSockets } from '../../src/daemon/systemd.js'
import { createLog } from '../../src/log.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'

t.test('a daemon that is reloaded keeps nothing of the configurations before', async t => {
  const mariadb = await startMariadb({ sql: 'CREATE TABLE a (k VARCHAR(99) PRIMARY KEY, v TEXT); INSERT INTO a VALUES (\'info@example.com\', \'box\')' })
  t.teardown(() => mariadb.stop())
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const file = join(folder, 'holdfast.yaml')
  const log = createLog({ level: 'error', format: 'text', journal: false }, line => t.fail(line), Date.now)
  writeFileSync(file, JSON.stringify({
    listen: [{ socketmap: `unix:${folder}/s` }], health: 'off',
    databases: { db: { hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
    maps: { alias: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k=\'%s\'' } },
  }))
  const read = async (): Promise<Configuration> => {
    const configuration = await readConfiguration(file, {}, log, null)
    if (configuration === null) throw new Error('the configuration has faults')
    return configuration
  }
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void

  const daemon = await startDaemon(await read(), log, createEvents(Date.now), inheritedSockets({}, process.pid))
  t.teardown(() => daemon.close())
  const replaced: WeakRef<Configuration>[] = []
  for (let reload = 0; reload < 3; reload++) {
    replaced.push(new WeakRef(daemon.configuration))
    await daemon.reload(await read())
  }
  const left = (): number => replaced.filter(each => each.deref() !== undefined).length
  // The last lookups have their time, and closed connections take theirs to be gone.
  for (let tries = 0; tries < 500 && left() > 0; tries++) {
    await setTimeout(20)
    collectGarbage()
  }
  t.equal(left(), 0)
})
