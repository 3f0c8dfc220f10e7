/**
 * Writes many found answers to Redis, on a connection of its own: no lookup
 * waits behind them, and a command may take longer than a lookup would wait.
 * A record in Redis that is as recent or newer stays. One of the nodes that share
 * the Redis does it: the one that holds a lease, which ends by itself unless its
 * holder renews it.
 */
import type { RedisSettings } from '../config/config.js'
import type { Found } from '../outcome.js'
import { encodeRecord, recordHead, statement } from './entry.js'
import { redisKey } from './redis_records.js'
import type { MapIdentity } from './map_identity.js'
import { connectPatiently, isCluster } from './redis_client.js'
import type { RedisClient } from './redis_client.js'
import { randomBytes } from 'node:crypto'

/** Redis does nothing else during a script; for so many entries that is well under a millisecond. */
const perScript = 100

// KEYS: the entries. ARGV: how a record of this definition begins, when the entries were verified, their time to
// live (ms), and a record for each key. MGET gives nil for what is no string; a time has 13 digits until 2286.
const script = `
  local sub, call, head, verified, ttl, written = string.sub, redis.call, ARGV[1], tonumber(ARGV[2]), ARGV[3], 0
  local length = #head
  for i, old in ipairs(call('MGET', unpack(KEYS))) do
    if not old or sub(old, 1, length) ~= head or (tonumber(sub(old, length + 1, length + 13)) or 0) < verified then
      call('SET', KEYS[i], ARGV[i + 3], 'PX', ttl)
      written = written + 1
    end
  end
  return written
`

export type BulkEntry = { readonly key: string, readonly outcome: Found }

type Given = { readonly verifiedAt: number, readonly server: string, readonly ttlMs: number }

export type Bulk = {
  /**
   * Writes entries that the first table on `server` gave at `verifiedAt` (epoch ms) for `ttlMs`, all at once: the
   * caller bounds them.
   * Resolves with the number of those that were new or replaced an older one; rejects with the error of Redis.
   */
  write(map: MapIdentity, entries: readonly BulkEntry[], given: Given): Promise<number>
  readonly client: RedisClient
  close(): void
}

/** Resolves and rejects as connectPatiently does. */
export const openBulk = async (settings: RedisSettings, withinMs?: number): Promise<Bulk> => {
  const client = await connectPatiently(settings, withinMs)
  // In a cluster all keys of a script would have to be in one slot.
  const size = isCluster(client) ? 1 : perScript
  return {
    client,
    write: async (map, entries, { verifiedAt, server, ttlMs }) => {
      const scripts: Promise<unknown>[] = []
      for (let start = 0; start < entries.length; start += size) {
        const some = entries.slice(start, start + size)
        const keys = some.map(({ key }) => redisKey(settings.keyPrefix, map, key))
        const records = some.map(({ outcome }) => Buffer.from(
          encodeRecord(statement(outcome, verifiedAt, 0, server), map.definition), 'latin1',
        ))
        scripts.push(client.eval(
          script, keys.length, ...keys, recordHead(map.definition), verifiedAt, ttlMs, ...records,
        ))
      }
      let written = 0
      for (const count of await Promise.all(scripts)) written += Number(count)
      return written
    },
    close: () => client.disconnect(),
  }
}

/** How long it lasts without renewal, and how often it is renewed (ms). */
const defaults = { leaseMs: 30_000, renewMs: 10_000 }

// KEYS: the lease. ARGV: its holder, and how much longer it holds it (ms); 0 to end it.
const renewal = `
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`

export type Lease = {
  /** False once another node may hold it. */
  isHeld(): boolean
  release(): Promise<void>
}

/**
 * Takes the lease `key` and holds it until it is released; null if another node holds it. Rejects with the error of
 * Redis.
 */
export const takeLease = async (
  client: RedisClient, key: string, { leaseMs, renewMs } = defaults,
): Promise<Lease | null> => {
  const token = randomBytes(16).toString('hex')
  let until = performance.now() + leaseMs
  if (await client.set(key, token, 'PX', leaseMs, 'NX') !== 'OK') return null
  const renew = async (): Promise<void> => {
    const next = performance.now() + leaseMs
    // If Redis says no, the lease is lost. If Redis can't be asked, the next renewal may succeed.
    const kept = await client.eval(renewal, 1, key, token, leaseMs).catch(() => null)
    if (kept !== null) until = Number(kept) === 1 ? next : 0
  }
  const timer = setInterval(() => void renew(), renewMs).unref()
  return {
    isHeld: () => performance.now() < until,
    release: async () => {
      clearInterval(timer)
      until = 0
      await client.eval(renewal, 1, key, token, 0).catch(() => undefined)
    },
  }
}
