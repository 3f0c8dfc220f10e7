/** How a node learns from a real Redis of the flushes whose messages it missed. */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { loadClient } from '../../src/caches/redis_client.js'
import { FlushChannel } from '../../src/caches/flush_channel.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'

const start = 1_700_000_000_000
const redis = await startRedis()
t.teardown(() => redis.stop())
const client = new Redis({ path: redis.socket })
t.teardown(() => client.disconnect())
await loadClient()

/** A node with that key prefix; `told` has what it has learned so far: each flush, and when it may have missed some. */
const join = async (t: Test, keyPrefix: string, now = start, by = client, path = redis.socket) => {
  const told: (readonly [map: string, what: string | null, at: number] | readonly [lost: number])[] = []
  const inTouch: boolean[] = []
  const channel = new FlushChannel({
    client: by, settings: { path, keyPrefix, commandTimeoutMs: 5_000 }, now: () => now, unannounced: new Map(),
    hooks: {
      onFlush: ({ map, what }, at) => told.push([map, what, at]), onLost: at => told.push([at]),
      onInTouch: isInTouch => { inTouch.push(isInTouch) }, onProblem: () => undefined,
    },
  })
  t.teardown(() => channel.close())
  await channel.tried
  const until = async (isSo: () => boolean): Promise<void> => { while (!isSo()) await setTimeout(5) }
  return { channel, told, inTouch, until }
}

t.test('the first node of a new Redis takes everything for flushed once, the next one does not', async t => {
  t.strictSame((await join(t, 'new:')).told, [[start]])
  t.strictSame((await join(t, 'new:', start + 1)).told, [])
})

t.test('a node hears of a flush at once, and one that joins later reads its time', async t => {
  const first = await join(t, 'later:')
  const second = await join(t, 'later:')
  t.equal(await first.channel.announce({ map: 'alias', what: 'user@example.com' }), null)
  await second.until(() => second.told.length > 0)
  t.strictSame(second.told, [['alias', 'user@example.com', start]])
  t.strictSame((await join(t, 'later:', start + 86_400_000)).told, [['alias', null, start]], 'however long ago')
})

t.test('a Redis that lost the times of the flushes tells a node that joins that anything may be flushed', async t => {
  const { channel } = await join(t, 'lost:')
  await channel.announce({ map: 'alias', what: null })
  await client.del('lost:flushed')
  t.strictSame((await join(t, 'lost:', start + 5)).told, [[start + 5]])
  await client.del('lost:flushed')
  await channel.announce({ map: 'domains', what: null })
  const { told } = await join(t, 'lost:', start + 9)
  t.strictSame(told, [[start + 9], ['domains', null, start]], 'also if one came since')
})

t.test('a node whose connection broke reads what it may have missed, and no more', async t => {
  await client.hset('gap:flushed', 'since then', start - 100_000, 'old', start - 100_000)
  const node = await join(t, 'gap:')
  node.told.length = 0
  await client.hset('gap:flushed', 'alias', start)
  await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await node.until(() => node.inTouch.length === 3)
  t.strictSame(node.inTouch, [true, false, true])
  t.strictSame(node.told, [['alias', null, start]])
})

t.test('a node learns of a loss from which another one has recovered first', async t => {
  const [first, second] = [await join(t, 'both:'), await join(t, 'both:', start + 1)]
  await client.del('both:flushed')
  await client.hset('both:flushed', 'since then', start + 2)
  await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await second.until(() => second.inTouch.length === 3)
  await first.until(() => first.inTouch.length === 3)
  t.strictSame(second.told, [[start + 1]])
  t.strictSame(first.told, [[start], [start]])
})

t.test('what anybody writes there is harmless', async t => {
  await client.hset('odd:flushed', 'since then', start, 'alias', 'x', 'domains', String(start * 2), '', '-1')
  t.strictSame((await join(t, 'odd:')).told, [['domains', null, start]], 'no flush is from the future')
})

t.test('flushes that Redis did not take reach listening and joining nodes once it can be used again', async t => {
  const proxy = await startProxy({ path: redis.socket })
  t.teardown(() => proxy.stop())
  const own = new Redis({
    path: proxy.socket, enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => 5,
  })
  own.on('error', () => undefined)
  t.teardown(() => own.disconnect())
  await new Promise<void>(resolve => own.once('ready', () => resolve()))
  const [listener, first] = [await join(t, 'unannounced:'), await join(t, 'unannounced:', start, own, proxy.socket)]
  listener.told.length = 0
  proxy.refuse()
  proxy.dropAll()
  await first.until(() => first.inTouch.length === 2)
  t.not(await first.channel.announce({ map: 'alias', what: 'user@example.com' }), null)
  t.strictSame(listener.told, [])
  await proxy.pass()
  await listener.until(() => listener.told.length > 0)
  t.strictSame(listener.told, [['alias', null, start]])
  t.strictSame((await join(t, 'unannounced:', start + 5)).told, [['alias', null, start]])
})

t.test('a flush that was published, but not kept, is not published again', async t => {
  const [first, second] = [await join(t, 'full:'), await join(t, 'full:')]
  second.told.length = 0
  // Redis takes no more writes: publishing is none.
  await client.call('CONFIG', 'SET', 'maxmemory', '1')
  t.match(await first.channel.announce({ map: 'alias', what: 'user@example.com' }), /OOM/)
  await second.until(() => second.told.length > 0)
  await client.call('CONFIG', 'SET', 'maxmemory', '0')
  await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await first.until(() => first.inTouch.length === 3)
  await second.until(() => second.inTouch.length === 3)
  t.strictSame((await join(t, 'full:', start + 5)).told, [['alias', null, start]])
  t.strictSame(second.told.filter(([, what]) => what === 'user@example.com').length, 1)
})
