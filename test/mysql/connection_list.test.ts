/** A connection that hands over a result of any length, piece by piece. */
import t from 'tap'
import type { RawRow } from '../../src/mysql/sql.js'
import { startProxy } from '../fixtures/proxy.js'
import { connectTo, known, knownAnswer, lookAlias, seen, startBed, queryOf, unix } from './bed.js'

const mariadb = await startBed(t)
/** More than a lookup would read: three megabytes. */
const long = queryOf('SELECT seq, REPEAT(\'x\', 100), NULL FROM mail.seq_1_to_30000')
const first = (row: RawRow | undefined): string => row?.[0] ?? ''

t.test('all rows come in order, as bytes, and the connection goes on', async t => {
  const connection = await connectTo(t, mariadb)
  const rows: RawRow[] = []
  let atWork = 0
  t.equal(await connection.list(long, 10_000, async batch => {
    t.equal(++atWork, 1, 'one batch after the other')
    await new Promise(resolve => setImmediate(resolve))
    rows.push(...batch)
    atWork--
    return true
  }), null)
  t.equal(rows.length, 30_000)
  t.ok(rows.every((row, index) => first(row) === String(index + 1)))
  t.strictSame(rows[7], ['8', 'x'.repeat(100), null])
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
  t.equal(await connection.list(queryOf('SELECT 1 FROM alias WHERE FALSE'), 10_000, () => Promise.reject(new Error('called'))), null)
})

t.test('who wants no more gets no more, and what is left is not read', async t => {
  const connection = await connectTo(t, mariadb)
  let batches = 0
  t.equal(await connection.list(long, 10_000, async () => ++batches < 3), null)
  t.equal(batches, 3)
  t.notOk(connection.isOpen)
})

t.test('whoever takes the rows and fails, fails the list', async t => {
  const connection = await connectTo(t, mariadb)
  await t.rejects(connection.list(long, 10_000, () => Promise.reject(new Error('a bug'))), { message: 'a bug' })
  t.notOk(connection.isOpen)
})

t.test('a statement that is wrong, one without rows, and one that the sql_mode turns into another', async t => {
  const connection = await connectTo(t, mariadb)
  const none = (): Promise<boolean> => Promise.reject(new Error('called'))
  t.match(await connection.list(queryOf('SELECT nothing FROM alias'), 10_000, none), { kind: 'fault', blame: 'query', detail: /1054/ })
  const other = await connectTo(t, mariadb)
  t.match(await other.list(queryOf('DO 1'), 10_000, none), { kind: 'fault' })
  const third = await connectTo(t, mariadb)
  t.match(await third.list({ ...long, unfitModes: ['STRICT_TRANS_TABLES'] }, 10_000, none), { kind: 'fault', blame: 'query', detail: /sql_mode STRICT_TRANS_TABLES/ })
})

t.test('an error in the middle of the rows is the list\'s, however many rows came before it', async t => {
  const connection = await connectTo(t, mariadb)
  let rows = 0
  const fault = await connection.list(
    queryOf('SELECT seq, IF(seq < 20000, REPEAT(\'x\', 100), (SELECT 1 UNION SELECT seq)) FROM mail.seq_1_to_30000'),
    10_000, async batch => (rows += batch.length) > 0,
  )
  t.match(fault, { kind: 'fault', blame: 'query', detail: 'error 1242 ER_SUBQUERY_NO_1_ROW' })
  t.ok(rows > 0 && rows < 20_000, String(rows))
})

t.test('a server that falls silent midway is given up, and no batch comes after that', async t => {
  const proxy = await startProxy({ path: mariadb.socket })
  t.teardown(() => proxy.stop())
  const connection = await connectTo(t, mariadb, { host: unix(proxy) })
  let isOver = false
  let rows = 0
  proxy.hushAfter(500_000)
  const fault = await connection.list(long, 100, async batch => {
    t.notOk(isOver)
    rows += batch.length
    return true
  })
  isOver = true
  t.match(fault, { kind: 'fault', reason: 'timeout' })
  t.ok(rows > 0 && rows < 30_000, String(rows))
  t.notOk(connection.isOpen)
})
