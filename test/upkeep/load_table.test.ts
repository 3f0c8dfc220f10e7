import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { BulkEntry } from '../../src/caches/bulk.js'
import { loadTable } from '../../src/upkeep/load_table.js'
import type { LoadParts } from '../../src/upkeep/load_table.js'
import { startProxy } from '../fixtures/proxy.js'
import { keyOf, openTable, rows, startTable, valueOf } from './bed.js'

const mariadb = await startTable(t)

/** A load into an array; `changed` replaces parts of it. */
const loading = ({ listing, ...table }: ReturnType<typeof openTable>, changed: Partial<LoadParts> = {}) => {
  const written: BulkEntry[] = []
  const progress = { rows: 0, keys: 0, batches: 0 }
  const result = loadTable({
    table, listing,
    write: async entries => { written.push(...entries) },
    onProgress: (rows, keys) => {
      progress.rows += rows
      progress.keys += keys
      progress.batches++
    },
    objection: () => null,
    ...changed,
  })
  return { result, written, progress }
}

t.test('every row of a table is written, in batches, in order', async t => {
  const { result, written, progress } = loading(openTable(t, mariadb, mariadb))
  t.equal(await result, null)
  t.match(progress, { rows, keys: rows })
  t.ok(progress.batches >= rows / 1_000, String(progress.batches))
  t.equal(written.length, rows)
  for (const number of [0, 1, 999, 1_000, 3_456, rows - 1]) t.match(
    written[number], { key: keyOf(number), outcome: { kind: 'found', value: valueOf(number) } },
  )
})

t.test('while the cache is slow few rows are read', async t => {
  let go = (): void => undefined
  let calls = 0
  const { result, progress } = loading(openTable(t, mariadb, mariadb), {
    // The first batch waits until the test lets it go.
    write: () => new Promise<void>(resolve => {
      if (calls++ === 0) go = resolve
      else resolve()
    }),
  })
  while (calls === 0) await setTimeout(1)
  // Another question to the same server is answered meanwhile.
  for (let round = 0; round < 20; round++) await mariadb.sql('SELECT 1')
  t.equal(calls, 1)
  go()
  t.equal(await result, null)
  t.equal(progress.rows, rows)
})

t.test('a server that is lost midway: what came is written, and the load says why it ended', async t => {
  const proxy = await startProxy({ path: mariadb.socket })
  t.teardown(() => proxy.stop())
  proxy.cutAfter(200_000)
  const { result, written } = loading(openTable(t, mariadb, proxy))
  t.match(await result, /connection lost/)
  t.ok(written.length > 1_000 && written.length < rows, String(written.length))
  t.same(written.map(({ key }) => key), Array.from({ length: written.length }, (_, number) => keyOf(number)))
})

t.test('a cache that fails ends the load with its error', async t => {
  let calls = 0
  const { result, progress } = loading(
    openTable(t, mariadb, mariadb),
    { write: () => ++calls === 3 ? Promise.reject(new Error('OOM')) : Promise.resolve() },
  )
  await t.rejects(result, { message: 'OOM' })
  t.equal(calls, 3)
  t.equal(progress.batches, 2)
})

t.test('an objection ends the load before its next batch', async t => {
  const { result, progress } = loading(
    openTable(t, mariadb, mariadb), { objection: () => progress.batches < 2 ? null : 'no more' },
  )
  t.equal(await result, 'no more')
  t.equal(progress.batches, 2)
})

t.test('a table that does not exist and a server that does not exist are named', async t => {
  t.match(await loading(openTable(t, mariadb, mariadb, 'SELECT goto FROM nowhere WHERE address=\'%s\'')).result, /1146/)
  t.match(await loading(openTable(t, mariadb, { socket: '/nowhere' })).result, /no such file or directory/)
})
