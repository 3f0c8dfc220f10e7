import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { isFresh } from '../../src/caches/entry.js'
import { Memory } from '../../src/caches/memory.js'
import type { ByteString } from '../../src/outcome.js'
import { absent, found, readable, unavailable } from '../../src/outcome.js'
import { aDay, minute, week, down, fresh, stale, stage } from './stage.js'
import type { Changes } from './stage.js'

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
  for (const key of source.rows.keys()) source.rows.set(key, 'new@example.net')
  t.strictSame(await ask('info@example.com'), fresh('new@example.net'))
  t.strictSame(await ask('other@example.com'), fresh('new@example.net'))
})

t.test('a clock that is set back makes no absence fresh again', async t => {
  for (const askedBetween of [true, false]) {
    const { ask, source, clock } = stage({ 'info@example.com': 'box' }, { search: 'exact' })
    t.strictSame(await ask('new@example.com'), absent)
    await clock.advance(10 * minute)
    source.rows.set('new@example.com', 'box')
    if (askedBetween) await ask('info@example.com')
    // Back to a second after the absence.
    clock.set(clock.now() - 10 * minute + 1_000)
    t.strictSame(await ask('new@example.com'), fresh('box'))
  }
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
    const {
      lookup, clock, ask, source, started,
    } = await hammered({ lifetimes: { freshForMs: 6_000, staleForMs: minute, absentForMs: 1_000 } })
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

t.test('after a clock was set on, the time that it skipped confirms no absence', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net', 'other@example.com': 'box' })
  for (const key of source.rows.keys()) await ask(key)
  await clock.advance(5 * minute)
  source.rows.delete('info@example.com')
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  clock.set(clock.now() + 6 * minute)
  await clock.advance(1)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'), 'a moment after the first statement')
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), absent)
})

t.test('what is older than stale_for is given no more, and is evidence all the same', async t => {
  const keys = Array.from({ length: 10 }, (_, index) => `user${index}@example.com`)
  const rows = { ...Object.fromEntries(keys.map(key => [key, 'box@example.net'])), '@example.org': 'catch@example.net' }
  /** The answers are eight days old; no copy has them. `evict`: memory has lost the row of the catch-all. */
  const aged = async (evict = false) => {
    const staged = stage(rows)
    for (const key of [...keys, 'any@example.org']) await staged.ask(key)
    if (evict) staged.memory.delete('@example.org')
    staged.clock.holdUp(8 * aDay)
    return staged
  }
  t.test('one absence is deferred, a second one five minutes later is believed', async t => {
    const { ask, source, clock } = await aged()
    source.rows.delete('user0@example.com')
    t.match(await ask('user0@example.com'), { reason: 'distrusted' })
    await clock.advance(5 * minute)
    t.strictSame(await ask('user0@example.com'), absent)
    t.strictSame(await ask('nobody@example.com'), absent)
  })
  for (const isEvicted of [false, true]) t.test(
    `so is that of a catch-all${isEvicted ? ' whose row memory has lost' : ''}`, async t => {
      const { ask, source, clock } = await aged(isEvicted)
      source.rows.delete('@example.org')
      t.match(await ask('any@example.org'), { reason: 'distrusted' })
      t.match(await ask('any@example.org'), { reason: 'distrusted' }, 'also while the absences of its steps are fresh')
      await clock.advance(6 * minute)
      // What was put together from the row goes after the row.
      await ask('any@example.org')
      await clock.advance(6 * minute)
      t.strictSame(await ask('any@example.org'), absent)
    },
  )
  t.test('a table that is empty is in doubt', async t => {
    const { ask, source } = await aged()
    source.rows.clear()
    t.match(await ask('nobody@example.com'), { reason: 'distrusted' })
    for (const key of keys) t.match(await ask(key), { reason: 'distrusted' })
  })
  t.test('it bridges no outage', async t => {
    const { ask, source } = await aged()
    source.fault = down
    t.match(await ask('user0@example.com'), down)
  })
})

t.test('after a clock was set back, old answers bridge an outage all the same', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  clock.set(clock.now() - 60 * minute)
  source.fault = down
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
})

t.test('what one node learned, another has from Redis while the table is down', async t => {
  const { ask, open, source, redis } = stage(
    { 'info@example.com': 'box@example.net', '@example.org': 'catch@example.net' }, { withRedis: true },
  )
  await ask('info@example.com')
  await ask('Anybody@example.org')
  source.fault = down
  const other = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), fresh('box@example.net'))
  t.strictSame(await ask('anybody@example.org', other), fresh('catch@example.net'), 'a whole answer, too')
  t.equal(redis.state.reads, 4, 'one trip for all the steps of a key')
  t.equal(other.origins.redis, 2)
})

t.test('an answer from Redis is as old as its verification', async t => {
  const { ask, open, source, clock } = stage(
    { 'info@example.com': 'box@example.net' }, { withRedis: true },
  )
  await ask('info@example.com')
  source.fault = down
  await clock.advance(4 * minute)
  const other = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), fresh('box@example.net'))
  await clock.advance(minute)
  t.strictSame(await ask('info@example.com', other), stale('box@example.net'))
  await clock.advance(7 * aDay - 5 * minute)
  t.match(await ask('info@example.com', other), down)
})

t.test('a stale answer from Redis is not taken for the table\'s word', async t => {
  const { ask, open, source, clock } = stage({ 'info@example.com': 'old@example.net' }, { withRedis: true })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.rows.set('info@example.com', 'new@example.net')
  const other = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), fresh('new@example.net'))
})

t.test('C119 what another definition of the map said is not used', async t => {
  const { ask, open, source } = stage({ 'info@example.com': 'box@example.net' }, { withRedis: true })
  await ask('info@example.com')
  source.fault = down
  const changed = open(
    { definition: 'fedcba9876543210' }, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }),
  )
  t.match(await ask('info@example.com', changed), down)
})

t.test('an absence of a key known elsewhere bridges an outage until it expires', async t => {
  const { ask, source, clock } = stage({}, { isKnownElsewhere: key => key === 'user@example.com' })
  t.equal(await ask('user@example.com'), absent)
  source.fault = down
  await clock.advance(7 * aDay - 1)
  t.equal(await ask('user@example.com'), absent)
  await clock.advance(1)
  t.match(await ask('user@example.com'), down)
})

t.test('an absence of a key that no other map knows bridges nothing', async t => {
  const { ask, source, clock } = stage({})
  t.equal(await ask('user@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.match(await ask('user@example.com'), down)
})

t.test('a key that nobody asked for is not absent just because another map knows it', async t => {
  const { ask, source } = stage({}, { isKnownElsewhere: () => true })
  source.fault = down
  t.match(await ask('user@example.com'), down)
})

t.test('an absence of a key known elsewhere is given at the deadline, and then at once', async t => {
  const { ask, askTimed, source, clock } = stage({}, { isKnownElsewhere: () => true })
  await ask('user@example.com')
  source.latencyMs = 60_000
  await clock.advance(30_000)
  t.strictSame(await askTimed('user@example.com'), { outcome: absent, ms: 2_000 })
  t.strictSame(await askTimed('user@example.com'), { outcome: absent, ms: 0 })
})

t.test('an absence of a key known elsewhere ends when the table says found', async t => {
  const { ask, source, clock } = stage({}, { isKnownElsewhere: () => true })
  await ask('user@example.com')
  source.rows.set('user@example.com', 'box@example.net')
  await clock.advance(30_000)
  t.strictSame(await ask('user@example.com'), fresh('box@example.net'))
})

t.test('one node\'s absence of a key known elsewhere bridges another\'s outage, but is never fresh there', async t => {
  const { ask, open, source } = stage({}, { isKnownElsewhere: () => true, withRedis: true })
  await ask('user@example.com')
  const other = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  const asked = source.asked.length
  t.equal(await ask('user@example.com', other), absent)
  t.ok(source.asked.length > asked, 'the table was asked')
  source.fault = down
  t.equal(
    await ask('user@example.com', open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))), absent,
  )
})

t.test('a map knows what it has found, fresh or stale, and not what it hasn\'t', async t => {
  const { ask, lookup, clock } = stage({ 'info@example.com': 'box@example.net', '@example.org': 'catch@example.net' })
  for (const key of ['info@example.com', 'any@example.org', 'nobody@example.com']) await ask(key)
  await clock.advance(30 * minute)
  t.ok(lookup.has('info@example.com'))
  t.ok(lookup.has('any@example.org'))
  t.notOk(lookup.has('nobody@example.com'))
  t.notOk(lookup.has('never@example.com'))
  await clock.advance(7 * aDay)
  t.notOk(lookup.has('info@example.com'), 'it has expired')
})

t.test('absent answers are not written to Redis, and a deleted key is removed from it', async t => {
  const { ask, source, redis, clock } = stage(
    { 'info@example.com': 'box@example.net', '@example.org': 'catch@example.net' }, { withRedis: true },
  )
  await ask('info@example.com')
  await ask('anybody@example.org')
  await ask('nobody@example.com')
  t.equal(redis.records.size, 3, 'the address, the catch-all and one whole answer')
  source.rows.delete('info@example.com')
  await clock.advance(5 * minute)
  await ask('info@example.com')
  t.equal(
    redis.records.get('alias:info@example.com')?.contradictedAt, clock.now(),
    'the other nodes see that a server contradicts it',
  )
  await clock.advance(5 * minute)
  await ask('info@example.com')
  t.notOk(redis.records.has('alias:info@example.com'))
})

t.test('records live in Redis until they expire, counted from their verification', async t => {
  const { ask, redis, source, clock } = stage(
    { 'info@example.com': 'box@example.net' }, { withRedis: true },
  )
  source.latencyMs = 100
  const outcome = ask('info@example.com')
  await clock.advance(100)
  await outcome
  t.equal(redis.records.get('alias:info@example.com')?.ttlMs, 7 * aDay - 100)
})

t.test('a newer answer in memory is not replaced by an older one from Redis', async t => {
  const { ask, source, redis, clock } = stage({ 'info@example.com': 'new@example.net' }, { withRedis: true })
  await ask('info@example.com')
  redis.records.set('alias:info@example.com', {
    outcome: fresh('old@example.net'), verifiedAt: clock.now() - 1, table: 0, server: '', contradictedAt: 0, ttlMs: 1,
    definition: '0123456789abcdef',
  })
  source.fault = down
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('new@example.net'))
})

t.test('a record from a clock that runs ahead is verified before it counts, and bridges an outage', async t => {
  const { ask, source, redis, clock } = stage({ 'info@example.com': 'new@example.net' }, { withRedis: true })
  redis.records.set('alias:info@example.com', {
    outcome: fresh('old@example.net'), verifiedAt: clock.now() + 60 * minute, table: 0, server: '', contradictedAt: 0, ttlMs: 1,
    definition: '0123456789abcdef',
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
  t.match(await ask('info@example.com'), down)
})

t.test('bytes that are not UTF-8 pass through as they are', async t => {
  const { ask, source } = stage({})
  const latin1 = found('caf\u00e9@example.net' as ByteString)
  source.fault = () => latin1
  const outcome = await ask('info@example.com')
  t.equal(outcome, latin1)
  t.equal(readable(latin1.value), 'caf\ufffd@example.net')
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
  const {
    clock, lookup, source, ask,
  } = stage({ 'a@example.com': 'old', 'a@sub.example.com': 'old', '@example.com': 'all' })
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
  const later = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  later.known.knowsFlushes = false
  source.fault = unavailable('breaker-open', 'down')
  t.match(await ask('a@example.com', later), { value: 'old', age: 'stale' })
  source.fault = null
  const last = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  last.known.knowsFlushes = false
  t.match(await ask('a@example.com', last), { value: 'new' })
  t.equal(lookup.flights, 0)
})

t.test('a Redis that rests is asked all the same when nobody else can be, until the deadline', async t => {
  const { clock, redis, open, source, ask, askTimed, lookup } = stage(
    { 'a@example.com': 'a', '@catch.example': 'all' }, { withRedis: true },
  )
  for (const key of ['a@example.com', 'any@catch.example']) await ask(
    key, open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 })),
  )
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

t.test('an answer that was put together from a row', async t => {
  const others = Array.from({ length: 10 }, (_, index) => `user${index}@example.com`)
  const rows = {
    'ann@example.com': 'box@example.net', '@example.org': 'catch@example.net',
    ...Object.fromEntries(others.map(key => [key, 'box@example.net'])),
  }
  const keys = ['ann+tag@example.com', 'Ann+Tag@example.com', 'anybody@example.org'] as const
  /** The answers to `keys` are known, and then the table loses their rows; `isEvicted`: memory has lost them, too. */
  const withoutRows = async (isEvicted: boolean) => {
    const staged = stage(rows)
    const { ask, clock, memory, source } = staged
    for (const key of [...others, ...keys]) await ask(key)
    for (const row of ['ann@example.com', '@example.org']) {
      source.rows.delete(row)
      if (isEvicted) memory.delete(row)
    }
    await clock.advance(5 * minute)
    const answers = async (): Promise<readonly string[]> => {
      const outcomes = []
      for (const key of keys) outcomes.push(await ask(key))
      return outcomes.map(outcome => outcome.kind === 'found' ? outcome.age : outcome.kind)
    }
    return { ...staged, answers }
  }
  const all = (word: string) => keys.map(() => word)
  for (const isEvicted of [true, false]) {
    const title = isEvicted ? 'that memory has lost' : 'that memory has'
    t.test(`${title} is absent by a second statement, five minutes after the first, and not before`, async t => {
      const { answers, clock } = await withoutRows(isEvicted)
      for (const wait of [0, 10_000, 30_000, 2 * minute, 2 * minute]) {
        await clock.advance(wait)
        t.strictSame(await answers(), all('stale'), `${wait} ms later`)
      }
      await clock.advance(minute)
      t.strictSame(await answers(), all('absent'))
    })
    t.test(`${title} is absent at once after a flush of that row, and not after one of all rows`, async t => {
      const { answers, lookup, clock } = await withoutRows(isEvicted)
      lookup.flush(null, clock.now())
      t.strictSame(await answers(), all('stale'))
      await clock.advance(1)
      for (const row of ['ann@example.com', '@example.org']) lookup.flush(row, clock.now())
      t.strictSame(await answers(), all('absent'))
    })
  }
  t.test('that comes back meanwhile is found as before, and its next loss is a first one', async t => {
    const { answers, source, clock } = await withoutRows(true)
    await answers()
    for (const [row, value] of Object.entries(rows)) source.rows.set(row, value)
    await clock.advance(6 * minute)
    t.strictSame(await answers(), all('fresh'))
    for (const row of ['ann@example.com', '@example.org']) source.rows.delete(row)
    await clock.advance(6 * minute)
    t.strictSame(await answers(), all('stale'))
  })
})

t.test('when a doubt begins, what was said to be absent lately is dropped, what was said before is not', async t => {
  const { clock, open } = stage({})
  const memory = new Memory({ entries: 100, bytes: 1e6, absentEntries: 5_000 })
  const large = open({}, memory).known
  large.keep('old', absent, clock.now())
  await clock.advance(31_000)
  for (let stranger = 0; stranger < 3_000; stranger++) large.keep(`stranger${stranger}`, absent, clock.now())
  large.keep('row', found('box' as ByteString), clock.now())
  large.dropAbsences()
  const left = (): number => [...memory.absentKeys()].length
  t.ok(left() > 1 && left() < 3_001, `${left()} are left for later`)
  while (left() > 1) await setTimeout(1)
  t.strictSame([...memory.allKeys()].sort(), ['old', 'row'])
})

t.test('a flush of everything, or of a domain, counts at once for what it has not come to yet', async t => {
  for (const what of [null, '@example.com']) {
    const { clock, open } = stage({})
    const memory = new Memory({ entries: 5_000, bytes: 1e8, absentEntries: 100 })
    const { known } = open({}, memory)
    const keys = Array.from({ length: 3_000 }, (_, index) => `user${index}@example.com`)
    const isFreshNow = (key: string): boolean => isFresh(memory.peek(key) ?? t.fail(key) as never, clock.now())
    for (const key of keys) known.keep(key, found('box' as ByteString), clock.now())
    await clock.advance(1_000)
    known.flush(what, clock.now())
    // Asked after the flush, while it goes on.
    known.keep('user7@example.com', found('box' as ByteString), clock.now())
    t.strictSame(keys.filter(isFreshNow), ['user7@example.com'])
    await setTimeout(20)
    t.strictSame(keys.filter(isFreshNow), ['user7@example.com'])
  }
})

t.test('an answer to a question from before a flush is not fresh, also if an earlier configuration asked', async t => {
  const { clock, lookup, open, source, ask } = stage({ 'info@example.com': 'old' })
  const after = open({ earlier: lookup.known })
  source.latencyMs = 100
  const asked = Promise.resolve(lookup.lookup('info@example.com'))
  await clock.advance(50)
  after.flush(null, clock.now())
  await clock.advance(100)
  t.match(await asked, { value: 'old' })
  source.rows.set('info@example.com', 'new')
  source.latencyMs = 0
  t.match(await ask('info@example.com', after), { value: 'new', age: 'fresh' })
})
