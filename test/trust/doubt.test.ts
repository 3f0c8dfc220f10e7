import t from 'tap'
import { allowedShrink, isShrunk, recheck } from '../../src/trust/doubt.js'
import type { Doubt } from '../../src/trust/doubt.js'

const keys = Array.from({ length: 100 }, (_, index) => `user${index}@example.com`)
const doubt: Doubt = { cause: 'shrunk', since: 1_000, keys, missing: null }
/** The doubt after checks that missed so many keys, one after the other. */
const after = (...missing: readonly number[]): Doubt | null =>
  missing.reduce<Doubt | null>((now, each) => now === null ? null : recheck(now, each), doubt)

t.test('one missing key is a deletion, whatever its share', async t => {
  t.notOk(isShrunk(1, 1, 0.3))
  t.notOk(isShrunk(1, 2, 0.3))
})

t.test('more missing keys than max_shrink allows are a table that has shrunk', async t => {
  t.notOk(isShrunk(3, 10, 0.3))
  t.ok(isShrunk(4, 10, 0.3))
  t.notOk(isShrunk(10, 10, 1), '100% switches the guard off')
})

t.test('a doubt goes on while more than 2 % of the known keys are missing', async t => {
  t.match(after(88, 50, 12, 3, 3, 3), { missing: 3 })
})

t.test('a doubt goes on while keys are still coming back, however few are missing', async t => {
  t.match(after(50, 2), { missing: 2 })
  t.match(after(2, 1), { missing: 1 })
})

t.test('a doubt ends when all keys are back, or all but 2 % and no more come', async t => {
  t.equal(after(0), null)
  t.equal(after(50, 2, 2), null)
  t.equal(after(50, 1, 2), null)
})

t.test('however much a table usually loses, it is in doubt when more than half of its keys are gone', async t => {
  t.equal(allowedShrink(0.3, []), 0.3)
  t.equal(allowedShrink(0.3, [0.2, 0.2, 0.2]), 0.4)
  t.equal(allowedShrink(0.3, [1, 1, 1]), 0.5)
  t.equal(allowedShrink(0.6, [1, 1, 1]), 0.6)
  t.equal(allowedShrink(1, []), 1, '100% switches the guard off')
})
