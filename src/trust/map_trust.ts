/**
 * Whether the tables of one map may be believed when they say absent: what status,
 * log and `holdfast trust` see of it, and what of it outlives this process.
 */
import { isDoubt } from './doubt.js'
import type { Doubt } from './doubt.js'
import type { TableTrust } from './table_trust.js'

/** A doubt in one of a map's tables, on one server. */
export type TableDoubt = Doubt & { readonly table: number, readonly server: string }

export class MapTrust {
  readonly tables: readonly TableTrust[]

  /** The tables in the order in which they are asked. */
  constructor(tables: readonly TableTrust[]) {
    this.tables = tables
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
    const { trustedAt, doubts } = this
    return JSON.stringify({ trustedAt, doubts, created: this.tables.map(({ created }) => created) })
  }

  /**
   * Goes on with what `encode` gave in another process, or in this one before a restart. Anything else says nothing.
   */
  decode(text: string): void {
    const { trustedAt, doubts, created } = parse(text)
    for (const [index, table] of this.tables.entries()) {
      const own = doubts.filter(each => each.table === index)
      table.adopt(own.map(({ server, ...doubt }) => [server, doubt]), trustedAt, created[index] ?? [])
    }
  }

  /** When an administrator last said that the tables are right as they are (epoch ms); 0: never. */
  get trustedAt(): number {
    return Math.max(...this.tables.map(table => table.trustedAt))
  }

  /** Goes on with what an earlier configuration of the same tables knew. */
  inherit(earlier: MapTrust): void {
    for (const [index, table] of this.tables.entries()) {
      const before = earlier.tables[index]
      if (before !== undefined) table.adopt(before.doubts, before.trustedAt, before.created)
    }
  }

  close(): void {
    for (const table of this.tables) table.close()
  }
}

type ServerText = readonly [server: string, text: string]

type Encoded = {
  readonly trustedAt: number
  readonly doubts: readonly TableDoubt[]
  /** By table. */
  readonly created: readonly (readonly ServerText[])[]
}

const isTableDoubt = (value: unknown): value is TableDoubt => isDoubt(value) && 'table' in value && 'server' in value
  && typeof value.table === 'number' && typeof value.server === 'string'

const isServerText = (value: unknown): value is ServerText =>
  Array.isArray(value) && value.length === 2 && value.every(each => typeof each === 'string')

const parse = (text: string): Encoded => {
  const nothing = { trustedAt: 0, doubts: [], created: [] }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return nothing
  }
  if (typeof value !== 'object' || value === null) return nothing
  const { trustedAt, doubts, created } = value as Readonly<Record<string, unknown>>
  if (typeof trustedAt !== 'number' || !Array.isArray(doubts)) return nothing
  const tables: readonly unknown[] = Array.isArray(created) ? created : []
  return {
    trustedAt, doubts: doubts.filter(isTableDoubt),
    created: tables.map(table => Array.isArray(table) ? table.filter(isServerText) : []),
  }
}
