/** The statement that lists the rows of all keys (listing.ts), and the columns of its result. */
import { conditionsOf, lowered } from './listing.js'
import type { Listing, KeySearch } from './listing.js'

/** The first columns of each listed row; the search's key columns and the answer's follow. */
export const listedColumns = {
  /** The number of the search that the row belongs to. */
  search: 0,
  /** 1: the row counts now. 0: its condition with the clock does not hold, or not any more. */
  now: 1,
  /** What the rows of a key are ordered by. */
  rank: 2,
  keys: 3,
} as const

/** The most key columns that a search has. The values stand behind so many, whichever search a row belongs to. */
export const keyColumnsOf = ({ searches }: Listing): number =>
  Math.max(...searches.map(({ columns }) => columns.length))

/** No limit, as MySQL wants it written. A session's sql_select_limit would cut the list short without a word. */
const noLimit = 'LIMIT 18446744073709551615'

const searchSql = (search: KeySearch, number: number, keys: number, values: number): string => {
  const { columns, from, clock, rank, order, isDistinct } = search
  const selected = [
    number, clock === null ? 1 : `(${clock}) IS TRUE`, rank ?? 'NULL',
    ...Array.from({ length: keys }, (_, index) => columns[index] === undefined ? 'NULL' : lowered(columns[index])),
    ...Array.from({ length: values }, (_, index) => {
      const value = search.values[index]
      return typeof value === 'string' ? value : 'NULL'
    }),
  ]
  // What is ordered within a UNION stays so only with a LIMIT of its own.
  const end = order === '' ? '' : `\nORDER BY ${order}\n${noLimit}`
  const start = isDistinct ? 'SELECT DISTINCT' : 'SELECT'
  return `${start} ${selected.join(', ')}\nFROM ${from}\nWHERE ${conditionsOf(search)}${end}`
}

/** The statement. Its rows come in no order but that of the lookup query's own ORDER BY. */
export const listingSql = (listing: Listing): string => {
  const keys = keyColumnsOf(listing)
  const values = Math.max(...listing.searches.map(search => search.values.length))
  const selects = listing.searches.map((search, number) => searchSql(search, number, keys, values))
  if (selects.length > 1) return `${selects.map(select => `(${select}\n)`).join('\nUNION ALL\n')}\n${noLimit}`
  return listing.searches[0]?.order === '' ? `${selects.join('')}\n${noLimit}` : selects.join('')
}
