import t from 'tap'
import { filterOf, gatherKeys } from '../../src/caches/filter.js'

const keyOf = (number: number): string => `user${number}@example.com`
const filterOfKeys = async (count: number) => {
  const gathered = gatherKeys()
  for (let number = 0; number < count; number++) gathered.add(keyOf(number))
  return { size: gathered.size, filter: await gathered.filter() }
}
const shareOf = (count: number, isSo: (number: number) => boolean): number => {
  let those = 0
  for (let number = 0; number < count; number++) if (isSo(number)) those++
  return those / count
}

t.test('no key that was added is denied, however many there are, and few others are taken for one', async t => {
  for (const count of [1, 2, 10, 8_191, 8_192, 8_193, 50_000]) {
    const { size, filter } = await filterOfKeys(count)
    t.equal(size, count)
    t.equal(shareOf(count, number => filter.has(keyOf(number))), 1, `${count} keys`)
    t.ok(filter.bits.length <= Math.ceil(1.5 * count), 'twelve bits each')
    if (count > 1_000) {
      // In the names of users, of domains, in length and in order.
      for (const strange of [(number: number) => keyOf(number + count), (number: number) => `user${number}@example.org`, (number: number) => `@${number}.example`, (number: number) => 'x'.repeat(number % 64) + String(number)]) {
        const share = shareOf(20_000, number => filter.has(strange(number)))
        t.ok(share < 0.008, `${strange(1)}: ${share}`)
      }
    }
  }
})

t.test('its bits are all there is to it, and keys can be added to them', async t => {
  const { filter } = await filterOfKeys(1_000)
  const copy = filterOf(Uint8Array.from(filter.bits))
  t.equal(shareOf(1_000, number => copy.has(keyOf(number))), 1)
  t.notOk(copy.has('new@example.com'))
  copy.add('new@example.com')
  t.ok(copy.has('new@example.com'))
  t.notOk(filter.has('new@example.com'), 'the other one is as it was')
})

t.test('every process makes the same bits of the same keys', async t => {
  const gathered = gatherKeys()
  for (const key of ['info@example.com', '@example.com', 'x']) gathered.add(key)
  t.equal(Buffer.from((await gathered.filter()).bits).toString('hex'), 'add512e218')
})

t.test('without keys it has none, and a key that comes several times in a row counts once', async t => {
  const none = gatherKeys()
  t.equal(none.size, 0)
  t.notOk((await none.filter()).has('info@example.com'))
  const gathered = gatherKeys()
  for (const key of ['a', 'a', 'b', 'b', 'b']) gathered.add(key)
  t.equal(gathered.size, 2)
})
