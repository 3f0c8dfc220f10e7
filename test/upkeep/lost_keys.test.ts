/** What a table has lost from one copy to the next, however much that is. */
import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { absent } from '../../src/outcome.js'
import { contradictLost } from '../../src/upkeep/lost_keys.js'
import { copyOf, minute, stage } from '../lookup/stage.js'

// Its work lets a process end that has nothing else to do.
const alive = setInterval(() => undefined, 1_000)
t.teardown(() => clearInterval(alive))

const keyOf = (number: number): string => `user${number}@example.com`
const rowsFrom = (first: number, count: number): Readonly<Record<string, string>> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [keyOf(first + index), 'box']))

t.test('no key of the last copy is absent by the new copy and one answer of the table, were there thousands', async t => {
  const { clock, copies, open, ask } = stage(rowsFrom(25_000, 1_000), { search: 'exact' })
  const lookup = open({}, new Memory({ entries: 100_000, bytes: 1e9, absentEntries: 100 }))
  const last = copyOf(rowsFrom(0, 25_000), clock.now())
  copies.put(0, last)
  await clock.advance(15 * minute)
  const next = copyOf(rowsFrom(25_000, 1_000), clock.now())
  const map = { lookup, trust: lookup.trust }
  const lost = await contradictLost({ map, index: 0, last, next, before: [], now: () => clock.now() })
  copies.put(0, next)
  t.equal(lost.length, 25_000)
  for (const number of [0, 9_999, 10_000, 24_999]) t.match(await ask(keyOf(number), lookup), { kind: 'found', value: 'box' })
  await clock.advance(6 * minute)
  t.match(await ask(keyOf(24_999), lookup), absent, 'the table says so a second time')
  const third = copyOf(rowsFrom(25_000, 1_000), clock.now())
  t.strictSame(await contradictLost({ map, index: 0, last: next, next: third, before: lost, now: () => clock.now() }), [])
})

t.test('what memory has no room for pushes nothing out of it', async t => {
  const { clock, copies, open, ask } = stage({ [keyOf(5_000)]: 'box' }, { search: 'exact' })
  const memory = new Memory({ entries: 10, bytes: 1e9, absentEntries: 100 })
  const lookup = open({}, memory)
  t.match(await ask(keyOf(5_000), lookup), { kind: 'found' })
  const last = copyOf(rowsFrom(0, 1_000), clock.now())
  copies.put(0, last)
  await clock.advance(15 * minute)
  const next = copyOf({}, clock.now())
  const map = { lookup, trust: lookup.trust }
  t.equal((await contradictLost({ map, index: 0, last, next, before: [], now: () => clock.now() })).length, 9)
  t.ok(lookup.has(keyOf(5_000)))
})
