/**
 * The copies of a map's tables (copy.ts), in the order in which the tables are asked, and what they say together: a
 * table without a copy, or whose copy isn't sure of a key, ends the search as one that can't be asked does.
 * upkeep/copies.ts takes the copies and puts them here. A reload goes on with them. Until there is a copy by the map's
 * own definition, one that another definition listed is evidence of its keys.
 */
import { absent } from '../outcome.js'
import type { Absent, Found } from '../outcome.js'
import type { Copy } from './copy.js'

/** What the copies have for a key: when the tables were listed (epoch ms), and who has the row. */
export type Copied = {
  readonly outcome: Found | Absent, readonly at: number, readonly table: number, readonly server: string,
  /** Another definition listed it. */
  readonly isForeign?: true | undefined
}

export class MapCopies {
  readonly #copies: (Copy | null)[]
  readonly #foreign: (Copy | null)[]

  constructor(tables: number) {
    this.#copies = Array.from({ length: tables }, () => null)
    this.#foreign = [...this.#copies]
  }

  /** How many tables the map has. */
  get tables(): number {
    return this.#copies.length
  }

  /** The copy of a table, if it was taken after `since` (epoch ms). */
  of(table: number, since = -Infinity): Copy | null {
    const copy = this.#copies[table] ?? null
    return copy !== null && copy.takenAt > since ? copy : null
  }

  put(table: number, copy: Copy): void {
    this.#copies[table] = copy
    this.#foreign[table] = null
  }

  /** Keeps a copy that another definition listed as evidence, if there is no other. */
  putForeign(table: number, copy: Copy): void {
    if (this.of(table) === null) this.#foreign[table] ??= { ...copy, isForeign: true }
  }

  /** The copy of a table, its own or another definition's, if it was taken after `since` (epoch ms). */
  evidence(table: number, since = -Infinity): Copy | null {
    const foreign = this.#foreign[table] ?? null
    return this.of(table, since) ?? (foreign !== null && foreign.takenAt > since ? foreign : null)
  }

  /** Takes the copies of another definition as evidence. `places`: of its tables here; -1: nowhere. */
  inherit(earlier: MapCopies, places: readonly number[]): void {
    for (const [table, place] of places.entries()) {
      const copy = earlier.evidence(table)
      if (place !== -1 && copy !== null) this.putForeign(place, copy)
    }
  }

  /** Whether a copy has rows, its own or another definition's. */
  get hasRows(): boolean {
    return [...this.#copies, ...this.#foreign].some(copy => copy !== null && copy.rows > 0)
  }

  /** Who has the row of a step's key by the copies of another definition; null: they don't say. */
  foreignRow(key: string): Copied | null {
    for (const table of this.#foreign.keys()) {
      const copy = this.evidence(table)
      const answer = copy?.isForeign === true ? copy.answer(key) : undefined
      if (copy !== null && answer?.kind === 'found') {
        return { outcome: answer, at: copy.takenAt, table, server: '', isForeign: true }
      }
    }
    return null
  }

  /** What the copies say of a step's key, if they were taken after `since` (epoch ms); null: they say nothing. */
  answer(key: string, since = -Infinity): Copied | null {
    let at = Infinity
    for (const table of this.#copies.keys()) {
      const copy = this.of(table, since)
      const answer = copy?.answer(key)
      if (copy === null || answer === undefined || answer.kind === 'unsure') return null
      if (answer.kind === 'found') return { outcome: answer, at: copy.takenAt, table, server: copy.server }
      at = Math.min(at, copy.takenAt)
    }
    return at === Infinity ? null : { outcome: absent, at, table: -1, server: '' }
  }
}
