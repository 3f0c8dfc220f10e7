import t from 'tap'
import type { BulkEntry } from '../../src/caches/bulk.js'
import { load } from '../../src/warm/table_load.js'
import type { LoadParts } from '../../src/warm/table_load.js'
import { startProxy } from '../fixtures/proxy.js'
import { keyOf, openTable, rows, startTable, valueOf } from './bed.js'

const mariadb = await startTable(t)

/** A load into a list; `changed` has its way. */
const loading = ({ listing, ...table }: ReturnType<typeof openTable>, changed: Partial<LoadParts> = {}) => {
  const written: BulkEntry[] = []
  const batches: number[] = []
  const noted: string[] = []
  let seen = 0
  const result = load({
    table, listing, after: null,
    write: async entries => {
      // Not at once, as with any server.
      await new Promise(resolve => setImmediate(resolve))
      batches.push(entries.length)
      written.push(...entries)
    },
    onWritten: last => noted.push(last),
    onRows: count => { seen += count },
    objection: () => null,
    ...changed,
  })
  return { result, written, batches, noted, seen: () => seen }
}

t.test('every row of a table is written, in batches, in order', async t => {
  const { result, written, batches, noted, seen } = loading(openTable(t, mariadb, mariadb))
  t.equal(await result, null)
  t.equal(seen(), rows)
  t.equal(written.length, rows)
  for (const number of [0, 1, 999, 1_000, 12_345, rows - 1]) t.match(written[number], { key: keyOf(number), outcome: { kind: 'found', value: valueOf(number) } })
  t.ok(batches.every(size => size <= 1_000), batches.join())
  t.equal(noted.at(-1), keyOf(rows - 1))
})

t.test('it goes on after a key', async t => {
  const { result, written } = loading(openTable(t, mariadb, mariadb), { after: keyOf(rows - 3) })
  t.equal(await result, null)
  t.same(written.map(({ key }) => key), [keyOf(rows - 2), keyOf(rows - 1)])
})

t.test('a cache that is slow has few rows wait for it', async t => {
  let go = (): void => undefined
  let calls = 0
  const written: BulkEntry[] = []
  const { result, seen } = loading(openTable(t, mariadb, mariadb), {
    write: async entries => {
      calls++
      // All batches wait for the first.
      await new Promise<void>(resolve => {
        if (calls === 1) go = resolve
        else resolve()
      })
      written.push(...entries)
    },
  })
  // Another question on the same server is answered while the load waits.
  while (calls === 0) await mariadb.sql('SELECT 1')
  for (let round = 0; round < 20; round++) await mariadb.sql('SELECT 1')
  t.ok(seen() < 10_000, String(seen()))
  go()
  t.equal(await result, null)
  t.equal(written.length, rows)
})

t.test('a server that is lost midway: what came is written, and the load says why it ended', async t => {
  const proxy = await startProxy({ path: mariadb.socket })
  t.teardown(() => proxy.stop())
  const table = openTable(t, mariadb, proxy)
  proxy.cutAfter(500_000)
  const { result, written, noted } = loading(table)
  t.match(await result, /connection lost/)
  t.ok(written.length > 1_000 && written.length < rows, String(written.length))
  t.same(written.map(({ key }) => key), Array.from({ length: written.length }, (_, number) => keyOf(number)))
  await proxy.pass()
  const rest = loading(table, { after: noted.at(-1) ?? '' })
  t.equal(await rest.result, null)
  t.equal(written.length + rest.written.length, rows)
})

t.test('a cache that fails, or an objection, ends the load', async t => {
  let calls = 0
  const failing = loading(openTable(t, mariadb, mariadb), { write: () => ++calls === 3 ? Promise.reject(new Error('OOM')) : Promise.resolve() })
  t.equal(await failing.result, 'OOM')
  t.ok(calls < 20, String(calls))
  t.equal(failing.noted.length, 2, 'what came after it doesn\'t count as loaded')
  const objected = loading(openTable(t, mariadb, mariadb), { objection: () => objected.batches.length < 2 ? null : 'no more' })
  t.equal(await objected.result, 'no more')
  t.ok(objected.batches.length < 20, objected.batches.join())
})

t.test('a table that isn\'t there, and a server that isn\'t there', async t => {
  t.match(await loading(openTable(t, mariadb, mariadb, 'SELECT goto FROM nowhere WHERE address=\'%s\'')).result, /1146/)
  t.match(await loading(openTable(t, mariadb, { socket: '/nowhere' })).result, /ENOENT/)
})
