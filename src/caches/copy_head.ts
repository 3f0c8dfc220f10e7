/** The first piece of a copy's file: what the rows are of, and what else there is to know of them. */
import { createHash } from 'node:crypto'
import type { Listing } from '../tables/listing.js'

export type Head = {
  readonly definition: string
  /** The servers that the table is on; '' in a file of an earlier version. */
  readonly hosts: string
  readonly takenAt: number
  readonly server: string
  readonly losses: number[]
  readonly witnesses: number
  /** A file may have lost its end. */
  readonly rows: number
  readonly odd: readonly string[]
  /** What those match that were listed; a file of an earlier version has none. */
  readonly oddKeys: readonly string[]
  /** By which another definition can tell the keys; a file of an earlier version has none. */
  readonly listing: Listing | null
}

/** Identifies what was listed: a table by its definition, on these servers. 16 hexadecimal digits. */
export const listedId = ({ definition, hosts }: Pick<Head, 'definition' | 'hosts'>): string =>
  createHash('sha256').update(JSON.stringify([definition, hosts])).digest('hex').slice(0, 16)

const textsIn = (value: unknown): readonly string[] | null =>
  Array.isArray(value) && value.every(text => typeof text === 'string') ? value : null

/** The file has a checksum, so it is what this program wrote; in JSON, no limit is null. */
const listingIn = (value: unknown): Listing | null => {
  const listing = value as Listing | undefined
  const limitOf = ({ limit }: { readonly limit: number | null }): number => limit ?? Infinity
  if (listing === undefined) return null
  return { ...listing, selects: listing.selects.map(select => ({ ...select, limit: limitOf(select) })) }
}

/** Null: it is none, or damaged. */
export const readHead = (piece: Buffer | undefined): Head | null => {
  let head: unknown
  try {
    head = JSON.parse(piece?.toString('utf8') ?? '')
  } catch {
    return null
  }
  if (typeof head !== 'object' || head === null) return null
  const { definition, takenAt, server, rows, ...lists } = head as Readonly<Record<string, unknown>>
  if (typeof definition !== 'string' || typeof server !== 'string') return null
  if (typeof takenAt !== 'number' || typeof rows !== 'number') return null
  const odd = textsIn(lists['odd'])
  const shares: unknown[] = Array.isArray(lists['losses']) ? lists['losses'] : [null]
  if (odd === null || !shares.every(share => typeof share === 'number')) return null
  const hosts = typeof lists['hosts'] === 'string' ? lists['hosts'] : ''
  const witnesses = typeof lists['witnesses'] === 'number' ? lists['witnesses'] : 0
  return {
    definition, hosts, takenAt, server, losses: shares, witnesses, rows, odd, oddKeys: textsIn(lists['oddKeys']) ?? [],
    listing: listingIn(lists['listing']),
  }
}
