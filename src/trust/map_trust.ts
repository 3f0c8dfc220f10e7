/**
 * Whether the tables of one map may be believed when they say absent: what status,
 * log and `holdfast trust` see of it, and what of it outlives this process.
 */
import { clockSkewMs } from '../caches/entry.js'
import { isDoubt } from './doubt.js'
import type { Doubt } from './doubt.js'
import type { TableTrust } from './table_trust.js'

/** A doubt in one of a map's tables, on one server. */
export type TableDoubt = Doubt & { readonly table: number, readonly server: string }

/**
 * For each table of an earlier definition of a map its place in this one, by what identifies the tables: that of the
 * same table, else of one that stands in for it; -1 if there is none.
 */
export const placesOf = (before: readonly string[], now: readonly string[]): readonly number[] => {
  const unmatched = now.flatMap((id, place) => before.includes(id) ? [] : [place])
  return before.map(id => now.includes(id) ? now.indexOf(id) : unmatched.shift() ?? -1)
}

export class MapTrust {
  readonly tables: readonly TableTrust[]
  /** What identifies each table, with all that decides its rows. */
  readonly ids: readonly string[]
  /** The map's name when this node saved what it knew, and for each table that there was, its place now. */
  saved: { readonly name: string | null, readonly places: readonly number[] } = { name: null, places: [] }

  /** The tables in the order in which they are asked. */
  constructor(tables: readonly TableTrust[], ids: readonly string[] = tables.map((_, index) => String(index))) {
    this.tables = tables
    this.ids = ids
  }

  get doubts(): readonly TableDoubt[] {
    return this.tables.flatMap((table, index) =>
      [...table.doubts].map(([server, doubt]) => ({ ...doubt, table: index, server })))
  }

  /** An administrator says that the tables are right as they are. */
  trust(): void {
    for (const table of this.tables) table.trust()
  }

  /** The doubts as text, for Redis and the snapshot. */
  encode(): string {
    const { trustedAt, doubts, ids, tables } = this
    return JSON.stringify({
      trustedAt, trusted: tables.map(table => table.trustedAt), doubts, ids,
      created: tables.map(({ created }) => created),
    })
  }

  /**
   * Goes on with what `encode` gave in another process, or in this one before a restart, by another definition perhaps.
   * Any other text is ignored. Gives the places of its tables here.
   */
  decode(text: string): readonly number[] {
    const encoded = parse(text)
    const { doubts, created, ids } = encoded
    const places = placesOf(ids.length === 0 ? this.ids : ids, this.ids)
    for (const [index, table] of this.tables.entries()) {
      const own = doubts.filter(each => places[each.table] === index)
      const place = places.indexOf(index)
      table.adopt(own.map(({ server, ...doubt }) => [server, doubt]), trustedIn(encoded, place), created[place] ?? [])
    }
    return places
  }

  /** Whether such a text has all doubts that there are here, and the last `holdfast trust`; null has none. */
  isIn(text: string | null): boolean {
    const encoded = parse(text ?? '')
    const { doubts, ids } = encoded
    const places = placesOf(ids.length === 0 ? this.ids : ids, this.ids)
    const isTrusted = this.tables.every(({ trustedAt }, index) =>
      trustedAt <= trustedIn(encoded, places.indexOf(index)))
    return isTrusted && this.doubts.every(({ table, server, since }) => doubts.some(each =>
      places[each.table] === table && each.server === server && each.since === since))
  }

  /** Whether such a text is of somebody's whose clock was ahead when an administrator ran `holdfast trust`. */
  isFromFuture(text: string, now: number): boolean {
    return parse(text).trustedAt > now + clockSkewMs
  }

  /** When an administrator last said that the tables are right as they are (epoch ms); 0: never. */
  get trustedAt(): number {
    return Math.max(...this.tables.map(table => table.trustedAt))
  }

  /** Goes on with what an earlier configuration knew, whether or not it had the same definition of the map. */
  inherit(earlier: MapTrust): void {
    for (const [index, place] of placesOf(earlier.ids, this.ids).entries()) {
      const before = earlier.tables[index]
      if (before !== undefined) this.tables[place]?.adopt(before.doubts, before.trustedAt, before.created)
    }
  }

  close(): void {
    for (const table of this.tables) table.close()
  }
}

type ServerText = readonly [server: string, text: string]

type Encoded = {
  /** The latest time of all tables. */
  readonly trustedAt: number
  /** By table: one that was in no doubt then keeps its evidence. What an earlier version encoded has none. */
  readonly trusted: readonly number[]
  readonly doubts: readonly TableDoubt[]
  /** By table. */
  readonly created: readonly (readonly ServerText[])[]
  /** Of the tables; what an earlier version encoded has none. */
  readonly ids: readonly string[]
}

/** When an administrator last said that the table in that place is right as it is (epoch ms); 0: never. */
const trustedIn = ({ trustedAt, trusted }: Encoded, place: number): number =>
  trusted.length === 0 ? trustedAt : trusted[place] ?? 0

const isTableDoubt = (value: unknown): value is TableDoubt => isDoubt(value) && 'table' in value && 'server' in value
  && typeof value.table === 'number' && typeof value.server === 'string'

const isServerText = (value: unknown): value is ServerText =>
  Array.isArray(value) && value.length === 2 && value.every(each => typeof each === 'string')

const parse = (text: string): Encoded => {
  const nothing = { trustedAt: 0, trusted: [], doubts: [], created: [], ids: [] }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return nothing
  }
  if (typeof value !== 'object' || value === null) return nothing
  const { trustedAt, trusted, doubts, created, ids } = value as Readonly<Record<string, unknown>>
  if (typeof trustedAt !== 'number' || !Array.isArray(doubts)) return nothing
  const tables: readonly unknown[] = Array.isArray(created) ? created : []
  return {
    trustedAt, doubts: doubts.filter(isTableDoubt),
    trusted: Array.isArray(trusted) ? trusted.map(at => typeof at === 'number' ? at : 0) : [],
    created: tables.map(table => Array.isArray(table) ? table.filter(isServerText) : []),
    ids: Array.isArray(ids) ? ids.map(String) : [],
  }
}
