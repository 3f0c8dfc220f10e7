import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { Canary } from '../../src/trust/canary.js'
import { Outage } from '../../src/trust/outage.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { Known } from '../../src/lookup/known.js'
import { MapLookup } from '../../src/lookup/lookup.js'
import { compileSearch } from '../../src/lookup/search.js'
import { unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import { fakeClock } from '../fixtures/clock.js'
import { scriptedSource } from '../fixtures/scripted.js'

/** A map with a canary, both on one server. */
const stage = () => {
  const clock = fakeClock()
  const source = scriptedSource(clock, { 'canary@example.com': 'c@b', 'info@example.com': 'a@b' })
  const changes: boolean[] = []
  const canary = new Canary(
    'alias', 'canary@example.com', [source], clock,
    ({ missing }) => { changes.push(missing) },
  )
  const plan = compileSearch('exact', {
    recipientDelimiter: '', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(),
    localDomains: new Set(),
  })
  const known = new Known({
    identity: { name: 'alias', definition: '0123456789abcdef' }, plan, lifetimes: {
      freshForMs: 60_000, staleForMs: 3_600_000, absentForMs: 30_000,
    },
    confirmForMs: 300_000, absence: { does: 'refuses', inOutage: 'defer', isBelievedAtOnce: false },
  }, {
    memory: new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }), redis: null, isKnownElsewhere: () => false,
    isOurs: () => true, clock, random: () => 0,
  })
  const table = new TableTrust({ maxShrink: 1, evidenceForMs: Infinity }, {
    source, clock, sample: () => [], canaries: [canary], siblings: [],
    outage: new Outage(60_000, clock), dropAbsences: () => undefined, onChange: () => undefined,
  })
  const lookup =
    new MapLookup({ plan, policy: { unknown: 'reject', outage: 'defer' }, deadlineMs: 2_000, softDeadlineMs: 300 }, {
    known, tables: [table], clock, onBug: () => undefined,
  })
  const ask = async (key: string): Promise<Outcome> => {
    const outcome = lookup.lookup(key)
    await clock.advance(0)
    return outcome
  }
  return { ask, canary, changes, clock, source }
}

t.test('while the canary is there, an absence is believed', async t => {
  const { ask } = stage()
  t.match(await ask('nobody@example.com'), { kind: 'absent' })
})

t.test('a canary that is missing is seen before the first absence is believed', async t => {
  const { ask, clock, source, changes } = stage()
  await clock.advance(0)
  source.rows.clear()
  t.match(await ask('new@example.com'), { kind: 'unavailable', reason: 'distrusted' })
  t.strictSame(changes, [true])
})

t.test('while it is missing, known keys are served stale and nothing else is asked', async t => {
  const { ask, clock, source } = stage()
  await ask('info@example.com')
  source.rows.delete('canary@example.com')
  await clock.advance(61_000)
  const before = source.asked.filter(key => key !== 'canary@example.com').length
  t.match(await ask('info@example.com'), { kind: 'found', age: 'stale' })
  t.match(await ask('other@example.com'), { kind: 'unavailable', reason: 'distrusted' })
  t.equal(source.asked.filter(key => key !== 'canary@example.com').length, before)
})

t.test('when it is back, within its interval, all is believed again', async t => {
  const { ask, clock, source, changes } = stage()
  source.rows.delete('canary@example.com')
  await clock.advance(10_000)
  source.rows.set('canary@example.com', 'c@b')
  await clock.advance(10_000)
  t.strictSame(changes, [true, false])
  t.match(await ask('nobody@example.com'), { kind: 'absent' })
})

t.test('a server that can\'t be asked says nothing about the canary', async t => {
  const { clock, source, changes } = stage()
  source.fault = unavailable('source-down', 'gone')
  await clock.advance(60_000)
  t.strictSame(changes, [])
})

t.test('a closed canary is not asked any more, also when it was being asked', async t => {
  const { canary, clock, source } = stage()
  source.latencyMs = 100
  await clock.advance(50)
  canary.close()
  await clock.advance(60_000)
  t.equal(source.asked.length, 1)
  t.equal(clock.timers(), 0)
})
