import t from 'tap'
import type { Status } from '../../src/admin/status.js'
import { summarize } from '../../src/admin/summary.js'
import { wellStatus } from '../fixtures/status.js'

const [server] = wellStatus().servers
const [map] = wellStatus().maps
const { redis } = wellStatus()

t.test('all is well since the last part recovered', async t => {
  t.same(summarize(wellStatus()), {
    state: 'well', sentence: 'Mail is safe. All is well.', since: 1_000_500, degraded: [], affected: {},
  })
})

const cases = new Map<string, Partial<Status>>([
  ['mysql db:3306', {
    servers: server === undefined ? []
      : [{ ...server, state: 'open', since: 1_500_000, lastError: 'connection refused' }],
  }],
  ['redis', { redis: redis === null ? null : { ...redis, state: 'down', since: 1_500_000 } }],
  ['snapshot', { snapshotProblem: { text: '/var/lib/holdfast/snapshot can\'t be written: ENOSPC', since: 1_500_000 } }],
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

t.test('the sentence says which mail is affected', async t => {
  if (map?.cached == null || server === undefined) throw new Error('the fixture has neither')
  const down = { servers: [{ ...server, state: 'open' as const, since: 1 }] }
  const noCopy = [{ rows: 0, bytes: 0, takenAt: null, problem: 'it makes one row of several' }]
  const nothing = { found: 0, foundBytes: 0, absent: 0 }
  const trouble = { reason: 'query-error', detail: 'no such table', since: 1_500_000, lastAt: 1_900_000 } as const
  const [answers] = wellStatus().answers
  const others = answers === undefined ? [] : [{ ...answers, map: '', unavailableAt: 1_990_000, lastUnknown: 'alas' }]
  const { cached } = map
  for (const [about, changes, state, sentence] of [
    ['a server is out, its tables have copies', down, 'degraded', /^Existing recipients are accepted\. Unknown/],
    ['a server is out, a table has no copy', { ...down, maps: [{ ...map, copies: noCopy }] }, 'degraded',
      /^Known recipients are accepted\. .* never seen in map alias is deferred/],
    ['nothing is known, with neither copy nor Redis',
      { ...down, redis: null, maps: [{ ...map, copies: noCopy, cached: { ...cached, memory: nothing } }] },
      'deferring', /^Mail is deferred: map alias can't be answered/],
    ['known answers are not to be used', {
      ...down, maps: [{ ...map, copies: noCopy, cached: { ...cached, staleForMs: 0 } }],
    },
      'deferring', /^Mail is deferred/],
    ['a query is broken', { maps: [{ ...map, cached: { ...cached, trouble } }] }, 'degraded', /^Existing recipients/],
    ['clients ask for maps that there are not', { answers: others }, 'deferring',
      /^Mail that needs a map which the configuration doesn't have is deferred\.$/],
    ['Redis is down', cases.get('redis') ?? {}, 'degraded', /^Mail is accepted\. One part/],
  ] as const) {
    const summary = summarize(wellStatus(changes))
    t.equal(summary.state, state, about)
    t.match(summary.sentence, sentence, about)
  }
  t.match(summarize(wellStatus({ answers: others })).degraded, [{ what: /^a client asks for map 'alas', which / }])
  const distrusted = { ...trouble, reason: 'distrusted', lastAt: 1_990_000 } as const
  t.match(summarize(wellStatus({ maps: [{ ...map, cached: { ...cached, trouble: distrusted } }] })).degraded, [
    { what: /^its table is not believed when it says absent \(distrusted: / },
  ], 'the table answers')
  t.match(summarize(wellStatus({ maps: [{ ...map, cached: { ...cached, trouble } }] })).degraded, [
    {
      part: 'map alias', since: 1_500_000,
      what: /can't be asked \(query-error: no such table\); keys are answered from/,
    },
  ])
  t.equal(summarize(wellStatus({
    ...down, maps: [{ ...map, cached: { ...cached, trouble: { ...trouble, reason: 'breaker-open' } } }],
  })).degraded.length, 1, 'what the server explains is said once')
})

t.test('on a fallback with outage: reject the summary says that unknown recipients are refused, and when', async t => {
  if (map?.cached == null || server === undefined) throw new Error('the fixture has neither')
  const rejecting = { ...map, cached: { ...map.cached, policy: { outage: 'reject' as const, outageAfterMs: 60_000 } } }
  const noCopy = [{ rows: 0, bytes: 0, takenAt: null, problem: 'it makes one row of several' }]
  const down = { role: 'fallback' as const, servers: [{ ...server, state: 'open' as const, since: 1 }] }
  const refused = /deferred, and refused once MySQL has been out for 1m \(`outage: reject`\)\.$/
  t.match(summarize(wellStatus({ ...down, maps: [rejecting] })).sentence, refused)
  t.match(summarize(wellStatus({ ...down, maps: [{ ...rejecting, copies: noCopy }] })).sentence, refused)
  // A server that answers with an error is not out.
  const trouble = { reason: 'query-error', detail: 'no such table', since: 1_500_000, lastAt: 1_900_000 } as const
  const failing = { ...rejecting, cached: { ...rejecting.cached, trouble } }
  t.match(summarize(wellStatus({ role: 'fallback', maps: [failing] })).sentence, /deferred, not refused\.$/)
})

t.test('a node that knows nothing of a map does not say that known recipients are accepted', async t => {
  if (map?.cached == null || server === undefined) throw new Error('the fixture has neither')
  const noCopy = [{ rows: 0, bytes: 0, takenAt: null, problem: '' }]
  const down = { servers: [{ ...server, state: 'open' as const, since: 1 }] }
  const missing = { canaries: [{ map: 'alias', missing: true, since: 1_500_000 }] }
  for (const does of ['refuses', 'reroutes', 'passes', 'weakens'] as const) {
    const cached = {
      ...map.cached, memory: { found: 0, foundBytes: 0, absent: 0 }, absence: { does, inOutage: 'defer' as const },
    }
    for (const [about, changes] of [['MySQL is down', down], ['the canary is missing', missing]] as const) {
      const summary = summarize(wellStatus({ ...changes, maps: [{ ...map, copies: noCopy, cached }] }))
      t.match(summary, { state: 'deferring', sentence: /^Mail is deferred: map alias/ }, `${about}, ${does}`)
      t.ok(summary.degraded.some(({ part }) => part === 'map alias'), 'the map says why')
    }
  }
  const passing = {
    ...map.cached, memory: { found: 0, foundBytes: 0, absent: 0 }, absence: { does: 'passes', inOutage: 'pass' },
  } as const
  t.match(summarize(wellStatus({ ...down, maps: [{ ...map, copies: noCopy, cached: passing }] })),
    { state: 'degraded', sentence: 'Mail is accepted. One part is degraded.' }, 'it passes what it has never seen')
})

t.test('in_outage: pass answers new keys in an outage, but not while a query is wrong or lookups pile up', async t => {
  if (map?.cached == null) throw new Error('the fixture has none')
  const noCopy = [{ rows: 0, bytes: 0, takenAt: null, problem: 'it makes one row of several' }]
  const absence = { does: 'passes', inOutage: 'pass' } as const
  const empty = { found: 0, foundBytes: 0, absent: 0 }
  for (const [reason, known, knowingNothing] of [
    ['timeout', 'answered', 'answered'], ['query-error', 'known answered', 'deferred'],
    ['overloaded', 'known answered', 'deferred'],
  ] as const) {
    const trouble = { reason, detail: 'why', since: 1_500_000, lastAt: 1_900_000 }
    const cached = { ...map.cached, absence, trouble }
    const effectWith = (some: typeof cached): unknown =>
      summarize(wellStatus({ servers: [], maps: [{ ...map, copies: noCopy, cached: some }] })).affected.alias
    t.equal(effectWith(cached), known, reason)
    t.equal(effectWith({ ...cached, memory: empty }), knowingNothing, `${reason}, nothing is known`)
    if (reason !== 'timeout') continue
    const what = (copies: typeof map.copies): unknown =>
      summarize(wellStatus({ servers: [], maps: [{ ...map, copies, cached }] })).degraded.map(part => part.what)
    t.match(what(noCopy), [/; known keys are answered from the caches, others pass \(in_outage: pass\)$/])
    t.match(what(map.copies), [/; keys are answered from the caches and the copies of its tables$/])
  }
})

t.test('while a table is in doubt, what it still has is accepted, too', async t => {
  t.equal(summarize(wellStatus(cases.get('map alias'))).sentence,
    'Known recipients are accepted, and those that the table has. Others are deferred, not refused.')
})
