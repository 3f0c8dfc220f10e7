import t from 'tap'
import { createMemory } from '../../src/caches/memory.js'
import type { Decoded } from '../../src/caches/entry.js'
import type { MapIdentity, RedisCache } from '../../src/caches/redis.js'
import { Guard } from '../../src/trust/guard.js'
import { MapLookup } from '../../src/lookup/lookup.js'
import type { MapSettings } from '../../src/lookup/lookup.js'
import { remember } from '../../src/upkeep/reverify.js'
import { compileSearch } from '../../src/lookup/search.js'
import type { Search } from '../../src/postfix/parameters.js'
import { absent, byteString, found, readable, unavailable } from '../../src/outcome.js'
import type { Absent, Found, Outcome } from '../../src/outcome.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'
import { scriptedSource } from '../fixtures/scripted.js'

const minute = 60_000

type StoredRecord = { readonly outcome: Found | Absent, readonly verifiedAt: number, readonly definition: string, readonly ttlMs: number }

/** What Redis would hold, and what it would do, as the test says. */
const scriptedRedis = (clock: FakeClock) => {
  const records = new Map<string, StoredRecord>()
  const state = { usable: true, connected: false, latencyMs: 0, reads: 0 }
  const nameOf = (map: MapIdentity, key: string) => `${map.name}:${key}`
  const readOne = (map: MapIdentity, key: string): Decoded | null => {
    const record = records.get(nameOf(map, key))
    return record?.definition === map.definition ? { outcome: record.outcome, verifiedAt: record.verifiedAt } : null
  }
  const cache: RedisCache = {
    read: (map, keys) => {
      if (!state.usable) return null
      state.reads++
      return new Promise(resolve => {
        const settle = () => resolve(keys.map(key => readOne(map, key)))
        if (state.latencyMs === 0) settle()
        else clock.after(state.latencyMs, settle)
      })
    },
    readPatiently: (map, keys, patienceMs) => {
      if (!state.connected) return null
      return new Promise(resolve => {
        const isInTime = state.latencyMs <= patienceMs
        clock.after(Math.min(state.latencyMs, patienceMs), () => resolve(keys.map(key => isInTime ? readOne(map, key) : null)))
      })
    },
    write: (map, key, outcome, verifiedAt, ttlMs) => {
      if (state.usable) records.set(nameOf(map, key), { outcome, verifiedAt, ttlMs, definition: map.definition })
    },
    offer: (map, key, outcome, verifiedAt, ttlMs) => {
      if (!records.has(nameOf(map, key))) cache.write(map, key, outcome, verifiedAt, ttlMs)
    },
    remove: (map, key) => { if (state.usable) records.delete(nameOf(map, key)) },
    all: async function* () { yield [] },
    tried: Promise.resolve(),
    isUsable: () => state.usable,
    status: () => ({ state: 'ready', hits: 0, misses: 0, faults: {
      'timeout': 0, 'connection': 0, 'readonly': 0, 'oom': 0, 'auth': 0, 'loading': 0, 'cluster': 0, 'wrong-type': 0, 'invalid-record': 0, 'other': 0,
    } }),
    close: () => undefined,
  }
  return { cache, records, state }
}

type Changes = Partial<Omit<MapSettings, 'plan'>> & { search?: Search, withRedis?: boolean, isVouchedFor?: (key: string) => boolean, onFound?: (value: string) => void, random?: number, maxShrink?: number }

/** A map over scripted rows: fresh 5 minutes, stale an hour, absent 30 seconds; deadline 2 s, soft deadline 300 ms. */
const stage = (rows: Readonly<Record<string, string>>, { search = 'virtual', withRedis = false, isVouchedFor = () => false, onFound = () => undefined, random = 0, maxShrink = 1, ...changes }: Changes = {}) => {
  const clock = fakeClock()
  const source = scriptedSource(clock, rows)
  const redis = scriptedRedis(clock)
  const memory = createMemory({ entries: 1_000, bytes: 10_000_000, absentEntries: 100 })
  const guard = new Guard(source, { maxShrink, windowMs: 86_400_000, canaries: [] }, clock, () => random, () => undefined)
  const plan = compileSearch(search, {
    recipientDelimiter: '+', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(['virtual']), localDomains: new Set(),
  })
  const settings: MapSettings = {
    name: 'alias', definition: '0123456789abcdef', plan, policy: { unknown: 'reject', outage: 'defer' },
    lifetimes: { freshForMs: 5 * minute, staleForMs: 60 * minute, absentForMs: 30_000 }, deadlineMs: 2_000, softDeadlineMs: 300, ...changes,
  }
  const bugs: unknown[] = []
  const open = (other: Partial<MapSettings> = {}, ownMemory = memory) =>
    new MapLookup({ ...settings, ...other }, { source, memory: ownMemory, redis: withRedis ? redis.cache : null, guard, isVouchedFor, onFound, onBug: error => bugs.push(error), clock, random: () => random })
  const lookup = open()
  /** Asks, lets what is immediate happen, and gives the outcome. */
  const ask = async (key: string, from = lookup): Promise<Outcome> => {
    const outcome = from.lookup(key)
    await clock.advance(0)
    return outcome
  }
  /** Asks, and lets time pass until there is an answer; gives it with the time that it took. */
  const askTimed = async (key: string): Promise<{ outcome: Outcome, ms: number }> => {
    const startedAt = clock.now()
    const outcomes: Outcome[] = []
    void Promise.resolve(lookup.lookup(key)).then(settled => outcomes.push(settled))
    await clock.advance(0)
    for (;;) {
      const [outcome] = outcomes
      if (outcome !== undefined) return { outcome, ms: clock.now() - startedAt }
      await clock.advance(10)
    }
  }
  return { clock, source, memory, guard, lookup, redis, bugs, open, ask, askTimed }
}

const aDay = 1_440 * minute
/** Fresh five minutes, stale a week. */
const week = { freshForMs: 5 * minute, staleForMs: 7 * aDay, absentForMs: 30_000 }
const down = unavailable('source-down', 'refused')
const fresh = (value: string) => found(byteString(value))
const stale = (value: string) => found(byteString(value), 'stale')

t.test('what the table says is what is answered, found and absent', async t => {
  const { ask } = stage({ 'info@example.com': 'box@example.net' })
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
  t.equal(await ask('nobody@example.com'), absent)
})

t.test('a fresh answer comes from memory, at once and without a promise', async t => {
  const { ask, lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute - 1)
  source.fault = down
  t.strictSame(lookup.lookup('info@example.com'), fresh('box@example.net'))
})

t.test('C55 spellings of different case are one key', async t => {
  const { ask, source, lookup } = stage({ 'info@example.com': 'box@example.net' })
  t.strictSame(await ask('INFO@Example.COM'), fresh('box@example.net'))
  t.strictSame(lookup.lookup('info@example.com'), fresh('box@example.net'))
  t.strictSame(source.asked, ['info@example.com'])
})

t.test('C58 an empty key and a key with NUL are absent without a query', t => {
  const { lookup, source } = stage({})
  for (const key of ['', '\0', 'info@example.com\0', '\0info@example.com']) t.equal(lookup.lookup(key), absent)
  t.equal(source.asked.length, 0)
  t.end()
})

t.test('a hundred callers for one key cost one query', async t => {
  const { lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  source.latencyMs = 50
  const answers = Promise.all(Array.from({ length: 100 }, async () => lookup.lookup('info@example.com')))
  await clock.advance(50)
  t.ok((await answers).every(outcome => outcome.kind === 'found'))
  t.strictSame(source.asked, ['info@example.com'])
  t.equal(lookup.flights, 0)
})

t.test('a hundred users of one domain cost one query for its catch-all', async t => {
  const { lookup, source, clock } = stage({ '@example.com': 'catch@example.net' })
  source.latencyMs = 50
  const answers = Promise.all(Array.from({ length: 100 }, async (_, user) => lookup.lookup(`user${user}@example.com`)))
  await clock.advance(100)
  t.ok((await answers).every(outcome => outcome.kind === 'found'))
  t.equal(source.asked.filter(key => key === '@example.com').length, 1)
})

t.test('C115 an absence is believed for absent_for and not a moment longer', async t => {
  const { ask, lookup, source, clock } = stage({}, { search: 'exact' })
  t.equal(await ask('new@example.com'), absent)
  source.rows.set('new@example.com', 'box@example.net')
  await clock.advance(29_999)
  t.equal(lookup.lookup('new@example.com'), absent)
  await clock.advance(1)
  t.strictSame(await ask('new@example.com'), fresh('box@example.net'))
})

t.test('an absence is never used after its time, also when the table can\'t be asked', async t => {
  const { ask, source, clock } = stage({}, { search: 'exact' })
  t.equal(await ask('new@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.equal(await ask('new@example.com'), down)
})

t.test('C116 a deleted row is absent when its fresh time is over', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  t.equal(await ask('info@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.equal(await ask('info@example.com'), down, 'and what it was before is forgotten')
})

t.test('a stale answer bridges an outage from the first failed query on, until it expires', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  source.fault = down
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  await clock.advance(55 * minute - 1)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  await clock.advance(1)
  t.equal(await ask('info@example.com'), down)
})

t.test('after a failure a stale answer comes at once, and the table is asked again after five seconds', async t => {
  const { ask, lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.fault = down
  await ask('info@example.com')
  const asked = source.asked.length
  await clock.advance(4_999)
  t.strictSame(lookup.lookup('info@example.com'), stale('box@example.net'))
  t.equal(source.asked.length, asked)
  source.fault = null
  await clock.advance(1)
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
})

t.test('C118 a failure is never remembered: once mended, the same lookup works at once', async t => {
  const { ask, source } = stage({ 'info@example.com': 'box@example.net' })
  source.fault = unavailable('query-error', 'no such table')
  t.match(await ask('info@example.com'), { kind: 'unavailable', reason: 'query-error' })
  source.fault = null
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
})

t.test('a slow table has until the soft deadline when a stale answer is at hand', async t => {
  const { ask, askTimed, lookup, source, clock } = stage({ 'info@example.com': 'old@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.rows.set('info@example.com', 'new@example.net')
  source.latencyMs = 1_000
  t.strictSame(await askTimed('info@example.com'), { outcome: stale('old@example.net'), ms: 300 })
  t.strictSame(lookup.lookup('info@example.com'), stale('old@example.net'), 'the next caller does not wait')
  await clock.advance(700)
  t.strictSame(lookup.lookup('info@example.com'), fresh('new@example.net'), 'the query went on behind it')
})

t.test('a table that gives no answer is a time-out at the deadline, and no later', async t => {
  const { askTimed, source, lookup, clock } = stage({})
  source.latencyMs = 60_000
  const { outcome, ms } = await askTimed('info@example.com')
  t.match(outcome, { kind: 'unavailable', reason: 'timeout' })
  t.equal(ms, 2_000)
  await clock.advance(10)
  t.equal(lookup.flights, 0)
  t.equal(clock.timers(), 0)
})

t.test('all steps together have one deadline', async t => {
  const { askTimed, source } = stage({ '@example.com': 'catch@example.net' })
  source.latencyMs = 900
  const { outcome, ms } = await askTimed('user+tag@example.com')
  t.match(outcome, { kind: 'unavailable', reason: 'timeout' })
  t.equal(ms, 2_000)
})

t.test('a caller who joins late still has an answer within a deadline of its own', async t => {
  const { askTimed, source, lookup, clock } = stage({})
  source.latencyMs = 60_000
  const first = lookup.lookup('info@example.com')
  await clock.advance(1_000)
  t.ok((await askTimed('info@example.com')).ms <= 2_000)
  t.match(await first, { reason: 'timeout' })
})

t.test('C70 a step in doubt ends the walk: a catch-all does not take the mail', async t => {
  const { ask, source } = stage({ 'user@example.com': 'box@example.net', '@example.com': 'catch@example.net' })
  t.strictSame(await ask('other@example.com'), fresh('catch@example.net'), 'the catch-all is known and fresh')
  source.fault = key => key === 'user@example.com' ? down : undefined
  t.equal(await ask('user@example.com'), down)
  t.equal(await ask('user+tag@example.com'), down)
})

t.test('C67 an extension that the key lost goes back into the value, in the sender\'s case', async t => {
  const { ask, lookup } = stage({ 'user@example.com': 'box@example.net' })
  t.strictSame(await ask('User+TaG@example.com'), fresh('box+TaG@example.net'))
  t.strictSame(await ask('user+tag@example.com'), fresh('box+tag@example.net'))
  t.strictSame(lookup.lookup('User+TaG@Example.com'), fresh('box+TaG@example.net'))
})

t.test('an extension keeps its case when only the whole answer is still fresh', async t => {
  const { ask, lookup, clock } = stage({ 'user@example.com': 'box@example.net' })
  await ask('User+TAG@example.com')
  await ask('user+tag@example.com')
  await clock.advance(minute)
  t.strictSame(lookup.lookup('user+tag@example.com'), fresh('box+tag@example.net'))
  t.strictSame(lookup.lookup('USER+TAG@example.com'), fresh('box+TAG@example.net'))
})

t.test('a whole answer bridges an outage in which its steps are no longer known', async t => {
  const { ask, source, clock } = stage({ 'user@example.com': 'box@example.net', '@example.org': 'catch@example.net' })
  await ask('user+tag@example.com')
  await ask('anybody@example.org')
  source.fault = down
  await clock.advance(10 * minute)
  t.strictSame(await ask('user+tag@example.com'), stale('box+tag@example.net'))
  t.strictSame(await ask('User+tag@example.com'), stale('box+tag@example.net'), 'whatever the case of the localpart')
  t.strictSame(await ask('Anybody@Example.ORG'), stale('catch@example.net'))
  t.equal(await ask('somebody@example.org'), down, 'of another user the catch-all says nothing')
})

t.test('an answer put together from fresh steps in memory is known whole as well', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('user+tag@example.com')
  t.strictSame(await ask('user@example.com'), fresh('catch@example.net'))
  t.equal(source.asked.length, 3)
  source.fault = down
  await clock.advance(10 * minute)
  t.strictSame(await ask('user@example.com'), stale('catch@example.net'))
})

t.test('a whole answer is no fresher than the oldest of its steps', async t => {
  const { ask, source, lookup, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  await clock.advance(3 * minute)
  await ask('two@example.com')
  t.strictSame(source.asked, ['one@example.com', '@example.com', 'two@example.com'], 'the catch-all is three minutes old')
  source.fault = down
  await clock.advance(2 * minute - 1)
  t.strictSame(lookup.lookup('two@example.com'), fresh('catch@example.net'))
  await clock.advance(1)
  t.strictSame(await ask('two@example.com'), stale('catch@example.net'))
})

t.test('a whole answer is forgotten when all its steps are absent', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  t.equal(await ask('one@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.equal(await ask('one@example.com'), down)
})

t.test('a user\'s own new row wins over the catch-all when the fresh time is over', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  source.rows.set('one@example.com', 'own@example.net')
  await clock.advance(5 * minute)
  t.strictSame(await ask('one@example.com'), fresh('own@example.net'))
})

t.test('an answer that is asked for late in its fresh time is refreshed behind the reply', async t => {
  const { ask, source, lookup, clock } = stage({ 'info@example.com': 'old@example.net' })
  await ask('info@example.com')
  await clock.advance(4 * minute - 1)
  source.rows.set('info@example.com', 'new@example.net')
  await ask('info@example.com')
  t.equal(source.asked.length, 1, 'not before the last fifth')
  await clock.advance(1)
  t.strictSame(lookup.lookup('info@example.com'), fresh('old@example.net'))
  await clock.advance(0)
  t.strictSame(lookup.lookup('info@example.com'), fresh('new@example.net'))
  t.equal(source.asked.length, 2)
})

t.test('a whole answer is refreshed ahead as well, all its steps anew', async t => {
  const { ask, source, lookup, clock } = stage({ '@example.com': 'old@example.net' })
  await ask('one@example.com')
  await clock.advance(4 * minute)
  source.rows.set('@example.com', 'new@example.net')
  t.strictSame(lookup.lookup('one@example.com'), fresh('old@example.net'))
  await clock.advance(0)
  t.strictSame(lookup.lookup('one@example.com'), fresh('new@example.net'))
  t.strictSame(source.asked.slice(2), ['one@example.com', '@example.com'])
})

t.test('a refresh that fails leaves the fresh answer fresh, and is not tried with each lookup', async t => {
  const { ask, source, lookup, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(4 * minute)
  source.fault = down
  for (let times = 0; times < 20; times++) t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
  t.equal(source.asked.length, 2)
  t.equal(lookup.flights, 0)
})

t.test('an absent answer replaces the found one, and the reverse', async t => {
  const { ask, source, memory, clock } = stage({ 'info@example.com': 'box@example.net' }, { search: 'exact' })
  await ask('info@example.com')
  t.match(memory.size(), { found: 1, absent: 0 })
  source.rows.clear()
  await clock.advance(5 * minute)
  await ask('info@example.com')
  t.match(memory.size(), { found: 0, absent: 1 })
  source.rows.set('info@example.com', 'box@example.net')
  await clock.advance(30_000)
  await ask('info@example.com')
  t.match(memory.size(), { found: 1, absent: 0 })
})

t.test('made-up keys without end do not push out what is found', async t => {
  const { ask, memory, source, lookup } = stage({ 'info@example.com': 'box@example.net' }, { search: 'exact' })
  await ask('info@example.com')
  for (let stranger = 0; stranger < 5_000; stranger++) await ask(`stranger${stranger}@example.com`)
  t.match(memory.size(), { found: 1, absent: 100 })
  source.fault = down
  t.strictSame(lookup.lookup('info@example.com'), fresh('box@example.net'))
})

t.test('a clock that is set back makes nobody trust the old answers: the table is asked', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'old@example.net', '@example.com': 'old@example.net' })
  await ask('info@example.com')
  await ask('other@example.com')
  clock.set(clock.now() - 60 * minute)
  source.rows.clear()
  t.equal(await ask('info@example.com'), absent)
  t.equal(await ask('other@example.com'), absent)
})

t.test('an answer that is given again and again', async t => {
  /** Asked for so often that it is looked at no further; `started` is when the table gave it. */
  const hammered = async (changes: Changes = {}) => {
    const staged = stage({ 'info@example.com': 'old' }, changes)
    const started = staged.clock.now()
    for (let count = 0; count < 3; count++) {
      await staged.ask('info@example.com')
      await staged.clock.advance(1_500)
    }
    staged.source.rows.set('info@example.com', 'new')
    staged.source.asked.length = 0
    return { ...staged, started }
  }
  t.test('is asked again from the last fifth of its fresh time on, to the millisecond', async t => {
    const { lookup, clock, source, started } = await hammered()
    while (clock.now() < started + 4 * minute - 1) {
      await clock.advance(Math.min(700, started + 4 * minute - 1 - clock.now()))
      t.strictSame(lookup.lookup('info@example.com'), fresh('old'))
    }
    t.strictSame(source.asked, [])
    await clock.advance(1)
    t.strictSame(lookup.lookup('info@example.com'), fresh('old'))
    t.strictSame(source.asked, ['info@example.com'])
  })
  t.test('is stale at the end of its fresh time', async t => {
    const { lookup, clock, ask, source, started } = await hammered({ lifetimes: { freshForMs: 6_000, staleForMs: minute, absentForMs: 1_000 } })
    clock.set(started + 4_799)
    t.strictSame(lookup.lookup('info@example.com'), fresh('old'))
    clock.set(started + 6_000)
    source.fault = down
    t.strictSame(await ask('info@example.com'), stale('old'))
  })
  t.test('is asked anew after a flush', async t => {
    const { lookup, clock, ask } = await hammered()
    lookup.flush('info@example.com', clock.now())
    t.strictSame(await ask('info@example.com'), fresh('new'))
  })
  t.test('is asked anew when flushes may have been missed', async t => {
    const { lookup, ask } = await hammered()
    lookup.expire()
    t.strictSame(await ask('info@example.com'), fresh('new'))
  })
  t.test('is not trusted after the clock was set back, at once or little by little', async t => {
    for (const steps of [1, 4]) {
      const { clock, ask, lookup } = await hammered()
      for (let step = 0; step < steps; step++) {
        lookup.lookup('info@example.com')
        clock.set(clock.now() - 16_000 / steps)
      }
      t.strictSame(await ask('info@example.com'), fresh('new'), `${steps} steps`)
    }
  })
  t.test('has its use noted each minute', async t => {
    const { lookup, clock, memory, started } = await hammered({ lifetimes: week })
    for (let second = 0; second < 180; second++) {
      await clock.advance(1_000)
      lookup.lookup('info@example.com')
    }
    t.ok((memory.peek('info@example.com')?.askedAt ?? 0) >= started + 2 * minute)
  })
})

t.test('after a clock was set back, old answers bridge an outage all the same', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  clock.set(clock.now() - 60 * minute)
  source.fault = down
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
})

t.test('a table that answers nothing for a shrunk table\'s keys: known keys are served stale, others deferred', async t => {
  const rows = Object.fromEntries(Array.from({ length: 10 }, (_, user) => [`user${user}@example.com`, `box${user}@example.net`]))
  const { ask, source, clock, guard } = stage(rows, { maxShrink: 0.3, search: 'exact' })
  for (const key of Object.keys(rows)) await ask(key)
  source.rows.clear()
  await clock.advance(5 * minute)
  t.strictSame(await ask('user1@example.com'), stale('box1@example.net'))
  t.match(await ask('user77@example.com'), { kind: 'unavailable', reason: 'distrusted' })
  guard.trust()
  await clock.advance(5_000)
  t.equal(await ask('user1@example.com'), absent, 'an operator says that it is so')
})

t.test('fallback with outage: reject rejects what is not known, and only what could not be asked', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' }, { policy: { unknown: 'reject', outage: 'reject' } })
  await ask('info@example.com')
  source.fault = down
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  t.equal(await ask('nobody@example.com'), absent)
  source.fault = unavailable('query-error', 'no such table')
  t.match(await ask('nobody@example.com'), { reason: 'query-error' })
})

t.test('unknown: defer defers what the table says is absent', async t => {
  const { ask, lookup } = stage({}, { policy: { unknown: 'defer', outage: 'defer' } })
  t.match(await ask('nobody@example.com'), { kind: 'unavailable', reason: 'unknown-deferred' })
  t.match(lookup.lookup('nobody@example.com'), { kind: 'unavailable', reason: 'unknown-deferred' }, 'from memory, too')
  t.match(lookup.lookup(''), { kind: 'unavailable', reason: 'unknown-deferred' })
})

t.test('a bug in a source is a temporary error, or the known answer, and is told', async t => {
  const { ask, source, clock, bugs } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  const bug = new Error('of info@example.com')
  source.fault = () => { throw bug }
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  const said = await ask('nobody@example.com')
  t.match(said, { kind: 'unavailable', reason: 'internal-error' })
  t.notMatch(JSON.stringify(said), /info@/, 'its words could hold a key, which is not for the mail log')
  t.strictSame(bugs, [bug, bug])
})

t.test('a bug in the steps of a key is a temporary error for who asked, and the end of nothing', async t => {
  const { open, ask, bugs } = stage({ 'info@example.com': 'box@example.net' })
  const bug = new Error('bug')
  const broken = open({ plan: { steps: () => { throw bug } } })
  t.strictSame(await ask('info@example.com', broken), fresh('box@example.net'), 'the first step is the key itself')
  t.match(await ask('other@example.com', broken), { kind: 'unavailable', reason: 'internal-error' })
  t.strictSame(bugs, [bug])
})

t.test('more keys under way than the map will queue are told to come again', async t => {
  const { lookup, source, clock } = stage({})
  source.latencyMs = 1_000
  const answers = Array.from({ length: 10_001 }, (_, user) => lookup.lookup(`user${user}@example.com`))
  t.equal(lookup.flights, 10_000)
  await clock.advance(0)
  t.match(await answers.at(-1), { kind: 'unavailable', reason: 'overloaded' })
})

t.test('what one node learned, another has from Redis while the table is down', async t => {
  const { ask, open, source, redis } = stage({ 'info@example.com': 'box@example.net', '@example.org': 'catch@example.net' }, { withRedis: true })
  await ask('info@example.com')
  await ask('Anybody@example.org')
  source.fault = down
  const other = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), fresh('box@example.net'))
  t.strictSame(await ask('anybody@example.org', other), fresh('catch@example.net'), 'a whole answer, too')
  t.equal(redis.state.reads, 7, 'one trip for a key that its first step finds, two for any other')
  t.equal(other.origins.redis, 2)
})

t.test('an answer from Redis is as old as its verification', async t => {
  const { ask, open, source, clock } = stage({ 'info@example.com': 'box@example.net' }, { withRedis: true })
  await ask('info@example.com')
  source.fault = down
  await clock.advance(4 * minute)
  const other = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), fresh('box@example.net'))
  await clock.advance(minute)
  t.strictSame(await ask('info@example.com', other), stale('box@example.net'))
  await clock.advance(55 * minute)
  t.equal(await ask('info@example.com', other), down)
})

t.test('a stale answer from Redis is not taken for the table\'s word', async t => {
  const { ask, open, source, clock } = stage({ 'info@example.com': 'old@example.net' }, { withRedis: true })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.rows.set('info@example.com', 'new@example.net')
  const other = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), fresh('new@example.net'))
})

t.test('C119 what another definition of the map said is not used', async t => {
  const { ask, open, source } = stage({ 'info@example.com': 'box@example.net' }, { withRedis: true })
  await ask('info@example.com')
  source.fault = down
  const changed = open({ definition: 'fedcba9876543210' }, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.equal(await ask('info@example.com', changed), down)
})

t.test('an absence that is vouched for bridges an outage until it expires', async t => {
  const { ask, source, clock } = stage({}, { isVouchedFor: key => key === 'user@example.com' })
  t.equal(await ask('user@example.com'), absent)
  source.fault = down
  await clock.advance(60 * minute - 1)
  t.equal(await ask('user@example.com'), absent)
  await clock.advance(1)
  t.equal(await ask('user@example.com'), down)
})

t.test('an absence that nobody vouches for bridges nothing', async t => {
  const { ask, source, clock } = stage({})
  t.equal(await ask('user@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.equal(await ask('user@example.com'), down)
})

t.test('a key that was never asked for is not absent for being vouched for', async t => {
  const { ask, source } = stage({}, { isVouchedFor: () => true })
  source.fault = down
  t.equal(await ask('user@example.com'), down)
})

t.test('an absence that is vouched for is given at the soft deadline, and then at once', async t => {
  const { ask, askTimed, source, clock } = stage({}, { isVouchedFor: () => true })
  await ask('user@example.com')
  source.latencyMs = 60_000
  await clock.advance(30_000)
  t.strictSame(await askTimed('user@example.com'), { outcome: absent, ms: 300 })
  t.strictSame(await askTimed('user@example.com'), { outcome: absent, ms: 0 })
})

t.test('an absence that is vouched for ends when the table says found', async t => {
  const { ask, source, clock } = stage({}, { isVouchedFor: () => true })
  await ask('user@example.com')
  source.rows.set('user@example.com', 'box@example.net')
  await clock.advance(30_000)
  t.strictSame(await ask('user@example.com'), fresh('box@example.net'))
})

t.test('one node\'s absence that is vouched for bridges another\'s outage, but is never fresh there', async t => {
  const { ask, open, source } = stage({}, { isVouchedFor: () => true, withRedis: true })
  await ask('user@example.com')
  const other = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  const asked = source.asked.length
  t.equal(await ask('user@example.com', other), absent)
  t.ok(source.asked.length > asked, 'the table was asked')
  source.fault = down
  t.equal(await ask('user@example.com', open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))), absent)
})

t.test('a snapshot holds the absences that are vouched for', async t => {
  const { ask, lookup, open, source } = stage({}, { isVouchedFor: () => true })
  await ask('user@example.com')
  const restarted = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  for (const known of lookup.known()) t.ok(restarted.recall(...known))
  source.fault = down
  t.equal(await ask('user@example.com', restarted), absent)
})

t.test('a map knows what it has found, fresh or stale, and not what it hasn\'t', async t => {
  const { ask, lookup, clock } = stage({ 'info@example.com': 'box@example.net', '@example.org': 'catch@example.net' })
  for (const key of ['info@example.com', 'any@example.org', 'nobody@example.com']) await ask(key)
  await clock.advance(30 * minute)
  t.ok(lookup.knows('info@example.com'))
  t.ok(lookup.knows('any@example.org'))
  t.notOk(lookup.knows('nobody@example.com'))
  t.notOk(lookup.knows('never@example.com'))
  await clock.advance(30 * minute)
  t.notOk(lookup.knows('info@example.com'), 'it has expired')
})

t.test('absent answers are not written to Redis, and a deleted key is removed from it', async t => {
  const { ask, source, redis, clock } = stage({ 'info@example.com': 'box@example.net', '@example.org': 'catch@example.net' }, { withRedis: true })
  await ask('info@example.com')
  await ask('anybody@example.org')
  await ask('nobody@example.com')
  t.equal(redis.records.size, 3, 'the address, the catch-all and one whole answer')
  source.rows.clear()
  await clock.advance(5 * minute)
  await ask('info@example.com')
  await ask('anybody@example.org')
  t.equal(redis.records.size, 0)
})

t.test('records live in Redis until they expire, counted from their verification', async t => {
  const { ask, redis, source, clock } = stage({ 'info@example.com': 'box@example.net' }, { withRedis: true })
  source.latencyMs = 100
  const outcome = ask('info@example.com')
  await clock.advance(100)
  await outcome
  t.equal(redis.records.get('alias:info@example.com')?.ttlMs, 60 * minute - 100)
})

t.test('a newer answer in memory is not replaced by an older one from Redis', async t => {
  const { ask, source, redis, clock } = stage({ 'info@example.com': 'new@example.net' }, { withRedis: true })
  await ask('info@example.com')
  redis.records.set('alias:info@example.com', { outcome: fresh('old@example.net'), verifiedAt: clock.now() - 1, ttlMs: 1, definition: '0123456789abcdef' })
  source.fault = down
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('new@example.net'))
})

t.test('a record from a clock that runs ahead is verified before it counts, and bridges an outage', async t => {
  const { ask, source, redis, clock } = stage({ 'info@example.com': 'new@example.net' }, { withRedis: true })
  redis.records.set('alias:info@example.com', {
    outcome: fresh('old@example.net'), verifiedAt: clock.now() + 60 * minute, ttlMs: 1, definition: '0123456789abcdef',
  })
  source.fault = down
  t.strictSame(await ask('info@example.com'), stale('old@example.net'))
  source.fault = null
  await clock.advance(5_000)
  t.strictSame(await ask('info@example.com'), fresh('new@example.net'))
})

t.test('a Redis that is of no use costs nothing', async t => {
  const { ask, redis } = stage({ 'info@example.com': 'box@example.net' }, { withRedis: true })
  redis.state.usable = false
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
  t.equal(redis.state.reads, 0)
})

t.test('the time that Redis takes comes out of the one deadline', async t => {
  const { askTimed, redis, source } = stage({}, { withRedis: true })
  redis.state.latencyMs = 100
  source.latencyMs = 60_000
  t.equal((await askTimed('info@example.com')).ms, 2_000)
})

t.test('a map without stale time gives nothing that is not fresh', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' },
    { lifetimes: { freshForMs: 5 * minute, staleForMs: 0, absentForMs: 30_000 } })
  await ask('info@example.com')
  source.fault = down
  await clock.advance(5 * minute)
  t.equal(await ask('info@example.com'), down)
})

t.test('bytes that are not UTF-8 pass through as they are', async t => {
  const { ask, source } = stage({})
  const latin1 = found('caf\u00e9@example.net' as ReturnType<typeof byteString>)
  source.fault = () => latin1
  const outcome = await ask('info@example.com')
  t.equal(outcome, latin1)
  t.equal(readable(latin1.value), 'caf\ufffd@example.net')
})

t.test('what a snapshot held bridges an outage after a restart, but is not fresh by it', async t => {
  const { ask, clock, lookup, open, source } = stage({ 'info@example.com': 'a@b' })
  await ask('info@example.com')
  await ask('info+x@example.com')
  const records = [...lookup.known()]
  await clock.advance(6 * minute)
  source.fault = unavailable('source-down', 'gone')
  const restarted = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.ok(records.every(record => restarted.recall(...record)))
  t.match(await ask('info@example.com', restarted), { kind: 'found', value: 'a@b', age: 'stale' })
  t.match(await ask('info+x@example.com', restarted), { kind: 'found', value: 'a+x@b', age: 'stale' })
})

t.test('a snapshot of another definition, or from too long ago, is of no use', async t => {
  const { ask, clock, lookup, open } = stage({ 'info@example.com': 'a@b' })
  await ask('info@example.com')
  const [record] = [...lookup.known()]
  const recalled = (from: MapLookup): boolean => record !== undefined && from.recall(...record)
  t.notOk(recalled(open({ definition: 'fedcba9876543210' }, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))))
  await clock.advance(61 * minute)
  t.notOk(recalled(open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))))
})

t.test('found answers are told to whoever asks for that, from the table and from a snapshot', async t => {
  const heard: string[] = []
  const { ask, lookup, open } = stage({ 'info@example.com': 'a@b' }, { onFound: value => { heard.push(value) } })
  await ask('info@example.com')
  t.strictSame(heard, ['a@b'])
  const [record] = [...lookup.known()]
  if (record !== undefined) open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 })).recall(...record)
  t.strictSame(heard, ['a@b', 'a@b'])
})

t.test('flush: an answer that was asked for before it and comes after it is not fresh', async t => {
  const { clock, lookup, source } = stage({ 'a@example.com': 'old', 'b@example.com': 'old' })
  source.latencyMs = 100
  const asked = ['a@example.com', 'b@example.com'].map(async key => lookup.lookup(key))
  await clock.advance(50)
  lookup.flush('A@example.com', clock.now())
  await clock.advance(100)
  t.match(await Promise.all(asked), [{ kind: 'found' }, { kind: 'found' }])
  source.latencyMs = 0
  source.asked.length = 0
  source.rows.set('a@example.com', 'new')
  t.match(await lookup.lookup('a@example.com'), { value: 'new' })
  t.match(await lookup.lookup('b@example.com'), { value: 'old' })
  t.strictSame(source.asked, ['a@example.com'])
})

t.test('flush of a domain: its keys alone, absent ones too, and they bridge an outage', async t => {
  const { clock, lookup, source, ask } = stage({ 'a@example.com': 'old', 'a@sub.example.com': 'old', '@example.com': 'all' })
  for (const key of ['a@example.com', 'a@sub.example.com', 'x@example.com']) t.match(await ask(key), { kind: 'found' })
  source.rows.set('x@example.com', 'new')
  source.rows.set('a@example.com', 'new')
  t.match(await ask('x@example.com'), { value: 'all' })
  lookup.flush('@example.com', clock.now())
  source.asked.length = 0
  t.match(await ask('x@example.com'), { value: 'new' })
  t.match(await ask('a@sub.example.com'), { value: 'old' })
  t.strictSame(source.asked, ['x@example.com'])
  source.fault = unavailable('breaker-open', 'down')
  t.match(await ask('a@example.com'), { value: 'old', age: 'stale' })
})

t.test('a flush of which the node has not heard yet: what Redis has is not fresh, but bridges an outage', async t => {
  const { lookup, open, source, ask } = stage({ 'a@example.com': 'old' }, { withRedis: true })
  t.match(await ask('a@example.com'), { value: 'old' })
  source.rows.set('a@example.com', 'new')
  const later = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  later.knowsFlushes = false
  source.fault = unavailable('breaker-open', 'down')
  t.match(await ask('a@example.com', later), { value: 'old', age: 'stale' })
  source.fault = null
  const last = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  last.knowsFlushes = false
  t.match(await ask('a@example.com', last), { value: 'new' })
  t.equal(lookup.flights, 0)
})

/** Verified anew each day, for as long as it was asked for in the last 30. */
const rememberedFor = 30 * 1_440 * minute

t.test('what was asked for is verified each day though nobody asks, at most ten a second, until it is forgotten', async t => {
  const keys = Array.from({ length: 25 }, (_, index) => `user${index}@example.com`)
  const { clock, lookup, source, ask } = stage({ ...Object.fromEntries(keys.map(key => [key, 'box'])), '@catch.example': 'all' }, { lifetimes: week })
  for (const key of [...keys, 'any@catch.example', 'nobody@example.com']) await ask(key)
  const end = remember(lookup, rememberedFor, clock, () => 0)
  t.teardown(end)
  await clock.advance(aDay - minute)
  source.asked.length = 0
  let most = 0
  for (let second = 0; second < 720; second++) {
    const before = source.asked.length
    await clock.advance(1_000)
    most = Math.max(most, source.asked.length - before)
  }
  t.strictSame(new Set(source.asked), new Set([...keys, '@catch.example', 'any@catch.example']), 'found answers only, and whole ones by their steps')
  t.ok(most >= 10 && most <= 11, `${most} questions in a second: ten keys, one of them in two steps`)
  source.rows.delete('user0@example.com')
  source.rows.set('user1@example.com', 'moved')
  await clock.advance(5 * aDay)
  source.fault = unavailable('breaker-open', 'down')
  await clock.advance(5.5 * aDay)
  t.match(await ask('user1@example.com'), { value: 'moved', age: 'stale' }, 'known through an outage of nearly all of stale_for')
  t.match(await ask('any@catch.example'), { value: 'all', age: 'stale' })
  t.match(await ask('user0@example.com'), { kind: 'unavailable' }, 'what was deleted is not')
  source.fault = null
  await clock.advance(20 * aDay)
  source.asked.length = 0
  await clock.advance(3 * aDay)
  t.ok(source.asked.includes('user1@example.com'))
  t.notOk(source.asked.includes('user2@example.com'), 'it was not asked for in 30 days')
})

t.test('verifying gives way to lookups, and ends its round when the table is ill or not believed', async t => {
  const keys = Array.from({ length: 25 }, (_, index) => `user${index}@example.com`)
  const { clock, lookup, source, ask } = stage(Object.fromEntries(keys.map(key => [key, 'box'])), { lifetimes: week, maxShrink: 0.3 })
  for (const key of keys) await ask(key)
  let isIdle = false
  const busyOrIdle = { due: (ms: number) => lookup.due(ms), verify: (key: string) => lookup.verify(key), get isIdle() { return isIdle } }
  t.teardown(remember(busyOrIdle, rememberedFor, clock, () => 0))
  await clock.advance(2 * aDay)
  source.asked.length = 0
  await clock.advance(10 * minute)
  t.strictSame(source.asked, [])
  isIdle = true
  source.fault = unavailable('breaker-open', 'down')
  await clock.advance(60 * minute)
  t.equal(source.asked.length, 6, 'one a round')
  source.fault = null
  const rows = [...source.rows]
  source.rows.clear()
  await clock.advance(60 * minute)
  for (const key of keys) t.equal(lookup.knows(key), true, 'an emptied table takes nobody away, though no witness is recent enough to tell')
  for (const [key, value] of rows) source.rows.set(key, value)
  await clock.advance(10 * minute)
  t.strictSame(lookup.due(rememberedFor), [], 'once it is whole, all are verified')
})

t.test('what another node has just verified is taken from Redis, and that it was verified is no asking', async t => {
  const { clock, lookup, open, source, ask } = stage({ 'a@example.com': 'old' }, { withRedis: true, lifetimes: week })
  await ask('a@example.com')
  const other = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  await ask('a@example.com', other)
  await clock.advance(aDay)
  source.rows.set('a@example.com', 'new')
  t.strictSame(lookup.due(rememberedFor), ['a@example.com'])
  t.equal(await other.verify('a@example.com'), true)
  source.asked.length = 0
  t.equal(await lookup.verify('a@example.com'), true)
  t.strictSame(source.asked, [])
  t.match(await ask('a@example.com'), { value: 'new' })
  await clock.advance(aDay)
  t.strictSame(other.due(2 * aDay - minute), [])
  t.strictSame(lookup.due(2 * aDay - minute), ['a@example.com'])
})

t.test('an offered row bridges an outage, is asked for first, and takes the place of nothing that is known', async t => {
  const { clock, lookup, source, ask } = stage({ 'a@example.com': 'table', 'b@example.com': 'table' })
  await ask('a@example.com')
  await ask('gone@example.com')
  await clock.advance(10 * minute)
  await ask('absent@example.com')
  const offer = (key: string) => lookup.offer(key, byteString('file'), clock.now() - 30 * minute)
  t.strictSame(await Promise.all(['a@example.com', 'b@example.com', 'gone@example.com', 'absent@example.com'].map(offer)), ['known', 'kept', 'kept', 'known'],
    'an absence counts while it is fresh')
  source.fault = down
  t.strictSame(await ask('a@example.com'), stale('table'))
  t.strictSame(await ask('b@example.com'), stale('file'))
  await clock.advance(10_000)
  source.fault = null
  t.strictSame(await ask('b@example.com'), fresh('table'))
  t.equal(await ask('gone@example.com'), absent, 'the table has the last word')
})

t.test('offered rows push nothing out of memory', async t => {
  const { clock, open, ask } = stage({ 'a@example.com': 'a', 'b@example.com': 'b' })
  const lookup = open({}, createMemory({ entries: 3, bytes: 10_000, absentEntries: 10 }))
  await ask('a@example.com', lookup)
  await ask('b@example.com', lookup)
  const said = await Promise.all(['c@example.com', 'd@example.com'].map(key => lookup.offer(key, byteString('file'), clock.now() - minute)))
  t.strictSame(said, ['kept', 'no room'])
  t.strictSame(lookup.rowKeys().sort(), ['a@example.com', 'b@example.com', 'c@example.com'])
})

t.test('a Redis that is left alone is asked all the same when nobody else can be, for as long as the deadline lets it', async t => {
  const { clock, redis, open, source, ask, askTimed, lookup } = stage({ 'a@example.com': 'a', '@catch.example': 'all' }, { withRedis: true })
  for (const key of ['a@example.com', 'any@catch.example']) await ask(key, open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 })))
  Object.assign(redis.state, { usable: false, connected: true, latencyMs: 500 })
  t.match(await askTimed('any@catch.example'), { outcome: fresh('all'), ms: 0 }, 'not while the table answers')
  source.fault = down
  t.match(await askTimed('a@example.com'), { outcome: fresh('a'), ms: 500 })
  t.match(await askTimed('nobody@example.com'), { outcome: down, ms: 500 })
  redis.state.latencyMs = 60_000
  t.match(await askTimed('other@example.com'), { outcome: { kind: 'unavailable' }, ms: 2_000 }, 'a hung one')
  await clock.advance(60 * minute)
  redis.state.connected = false
  t.match(await askTimed('other@example.com'), { outcome: down, ms: 0 }, 'one that is gone')
  t.equal(lookup.flights, 0)
})

t.test('who asks after a flush joins no question from before it, and the late answer to that takes nothing away', async t => {
  for (const [about, before, after] of [
    ['edited', fresh('old'), fresh('new')], ['added', absent, fresh('new')], ['removed', fresh('old'), absent],
  ] as const) {
    for (const flushed of ['a@example.com', '@example.com', null]) {
      const { clock, lookup, source } = stage({}, { search: 'exact' })
      const answers = [[before, 200], [after, 50]] as const
      source.lookup = key => {
        source.asked.push(key)
        const [outcome, latencyMs] = answers[source.asked.length - 1] ?? answers[1]
        return new Promise(resolve => { clock.after(latencyMs, () => resolve(outcome)) })
      }
      const said: [string, Outcome][] = []
      const ask = (who: string): void => { void Promise.resolve(lookup.lookup('a@example.com')).then(outcome => said.push([who, outcome])) }
      ask('before')
      await clock.advance(20)
      ask('joined')
      t.equal(source.asked.length, 1)
      lookup.flush(flushed, clock.now())
      await clock.advance(20)
      ask('after')
      await clock.advance(20)
      ask('after, joined')
      await clock.advance(200)
      t.strictSame(said, [['after', after], ['after, joined', after], ['before', before], ['joined', before]], `${about}, ${flushed ?? 'all'}`)
      t.equal(source.asked.length, 2)
      t.equal(lookup.flights, 0)
      t.strictSame(await lookup.lookup('a@example.com'), after)
      t.equal(source.asked.length, 2, 'it is fresh')
    }
  }
})

t.test('a flush of one key leaves the questions for others as they are', async t => {
  const { clock, lookup, source } = stage({ 'a@example.com': 'a', 'b@other.example': 'b' }, { search: 'exact' })
  source.latencyMs = 100
  const asked = ['a@example.com', 'b@other.example'].map(key => lookup.lookup(key))
  lookup.flush('a@example.com', clock.now())
  lookup.flush('@example.com', clock.now())
  const again = lookup.lookup('b@other.example')
  await clock.advance(200)
  t.strictSame(await Promise.all([...asked, again]), [fresh('a'), fresh('b'), fresh('b')])
  t.equal(source.asked.length, 2)
})

t.test('when a key was last asked for is kept over a restart', async t => {
  const { clock, lookup, open, ask } = stage({ 'a@example.com': 'a', 'b@example.com': 'b' }, { lifetimes: week })
  await ask('a@example.com')
  await clock.advance(2 * aDay)
  await ask('b@example.com')
  const restarted = open({}, createMemory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  for (const known of lookup.known()) t.ok(restarted.recall(...known))
  await clock.advance(aDay + minute)
  t.strictSame(restarted.due(3 * aDay), ['b@example.com'])
  t.strictSame(restarted.due(4 * aDay).sort(), ['a@example.com', 'b@example.com'])
})
