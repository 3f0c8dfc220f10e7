/**
 * What a copy of 200,000 rows takes, taken from a real server: memory of the
 * process, and how long the event loop is held up meanwhile.
 */
import t from 'tap'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { readCopy } from '../../src/caches/copy.js'
import { takeCopy } from '../../src/upkeep/take_copy.js'
import { openTable, startCfBed, writeCf } from '../fixtures/cf.js'
import { startMariadb } from '../fixtures/mariadb.js'

const rows = 200_000
const maxBytesPerRow = 200

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
/** In use by the process (bytes): V8's heap, and what is outside of it. */
const inUse = (): { readonly used: number, readonly resident: number } => {
  collectGarbage()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { used: heapUsed + external, resident: rss }
}

t.setTimeout(120_000)

t.test(`a copy of ${rows} rows of 60 bytes takes at most ${maxBytesPerRow} bytes each`, async t => {
  // 30 bytes of key and 30 of value.
  const { folder, servers, account } = await startCfBed(t, startMariadb({ sql: `CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
    INSERT INTO alias SELECT CONCAT('user', LPAD(seq, 9, '0'), '@mail.example.com'),
        CONCAT('box', LPAD(seq, 9, '0'), '@store.example.net') FROM seq_1_to_${rows}` }))
  const { defined } = openTable(
    writeCf(folder, 'alias', { ...account, query: 'SELECT goto FROM alias WHERE address=\'%s\'' }), servers,
  )
  if (!defined.ok) throw new Error('the file has problems')
  const { definition } = defined
  const table = { definition, database: servers.database(definition.hosts, definition.login) }
  const settings = { maxRows: 1_000_000, budgetMs: 10_000, now: () => 0, onRows: async () => null }
  // The first one pays for connections and compiled code.
  await takeCopy(table, { ...settings, maxRows: 1_000 })

  const before = inUse()
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const copy = await takeCopy(table, settings)
  delay.disable()
  if (typeof copy === 'string') throw new Error(copy)
  const after = inUse()
  const [used, resident] = [(after.used - before.used) / rows, (after.resident - before.resident) / rows]
  t.comment(
    `${used.toFixed(1)} bytes a row in use, ${resident.toFixed(1)} resident; `
    + `${(copy.bytes / rows).toFixed(1)} by its own account; `
    + `event loop held up for at most ${(delay.max / 1e6).toFixed(1)} ms, `
    + `99 % below ${(delay.percentile(99) / 1e6).toFixed(1)} ms`
  )
  t.strictSame([copy.rows, copy.keys], [rows, rows])
  t.match(
    copy.answer('user000123456@mail.example.com'),
    { kind: 'found', value: 'box000123456@store.example.net', age: 'stale' },
  )
  t.strictSame(copy.answer('user000000000@mail.example.com'), { kind: 'absent' })
  t.ok(used <= maxBytesPerRow, `${used.toFixed(1)} bytes in use`)

  if (typeof definition.listing === 'string') throw new Error(definition.listing)
  const read = await readCopy(definition, definition.listing, [...copy.pieces()].map(piece => Buffer.from(piece)))
  if (typeof read === 'string') throw new Error(read)
  t.strictSame([read.rows, read.keys], [rows, rows])
  t.match(read.answer('user000123456@mail.example.com'), { kind: 'found', value: 'box000123456@store.example.net' })
})
