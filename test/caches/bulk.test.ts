import { Redis } from 'ioredis'
import t from 'tap'
import { openBulk, takeLease } from '../../src/caches/bulk.js'
import type { Bulk } from '../../src/caches/bulk.js'
import { decodeRecord, encodeRecord, statement } from '../../src/caches/entry.js'
import type { RedisSettings } from '../../src/config/config.js'
import { absent, byteString, found } from '../../src/outcome.js'
import { during } from '../fixtures/during.js'
import { startCluster, startRedis } from '../fixtures/redis.js'
import { alias, day } from './bed.js'
import { setTimeout } from 'node:timers/promises'

const now = 1_700_000_000_000
const given = { verifiedAt: now, server: 'db:3306#1', ttlMs: day }
const open = async (t: Tap, settings: Partial<RedisSettings>): Promise<Bulk> => {
  const bulk = await during(t, openBulk({ keyPrefix: 'hf:', commandTimeoutMs: 100, ...settings }), 'close')
  return bulk
}
type Tap = { teardown(action: () => unknown): void }

const redis = await during(t, startRedis())
const plain = new Redis({ path: redis.socket })
t.teardown(() => plain.disconnect())
const valueAt = async (key: string): Promise<unknown> => {
  const decoded = decodeRecord((await plain.getBuffer(`hf:alias:${key}`))?.toString('latin1') ?? '', alias.definition)
  return typeof decoded === 'string' ? decoded : { ...decoded.outcome, verifiedAt: decoded.verifiedAt }
}

t.test('many entries are written, each with its bytes and its time to live', async t => {
  const bulk = await open(t, { path: redis.socket })
  const entries = Array.from({ length: 1_050 }, (_, index) => ({
    key: `user${index}@b\u00fccher.example`,
    outcome: found(byteString(index % 2 === 0 ? `box${index}` : `k\u00e4sten${index}`)),
  }))
  t.equal(await bulk.write(alias, entries, given), 1_050)
  t.equal(await plain.dbsize(), 1_050)
  for (const index of [0, 1, 99, 100, 1_049]) {
    t.strictSame(await valueAt(`user${index}@b\u00fccher.example`), { ...entries[index]?.outcome, verifiedAt: now })
  }
  const ttlMs = await plain.pttl('hf:alias:user0@b\u00fccher.example')
  t.ok(ttlMs > day - 60_000 && ttlMs <= day, String(ttlMs))
  t.equal(await bulk.write(alias, [], given), 0)
})

t.test('what is as recent or more so stays; what is older, of another definition, or not ours is replaced', async t => {
  const bulk = await open(t, { path: redis.socket })
  const loaded = found(byteString('loaded'))
  const put = (key: string, record: string): Promise<unknown> => plain.set(`hf:alias:${key}`, record)
  await put('newer', encodeRecord(statement(found(byteString('own')), now + 1), alias.definition))
  await put('same', encodeRecord(statement(found(byteString('own')), now), alias.definition))
  await put('gone', encodeRecord(statement(absent, now + 1), alias.definition))
  await put('older', encodeRecord(statement(found(byteString('own')), now - 1), alias.definition))
  await put('other', encodeRecord(statement(found(byteString('own')), now + 1), 'fedcba9876543210'))
  await put('odd', 'something else')
  await plain.rpush('hf:alias:list', 'x')
  t.equal(await bulk.write(
    alias, ['newer', 'same', 'gone', 'older', 'other', 'odd', 'list', 'new'].map(key => ({ key, outcome: loaded })),
    given,
  ), 5)
  t.strictSame(await valueAt('newer'), { ...found(byteString('own')), verifiedAt: now + 1 })
  t.strictSame(await valueAt('same'), { ...found(byteString('own')), verifiedAt: now })
  t.strictSame(await valueAt('gone'), { ...absent, verifiedAt: now + 1 })
  for (const key of ['older', 'other', 'odd', 'list', 'new']) t.strictSame(
    await valueAt(key), { ...loaded, verifiedAt: now }, key,
  )
})

t.test('a Redis that is full or gone is an error', async t => {
  const full = await during(t, startRedis({ args: ['--maxmemory', '1mb', '--maxmemory-policy', 'noeviction'] }))
  const bulk = await open(t, { path: full.socket })
  const entries = Array.from(
    { length: 1_000 }, (_, index) => ({ key: `user${index}`, outcome: found(byteString('x'.repeat(3_000))) }),
  )
  await t.rejects(bulk.write(alias, entries, given), { message: /OOM/ })
  await full.kill()
  await t.rejects(bulk.write(alias, entries, given))
  await t.rejects(
    openBulk({ keyPrefix: 'hf:', commandTimeoutMs: 100, path: full.socket }, 50), { message: /no such file or directory|connection refused/ },
  )
})

t.test('in a cluster each entry goes where it belongs', async t => {
  const cluster = await during(t, startCluster())
  const bulk = await open(t, { cluster: cluster.nodes.map(({ host, port }) => ({ host, port })) })
  const entries = Array.from(
    { length: 250 }, (_, index) => ({ key: `user${index}`, outcome: found(byteString('box')) }),
  )
  t.equal(await bulk.write(alias, entries, given), 250)
  t.equal(await bulk.write(alias, entries, given), 0)
  t.match(await bulk.client.get('hf:alias:user7'), /3:box$/)
})

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
