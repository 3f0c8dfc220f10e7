/**
 * Two real servers behind one map, of which the second has stood still since before
 * some rows came, and nobody looks at its replication: it never ends a row that the
 * first one gave, however often and however long after it says that there is none.
 */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { decodeRecord, encodeRecord } from '../../src/caches/entry.js'
import { absent } from '../../src/outcome.js'
import { defineTable } from '../../src/tables/definition.js'
import { mysqlSource } from '../../src/tables/source.js'
import { accountOf } from '../fixtures/cf.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startProxy } from '../fixtures/proxy.js'
import { fresh, minute, stage, stale } from '../lookup/stage.js'
import { serversFor } from '../mysql/bed.js'

const rowsOf = (count: number): string =>
  Array.from({ length: count }, (_, index) => `('user${index}@example.com', 'box')`).join()
const schema = 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));'

/** A map whose tables are on two servers, each of which can be stopped; chance decides which of them is asked first. */
const bed = async (t: { teardown(action: () => unknown): void }) => {
  const [first, second] = await Promise.all([
    startMariadb({ sql: `${schema} INSERT INTO alias VALUES ${rowsOf(20)}, ('late@example.com', 'late')` }),
    startMariadb({ sql: `${schema} INSERT INTO alias VALUES ${rowsOf(20)}` }),
  ])
  const ways = [await startProxy({ path: first.socket }), await startProxy({ path: second.socket })] as const
  const { servers, until, changes } = serversFor(t, { resetMs: 50 })
  t.teardown(() => Promise.all([...ways.map(way => way.stop()), first.kill(), second.kill()]))
  const defined = defineTable({
    ...accountOf(first), hosts: ways.map(({ socket }) => `unix:${socket}`).join(' '),
    query: 'SELECT goto FROM alias WHERE address=\'%s\'',
  }, parameter => parameter)
  if (!defined.ok) throw new Error(JSON.stringify(defined.problems))
  const { definition } = defined
  const table = mysqlSource(definition, servers.database(definition.hosts, definition.login))
  const staged = stage({}, { search: 'exact', tables: [table] })
  const { lookup, clock } = staged
  /** Asks each key again, once what is known of it is stale. */
  const askAll = async (keys: readonly string[]): Promise<readonly unknown[]> => {
    await clock.advance(6 * minute)
    const outcomes: unknown[] = []
    for (const key of keys) outcomes.push(await lookup.lookup(key))
    return outcomes
  }
  const takeAway = (which: 0 | 1): void => {
    ways[which].refuse()
    ways[which].dropAll()
  }
  const bringBack = async (which: 0 | 1): Promise<void> => {
    const isNoticed = changes.at(-1)?.state !== 'closed'
    await ways[which].pass()
    if (isNoticed && changes.length > 0) await until('closed')
  }
  return { ...staged, askAll, first, takeAway, bringBack }
}

const users = Array.from({ length: 10 }, (_, index) => `user${index}@example.com`)

/** Only the first server can be asked, and then only the second one. */
const learnFromFirst = async ({ askAll, takeAway, bringBack }: Awaited<ReturnType<typeof bed>>): Promise<void> => {
  takeAway(1)
  await askAll(['late@example.com', ...users])
  await bringBack(1)
  takeAway(0)
}

t.test('while the server that gave a row is down, that row is still answered, and unknown keys are absent', async t => {
  const staged = await bed(t)
  await learnFromFirst(staged)
  const { askAll } = staged
  for (let time = 0; time < 4; time++) {
    t.strictSame(await askAll(['late@example.com']), [stale('late')], `${time} times 6 minutes later`)
  }
  t.strictSame(await askAll(['user1@example.com', 'nobody@example.com']), [fresh('box'), absent])
})

t.test('if another server lacks a row, the server that gave it is asked, and its answer counts', async t => {
  const staged = await bed(t)
  await learnFromFirst(staged)
  const { askAll, first, bringBack, clock, memory, lookup } = staged
  await bringBack(0)
  const word = async (): Promise<unknown> => (await askAll(['late@example.com']))[0]
  await t.resolveMatch(word(), { kind: 'found' })
  await first.sql('DELETE FROM alias WHERE address = \'late@example.com\'')
  t.match(await word(), { kind: 'found' })
  // The second statement is asked for by itself, and the clock stands still while servers answer.
  await clock.advance(5 * minute + 1_000)
  while (memory.peekFound('late@example.com') !== undefined) await setTimeout(5)
  t.strictSame(await lookup.lookup('late@example.com'), absent, 'it said so twice')
})

t.test('every record of a row names the server that gave it, also after a restart', async t => {
  const staged = await bed(t)
  await learnFromFirst(staged)
  const { memory, open, clock } = staged
  const before = memory.peek('late@example.com')
  const record = before === undefined ? 'invalid' : decodeRecord(encodeRecord(before, '0123456789abcdef'), '0123456789abcdef')
  if (typeof record === 'string') throw new Error(record)
  t.match(record.server, /^\S+:\d+#\d+$/)
  const next = open({}, new Memory({ entries: 100, bytes: 100_000, absentEntries: 10 }))
  next.known.recall('late@example.com', record, clock.now(), true)
  for (let time = 0; time < 3; time++) {
    await clock.advance(6 * minute)
    t.strictSame(await next.lookup('late@example.com'), stale('late'))
  }
})

t.test('after a flush of the key a single absence from any server is enough', async t => {
  const staged = await bed(t)
  await learnFromFirst(staged)
  const { lookup, clock } = staged
  await clock.advance(6 * minute)
  lookup.flush('late@example.com', clock.now())
  t.strictSame(await lookup.lookup('late@example.com'), absent)
})
