/** What a load says of absence, to its own node and to those that share its Redis, with real servers and a clock that the tests turn. */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { loadClient, openClient } from '../../src/caches/redis_client.js'
import type { Listed } from '../../src/lookup/listed.js'
import type { CompleteParts, ListSize } from '../../src/warm/complete.js'
import { keepWarm } from '../../src/warm/warmer.js'
import type { WarmParts, Warmer } from '../../src/warm/warmer.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { keyOf, openTable, startTable } from './bed.js'

await loadClient()
const mariadb = await startTable(t)
const rows = 3_000
const cutSql = `DELETE FROM alias WHERE address >= '${keyOf(rows)}'`
await mariadb.sql(cutSql)
const redis = await startRedis()
t.teardown(() => redis.stop())
const plain = new Redis({ path: redis.socket })
t.teardown(() => plain.disconnect())
const settings = { path: redis.socket, keyPrefix: 'hf:', commandTimeoutMs: 10_000 }
const identity = { name: 'alias', definition: '0123456789abcdef' }
const listInRedis = 'hf:keys alias'
const absentForMs = 600_000
const everyMs = 6 * 3_600_000

const shared = (t: Test): NonNullable<WarmParts['redis']> => {
  const client = openClient(settings, true)
  t.teardown(() => client.disconnect())
  return { client, settings, prepared: true }
}

type Node = {
  readonly warmer: Warmer
  readonly accepted: readonly { readonly listed: Listed, readonly before: ListSize | null }[]
  /** Of loads, and of lists. */
  readonly loads: readonly string[]
  readonly problems: readonly string[]
}

/** A node on the table; it believes every list, unless `accept` says otherwise. */
const startNode = (t: Test, clock: FakeClock, parts: Partial<WarmParts> = {}, accept: CompleteParts['accept'] = () => null): Node => {
  const accepted: { readonly listed: Listed, readonly before: ListSize | null }[] = []
  const loads: string[] = []
  const problems: string[] = []
  const warmer = keepWarm({ identity, warm: 'auto', everyMs, keepMs: 168 * 3_600_000 }, {
    table: openTable(t, mariadb, mariadb), redis: null, maxLagMs: null, ready: Promise.resolve(), clock, random: () => 0.5,
    remember: () => true, check: () => Promise.resolve(null), doubt: () => null, inTurn: work => work(),
    onLoaded: () => loads.push('loaded'), onProblem: problem => loads.push(problem),
    complete: {
      absentForMs,
      accept: (listed, before) => {
        const doubt = accept(listed, before)
        if (doubt === null) accepted.push({ listed, before })
        return doubt
      },
      onProblem: problem => problems.push(problem),
    },
    ...parts,
  }, null)
  t.teardown(() => warmer.close())
  return { warmer, accepted, loads, problems }
}
/** Lets the servers do what they have to. */
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await setTimeout(1)
}
const assertWhole = (t: Test, { listed }: { readonly listed: Listed }, startedAt: number): void => {
  t.equal(listed.keys, rows)
  t.equal(listed.verifiedAt, startedAt - 5_000)
  t.ok(Array.from({ length: rows }, (_, number) => keyOf(number)).every(key => listed.mayHave(key)))
  t.ok(Array.from({ length: 1_000 }, (_, number) => `nobody${number}@example.com`).filter(key => listed.mayHave(key)).length < 30)
}

t.beforeEach(async () => { await plain.flushall() })

t.test('without Redis the node that loads knows all keys from the load\'s beginning', async t => {
  const clock = fakeClock()
  const startedAt = clock.now()
  const { accepted, loads, problems } = startNode(t, clock)
  await until(() => loads.length === 1)
  t.equal(accepted.length, 1)
  for (const each of accepted) assertWhole(t, each, startedAt)
  t.strictSame([loads, problems], [['loaded'], []])
})

t.test('a table whose load is not to say so is loaded as ever', async t => {
  const { accepted, loads } = startNode(t, fakeClock(), { complete: null })
  await until(() => loads.length === 1)
  t.strictSame([accepted, loads], [[], ['loaded']])
})

t.test('the nodes that share a Redis know what one of them has listed, until it is too old', async t => {
  const clock = fakeClock()
  const startedAt = clock.now()
  const first = startNode(t, clock, { redis: shared(t) })
  await until(() => first.loads.length === 1)
  const second = startNode(t, clock, { redis: shared(t) })
  await until(() => second.accepted.length === 1)
  for (const each of [...first.accepted, ...second.accepted]) assertWhole(t, each, startedAt)
  const ttlMs = await plain.pttl(listInRedis)
  t.ok(ttlMs > absentForMs - 60_000 && ttlMs <= absentForMs, String(ttlMs))
  t.equal(await plain.strlen(listInRedis), 160 + 1.5 * rows)

  // Again, after another load.
  await clock.advance(1_000)
  first.warmer.load()
  await until(() => first.accepted.length === 2)
  t.strictSame(first.accepted[1]?.before, { keys: rows, at: startedAt })
  await until(() => first.loads.length === 2)
  await clock.advance(70_000)
  await until(() => second.accepted.length === 2)
  for (const each of second.accepted.slice(1)) assertWhole(t, each, startedAt + 1_000)
  t.equal(second.warmer.state().totalRows, 0)
  await clock.advance(70_000)
  await clock.advance(70_000)
  t.equal(second.accepted.length, 2, 'it is not read again')

  clock.set(startedAt + 1_000 + absentForMs)
  const late = startNode(t, clock, { redis: shared(t) })
  await until(() => late.warmer.state().loadedAt !== null && late.warmer.state().state === 'idle')
  t.equal(late.accepted.length, 0)
  t.strictSame([...first.problems, ...second.problems, ...late.problems], [])
})

t.test('what is in Redis and is not what was written is no list', async t => {
  const clock = fakeClock()
  const first = startNode(t, clock, { redis: shared(t) })
  await until(() => first.loads.length === 1)
  const written = await plain.getBuffer(listInRedis) ?? Buffer.alloc(0)
  const flipped = Buffer.from(written)
  flipped[1_000] = (flipped[1_000] ?? 0) ^ 1
  const otherTime = Buffer.from(written.toString('latin1').replace(` ${clock.now()} `, ` ${clock.now() - 1} `), 'latin1')
  for (const damaged of [flipped, otherTime, written.subarray(0, -1), written.subarray(0, 160)]) {
    await plain.set(listInRedis, damaged)
    const node = startNode(t, clock, { redis: shared(t) })
    await until(() => node.problems.length === 1)
    t.strictSame([node.accepted, node.problems], [[], ['the list of keys in Redis is damaged']])
  }
  const other = Buffer.from(written.toString('latin1').replace(identity.definition, 'fedcba9876543210'), 'latin1')
  for (const strange of [other, Buffer.from('x'), Buffer.alloc(0)]) {
    await plain.set(listInRedis, strange)
    const node = startNode(t, clock, { redis: shared(t) })
    await until(() => node.warmer.state().loadedAt !== null && node.warmer.state().state === 'idle')
    t.strictSame([node.accepted, node.problems], [[], []])
  }
})

t.test('of a load that went on with another one\'s nobody knows all the keys; of the next one, again', async t => {
  const clock = fakeClock()
  const proxy = await startProxy({ path: mariadb.socket })
  t.teardown(() => proxy.stop())
  proxy.cutAfter(150_000)
  const failing = startNode(t, clock, { redis: shared(t), table: openTable(t, mariadb, proxy) })
  await until(() => failing.loads.length === 1)
  t.match(failing.loads, [/connection lost/])
  const other = startNode(t, clock, { redis: shared(t) })
  await until(() => other.loads.length === 1)
  t.ok(other.warmer.state().rows < rows)
  t.strictSame([...failing.accepted, ...other.accepted], [])
  t.equal(await plain.exists(listInRedis), 0)
  other.warmer.load()
  await until(() => other.loads.length === 2)
  for (const each of other.accepted) assertWhole(t, each, clock.now())
  t.equal(other.accepted.length, 1)
})

t.test('a list that is not believed goes nowhere, and the one before stays what it is compared with', async t => {
  const clock = fakeClock()
  const startedAt = clock.now()
  const first = startNode(t, clock, { redis: shared(t) })
  await until(() => first.loads.length === 1)
  await plain.del(listInRedis)
  const sizes: (ListSize | null)[] = []
  const second = startNode(t, clock, { redis: shared(t) }, (_listed, before) => {
    sizes.push(before)
    return 'it lacks the canary'
  })
  await until(() => second.warmer.state().loadedAt === startedAt && second.warmer.state().state === 'idle')
  await clock.advance(10_000)
  second.warmer.load()
  await until(() => second.loads.length === 1)
  t.strictSame(second.problems, ['it lacks the canary'])
  t.strictSame(sizes, [{ keys: rows, at: startedAt }])
  t.match(JSON.parse(await plain.get('hf:warm alias') ?? ''), { loadedAt: startedAt + 10_000, listed: { keys: rows, at: startedAt } })
  t.equal(await plain.exists(listInRedis), 0)
})

t.test('a server that is not believed when the load has ended is not believed as to what it lacks', async t => {
  for (const isShared of [true, false]) {
    await plain.flushall()
    let checks = 0
    const node = startNode(t, fakeClock(), { check: () => Promise.resolve(checks++ === 0 ? null : 'the canary is missing'), ...isShared ? { redis: shared(t) } : {} })
    await until(() => node.loads.length === 1)
    t.strictSame([node.accepted, node.loads, node.problems], [[], ['loaded'], ['the canary is missing']])
  }
})

t.test('a replica that can\'t say how far it is behind may lack keys', async t => {
  // The account may not look.
  const node = startNode(t, fakeClock(), { redis: shared(t), maxLagMs: 1_000 })
  await until(() => node.loads.length === 1)
  t.strictSame([node.accepted, node.loads], [[], ['loaded']])
  t.match(node.problems, [/its replication can't be looked at/])
})

t.test('a list of another server than this node asks, or asks by now, is not taken', async t => {
  const clock = fakeClock()
  const first = startNode(t, clock, { redis: shared(t) })
  await until(() => first.loads.length === 1)
  const copy = await startTable(t)
  await copy.sql(cutSql)
  const copied = openTable(t, copy, copy)
  const node = startNode(t, clock, { redis: shared(t), table: copied })
  await until(() => node.problems.length === 1)
  const table = openTable(t, mariadb, mariadb)
  let asked = 0
  // Three questions come before the list.
  const moved = startNode(t, clock, { table: { ...table, database: { list: (...all) => table.database.list(...all), ask: (...all) => (++asked > 3 ? copied : table).database.ask(...all) } } })
  await until(() => moved.loads.length === 1)
  for (const { accepted, problems } of [node, moved]) t.strictSame([accepted, problems], [[], ['another server was listed than the one that is asked now']])
})

t.test('keys that a collation may take for others are loaded, and said to be no list', async t => {
  await mariadb.sql(`CREATE TABLE tailored (address VARCHAR(90) COLLATE utf8mb4_lithuanian_ci, goto VARCHAR(90)); INSERT INTO tailored VALUES ('yes@example.com', 'x');
    CREATE TABLE accented LIKE alias; INSERT INTO accented VALUES ('plain@example.com', 'x'), ('\u00fcmlaut@example.com', 'x')`)
  for (const [table, problem] of [['tailored', /of the collation utf8mb4_lithuanian_ci it is not known/], ['accented', /more than printable ASCII/]] as const) {
    const node = startNode(t, fakeClock(), { table: openTable(t, mariadb, mariadb, `SELECT goto FROM ${table} WHERE address='%s'`) })
    await until(() => node.loads.length === 1)
    t.strictSame([node.accepted, node.loads], [[], ['loaded']])
    t.match(node.problems, [problem])
  }
})
