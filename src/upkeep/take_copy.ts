/** Takes a copy of a table: lists it, and compares the copy with the table. */
import type { Copy } from '../caches/copy.js'
import { buildCopy } from '../caches/copy.js'
import type { RawRow } from '../mysql/sql.js'
import { listingSql } from '../tables/listing.js'
import { mysqlSource } from '../tables/source.js'
import type { Table } from '../tables/open.js'
import { compareCopy } from './compare_copy.js'

export type TakeSettings = {
  /** More rows are not taken. */
  readonly maxRows: number
  /** For each key that is compared (ms). */
  readonly budgetMs: number
  readonly now: () => number
  /** Gets each batch of rows; the next one is read when it is done, so one can wait here. A text says why to stop. */
  readonly onRows: (rows: readonly RawRow[]) => Promise<string | null>
}

/** A copy that may be used, or why there is none. Rows are streamed. Rejects only if `onRows` does. */
export const takeCopy = async (
  { definition, database }: Pick<Table, 'definition' | 'database'>, { maxRows, budgetMs, now, onRows }: TakeSettings,
): Promise<Copy | string> => {
  const listing = definition.listing
  if (typeof listing === 'string') return listing
  const builder = buildCopy(definition, listing, now())
  const problems: string[] = []
  const fault = await database.list({ texts: [listingSql(listing)], unfitModes: definition.unfitModes }, async rows => {
    for (const row of rows) builder.add(row)
    const problem = builder.rows > maxRows ? `it has more than ${maxRows} rows` : await onRows(rows)
    if (problem !== null) problems.push(problem)
    return problem === null
  })
  const [problem] = problems
  if (problem !== undefined) return problem
  if (fault !== null) return `${fault.reason}: ${fault.detail}`
  const copy = await builder.finish()
  if (typeof copy === 'string') return copy
  const source = mysqlSource(definition, database)
  return await compareCopy(copy, async key => (await source.ask(key, budgetMs)).outcome) ?? copy
}
