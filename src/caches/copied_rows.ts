/**
 * The rows that a copied table has for a key: what its SELECTs would find by the listing's searches
 * (tables/listing.ts). Where only the server knows which rows these are, or in which order, null says that the copy is
 * not sure.
 */
import { maxResultBytes } from '../mysql/connection.js'
import { byteString } from '../outcome.js'
import type { ByteString } from '../outcome.js'
import { evaluate, passes } from '../tables/expansion.js'
import type { AddressParts } from '../tables/expansion.js'
import type { ListedSelect, Listing, Requirement } from '../tables/listing.js'
import type { RowStore, StoredRow } from './row_store.js'

/** A lookup would not read more rows for one key. */
const maxRows = 10_000
/** Before the values, a stored row has whether it counts now, and its rank. */
const valuesAt = 2

/** Whether MySQL and bytes find a folded key alike. */
export const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text) && !text.endsWith(' ')

/** The key of the store: the search's number and the texts of its columns. */
export const storeKey = (search: number, texts: readonly string[]): string => [search, ...texts].join('\n')

/** The rows that a search finds for a key, as they are stored; null if it isn't sure. */
type Find = (search: number, address: AddressParts) => readonly StoredRow[] | null

const finder = (listing: Listing, store: RowStore, oddKeys: readonly RegExp[]): Find => {
  const find: Find = (number, address) => {
    const search = listing.searches[number]
    if (search === undefined || !search.tests.every(test => passes(test, address))) return []
    const keys = new Set<string>()
    for (const way of search.ways) {
      const texts = way.map(text => evaluate(text, address))
      const key = storeKey(number, texts)
      if (!texts.every(isPlain) || oddKeys.some(odd => odd.test(key))) return null
      keys.add(key)
    }
    const found = [...keys].map(key => store.find(key, maxRows + 1)).filter(({ length }) => length > 0)
    const rows = found.flat()
    if (rows.length === 0) return rows
    const isAllowed = allows(search.requirements, number => find(number, address))
    if (isAllowed === false) return []
    // In which order the rows of several ways would come only the server knows.
    if (isAllowed === null || rows.length > maxRows || (found.length > 1 && search.order !== '')) return null
    const valueOf = (stored: ByteString | null | undefined, index: number): ByteString | null => {
      const value = search.values[index]
      return typeof value === 'object' ? byteString(evaluate(value, address)) : stored ?? null
    }
    return rows.map(([now = null, rank = null, ...values]) =>
      [now, rank, ...search.values.map((_, index) => valueOf(values[index], index))])
  }
  return find
}

/** Whether all requirements are met, by what is found; null: not sure. */
const allows = (
  requirements: readonly Requirement[], find: (search: number) => readonly StoredRow[] | null,
): boolean | null => {
  const met = requirements.map(({ searches, isNegated }) => {
    const required = searches.map(find)
    if (required.some(rows => rows !== null && rows.length > 0)) return !isNegated
    return required.includes(null) ? null : isNegated
  })
  return met.includes(false) ? false : met.includes(null) ? null : true
}

const valuesOf = (row: StoredRow): string => JSON.stringify(row.slice(valuesAt))

/** Each row once; null if two differ in case only, where it takes the server to say whether they are one. */
const distinct = (rows: readonly StoredRow[]): readonly StoredRow[] | null => {
  const byValues = new Map<string, StoredRow>()
  for (const row of rows) if (!byValues.has(valuesOf(row))) byValues.set(valuesOf(row), row)
  const folded = new Set([...byValues.keys()].map(values => values.toLowerCase()))
  return folded.size < byValues.size ? null : [...byValues.values()]
}

/** The rows that LIMIT leaves; null if SQL doesn't say which. */
const limited = (rows: readonly StoredRow[], limit: number, isOrdered: boolean): readonly StoredRow[] | null => {
  if (rows.length <= limit) return rows
  // By most collations, what differs in case alone has one rank.
  const [last, next] = [rows[limit - 1]?.[1]?.toLowerCase(), rows[limit]?.[1]?.toLowerCase()]
  const isSame = rows.every(row => valuesOf(row) === valuesOf(rows[0] ?? []))
  return isSame || (isOrdered && last !== next) ? rows.slice(0, limit) : null
}

const isNow = ([now]: StoredRow): boolean => now === '1'

/** The rows that a SELECT gives for a key, those that don't count now behind the others; null: not sure. */
const selectRows = (
  { searches, limit, isDistinct }: ListedSelect, listing: Listing, find: Find, address: AddressParts,
): readonly StoredRow[] | null => {
  const found: (readonly StoredRow[])[] = []
  for (const search of searches) {
    const rows = find(search, address)
    if (rows === null) return null
    if (rows.length > 0) found.push(rows)
  }
  const isOrdered = searches.some(search => listing.searches[search]?.order !== '')
  // One row may be found by several alternatives, and counts once.
  if (found.length > 1 && (isOrdered || !(isDistinct || listing.isDistinct))) return null
  const all = found.flat()
  const rows = isDistinct || found.length > 1 ? distinct(all.filter(isNow)) : all.filter(isNow)
  const left = rows === null ? null : limited(rows, limit, isOrdered)
  return left === null ? null : [...left, ...all.filter(row => !isNow(row))]
}

/** The values of the rows that a lookup would get. `hasOthers`: there are rows that count at another time. */
export type CopiedRows = { readonly now: readonly StoredRow[], readonly hasOthers: boolean }

/** Gives the rows that a key has by this listing. `odd` matches what a collation could take for the keys in `store`. */
export const rowsFinder = (
  listing: Listing, store: RowStore, odd: readonly RegExp[],
): ((address: AddressParts) => CopiedRows | null) => {
  const find = finder(listing, store, odd)
  return address => {
    const selected: StoredRow[] = []
    for (const select of listing.selects) {
      const rows = selectRows(select, listing, find, address)
      if (rows === null) return null
      selected.push(...rows)
    }
    const now = selected.filter(isNow)
    const rows = listing.isDistinct ? distinct(now) : now
    const values = rows?.map(row => row.slice(valuesAt)) ?? []
    const bytes = values.reduce((sum, row) => row.reduce((sum, value) => sum + (value?.length ?? 0), sum), 0)
    return rows === null || bytes > maxResultBytes ? null : { now: values, hasOthers: now.length < selected.length }
  }
}
