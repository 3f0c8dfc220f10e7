/** When a table is loaded and by whom, with real servers and a clock that the tests turn. */
import { getPriority } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { loadClient, openClient } from '../../src/caches/redis_client.js'
import { decodeRecord, encodeRecord, statement } from '../../src/caches/entry.js'
import { byteString, found } from '../../src/outcome.js'
import { keepWarm } from '../../src/warm/warmer.js'
import type { WarmParts, WarmSettings, WarmState, Warmer } from '../../src/warm/warmer.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'
import { loadersOf, untilGone, untilLoader } from '../fixtures/loaders.js'
import { freshFolder } from '../fixtures/guard.js'
import { writeCf } from '../fixtures/mail.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { keyOf, openTable, rows, startTable, valueOf } from './bed.js'

const mariadb = await startTable(t)
const identity = { name: 'alias', definition: '0123456789abcdef' }
const hour = 3_600_000

type Told = { readonly state: WarmState, readonly left: number } | { readonly problem: string }
type Node = { readonly warmer: Warmer, readonly told: readonly Told[], readonly remembered: Map<string, string>, readonly until: (count: number) => Promise<Told> }

/** A node that keeps the table warm; `until` resolves with what it said, so many sayings from its start. */
const startNode = (t: Test, clock: FakeClock, parts: Partial<WarmParts>, settings: Partial<WarmSettings> = {}): Node => {
  const told: Told[] = []
  const watchers = new Set<() => void>()
  const tell = (what: Told): void => {
    told.push(what)
    for (const watcher of watchers) watcher()
  }
  const remembered = new Map<string, string>()
  const warmer = keepWarm({ identity, warm: 'auto', everyMs: 6 * hour, keepMs: 168 * hour, ...settings }, {
    table: openTable(t, mariadb, mariadb), redis: null, ready: Promise.resolve(), clock, random: () => 0.5,
    remember: ({ key, outcome }) => {
      remembered.set(key, outcome.value)
      return true
    },
    check: () => Promise.resolve(null), doubt: () => null, inTurn: work => work(),
    onLoaded: (state, _tookMs, left) => tell({ state, left }),
    onProblem: problem => tell({ problem }),
    ...parts,
  }, null)
  t.teardown(() => warmer.close())
  return {
    warmer, told, remembered,
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
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const plain = new Redis({ path: redis.socket })
  t.teardown(() => plain.disconnect())
  const settings = { path: redis.socket, keyPrefix: 'hf:', commandTimeoutMs: 10_000 }
  return {
    plain,
    node: (): NonNullable<WarmParts['redis']> => {
      const client = openClient(settings, true)
      t.teardown(() => client.disconnect())
      return { client, settings }
    },
    read: async (key: string): Promise<unknown> => {
      const decoded = decodeRecord(await plain.get(`hf:alias:${key}`) ?? '', identity.definition)
      return typeof decoded === 'string' ? decoded : decoded
    },
  }
}
/** Lets what is under way come to its end: nothing says that nothing happens. */
const untilIdle = async ({ warmer }: Node): Promise<void> => {
  while (!['idle', 'elsewhere'].includes(warmer.state().state)) await setTimeout(1)
}

t.test('without Redis the table goes into memory at start, and again after the interval', async t => {
  const clock = fakeClock()
  const node = startNode(t, clock, {})
  t.match(await node.until(1), { state: { state: 'idle', rows, keys: rows, loadedAt: clock.now(), problem: '' }, left: 0 })
  t.equal(node.remembered.size, rows)
  t.equal(node.remembered.get(keyOf(7)), valueOf(7))
  await clock.advance(5 * hour)
  t.equal(node.told.length, 1)
  await clock.advance(hour)
  t.match(await node.until(2), { state: { loadedAt: clock.now(), totalRows: 2 * rows } })
})

t.test('keys for which memory has no room are counted', async t => {
  let room = 100
  const node = startNode(t, fakeClock(), { remember: () => room-- > 0 })
  t.match(await node.until(1), { left: rows - 100 })
})

t.test('a node that is told to loads at once', async t => {
  const node = startNode(t, fakeClock(), {})
  await node.until(1)
  await mariadb.sql('INSERT INTO alias VALUES (\'zz@example.com\', \'new\')')
  t.teardown(() => mariadb.sql('DELETE FROM alias WHERE address = \'zz@example.com\''))
  node.warmer.load()
  t.match(await node.until(2), { state: { keys: rows + 1 } })
  t.equal(node.remembered.get('zz@example.com'), 'new')
})

t.test('of two nodes that share a Redis one loads, and the other knows when', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  const nodes = [startNode(t, clock, { redis: shared.node() }), startNode(t, clock, { redis: shared.node() })]
  await Promise.race(nodes.map(node => node.until(1)))
  for (const node of nodes) await untilIdle(node)
  t.equal(nodes.flatMap(({ told }) => told).length, 1)
  t.equal(nodes.reduce((sum, { warmer }) => sum + warmer.state().totalRows, 0), rows)
  t.strictSame(await shared.read(keyOf(7)), statement(found(byteString(valueOf(7))), clock.now(), 0))
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
  t.equal(nodes[0]?.remembered.size, 0)
  const loadedAt = clock.now()
  await clock.advance(70_000)
  while (nodes.some(({ warmer }) => warmer.state().loadedAt !== loadedAt)) await setTimeout(1)
  const late = startNode(t, clock, { redis: shared.node() })
  while (late.warmer.state().loadedAt === null) await setTimeout(1)
  t.equal(late.warmer.state().totalRows, 0, 'one that starts later has nothing to do')

  // A Redis that lost everything is loaded again soon.
  await shared.plain.flushall()
  await clock.advance(70_000)
  await Promise.race([...nodes, late].map(node => node.until(node === nodes[0] || node === nodes[1] ? node.told.length + 1 : 1)))
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
})

t.test('what another node noted since the load began stays as it is', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  await shared.plain.set(`hf:alias:${keyOf(8)}`, encodeRecord(statement(found(byteString('newer')), clock.now() + 1, 0), identity.definition))
  await shared.plain.set(`hf:alias:${keyOf(9)}`, encodeRecord(statement(found(byteString('older')), clock.now() - 1, 0), identity.definition))
  await startNode(t, clock, { redis: shared.node() }).until(1)
  t.match(await shared.read(keyOf(8)), { outcome: { value: 'newer' } })
  t.match(await shared.read(keyOf(9)), { outcome: { value: valueOf(9) } })
})

t.test('a load that fails leaves what there was, and another node goes on where it stopped', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  const kept = encodeRecord(statement(found(byteString('kept')), clock.now() - 1, 0), identity.definition)
  await shared.plain.set(`hf:alias:${keyOf(rows - 1)}`, kept)
  const proxy = await startProxy({ path: mariadb.socket })
  t.teardown(() => proxy.stop())
  proxy.cutAfter(1_000_000)
  const failing = startNode(t, clock, { redis: shared.node(), table: openTable(t, mariadb, proxy) })
  t.match(await failing.until(1), { problem: /connection lost/ })
  const { keys } = failing.warmer.state()
  t.ok(keys > 3_000 && keys < rows, String(keys))
  t.equal(failing.warmer.state().loadedAt, null)
  t.equal(await shared.plain.get(`hf:alias:${keyOf(rows - 1)}`), kept)
  const other = startNode(t, clock, { redis: shared.node() })
  t.match(await other.until(1), { state: { problem: '' } })
  t.ok(other.warmer.state().rows < rows - 1_000, String(other.warmer.state().rows))
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
  t.match(await shared.read(keyOf(rows - 1)), { outcome: { value: valueOf(rows - 1) } })
})

/** A node whose load has come halfway, where its server fell silent. */
const startHalfway = async (t: Test, clock: FakeClock, shared: Awaited<ReturnType<typeof startShared>>, parts: Partial<WarmParts> = {}) => {
  const proxy = await startProxy({ path: mariadb.socket })
  t.teardown(() => proxy.stop())
  proxy.hushAfter(1_000_000)
  const node = startNode(t, clock, { redis: shared.node(), table: openTable(t, mariadb, proxy), ...parts })
  const loader = await untilLoader(process.pid)
  while (node.warmer.state().keys < 5_000) await setTimeout(1)
  return { ...node, proxy, loader }
}

t.test('a loader that is killed is a failed load, and the next one goes on where it was', async t => {
  const clock = fakeClock()
  const shared = await startShared(t)
  const { warmer, until, proxy, loader } = await startHalfway(t, clock, shared)
  t.ok(getPriority(loader) > getPriority(), 'lookups go first')
  process.kill(loader, 'SIGKILL')
  t.strictSame(await until(1), { problem: 'the process that loads ended by SIGKILL' })
  t.match(warmer.state(), { state: 'idle', failures: 1, loadedAt: null })
  await proxy.pass()
  await clock.advance(70_000)
  t.match(await until(2), { state: { problem: '', failures: 1 } })
  t.ok(warmer.state().rows <= rows - 5_000, String(warmer.state().rows))
  t.equal((await shared.plain.keys('hf:alias:*')).length, rows)
  t.same(loadersOf(process.pid), [])
})

t.test('a loader that hangs is killed after half a minute', async t => {
  const clock = fakeClock()
  const { told, until, loader } = await startHalfway(t, clock, await startShared(t))
  process.kill(loader, 'SIGSTOP')
  // What it said before comes in its own time, and counts.
  while (told.length === 0) {
    await clock.advance(10_000)
    await setTimeout(1)
  }
  t.strictSame(await until(1), { problem: 'the process that loads has not been heard of for 30 s' })
  t.same(loadersOf(process.pid), [])
})

t.test('a loader whose server is no longer believed, or whose map is gone, ends', async t => {
  const shared = await startShared(t)
  let doubt: string | null = null
  const doubted = await startHalfway(t, fakeClock(), shared, { doubt: () => doubt })
  doubt = 'the canary is missing'
  t.strictSame(await doubted.until(1), { problem: doubt })
  t.same(loadersOf(process.pid), [])
  await shared.plain.flushall()
  const closed = await startHalfway(t, fakeClock(), shared)
  closed.warmer.close()
  await untilGone(closed.loader)
  // Another node need not wait until the lease runs out.
  while (await shared.plain.exists('hf:warm alias lease') === 1) await setTimeout(1)
  t.equal(closed.told.length, 0)
})

t.test('a definition that has changed since it was read is not loaded', async t => {
  const shared = await startShared(t)
  const table = openTable(t, mariadb, mariadb)
  const file = writeCf(freshFolder(), 'alias', mariadb, 'SELECT goto FROM alias WHERE address=\'%s\' AND goto <> \'\'')
  const definedBy = { kind: 'cf', path: file } as const
  t.strictSame(await startNode(t, fakeClock(), { redis: shared.node(), table: { ...table, definedBy } }).until(1), {
    problem: `${file} has changed since the daemon read it: reload`,
  })
  t.equal((await shared.plain.keys('hf:alias:*')).length, 0)
})

t.test('while the server isn\'t believed nothing is loaded, and once it is the load is made up for', async t => {
  const clock = fakeClock()
  let doubt: string | null = 'the canary is missing'
  const node = startNode(t, clock, { check: () => Promise.resolve(doubt) })
  t.strictSame(await node.until(1), { problem: doubt })
  t.equal(node.warmer.state().totalRows, 0)
  doubt = null
  await clock.advance(70_000)
  t.match(await node.until(2), { state: { keys: rows, failures: 1, problem: '' } })
})

t.test('a server that is no longer believed midway: the load ends', async t => {
  let batches = 0
  const node = startNode(t, fakeClock(), {
    doubt: () => batches > 3 ? 'the canary is missing' : null,
    remember: () => {
      batches += 1 / 200
      return true
    },
  })
  t.strictSame(await node.until(1), { problem: 'the canary is missing' })
  t.ok(node.warmer.state().keys < rows / 2, String(node.warmer.state().keys))
})

t.test('an administrator\'s query is listed by its first column', async t => {
  const node = startNode(t, fakeClock(), {}, { warm: 'SELECT UPPER(address), CONCAT(goto, \'!\') AS target FROM alias WHERE goto <> \'box7@example.net\' -- all but one' })
  t.match(await node.until(1), { state: { keys: rows - 1 } })
  t.equal(node.remembered.get(keyOf(8)), `${valueOf(8)}!`)
  t.notOk(node.remembered.has(keyOf(7)))
  for (const [warm, problem] of [['SELECT address FROM alias', /the key and, after that/], ['SELECT nothing FROM alias', /1054/], ['SELECT 1, 2; DROP TABLE alias', /1064/]] as const) {
    t.match(await startNode(t, fakeClock(), {}, { warm }).until(1), { problem }, warm)
  }
})
