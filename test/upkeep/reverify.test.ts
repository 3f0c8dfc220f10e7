import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { byteString, found, unavailable } from '../../src/outcome.js'
import type { Known } from '../../src/lookup/known.js'
import { isDue, reverify, verify } from '../../src/upkeep/reverify.js'
import { entryFor, recallEntry } from '../../src/upkeep/snapshots.js'
import { minute, aDay, week, stage } from '../lookup/stage.js'

/** Verified anew each day, for as long as it was asked for in the last 30. */
const rememberedFor = 30 * 1_440 * minute

const dueKeys = (known: Known, rememberForMs: number, now: number): string[] =>
  [...known.memory.foundKeys()].filter(key => isDue(known, key, rememberForMs, now))

t.test('keys that were asked for are verified once a day, at most ten a second, until they are forgotten', async t => {
  const keys = Array.from({ length: 25 }, (_, index) => `user${index}@example.com`)
  const { clock, source, ask, reverifyParts } = stage(
    { ...Object.fromEntries(keys.map(key => [key, 'box'])), '@catch.example': 'all' }, { lifetimes: week },
  )
  for (const key of [...keys, 'any@catch.example', 'nobody@example.com']) await ask(key)
  const end = reverify({ ...reverifyParts(), random: () => 0 }, rememberedFor)
  t.teardown(end)
  await clock.advance(aDay - minute)
  source.asked.length = 0
  let most = 0
  for (let second = 0; second < 720; second++) {
    const before = source.asked.length
    await clock.advance(1_000)
    most = Math.max(most, source.asked.length - before)
  }
  t.strictSame(
    new Set(source.asked), new Set([...keys, '@catch.example', 'any@catch.example']),
    'found answers only, and whole ones by their steps',
  )
  t.ok(most >= 10 && most <= 12, `${most} questions in a second: ten keys, one of them in two steps, of which one is absent`)
  source.rows.delete('user0@example.com')
  source.rows.set('user1@example.com', 'moved')
  await clock.advance(5 * aDay)
  source.fault = unavailable('breaker-open', 'down')
  await clock.advance(5.5 * aDay)
  t.match(
    await ask('user1@example.com'), { value: 'moved', age: 'stale' },
    'known through an outage of nearly all of stale_for',
  )
  t.match(await ask('any@catch.example'), { value: 'all', age: 'stale' })
  t.match(await ask('user0@example.com'), { kind: 'unavailable' }, 'what was deleted is not')
  source.fault = null
  await clock.advance(20 * aDay)
  source.asked.length = 0
  await clock.advance(3 * aDay)
  t.ok(source.asked.includes('user1@example.com'))
  t.notOk(source.asked.includes('user2@example.com'), 'it was not asked for in 30 days')
})

t.test('verifying gives way to lookups, and ends its round when the table fails or is not believed', async t => {
  const keys = Array.from({ length: 25 }, (_, index) => `user${index}@example.com`)
  const { clock, lookup, source, ask, reverifyParts } = stage(
    Object.fromEntries(keys.map(key => [key, 'box'])), { lifetimes: week },
  )
  for (const key of keys) await ask(key)
  let isIdle = false
  const busyOrIdle = { questions: lookup.questions, get isIdle() { return isIdle } }
  t.teardown(reverify({ ...reverifyParts(), lookup: busyOrIdle, random: () => 0 }, rememberedFor))
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
  for (const key of keys) t.equal(lookup.has(key), true, 'an emptied table takes nobody away')
  for (const [key, value] of rows) source.rows.set(key, value)
  await clock.advance(10 * minute)
  t.strictSame(dueKeys(lookup.known, rememberedFor, clock.now()), [], 'once it is whole, all are verified')
})

t.test('what another node has just verified is taken from Redis, and does not count as asked for', async t => {
  const { clock, lookup, open, source, ask, reverifyParts } = stage(
    { 'a@example.com': 'old' }, { withRedis: true, lifetimes: week },
  )
  await ask('a@example.com')
  const other = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  await ask('a@example.com', other)
  await clock.advance(aDay)
  source.rows.set('a@example.com', 'new')
  t.strictSame(dueKeys(lookup.known, rememberedFor, clock.now()), ['a@example.com'])
  t.equal(await verify(reverifyParts(other), 'a@example.com'), true)
  source.asked.length = 0
  t.equal(await verify(reverifyParts(lookup), 'a@example.com'), true)
  t.strictSame(source.asked, [])
  t.match(await ask('a@example.com'), { value: 'new' })
  await clock.advance(aDay)
  t.strictSame(dueKeys(other.known, 2 * aDay - minute, clock.now()), [])
  t.strictSame(dueKeys(lookup.known, 2 * aDay - minute, clock.now()), ['a@example.com'])
})

t.test('when a key was last asked for is kept over a restart', async t => {
  const { clock, lookup, open, ask } = stage({ 'a@example.com': 'a', 'b@example.com': 'b' }, { lifetimes: week })
  await ask('a@example.com')
  await clock.advance(2 * aDay)
  await ask('b@example.com')
  const restarted = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  for (const key of lookup.known.memory.keysToSave()) {
    t.equal(recallEntry(restarted.known, entryFor(lookup.known, key)), 'used')
  }
  await clock.advance(aDay + minute)
  t.strictSame(dueKeys(restarted.known, 3 * aDay, clock.now()), ['b@example.com'])
  t.strictSame(dueKeys(restarted.known, 4 * aDay, clock.now()).sort(), ['a@example.com', 'b@example.com'])
})

t.test('what is due is looked for among a thousand answers in a row at most', async t => {
  const memory = new Memory({ entries: 5_000, bytes: 10_000_000, absentEntries: 100 })
  const { clock, open, reverifyParts } = stage({}, { lifetimes: week })
  const lookup = open({}, memory)
  for (let number = 0; number < 4_500; number++) lookup.known.keep(`user${number}`, found(byteString('box')), clock.now())
  let inARow = 0
  let most = 0
  let all = 0
  const peekFound = memory.peekFound.bind(memory)
  memory.peekFound = key => {
    all++
    most = Math.max(most, ++inARow)
    return peekFound(key)
  }
  t.teardown(reverify({ ...reverifyParts(lookup), random: () => 0 }, rememberedFor))
  for (let ms = 0; ms < 100; ms++) {
    await clock.advance(1)
    inARow = 0
  }
  t.equal(all, 4_500)
  t.equal(most, 1_000)
})
