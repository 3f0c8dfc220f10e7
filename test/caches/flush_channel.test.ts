/** What a node learns of the flushes that were before it was there, from a real Redis. */
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { loadClient } from '../../src/caches/redis_client.js'
import { FlushChannel } from '../../src/caches/flush_channel.js'
import { startRedis } from '../fixtures/redis.js'

const now = 1_700_000_000_000
const keepMs = 600_000

/**
 * Opens a channel where `count` flushes are kept, one each millisecond up to now; resolves with what it told once it
 * knows them.
 */
const join = async (t: Test, count: number) => {
  await loadClient()
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const client = new Redis({ path: redis.socket })
  t.teardown(() => client.disconnect())
  for (let from = 0; from < count; from += 1_000) {
    const some = Array.from({ length: Math.min(1_000, count - from) }, (_, index) => from + index)
    await client.zadd(
      'flushes', ...some.flatMap(index => [now - index, JSON.stringify(['alias', `user${index}@example.com`])]),
    )
  }
  const told: {
    readonly flushes: Map<string | null, number>, readonly many: number[],
  } = { flushes: new Map(), many: [] }
  const channel = new FlushChannel({
    client, settings: { path: redis.socket, keyPrefix: '', commandTimeoutMs: 5_000 }, keepMs, now: () => now,
    hooks: {
      onFlush: ({ what }, at) => told.flushes.set(what, at), onMany: at => told.many.push(at),
      onGap: () => t.fail('no gap'), onInTouch: () => undefined, onProblem: problem => t.fail(problem),
    },
  })
  t.teardown(() => channel.close())
  await channel.tried
  return told
}

t.test('flushes that are kept are told one by one, each with its time', async t => {
  const { flushes, many } = await join(t, 2_500)
  t.equal(flushes.size, 2_500)
  t.equal(flushes.get('user2499@example.com'), now - 2_499)
  t.strictSame(many, [])
})

t.test('of more than can be told, the latest are, and all keys count as flushed when the others were', async t => {
  const { flushes, many } = await join(t, 10_500)
  t.equal(flushes.size, 10_000)
  t.equal(flushes.get('user0@example.com'), now)
  t.strictSame(many, [now - 9_999])
})
