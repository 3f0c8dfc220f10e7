/** When a table is loaded and by whom, with real servers and a clock that the tests turn. */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { loadClient, openClient } from '../../src/caches/redis_client.js'
import { decodeRecord, encodeRecord, statement } from '../../src/caches/entry.js'
import { byteString, found } from '../../src/outcome.js'
import { TableLoader } from '../../src/upkeep/table_loader.js'
import type { LoaderParts, LoadState } from '../../src/upkeep/table_loader.js'
import { memoryTarget, redisTarget } from '../../src/upkeep/load_table.js'
import type { LoadTarget } from '../../src/upkeep/load_table.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'
import { during } from '../fixtures/during.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { keyOf, openTable, rows, startTable, valueOf } from './bed.js'

const mariadb = await startTable(t)
const map = { name: 'alias', definition: '0123456789abcdef' }
const hour = 3_600_000

type Told = { readonly state: LoadState, readonly left: number } | { readonly problem: string }
type Node = {
  readonly loader: TableLoader, readonly told: readonly Told[], readonly memory: Map<string, string>,
  readonly until: (count: number) => Promise<Told>,
}

/**
 * A node that loads the table, into a memory of its own if `parts` has no other target; `until` resolves with what it
 * told, so many times after its start.
 */
const startNode = (t: Test, clock: FakeClock, parts: Partial<LoaderParts>): Node => {
  const told: Told[] = []
  const watchers = new Set<() => void>()
  const tell = (what: Told): void => {
    told.push(what)
    for (const watcher of watchers) watcher()
  }
  const memory = new Map<string, string>()
  const loader = new TableLoader({
    table: openTable(
      t, mariadb, mariadb,
    ), warm: 'auto', everyMs: 6 * hour, ready: Promise.resolve(), clock, random: () => 0.5,
    target: memoryTarget(({ key, outcome }) => {
      memory.set(key, outcome.value)
      return true
    }, null),
    check: () => Promise.resolve(null), doubt: () => null, inTurn: work => work(),
    onLoaded: (state, _tookMs, left) => tell({ state, left }),
    onProblem: problem => tell({ problem }),
    ...parts,
  })
  t.teardown(() => loader.close())
  return {
    loader, told, memory,
    until: count => new Promise(resolve => {
      const look = (): void => {
        const last = told[count - 1]
        if (last !== undefined) resolve(last)
      }
      watchers.add(look)
      look()
    }),
  }
}
await loadClient()

/** A Redis, what a node needs of it, and a client to look into it. */
const startShared = async (t: Test) => {
  const redis = await during(t, startRedis())
  const plain = new Redis({ path: redis.socket })
  t.teardown(() => plain.disconnect())
  plain.on('error', () => undefined)
  const settings = { path: redis.socket, keyPrefix: 'hf:', commandTimeoutMs: 10_000 }
  return {
    redis, plain,
    target: (): LoadTarget => {
      const client = openClient(settings, true)
      client.on('error', () => undefined)
      t.teardown(() => client.disconnect())
      return redisTarget({ client, redis: settings, map, warm: 'auto', keepMs: 168 * hour })
    },
    read: async (key: string): Promise<unknown> => decodeRecord(
      await plain.get(`hf:alias:${key}`) ?? '', map.definition,
    ),
  }
}
/** Lets what is under way come to its end: nothing says that nothing happens. */
const untilIdle = async ({ loader }: Node): Promise<void> => {
  while (!['idle', 'elsewhere'].includes(loader.state.state)) await setTimeout(1)
}

t.test('without Redis the table goes into memory at start, and again after the interval', async t => {
  const clock = fakeClock()
  const node = startNode(t, clock, {})
  t.match(
    await node.until(1), { state: { state: 'idle', rows, keys: rows, loadedAt: clock.now(), problem: '' }, left: 0 },
  )
  t.equal(node.memory.size, rows)
  t.equal(node.memory.get(keyOf(7)), valueOf(7))
  await clock.advance(5 * hour)
  t.equal(node.told.length, 1)
  await clock.advance(hour)
  t.match(await node.until(2), { state: { loadedAt: clock.now(), totalRows: 2 * rows } })
})

t.test('keys for which memory has no room are counted', async t => {
  let room = 100
  const node = startNode(t, fakeClock(), { target: memoryTarget(() => room-- > 0, null) })
  t.match(await node.until(1), { left: rows - 100 })
})

t.test('a node that is told to load does so at once', async t => {
  const node = startNode(t, fakeClock(), {})
  await node.until(1)
  await mariadb.sql('INSERT INTO alias VALUES (\'zz@example.com\', \'new\')')
  t.teardown(() => mariadb.sql('DELETE FROM alias WHERE address = \'zz@example.com\''))
  node.loader.load()
  t.match(await node.until(2), { state: { keys: rows + 1 } })
  t.equal(node.memory.get('zz@example.com'), 'new')
})

t.test('of two nodes that share a Redis one loads, and the other knows when', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  const nodes = [startNode(t, clock, { target: shared.target() }), startNode(t, clock, { target: shared.target() })]
  await Promise.race(nodes.map(node => node.until(1)))
  for (const node of nodes) await untilIdle(node)
  t.equal(nodes.flatMap(({ told }) => told).length, 1)
  t.equal(nodes.reduce((sum, { loader }) => sum + loader.state.totalRows, 0), rows)
  const { server } = await openTable(t, mariadb, mariadb).source.ask(keyOf(7), 10_000)
  t.strictSame(await shared.read(keyOf(7)), statement(found(byteString(valueOf(7))), clock.now(), 0, server))
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
  t.equal(nodes[0]?.memory.size, 0)
  const loadedAt = clock.now()
  await clock.advance(70_000)
  while (nodes.some(({ loader }) => loader.state.loadedAt !== loadedAt)) await setTimeout(1)
  const late = startNode(t, clock, { target: shared.target() })
  while (late.loader.state.loadedAt === null) await setTimeout(1)
  t.equal(late.loader.state.totalRows, 0, 'one that starts later has nothing to do')

  // A Redis that lost everything is loaded again soon.
  await shared.plain.flushall()
  await clock.advance(70_000)
  await Promise.race(
    [...nodes, late].map(node => node.until(node === nodes[0] || node === nodes[1] ? node.told.length + 1 : 1))
  )
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
})

t.test('what another node noted since the load began stays as it is', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  await shared.plain.set(
    `hf:alias:${keyOf(8)}`, encodeRecord(statement(found(byteString('newer')), clock.now() + 1, 0), map.definition),
  )
  await shared.plain.set(
    `hf:alias:${keyOf(9)}`, encodeRecord(statement(found(byteString('older')), clock.now() - 1, 0), map.definition),
  )
  await startNode(t, clock, { target: shared.target() }).until(1)
  t.match(await shared.read(keyOf(8)), { outcome: { value: 'newer' } })
  t.match(await shared.read(keyOf(9)), { outcome: { value: valueOf(9) } })
})

t.test('a load that fails leaves what there was, and another node begins anew', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  const kept = encodeRecord(statement(found(byteString('kept')), clock.now() - 1, 0), map.definition)
  await shared.plain.set(`hf:alias:${keyOf(rows - 1)}`, kept)
  const proxy = await during(t, startProxy({ path: mariadb.socket }))
  proxy.cutAfter(250_000)
  const failing = startNode(t, clock, { target: shared.target(), table: openTable(t, mariadb, proxy) })
  t.match(await failing.until(1), { problem: /connection lost/ })
  const { keys } = failing.loader.state
  t.ok(keys > 1_000 && keys < rows, String(keys))
  t.match(failing.loader.state, { state: 'idle', failures: 1, loadedAt: null })
  t.equal(await shared.plain.get(`hf:alias:${keyOf(rows - 1)}`), kept)
  t.match(await startNode(t, clock, { target: shared.target() }).until(1), { state: { keys: rows, problem: '' } })
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
  t.match(await shared.read(keyOf(rows - 1)), { outcome: { value: valueOf(rows - 1) } })
})

t.test('a Redis that is full or gone fails the load, which is tried again', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  await shared.plain.config('SET', 'maxmemory', '1mb')
  const node = startNode(t, clock, { target: shared.target() })
  t.match(await node.until(1), { problem: /^Redis: .*OOM/ })
  await shared.plain.config('SET', 'maxmemory', '0')
  await clock.advance(70_000)
  t.match(await node.until(2), { state: { keys: rows, problem: '', failures: 1 } })
  await shared.redis.kill()
  node.loader.load()
  t.match(await node.until(3), { problem: /^Redis: / })
})

t.test('a loader that is closed ends its load without a word, and another node may load at once', async t => {
  const shared = await startShared(t)
  const node = startNode(t, fakeClock(), { target: shared.target() })
  while (node.loader.state.keys === 0) await setTimeout(1)
  t.equal(await shared.plain.exists('hf:warm alias lease'), 1)
  node.loader.close()
  while (await shared.plain.exists('hf:warm alias lease') === 1) await setTimeout(1)
  t.ok(node.loader.state.keys < rows, String(node.loader.state.keys))
  t.equal(node.told.length, 0)
})

t.test('while the server isn\'t believed nothing is loaded; the load follows once it is', async t => {
  const clock = fakeClock()
  let doubt: string | null = 'the canary is missing'
  const node = startNode(t, clock, { check: () => Promise.resolve(doubt) })
  t.strictSame(await node.until(1), { problem: doubt })
  t.equal(node.loader.state.totalRows, 0)
  doubt = null
  await clock.advance(70_000)
  t.match(await node.until(2), { state: { keys: rows, failures: 1, problem: '' } })
})

t.test('a server that is no longer believed midway: the load ends', async t => {
  let batches = 0
  const node = startNode(t, fakeClock(), {
    doubt: () => batches > 3 ? 'the canary is missing' : null,
    target: memoryTarget(() => {
      batches += 1 / 200
      return true
    }, null),
  })
  t.strictSame(await node.until(1), { problem: 'the canary is missing' })
  t.ok(node.loader.state.keys < rows / 2, String(node.loader.state.keys))
})

t.test('an administrator\'s query is listed by its first column', async t => {
  const node = startNode(
    t, fakeClock(),
    {
      warm: 'SELECT UPPER(address), CONCAT(goto, \'!\') AS target FROM alias '
        + 'WHERE goto <> \'box7@example.net\' -- all but one',
    },
  )
  t.match(await node.until(1), { state: { keys: rows - 1 } })
  t.equal(node.memory.get(keyOf(8)), `${valueOf(8)}!`)
  t.notOk(node.memory.has(keyOf(7)))
  for (const [warm, problem] of [
    ['SELECT address FROM alias', /the key and, after that/], ['SELECT nothing FROM alias', /1054/],
    ['SELECT 1, 2; DROP TABLE alias', /1064/],
  ] as const) {
    t.match(await startNode(t, fakeClock(), { warm }).until(1), { problem }, warm)
  }
})
