/**
 * Loads one table into a cache: reads all its rows and writes what is found.
 * It holds a batch or two of rows, however long the table is, and pauses after
 * each batch, so that lookups get most of the time of this process and of Redis.
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
  if (warm === 'auto') return typeof definition.listing === 'string' ? definition.listing : orderedListing(definition.listing)
  const answer = await database.ask({ texts: [columnsSql(warm)] }, [], columnsBudgetMs)
  return answer.kind === 'unavailable' ? answer.detail : listingOf(warm, answer.columns.map(({ name }) => name))
}

export type LoadParts = {
  readonly table: Pick<Table, 'definition' | 'database'>
  readonly listing: OrderedListing
  readonly write: (entries: readonly BulkEntry[]) => Promise<unknown>
  /** Called after each batch with its rows, and with its keys that were written. */
  readonly onProgress: (rows: number, keys: number) => void
  /** Asked before each batch: why the load must stop, or null. */
  readonly objection: () => string | null
}

/** Resolves with null when the whole table is loaded, else with why not. Rejects if `write` does. */
export const loadTable = async ({ table: { definition, database }, listing, write, onProgress, objection }: LoadParts): Promise<string | null> => {
  const entries = collectEntries(definition, listing.maxRows)
  const stopped = { by: null as string | null }
  const writeBatch = async (batch: readonly BulkEntry[], rows: number): Promise<boolean> => {
    stopped.by = objection()
    if (stopped.by !== null) return false
    await write(batch)
    onProgress(rows, batch.length)
    return true
  }
  const fault = await database.list({ texts: [orderedSql(listing)], unfitModes: definition.unfitModes }, async rows => {
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
