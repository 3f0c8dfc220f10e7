/**
 * One load: the rows of a table, as they come, into a cache. However long the
 * table is, a few batches are held; a cache that is slow slows the server down.
 * It adds what is found and takes nothing away.
 *
 * What the caches lack afterwards is asked of the table all the same: Redis and
 * memory may have let go of a key, MySQL may find one that isn't listed, by its
 * collation, and a row may be new since.
 */
import type { BulkEntry } from '../caches/bulk.js'
import { messageOf } from '../log.js'
import { collectEntries } from '../tables/listed_rows.js'
import { orderedSql } from '../tables/ordered_listing.js'
import type { OrderedListing } from '../tables/ordered_listing.js'
import type { Table } from '../tables/open.js'

export type LoadParts = {
  readonly table: Pick<Table, 'definition' | 'database'>
  readonly listing: OrderedListing
  /** Keys up to this one have been loaded before. */
  readonly after: string | null
  /** Rejects if they could not be kept. A few batches may be on their way at a time. */
  readonly write: (entries: readonly BulkEntry[]) => Promise<unknown>
  /** Everything up to the key `last` has been written. */
  readonly onWritten: (last: string, keys: number) => void
  readonly onRows: (rows: number) => void
  /** Why it must not go on; null if it may. */
  readonly objection: () => string | null
}

const batchEntries = 100
/** Of their values: a batch of long ones is a smaller one. */
const batchBytes = 262_144
/** Neither the server nor the cache waits for the other one's last batch. */
const maxUnderway = 4

/** Null if all of the table is loaded, else why not. Never rejects. */
export const load = async ({ table: { definition, database }, listing, after, write, onWritten, onRows, objection }: LoadParts): Promise<string | null> => {
  const entries = collectEntries(definition, listing.maxRows)
  let batch: BulkEntry[] = []
  let bytes = 0
  /** Batches on their way: null once they are written, and those before them; else why not. */
  const underway: Promise<string | null>[] = []
  const writeBatch = async (): Promise<string | null> => {
    const full = batch
    const last = full.at(-1)
    batch = []
    bytes = 0
    const problem = (underway.length < maxUnderway ? null : await underway.shift()) ?? objection()
    const before = underway.at(-1) ?? Promise.resolve(problem)
    underway.push(problem !== null || last === undefined ? Promise.resolve(problem) : write(full).then(async () => {
      const earlier = await before
      if (earlier === null) onWritten(last.key, full.length)
      return earlier
    }, messageOf))
    return problem
  }
  const fault = await database.list({ texts: [orderedSql(listing, after)], unfitModes: definition.unfitModes }, async rows => {
    for (const row of rows) {
      const entry = entries.push(row)
      if (entry === null) continue
      batch.push(entry)
      bytes += entry.outcome.value.length
      if (bytes >= batchBytes && await writeBatch() !== null) return false
    }
    onRows(rows.length)
    return batch.length < batchEntries || await writeBatch() === null
  })
  if (fault === null) {
    const last = entries.end()
    if (last !== null) batch.push(last)
    await writeBatch()
  }
  let problem: string | null = null
  for (const result of underway) problem ??= await result
  return problem ?? fault?.detail ?? null
}
