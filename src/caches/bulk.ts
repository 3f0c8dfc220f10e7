/**
 * Many answers at once into Redis, on a connection of its own: lookups don't
 * wait behind them, and a command may take longer than a lookup would wait.
 * What Redis has that is as recent or more so stays as it is.
 */
import type { Found } from '../outcome.js'
import { connectPatiently } from './client.js'
import type { Client, RedisSettings } from './client.js'
import { encodeEntry, recordHead } from './entry.js'
import { redisKey } from './redis.js'
import type { MapIdentity } from './redis.js'

/** Redis does nothing else during a script: this many entries take it well under a millisecond. */
const perScript = 100
/** In a cluster, keys of one script would have to be of one slot. */
const atOnceInCluster = 100

// KEYS: the entries; ARGV: the beginning of a record of this definition, when it was verified, its time to live (ms),
// and a record for each key. MGET takes what is no string for nothing; the time has 13 digits until 2286.
const script = `
  local sub, call, own, verified, ttl, written = string.sub, redis.call, ARGV[1], tonumber(ARGV[2]), ARGV[3], 0
  local length = #own
  for i, old in ipairs(call('MGET', unpack(KEYS))) do
    if not old or sub(old, 1, length) ~= own or (tonumber(sub(old, length + 1, length + 13)) or 0) < verified then
      call('SET', KEYS[i], ARGV[i + 3], 'PX', ttl)
      written = written + 1
    end
  end
  return written
`

export type BulkEntry = { readonly key: string, readonly outcome: Found }

export type Bulk = {
  /** Gives the number of entries that were new or older; rejects with what Redis says. */
  write(map: MapIdentity, entries: readonly BulkEntry[], verifiedAt: number, ttlMs: number): Promise<number>
  readonly client: Client
  close(): void
}

/** Text goes out as UTF-8: what is more than ASCII, as bytes. */
const argument = (record: string): string | Buffer => /[^\x00-\x7f]/.test(record) ? Buffer.from(record, 'latin1') : record

/** Resolves and rejects as connectPatiently does. */
export const openBulk = async (settings: RedisSettings, withinMs?: number): Promise<Bulk> => {
  const client = await connectPatiently(settings, withinMs)
  const isCluster = settings.cluster !== undefined
  const size = isCluster ? 1 : perScript
  const writeSome = async (map: MapIdentity, entries: readonly BulkEntry[], verifiedAt: number, ttlMs: number): Promise<number> => Number(await client.eval(
    script, entries.length, ...entries.map(({ key }) => redisKey(settings.keyPrefix, map, key)),
    recordHead(map.definition), verifiedAt, ttlMs, ...entries.map(({ outcome }) => argument(encodeEntry(outcome, verifiedAt, map.definition))),
  ))
  return {
    client,
    write: async (map, entries, verifiedAt, ttlMs) => {
      let written = 0
      for (let start = 0; start < entries.length; start += isCluster ? atOnceInCluster : entries.length) {
        const scripts: Promise<number>[] = []
        for (let at = start; at < entries.length && scripts.length < (isCluster ? atOnceInCluster : Infinity); at += size) {
          scripts.push(writeSome(map, entries.slice(at, at + size), verifiedAt, ttlMs))
        }
        for (const count of await Promise.all(scripts)) written += count
      }
      return written
    },
    close: () => client.disconnect(),
  }
}
