import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { Canary } from '../../src/trust/canary.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { Known } from '../../src/lookup/known.js'
import { MapLookup } from '../../src/lookup/lookup.js'
import { compileSearch } from '../../src/lookup/search.js'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import type { Source } from '../../src/tables/source.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'
import { scriptedSource } from '../fixtures/scripted.js'
import type { ScriptedSource } from '../fixtures/scripted.js'

/** A map with a canary, both on one server, or of `given`. */
const stage = <T extends Source = ScriptedSource>(given?: (clock: FakeClock) => T) => {
  const clock = fakeClock()
  const source = given?.(clock)
    ?? scriptedSource(clock, { 'canary@example.com': 'c@b', 'info@example.com': 'a@b' }) as Source as T
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
    isKnownAsOurs: () => true, clock, random: () => 0,
  })
  const table = new TableTrust({ maxShrink: 1, evidenceForMs: Infinity }, {
    source, clock, sample: () => [], canaries: [canary], siblings: [],
    dropAbsences: () => undefined, onChange: () => undefined,
  })
  const lookup =
    new MapLookup({
      plan, policy: { unknown: 'reject', outage: 'defer', outageAfterMs: 60_000 }, deadlineMs: 2_000, softDeadlineMs: 300,
    }, {
    known, tables: [table], clock, onBug: () => undefined,
  })
  const ask = async (key: string): Promise<Outcome> => {
    const outcome = lookup.lookup(key)
    await clock.advance(0)
    return outcome
  }
  return { ask, canary, changes, clock, source }
}

/** The same behind a balancer with an empty server; questions go to `first` unless that is to be avoided. */
const twoServers = (first: string) => {
  const whole = new Map(
    ['canary', 'info', 'other'].map(name => [`${name}@example.com`, found(byteString('a@b'))] as const))
  const servers = new Map([['whole', whole], ['empty', new Map<string, Outcome>()]])
  let reached = first
  const source: Source = {
    ask: async (key, _budgetMs, { avoid, only, onAbsent } = {}) => {
      const server = only ?? [reached, ...servers.keys()].find(each => servers.has(each) && avoid?.(each) !== true)
        ?? reached
      const rows = servers.get(server)
      if (rows === undefined) return { outcome: unavailable('source-down', 'elsewhere'), server: '' }
      const said = (asked: string): Outcome => rows.get(asked) ?? absent
      const held = { again: async (other: string) => said(other), createdAt: async () => null }
      const doubt = said(key).kind === 'absent' ? await onAbsent?.(server, held) ?? null : null
      return { outcome: doubt ?? said(key), server }
    },
  }
  return { ...stage(() => source), servers, reach: (server: string) => { reached = server } }
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

t.test('while it is missing, known keys are served stale, and nothing that the server says is believed', async t => {
  const { ask, clock, source } = stage()
  await ask('info@example.com')
  source.rows.delete('canary@example.com')
  source.rows.set('info@example.com', 'of another database')
  source.rows.set('other@example.com', 'of another database')
  await clock.advance(61_000)
  t.match(await ask('info@example.com'), { kind: 'found', age: 'stale', value: 'a@b' })
  t.match(await ask('other@example.com'), { kind: 'unavailable', reason: 'distrusted' })
  t.match(await ask('nobody@example.com'), { kind: 'unavailable', reason: 'distrusted' })
})

t.test('a server without the canary is passed over, and another one at the same address answers', async t => {
  for (const first of ['empty', 'whole']) {
    const { ask, canary, changes, clock, servers, reach } = twoServers(first)
    const title = `the ${first} one is reached first`
    t.match(await ask('info@example.com'), { kind: 'found' }, title)
    t.match(await ask('nobody@example.com'), { kind: 'absent' }, title)
    reach('empty')
    t.match(await ask('other@example.com'), { kind: 'found' }, `${title}, later the empty one`)
    t.match(await ask('nobody2@example.com'), { kind: 'absent' }, title)
    t.strictSame(changes, [true], title)
    servers.set('empty', servers.get('whole') ?? new Map<string, Outcome>())
    await clock.advance(10_000)
    t.strictSame(changes, [true, false], title)
    t.notOk(canary.isMissingOn('empty'), title)
  }
})

t.test('a server that is never reached again is forgotten within two hours', async t => {
  const { ask, changes, clock, servers, reach } = twoServers('empty')
  await ask('nobody@example.com')
  reach('whole')
  servers.delete('empty')
  await clock.advance(2 * 3_600_000)
  t.strictSame(changes, [true, false])
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
