/**
 * Many answers at once into Redis, on a connection of its own: lookups don't
 * wait behind them, and a command may take longer than a lookup would wait.
 * What Redis has that is as recent or more so stays as it is.
 */
import type { Redis } from 'ioredis'
import { byteString } from '../outcome.js'
import type { Found } from '../outcome.js'
import { connectPatiently, isCluster, sendWritten } from './redis_client.js'
import type { Client } from './redis_client.js'
import type { RedisSettings } from '../config/config.js'
import { encodeRecord, recordHead, statement } from './entry.js'
import { redisKey } from './redis.js'
import type { MapIdentity } from './redis.js'

/** Redis does nothing else during a script: this many entries take it well under a millisecond. */
const perScript = 100
/** Scripts at once. In a cluster each has one entry: several keys would have to be of one slot. */
const atOnce = 100

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

/** An argument as the protocol (RESP) has it; each character of `bytes` is one. */
const argument = (bytes: string): string => `$${bytes.length}\r\n${bytes}\r\n`
const bytesOf = (text: string): string => /[^\x00-\x7f]/.test(text) ? byteString(text) : text

/** The script with its keys and records, as one command. */
const commandOf = (keys: readonly string[], head: string, verifiedAt: number, ttlMs: number, records: readonly string[]): string => {
  let text = `*${6 + 2 * keys.length}\r\n${argument('EVAL')}${argument(script)}${argument(String(keys.length))}`
  for (const key of keys) text += argument(bytesOf(key))
  text += `${argument(head)}${argument(String(verifiedAt))}${argument(String(ttlMs))}`
  for (const record of records) text += argument(record)
  return text
}

/** Resolves and rejects as connectPatiently does. */
export const openBulk = async (settings: RedisSettings, withinMs?: number): Promise<Bulk> => {
  const client = await connectPatiently(settings, withinMs)
  const size = isCluster(client) ? 1 : perScript
  /** What has been sent is room for what comes: buffers made anew for each command would outlive many collections of garbage. */
  const free: Buffer[] = []
  const send = async (single: Redis, command: string): Promise<unknown> => {
    const last = free.pop()
    const buffer = last !== undefined && last.length >= command.length ? last : Buffer.allocUnsafeSlow(2 * command.length)
    const reply = await sendWritten(single, 'eval', buffer.subarray(0, buffer.write(command, 'latin1')))
    free.push(buffer)
    return reply
  }
  const writeSome = async (map: MapIdentity, entries: readonly BulkEntry[], verifiedAt: number, ttlMs: number): Promise<number> => {
    const keys = entries.map(({ key }) => redisKey(settings.keyPrefix, map, key))
    const records = entries.map(({ outcome }) => encodeRecord(statement(outcome, verifiedAt, 0), map.definition))
    const head = recordHead(map.definition)
    return Number(await (isCluster(client)
      ? client.eval(script, keys.length, ...keys, head, verifiedAt, ttlMs, ...records.map(record => Buffer.from(record, 'latin1')))
      : send(client, commandOf(keys, head, verifiedAt, ttlMs, records))))
  }
  return {
    client,
    write: async (map, entries, verifiedAt, ttlMs) => {
      let written = 0
      for (let start = 0; start < entries.length; start += size * atOnce) {
        const scripts: Promise<number>[] = []
        for (let at = start; at < Math.min(entries.length, start + size * atOnce); at += size) {
          scripts.push(writeSome(map, entries.slice(at, at + size), verifiedAt, ttlMs))
        }
        for (const count of await Promise.all(scripts)) written += count
      }
      return written
    },
    close: () => client.disconnect(),
  }
}
