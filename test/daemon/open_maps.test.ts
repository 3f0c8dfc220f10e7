/** What one configuration's maps leave to the next ones. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { openMaps } from '../../src/daemon/open_maps.js'
import type { OpenMaps } from '../../src/daemon/open_maps.js'
import { freshFolder } from '../fixtures/guard.js'
import { startBed } from './bed.js'

t.test('a reload keeps nothing of the configuration before the last one in memory', async t => {
  const { log, read } = await startBed(t, 'a', ['info@example.com', 'box'], line => t.fail(line))
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void

  const open = async (number: number, previous: OpenMaps | null): Promise<OpenMaps> => {
    // Another memory each time, so that it isn't taken over as it is.
    const configuration = await read({
      alias: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k=\'%s\'', warm: 'auto' },
    }, { memory: { entries: 1_000 + number } })
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
  const { mariadb, log, read } = await startBed(t, 'bcc', ['bob@example.com', 'box'])
  // A table without a copy, which would answer, too.
  const open = async (previous: OpenMaps | null, changes: object, mapChanges: object): Promise<OpenMaps> => {
    const configuration = await read({
      bcc: { search: 'virtual', database: 'db', absence: 'passes', in_outage: 'defer', query: 'SELECT v FROM bcc WHERE k LIKE \'%s\'', ...mapChanges },
    }, changes)
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

t.test('nodes that name the servers of a map in another order know it for the same map', async t => {
  const { mariadb, log, read } = await startBed(t, 'a', ['info@example.com', 'box'])
  const file = join(freshFolder(), 'a.cf')
  const identityWith = async (hosts: string): Promise<unknown> => {
    writeFileSync(file, [
      `hosts = ${hosts}`, `user = ${mariadb.user}`, `password = ${mariadb.password}`, `dbname = ${mariadb.database}`,
      'query = SELECT v FROM a WHERE k=\'%s\'',
    ].join('\n'))
    const { config, sources } = await read({ a: { search: 'exact', cf: file } })
    const opened = openMaps(config, sources, log, null)
    t.teardown(() => opened.close())
    return [...opened.maps.values()].map(map => map.kind === 'mysql' ? map.identity : null)
  }
  const own = `unix:${mariadb.socket}`
  const identity = await identityWith(`${own} 127.0.0.1:1`)
  t.same(await identityWith(`127.0.0.1:1 ${own}`), identity)
  t.notSame(await identityWith(own), identity)
})
