import t from 'tap'
import { RowStore } from '../../src/caches/row_store.js'
import type { StoredRow } from '../../src/caches/row_store.js'
import type { ByteString } from '../../src/outcome.js'

const row = (...columns: readonly (string | null)[]): StoredRow => columns as StoredRow
const storeOf = async (rows: Iterable<readonly [key: string, row: StoredRow]>): Promise<RowStore> => {
  const store = new RowStore()
  for (const [key, columns] of rows) store.add(key, columns)
  await store.finish()
  return store
}
const again = async (store: RowStore): Promise<RowStore> => {
  const read = await RowStore.read(store.segments.map(segment => Buffer.from(segment)))
  if (read === null) throw new Error('damaged')
  return read
}

t.test('an empty store finds nothing', async t => {
  for (const store of [await storeOf([]), await again(await storeOf([]))]) {
    t.strictSame(store.find('a', 10), [])
    t.strictSame([...store.keysFrom(0)], [])
    t.strictSame([store.rows, store.keys], [0, 0])
  }
})

t.test('rows are found as they were added, in their order, and after they were read back', async t => {
  const long = 'x'.repeat(300_000) as ByteString
  const written = await storeOf([
    ['a', row('1', null, '')], ['b', row()], ['a', row('2')], ['', row('of the empty key')],
    ['a', row('\xff\0', long, '3')], ['k'.repeat(200), row('y'.repeat(127), 'z'.repeat(128))],
  ])
  for (const store of [written, await again(written)]) {
    t.strictSame(store.find('a', 10), [row('1', null, ''), row('2'), row('\xff\0', long, '3')])
    t.strictSame(store.find('a', 2), [row('2'), row('\xff\0', long, '3')])
    t.strictSame(store.find('b', 10), [row()])
    t.strictSame(store.find('', 10), [row('of the empty key')])
    t.strictSame(store.find('k'.repeat(200), 10), [row('y'.repeat(127), 'z'.repeat(128))])
    t.strictSame(store.find('k'.repeat(199), 10), [])
    t.strictSame([store.rows, store.keys], [6, 4])
  }
})

t.test('many keys are all found and no others, and any of them may be drawn', async t => {
  const count = 30_000
  const written = await storeOf(Array.from(
    { length: count }, (_, number) => [`user${number}@example.com`, row(`value ${number}`)] as const,
  ))
  for (const store of [written, await again(written)]) {
    let found = 0
    let wrong = 0
    for (let number = 0; number < count; number++) {
      if (store.find(`user${number}@example.com`, 2)[0]?.[0] === `value ${number}`) found++
      wrong += store.find(`user${number}@example.org`, 2).length
    }
    t.strictSame([found, wrong, store.keys], [count, 0, count])
    for (const at of [0, 0.5, 0.999_999]) {
      const drawn = new Set(store.keysFrom(at))
      t.equal(drawn.size, count, 'each key once')
      t.ok([...drawn].every(key => store.find(key, 2).length === 1))
    }
    const [[first], [other]] = [[...store.keysFrom(0)], [...store.keysFrom(0.5)]]
    t.not(first, other)
  }
  t.ok(written.segments.every(segment => segment.length <= 262_144), 'its pieces are small')
})

t.test('one key may have very many rows', async t => {
  const store = await storeOf(Array.from({ length: 100_000 }, (_, number) => ['a', row(String(number))] as const))
  t.strictSame(store.find('a', 3), [row('99997'), row('99998'), row('99999')])
  t.equal(store.keys, 1)
})

t.test('the event loop has its turns while a store is finished and read', async t => {
  const store = new RowStore()
  for (let number = 0; number < 50_000; number++) store.add(`user${number}`, row('x'))
  let turns = 0
  const timer = setInterval(() => turns++, 0)
  t.teardown(() => clearInterval(timer))
  await store.finish()
  t.ok(turns > 3, `${turns} turns`)
  turns = 0
  await again(store)
  t.ok(turns > 3, `${turns} turns`)
})

t.test('what is no store is damaged', async t => {
  const [segment = Buffer.alloc(0)] = (await storeOf([['abc', row('1', 'value')], ['d', row(null)]])).segments
  for (let length = 1; length < segment.length; length++) {
    const read = await RowStore.read([segment.subarray(0, length)])
    t.ok(read === null || read.rows === 1, `cut at ${length}`)
  }
  for (const bytes of [Buffer.from('not a store of rows at all'), Buffer.alloc(100), Buffer.alloc(100, 255)]) t.equal(
    await RowStore.read([bytes]), null,
  )
  t.equal(await RowStore.read([Buffer.concat(Array<Buffer>(20_000).fill(segment))]), null, 'a segment that is too long')
})
