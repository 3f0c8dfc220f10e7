import t from 'tap'
import { mergeShares } from '../../src/admin/merge.js'
import type { Share } from '../../src/admin/status.js'
import { wellStatus } from '../fixtures/status.js'

const share = (changes: Partial<Share> = {}): Share => {
  const { configuredAt, redis, servers, canaries, maps, answers } = wellStatus()
  return {
    configuredAt, redis, servers, canaries, maps, answers,
    listeners: [{ key: 'a', connections: 3, refused: 1 }], process: { pid: 7, startedAt: 1, cpuSeconds: 1, residentBytes: 10 }, ...changes,
  }
}
const [server] = share().servers
const [map] = share().maps
if (server === undefined || map?.cached == null) throw new Error('the fixture has neither')
const { cached } = map

t.test('one process alone is shown as it is', async t => {
  const { process, ...rest } = share()
  t.same(mergeShares([share()]), { ...rest, processes: [process] })
})

t.test('what is counted is summed', async t => {
  const merged = mergeShares([share(), share({ answers: share().answers.map(each => ({ ...each, unavailable: { 'timeout': 1, 'source-down': 4 } })) })])
  t.match(merged.answers, [{
    fresh: 16, stale: 2, absent: 2, unavailable: { 'timeout': 3, 'source-down': 4 }, waits: { counts: [2, 4, 2], sumMs: 1_000 },
  }])
  t.match(merged.maps, [{ cached: { origins: { memory: 14, redis: 4, load: 6, table: 2, queries: 8 }, memory: { found: 20, foundBytes: 6_000, absent: 4 } } }])
  t.match(merged.servers, [{ connections: 4, busy: 2, limit: 16 }])
  t.match(merged.redis, { hits: 10, misses: 12 })
  t.match(merged.listeners, [{ key: 'a', connections: 6, refused: 2 }])
  t.equal(merged.answers.length + merged.maps.length + merged.servers.length + merged.listeners.length, 4)
})

t.test('of a state the worst counts, since when it has been so anywhere', async t => {
  const open = (since: number) => share({ servers: [{ ...server, state: 'open', since, lastError: `at ${since}` }] })
  t.match(mergeShares([share(), open(30), open(20)]).servers, [{ state: 'open', since: 20, lastError: 'at 20' }])
  const distrusting = share({ maps: [{ ...map, cached: { ...cached, guard: { trusted: false, since: 5, witnesses: 9, gone: 8 } } }] })
  t.match(mergeShares([share(), distrusting]).maps, [{ cached: { guard: { trusted: false, gone: 8 } } }])
  const canary = (missing: boolean) => share({ canaries: [{ map: 'alias', missing, since: 1 }] })
  t.match(mergeShares([canary(false), canary(true)]).canaries, [{ missing: true }])
  const redis = (state: string) => share({ redis: { state, since: 1, hits: 0, misses: 0, faults: {} } })
  t.match(mergeShares([redis('ready'), redis('down'), redis('resting')]).redis, { state: 'down' })
})

t.test('of a load the process that is at it says how far it is', async t => {
  const at = (warm: Partial<NonNullable<typeof map.warm>>) => share({ maps: [{ ...map, warm: map.warm === null ? null : { ...map.warm, ...warm } }] })
  const merged = mergeShares([at({ state: 'elsewhere', loadedAt: 9, failures: 2 }), at({ state: 'loading', rows: 7, loadedAt: null }), at({ state: 'idle', problem: 'no' })])
  t.match(merged.maps, [{ warm: { state: 'loading', rows: 7, loadedAt: 1_000_000, failures: 4, totalRows: 60, problem: 'no' } }])
})

t.test('a part that only some know of is shown', async t => {
  t.match(mergeShares([share({ servers: [], redis: null }), share()]), { servers: [{ server: 'db:3306' }], redis: { hits: 5 } })
})
