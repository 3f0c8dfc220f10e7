/**
 * Writes many found answers to Redis, on a connection of its own: no lookup
 * waits behind them, and a command may take longer than a lookup would wait.
 * A record in Redis that is as recent or newer stays.
 */
import type { RedisSettings } from '../config/config.js'
import type { Found } from '../outcome.js'
import { encodeRecord, recordHead, statement } from './entry.js'
import { redisKey } from './redis.js'
import type { MapIdentity } from './redis.js'
import { connectPatiently, isCluster } from './redis_client.js'
import type { Client } from './redis_client.js'

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

export type Bulk = {
  /**
   * Writes entries that the table gave at `verifiedAt` (epoch ms) for `ttlMs`, all at once: the caller bounds them.
   * Resolves with the number of those that were new or replaced an older one; rejects with the error of Redis.
   */
  write(map: MapIdentity, entries: readonly BulkEntry[], verifiedAt: number, ttlMs: number): Promise<number>
  readonly client: Client
  close(): void
}

/** Resolves and rejects as connectPatiently does. */
export const openBulk = async (settings: RedisSettings, withinMs?: number): Promise<Bulk> => {
  const client = await connectPatiently(settings, withinMs)
  // In a cluster all keys of a script would have to be in one slot.
  const size = isCluster(client) ? 1 : perScript
  return {
    client,
    write: async (map, entries, verifiedAt, ttlMs) => {
      const scripts: Promise<unknown>[] = []
      for (let start = 0; start < entries.length; start += size) {
        const some = entries.slice(start, start + size)
        const keys = some.map(({ key }) => redisKey(settings.keyPrefix, map, key))
        const records = some.map(({ outcome }) => Buffer.from(encodeRecord(statement(outcome, verifiedAt, 0), map.definition), 'latin1'))
        scripts.push(client.eval(script, keys.length, ...keys, recordHead(map.definition), verifiedAt, ttlMs, ...records))
      }
      let written = 0
      for (const count of await Promise.all(scripts)) written += Number(count)
      return written
    },
    close: () => client.disconnect(),
  }
}
