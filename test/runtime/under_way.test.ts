import t from 'tap'
import { UnderWay } from '../../src/runtime/under_way.js'

t.test('through thousands that come and go, what is there stays there, in the order of coming', t => {
  const underWay = new UnderWay<string, number>()
  const expected = new Map<string, number>()
  for (let number = 0; number < 20_000; number++) {
    underWay.set(`key ${number}`, number)
    expected.set(`key ${number}`, number)
    // A few stay for good.
    const gone = `key ${number - 100}`
    if (number % 1_000 !== 0 && underWay.delete(gone) !== expected.delete(gone)) t.fail(gone)
  }
  t.same([...underWay], [...expected])
  t.equal(underWay.size, expected.size)
  for (const [key, value] of expected) t.equal(underWay.get(key), value)
  for (const key of expected.keys()) underWay.delete(key)
  t.same([...underWay], [])
  t.end()
})

t.test('what is visited may be deleted on the way', t => {
  const underWay = new UnderWay<number, number>()
  for (let number = 0; number < 5_000; number++) underWay.set(number, number)
  const visited: number[] = []
  for (const [key] of underWay) {
    visited.push(key)
    underWay.delete(key)
  }
  t.same(visited, Array.from({ length: 5_000 }, (_, number) => number))
  t.equal(underWay.size, 0)
  t.end()
})
