/**
 * Where a table is loaded to: this process's memory, or a Redis, where one of the
 * nodes that share it loads for all of them.
 */
import { openBulk } from '../caches/bulk.js'
import type { BulkEntry } from '../caches/bulk.js'
import { takeLease } from '../caches/lease.js'
import type { MapIdentity } from '../caches/redis.js'
import type { Client } from '../caches/redis_client.js'
import type { RedisSettings } from '../config/config.js'

export type LoadTarget = {
  readonly name: 'memory' | 'Redis'
  /** When the last complete load began, on any node (epoch ms); null: there was none. Rejects with the error of Redis. */
  loadedAt(): Promise<number | null>
  /** This node's turn to load, which ends with `end`; null while another node loads. Rejects with the error of Redis. */
  takeTurn(): Promise<LoadTurn | null>
}

export type LoadTurn = {
  /** Keeps entries that the table gave at `verifiedAt` (epoch ms); resolves with how many of them there was no room for. */
  write(entries: readonly BulkEntry[], verifiedAt: number): Promise<number>
  /** Why another node may be loading now, or null. */
  objection(): string | null
  /** Notes that the whole table is loaded, as of `startedAt` (epoch ms). */
  finish(startedAt: number): Promise<unknown>
  end(): Promise<unknown>
}

/** `keep` puts one entry into memory, and is false if there is no room for it. `loadedAt`: of a load that is in that memory already. */
export const memoryTarget = (keep: (entry: BulkEntry, verifiedAt: number) => boolean, loadedAt: number | null): LoadTarget => {
  let at = loadedAt
  const turn: LoadTurn = {
    write: (entries, verifiedAt) => Promise.resolve(entries.filter(entry => !keep(entry, verifiedAt)).length),
    objection: () => null,
    finish: startedAt => Promise.resolve(at = startedAt),
    end: () => Promise.resolve(),
  }
  return { name: 'memory', loadedAt: () => Promise.resolve(at), takeTurn: () => Promise.resolve(turn) }
}

/** The note of a load stays for so long (ms). */
const keepNoteMs = 30 * 86_400_000

/** When the load that `note` tells of began; null if it was of another `definition`. */
const loadedAtOf = (note: string | null, definition: string): number | null => {
  const [, at, of] = /^(\d{1,15}) (.*)$/s.exec(note ?? '') ?? []
  return of === definition ? Number(at) : null
}

export type RedisTargetSettings = {
  /** For short questions. It stays the caller's. */
  readonly client: Client
  readonly redis: RedisSettings
  readonly map: MapIdentity
  /** How the table is listed: a load by another list is no use. */
  readonly warm: string
  /** Entries are kept for so long (ms). */
  readonly keepMs: number
}

export const redisTarget = ({ client, redis, map, warm, keepMs }: RedisTargetSettings): LoadTarget => {
  // No map's name has a blank in it, so this is never the key of an entry.
  const noteKey = `${redis.keyPrefix}warm ${map.name}`
  const definition = `${map.definition} ${warm}`
  return {
    name: 'Redis',
    loadedAt: async () => loadedAtOf(await client.get(noteKey), definition),
    takeTurn: async () => {
      const bulk = await openBulk(redis)
      const lease = await takeLease(bulk.client, `${noteKey} lease`).catch((error: unknown) => {
        bulk.close()
        throw error
      })
      if (lease === null) {
        bulk.close()
        return null
      }
      return {
        write: async (entries, verifiedAt) => {
          await bulk.write(map, entries, verifiedAt, keepMs)
          return 0
        },
        objection: () => lease.isHeld() ? null : 'another node may have taken over',
        finish: startedAt => bulk.client.set(noteKey, `${startedAt} ${definition}`, 'PX', keepNoteMs),
        end: () => lease.release().finally(() => bulk.close()),
      }
    },
  }
}
