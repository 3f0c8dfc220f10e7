/**
 * A copy: all rows of a table, listed at one time, by which any key can be
 * answered without the server. copied_rows.ts finds the rows of a key; the key is
 * bound and the answer formatted as for a real lookup. copy_head.ts has what a
 * copy's file begins with.
 *
 * MySQL finds by collation, a copy by bytes. For keys and rows in printable ASCII
 * the two differ in case alone, and keys are folded. A copy is not sure about other
 * keys, nor about one that a listed key of another kind could equal by the server's
 * collation (`müller@` for `muller@`), nor where SQL leaves open which rows LIMIT cuts
 * off, nor of an absence that the clock may have ended.
 */
import { createHash } from 'node:crypto'
import { absent, found, readable } from '../outcome.js'
import type { Absent, ByteString, Found } from '../outcome.js'
import { nameOf } from '../mysql/hosts.js'
import type { RawRow } from '../mysql/sql.js'
import type { TableDefinition } from '../tables/definition.js'
import type { Listing } from '../tables/listing.js'
import { addressOf, keyWith } from '../tables/expansion.js'
import { keyColumnsOf, listedColumns } from '../tables/listing.js'
import { isPlain, rowsFinder, storeKey } from './copied_rows.js'
import { listedId, readHead } from './copy_head.js'
import type { Head } from './copy_head.js'
import { RowStore } from './row_store.js'

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
  /** Identifies what was listed: the definition and the servers. 16 hexadecimal digits. */
  readonly id: string
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
/** Some of the stored keys can't be told apart into a key that Postfix would ask for: so many are tried for each. */
const triesPerKey = 10

const unsure = { kind: 'unsure' } as const
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Matches all that a collation could take for this text, which isn't printable ASCII or ends in blanks. */
const lookalikes = (text: string): string => Array.from(text.replace(/ +$/, ''),
  letter => /[\x20-\x7e]/.test(letter) ? escaped(letter) : '[^\\n]{0,4}').join('')

/** Identifies the definition that a copy fits; it is kept with the copy. */
const fingerprintOf = ({ fingerprint }: CopiedTable, listing: Listing): string =>
  createHash('sha256').update(JSON.stringify([2, fingerprint, listing])).digest('hex').slice(0, 16)

/** Each node may name its own server first. */
const hostsOf = ({ hosts }: CopiedTable): string => hosts.map(nameOf).sort().join()

/** What tells a table's copies from those of others: the definition, and the servers. */
export const listedBy = (table: CopiedTable, listing: Listing): Pick<Head, 'definition' | 'hosts'> =>
  ({ definition: fingerprintOf(table, listing), hosts: hostsOf(table) })

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
        ...listedBy(table, listing), takenAt, server, losses: [], witnesses: 0, odd: [...odd], oddKeys: [...oddKeys],
        store,
      })
    },
  }
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
  const isOurs = typeof listing !== 'string' && read.definition === fingerprintOf(table, listing)
  const its = isOurs ? listing : read.listing
  if (its === null) return 'it is of another definition'
  const store = await RowStore.read(segments)
  if (store?.rows !== read.rows) return 'it is damaged'
  const copy = openCopy(table, its, { ...read, store })
  return isOurs ? copy : { ...copy, isForeign: true }
}

type CopyData = Omit<Head, 'rows' | 'listing'> & { readonly store: RowStore }

const openCopy = (
  table: CopiedTable, listing: Listing,
  { definition, hosts, takenAt, server, losses, witnesses, odd, oddKeys, store }: CopyData,
): Copy => {
  const rowsFor = rowsFinder(listing, store, odd.map(key => new RegExp(`^${key}$`)))
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
      const rows = rowsFor(addressOf(key))
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
    id: listedId({ definition, hosts }),
    takenAt,
    server,
    losses,
    witnesses,
    rows: store.rows,
    keys: store.keys,
    bytes: store.bytes,
    pieces: function* () {
      const head: Head = {
        definition, hosts, takenAt, server, losses, witnesses: copy.witnesses, rows: store.rows, odd, oddKeys,
        listing,
      }
      yield Buffer.from(JSON.stringify(head))
      yield* store.segments
    },
  }
  return copy
}
