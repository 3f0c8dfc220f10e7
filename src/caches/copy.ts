/**
 * A copy: all rows of a table, listed at one time, by which any key can be
 * answered without the server. Its rows are those of the listing's searches
 * (tables/listing.ts); the key is bound and the answer formatted as for a real
 * lookup.
 *
 * MySQL finds by collation, a copy by bytes. For keys and rows in printable ASCII
 * the two differ in case alone, and keys are folded. A copy is not sure about other
 * keys, nor about one that a listed key of another kind could equal by the server's
 * collation (`müller@` for `muller@`), nor where SQL leaves open which rows LIMIT cuts
 * off, nor of an absence that the clock may have ended.
 */
import { createHash } from 'node:crypto'
import { absent, byteString, found, readable } from '../outcome.js'
import type { Absent, ByteString, Found } from '../outcome.js'
import { maxResultBytes } from '../mysql/connection.js'
import { nameOf } from '../mysql/hosts.js'
import type { RawRow } from '../mysql/sql.js'
import type { TableDefinition } from '../tables/definition.js'
import type { ListedSelect, Listing, Requirement } from '../tables/listing.js'
import { addressOf, evaluate, keyWith, passes } from '../tables/expansion.js'
import type { AddressParts } from '../tables/expansion.js'
import { keyColumnsOf, listedColumns } from '../tables/listing.js'
import { readHead } from './copy_head.js'
import type { Head } from './copy_head.js'
import { RowStore } from './row_store.js'
import type { StoredRow } from './row_store.js'

/** Of a map's definition, what a copy needs to answer as a lookup would. */
export type CopiedTable = Pick<TableDefinition, 'bind' | 'answer' | 'fingerprint' | 'hosts'>

export type CopyAnswer = Found | Absent | { readonly kind: 'unsure' }

export type Copy = {
  /** What the table said about a folded key when it was listed; a found answer is stale. */
  answer(key: string): CopyAnswer
  /** At most `count` different keys, drawn at random, that rows are found by; fewer if no more can be read off them. */
  sampleKeys(count: number, random?: () => number): readonly string[]
  /** Each key that rows are found by, as far as keys can be read off them; those that a copy isn't sure about too. */
  listKeys(): Iterable<string>
  /** When the listing began (epoch ms). */
  readonly takenAt: number
  /** The identity of the server that listed it; '' if nobody knows. */
  readonly server: string
  /** Another definition of the map listed it: evidence of its keys, and no answer. */
  readonly isForeign?: true
  /** By which share of its keys each of the last copies before it had shrunk; whoever keeps copies notes it here. */
  readonly losses: number[]
  /** By so many keys that were known before it was judged; noted by the same. */
  witnesses: number
  readonly rows: number
  /** Different keys; a domain whose users are all found by it counts as one. */
  readonly keys: number
  /** In memory. */
  readonly bytes: number
  /** All of it, for `readCopy`: pieces of at most some 256 kB (one longer row may be more). */
  pieces(): Iterable<Buffer>
}

export type CopyBuilder = {
  /** Adds a row of the listing's result. */
  add(row: RawRow): void
  readonly rows: number
  /** In memory, so far. */
  readonly bytes: number
  /** The copy of the table on `server`, or why there is none. Gives the event loop its turns. */
  finish(server: string): Promise<Copy | string>
}

/** More listed keys than this that aren't printable ASCII: then no key could be told from them. */
const maxOddKeys = 1_000
/** A lookup would not read more rows for one key. */
const maxRows = 10_000
/** Some of the stored keys can't be told apart into a key that Postfix would ask for: so many are tried for each. */
const triesPerKey = 10
/** Before the values, a stored row has whether it counts now, and its rank. */
const valuesAt = 2

const unsure = { kind: 'unsure' } as const
const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text) && !text.endsWith(' ')
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** The key of the store: the search's number and the texts of its columns. */
const storeKey = (search: number, texts: readonly string[]): string => [search, ...texts].join('\n')

/** Matches all that a collation could take for this text, which isn't printable ASCII or ends in blanks. */
const lookalikes = (text: string): string => Array.from(text.replace(/ +$/, ''),
  letter => /[\x20-\x7e]/.test(letter) ? escaped(letter) : '[^\\n]{0,4}').join('')

/** Identifies the definition that a copy fits; it is kept with the copy. */
const fingerprintOf = ({ fingerprint }: CopiedTable, listing: Listing): string =>
  createHash('sha256').update(JSON.stringify([2, fingerprint, listing])).digest('hex').slice(0, 16)

/** Each node may name its own server first. */
const hostsOf = ({ hosts }: CopiedTable): string => hosts.map(nameOf).sort().join()

/** Takes the rows of a listing that began at `takenAt` (epoch ms). */
export const buildCopy = (table: CopiedTable, listing: Listing, takenAt: number): CopyBuilder => {
  const store = new RowStore()
  const odd = new Set<string>()
  const oddKeys = new Set<string>()
  const keyColumns = keyColumnsOf(listing)
  return {
    get rows() { return store.rows },
    get bytes() { return store.bytes },
    add: row => {
      const search = Number(row[listedColumns.search])
      const count = listing.searches[search]?.columns.length ?? 0
      const texts = row.slice(listedColumns.keys, listedColumns.keys + count)
        .map(column => readable(column ?? '' as ByteString))
      // In a column compared by bytes a capital letter is found by no key.
      if (texts.some(text => /[A-Z]/.test(text))) return
      if (!texts.every(isPlain)) {
        if (odd.size <= maxOddKeys) odd.add(storeKey(search, texts.map(lookalikes)))
        if (oddKeys.size < maxOddKeys) oddKeys.add(storeKey(search, texts))
        return
      }
      const values = row.slice(listedColumns.keys + keyColumns)
      store.add(storeKey(search, texts), [row[listedColumns.now] ?? null, row[listedColumns.rank] ?? null, ...values])
    },
    finish: async server => {
      if (odd.size > maxOddKeys) return `more than ${maxOddKeys} keys are not in printable ASCII`
      await store.finish()
      return openCopy(table, listing, {
        takenAt, server, losses: [], witnesses: 0, odd: [...odd], oddKeys: [...oddKeys], store,
      })
    },
  }
}

/**
 * Whether `pieces` are those of a copy of this table, by this definition: on its `servers`, or `elsewhere` (a file of
 * an earlier version names none); null: they are not.
 */
export const copyFits = (
  table: CopiedTable, listing: Listing | string, pieces: readonly Buffer[],
): 'servers' | 'elsewhere' | null => {
  const head = readHead(pieces[0])
  if (head === null || typeof listing === 'string' || head.definition !== fingerprintOf(table, listing)) return null
  return head.hosts === hostsOf(table) ? 'servers' : 'elsewhere'
}

/**
 * The copy that `pieces` wrote, by this definition of its table or by another one; a text says why it can't be used.
 */
export const readCopy = async (
  table: CopiedTable, listing: Listing | string, pieces: readonly Buffer[],
): Promise<Copy | string> => {
  const [head, ...segments] = pieces
  const read = readHead(head)
  if (read === null) return 'it is damaged'
  const isOurs = copyFits(table, listing, pieces) !== null
  const listedBy = isOurs && typeof listing !== 'string' ? listing : read.listing
  if (listedBy === null) return 'it is of another definition'
  const store = await RowStore.read(segments)
  if (store?.rows !== read.rows) return 'it is damaged'
  const copy = openCopy(table, listedBy, { ...read, store })
  return isOurs ? copy : { ...copy, isForeign: true }
}

type CopyData = Omit<Head, 'definition' | 'hosts' | 'rows' | 'listing'> & { readonly store: RowStore }

const openCopy = (
  table: CopiedTable, listing: Listing, { takenAt, server, losses, witnesses, odd, oddKeys, store }: CopyData,
): Copy => {
  const find = finder(listing, store, odd.map(key => new RegExp(`^${key}$`)))
  /** The keys by which a row with this key in the store is found, if they can be read off it. */
  const keysFor = (stored: string): readonly string[] => {
    const [search, ...texts] = stored.split('\n')
    return (listing.searches[Number(search)]?.ways ?? [])
      .flatMap(way => keyWith(way, texts) ?? []).filter(key => table.bind(key) !== null)
  }
  const copy: Copy = {
    answer: key => {
      if (table.bind(key) === null) return absent
      if (!isPlain(key)) return unsure
      const rows = rowsOf(listing, find, addressOf(key))
      if (rows === null) return unsure
      const outcome = table.answer(rows.now, key)
      if (outcome.kind === 'found') return found(outcome.value, 'stale')
      return outcome.kind === 'unavailable' || rows.hasOthers ? unsure : absent
    },
    sampleKeys: (count, random = Math.random) => {
      const keys = new Set<string>()
      let tries = 0
      for (const stored of store.keysFrom(random())) {
        if (keys.size >= count || ++tries > triesPerKey * count) break
        const [key] = keysFor(stored)
        if (key !== undefined) keys.add(key)
      }
      return [...keys]
    },
    listKeys: function* () {
      for (const stored of store.keysFrom(0)) yield* keysFor(stored)
      for (const stored of oddKeys) yield* keysFor(stored)
    },
    takenAt,
    server,
    losses,
    witnesses,
    rows: store.rows,
    keys: store.keys,
    bytes: store.bytes,
    pieces: function* () {
      const head: Head = {
        definition: fingerprintOf(table, listing), hosts: hostsOf(table), takenAt, server, losses,
        witnesses: copy.witnesses, rows: store.rows, odd, oddKeys, listing,
      }
      yield Buffer.from(JSON.stringify(head))
      yield* store.segments
    },
  }
  return copy
}

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
type CopiedRows = { readonly now: readonly StoredRow[], readonly hasOthers: boolean }

/** Null: not sure. */
const rowsOf = (listing: Listing, find: Find, address: AddressParts): CopiedRows | null => {
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
