/**
 * Loads one table into a cache: reads all its rows and writes what is found to
 * this process's memory, or to Redis, where one of the nodes that share it loads
 * for all of them. It holds a batch or two of rows, however long the table is, and
 * pauses after each batch, so that lookups get most of the time of this process and
 * of Redis.
 *
 * A load deletes nothing. A key that the caches lack afterwards may still be in
 * the table: Redis or memory may have dropped it, a collation may match it to
 * another key, or its row may be newer than the load.
 */
import { setImmediate as eventLoopTurn, setTimeout as sleep } from 'node:timers/promises'
import type { BulkEntry } from '../caches/bulk.js'
import { collectEntries, columnsSql, listingOf, orderedListing, orderedSql } from '../tables/ordered_listing.js'
import type { OrderedListing } from '../tables/ordered_listing.js'
import type { Table } from '../tables/open.js'
import { openBulk, takeLease } from '../caches/bulk.js'
import type { MapIdentity } from '../caches/map_identity.js'
import type { RedisClient } from '../caches/redis_client.js'
import type { RedisSettings } from '../config/config.js'

const columnsBudgetMs = 5_000

/** Lookups are answered after so many rows, which take a fraction of a millisecond. */
const batchRows = 25
/** After the rows that the driver hands over at once (100), it pauses for so many times as long as they took. */
const pauseFactor = 2

/**
 * How to list the table: `warm` is `auto` (as its lookup query is) or a query of the administrator's, whose
 * columns the server is asked for. A string says why it can't be listed. Never rejects.
 */
export const findListing = async ({ definition, database }: Table, warm: string): Promise<OrderedListing | string> => {
  if (warm === 'auto') {
    return typeof definition.listing === 'string' ? definition.listing : orderedListing(definition.listing)
  }
  const answer = await database.ask({ texts: [columnsSql(warm)] }, [], columnsBudgetMs)
  return answer.kind === 'unavailable' ? answer.detail : listingOf(warm, answer.columns.map(({ name }) => name))
}

export type LoadParts = {
  readonly table: Pick<Table, 'definition' | 'database'>
  readonly listing: OrderedListing
  /** Gets the identity of the server that gives the rows, too. */
  readonly write: (entries: readonly BulkEntry[], server: string) => Promise<unknown>
  /** Called after each batch with its rows, and with its keys that were written. */
  readonly onProgress: (rows: number, keys: number) => void
  /** Asked before each batch: why the load must stop, or null. */
  readonly objection: () => string | null
}

/** Resolves with null when the whole table is loaded, else with why not. Rejects if `write` does. */
export const loadTable = async ({
  table: { definition, database }, listing, write, onProgress, objection,
}: LoadParts): Promise<string | null> => {
  const entries = collectEntries(definition, listing.maxRows)
  const stopped = { by: null as string | null }
  let from = ''
  const writeBatch = async (batch: readonly BulkEntry[], rows: number): Promise<boolean> => {
    stopped.by = objection()
    if (stopped.by !== null) return false
    await write(batch, from)
    onProgress(rows, batch.length)
    return true
  }
  const query = { texts: [orderedSql(listing)], unfitModes: definition.unfitModes }
  const fault = await database.list(query, async (rows, server) => {
    from = server
    const startedAt = performance.now()
    for (let at = 0; at < rows.length; at += batchRows) {
      const some = rows.slice(at, at + batchRows)
      if (!await writeBatch(some.flatMap(row => entries.push(row) ?? []), some.length)) return false
      await eventLoopTurn()
    }
    await sleep(pauseFactor * (performance.now() - startedAt))
    return true
  })
  if (fault === null && stopped.by === null) {
    const last = entries.end()
    if (last !== null) await writeBatch([last], 0)
  }
  return stopped.by ?? fault?.detail ?? null
}

export type LoadTarget = {
  readonly name: 'memory' | 'Redis'
  /**
   * When the last complete load began, on any node (epoch ms); null: there was none. Rejects with the error of Redis.
   */
  loadedAt(): Promise<number | null>
  /**
   * This node's turn to load, which ends with `end`; null while another node loads. Rejects with the error of Redis.
   */
  takeTurn(): Promise<LoadTurn | null>
}

export type LoadTurn = {
  /**
   * Keeps entries that the table on `server` gave at `verifiedAt` (epoch ms); resolves with how many of them there was
   * no room for.
   */
  write(entries: readonly BulkEntry[], verifiedAt: number, server: string): Promise<number>
  /** Why another node may be loading now, or null. */
  objection(): string | null
  /** Notes that the whole table is loaded, as of `startedAt` (epoch ms). */
  finish(startedAt: number): Promise<unknown>
  end(): Promise<unknown>
}

/**
 * `keep` puts one entry into memory, and is false if there is no room for it. `loadedAt`: of a load that is in that
 * memory already.
 */
export const memoryTarget = (
  keep: (entry: BulkEntry, verifiedAt: number, server: string) => boolean, loadedAt: number | null,
): LoadTarget => {
  let at = loadedAt
  const turn: LoadTurn = {
    write: (entries, verifiedAt, server) =>
      Promise.resolve(entries.filter(entry => !keep(entry, verifiedAt, server)).length),
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
  readonly client: RedisClient
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
        write: async (entries, verifiedAt, server) => {
          await bulk.write(map, entries, { verifiedAt, server, ttlMs: keepMs })
          return 0
        },
        objection: () => lease.isHeld() ? null : 'another node may have taken over',
        finish: startedAt => bulk.client.set(noteKey, `${startedAt} ${definition}`, 'PX', keepNoteMs),
        end: () => lease.release().finally(() => bulk.close()),
      }
    },
  }
}
