import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { takeLease } from '../../src/caches/lease.js'
import { startRedis } from '../fixtures/redis.js'

const redis = await startRedis()
t.teardown(() => redis.stop())
const [one, other] = [new Redis({ path: redis.socket }), new Redis({ path: redis.socket })]
t.teardown(() => {
  one.disconnect()
  other.disconnect()
})

t.test('of two nodes one has the lease, until it gives it back', async t => {
  const lease = await takeLease(one, 'a')
  t.equal(lease?.isHeld(), true)
  t.equal(await takeLease(other, 'a'), null)
  const another = await takeLease(other, 'b')
  t.equal(another?.isHeld(), true, 'another piece of work')
  await lease?.release()
  t.equal(lease?.isHeld(), false)
  const next = await takeLease(other, 'a')
  t.equal(next?.isHeld(), true)
  await lease?.release()
  t.equal(await takeLease(one, 'a'), null, 'what is another\'s by now is not given back')
  await next?.release()
  await another?.release()
})

t.test('a lease is renewed while it is held, and lost when it is somebody else\'s', async t => {
  const lease = await takeLease(one, 'c', { leaseMs: 60_000, renewMs: 10 })
  await other.pexpire('c', 30_000)
  while (await other.pttl('c') <= 30_000) await setTimeout(5)
  t.equal(lease?.isHeld(), true)
  await other.set('c', 'another node')
  while (lease?.isHeld() === true) await setTimeout(5)
  await lease?.release()
  t.equal(await other.get('c'), 'another node')
})

t.test('a node that is gone keeps a lease for no longer than it lasts', async t => {
  await takeLease(one, 'd', { leaseMs: 20, renewMs: 60_000 })
  while (await takeLease(other, 'd') === null) await setTimeout(5)
  t.equal(await takeLease(one, 'd'), null)
})
