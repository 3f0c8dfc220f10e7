/** What one configuration's maps leave to the next ones. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { openMaps } from '../../src/daemon/open_maps.js'
import type { OpenMaps } from '../../src/daemon/open_maps.js'
import { readConfiguration } from '../../src/daemon/open_sources.js'
import { createLog } from '../../src/log.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'

t.test('a reload keeps nothing of the configuration before the last one in memory', async t => {
  const mariadb = await startMariadb({ sql: 'CREATE TABLE a (k VARCHAR(99) PRIMARY KEY, v TEXT); INSERT INTO a VALUES (\'info@example.com\', \'box\')' })
  t.teardown(() => mariadb.stop())
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const file = join(folder, 'holdfast.yaml')
  const log = createLog({ level: 'error', format: 'text', journal: false }, line => t.fail(line), Date.now)
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void

  const open = async (number: number, previous: OpenMaps | null): Promise<OpenMaps> => {
    writeFileSync(file, JSON.stringify({
      listen: [{ socketmap: `unix:${folder}/s` }], health: 'off',
      databases: { db: { hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
      // Another memory each time, so that it isn't taken over as it is.
      memory: { entries: 1_000 + number },
      maps: { alias: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k=\'%s\'', warm: 'auto' } },
    }))
    const configuration = await readConfiguration(file, {}, log, null)
    if (configuration === null) throw new Error('the configuration has faults')
    const opened = openMaps(configuration.config, configuration.sources, log, previous)
    await opened.evidence.all
    await opened.maps.get('alias')?.lookup.lookup('info@example.com')
    previous?.close()
    return opened
  }

  let current = await open(0, null)
  const first = new WeakRef(current)
  for (const number of [1, 2, 3]) current = await open(number, current)
  // Closed connections take their time to be gone.
  for (let tries = 0; tries < 100 && first.deref() !== undefined; tries++) {
    await setTimeout(20)
    collectGarbage()
  }
  t.equal(first.deref(), undefined)
  current.close()
})

t.test('a reload in an outage answers what was answered before it, whatever it changes', async t => {
  const mariadb = await startMariadb({ sql: 'CREATE TABLE bcc (k VARCHAR(99) PRIMARY KEY, v TEXT); INSERT INTO bcc VALUES (\'bob@example.com\', \'box\')' })
  t.teardown(() => mariadb.stop())
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const file = join(folder, 'holdfast.yaml')
  const log = createLog({ level: 'error', format: 'text', journal: false }, () => undefined, Date.now)
  const open = async (previous: OpenMaps | null, changes: object, mapChanges: object): Promise<OpenMaps> => {
    writeFileSync(file, JSON.stringify({
      listen: [{ socketmap: `unix:${folder}/s` }], health: 'off', copy_rows: 0, ...changes,
      databases: { db: { hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
      maps: {
        bcc: { search: 'virtual', database: 'db', absence: 'passes', in_outage: 'defer', query: 'SELECT v FROM bcc WHERE k=\'%s\'', ...mapChanges },
      },
    }))
    const configuration = await readConfiguration(file, {}, log, null)
    if (configuration === null) throw new Error('the configuration has faults')
    return openMaps(configuration.config, configuration.sources, log, previous)
  }
  const ask = async (maps: OpenMaps, key: string): Promise<string> => (await maps.maps.get('bcc')?.lookup.lookup(key))?.kind ?? ''
  const first = await open(null, {}, {})
  t.equal(await ask(first, 'bob@example.com'), 'found')
  t.equal(await ask(first, 'ann@example.com'), 'absent')
  await mariadb.kill()
  for (const [changes, mapChanges] of [
    [{}, {}], [{}, { stale_for: '30d' }], [{}, { fresh_for: '1m', absent_for: '1s' }], [{ memory: { entries: 1_000 } }, {}],
    [{ memory: { absent_entries: 100 } }, {}], [{ recipient_delimiter: '+' }, {}], [{ recipient_delimiter: '+', memory: { entries: 500 } }, { stale_for: '8d' }],
  ] as const) {
    const title = JSON.stringify([changes, mapChanges])
    const next = await open(first, changes, mapChanges)
    t.equal(await ask(next, 'bob@example.com'), 'found', title)
    t.equal(await ask(next, 'ann@example.com'), 'absent', title)
    next.close()
  }
  first.close()
})
