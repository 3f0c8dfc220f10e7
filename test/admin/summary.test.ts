import t from 'tap'
import type { Status } from '../../src/admin/status.js'
import { summarize } from '../../src/admin/summary.js'
import { wellStatus } from '../fixtures/status.js'

const [server] = wellStatus().servers
const [map] = wellStatus().maps
const { redis } = wellStatus()

t.test('all is well since the last part recovered', async t => {
  t.same(summarize(wellStatus()), { state: 'well', since: 1_000_500, degraded: [] })
})

const cases = new Map<string, Partial<Status>>([
  ['mysql db:3306', {
    servers: server === undefined ? []
      : [{ ...server, state: 'open', since: 1_500_000, lastError: 'connection refused' }],
  }],
  ['redis', { redis: redis === null ? null : { ...redis, state: 'down', since: 1_500_000 } }],
  ['canary of alias', { canaries: [{ map: 'alias', missing: true, since: 1_500_000 }] }],
  ['map alias', {
    maps: map?.cached == null ? [] : [{
      ...map,
      cached: {
        ...map.cached,
        doubts: [{ table: 0, server: 'db:3306', cause: 'shrunk', since: 1_500_000, known: 9, missing: 7 }],
      },
    }],
  }],
])

for (const [part, changes] of cases) {
  t.test(`degraded since its change of state: ${part}`, async t => {
    const summary = summarize(wellStatus(changes))
    t.match(summary, { state: 'degraded', since: 1_500_000, degraded: [{ part, since: 1_500_000 }] })
  })
}

t.test('of several degraded parts, the first one says since when', async t => {
  const canaries = [{ map: 'alias', missing: true, since: 1_400_000 }]
  const summary = summarize(wellStatus({ ...cases.get('redis'), canaries }))
  t.equal(summary.since, 1_400_000)
  t.equal(summary.degraded.length, 2)
})

t.test('a node that is not ready is stopping, whatever else is degraded', async t => {
  t.equal(summarize(wellStatus({ ready: false, ...cases.get('redis') })).state, 'stopping')
})
