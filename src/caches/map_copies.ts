/**
 * The copies of a map's tables (copy.ts), in the order in which the tables are asked, and what they say together: a
 * table without a copy, or whose copy isn't sure of a key, ends the search as one that can't be asked does.
 * upkeep/copies.ts takes the copies and puts them here. A reload goes on with them.
 */
import { absent } from '../outcome.js'
import type { Absent, Found } from '../outcome.js'
import type { Copy } from './copy.js'

/** What the copies have for a key: when the tables were listed (epoch ms), and who has the row. */
export type Copied = {
  readonly outcome: Found | Absent, readonly at: number, readonly table: number, readonly server: string,
}

export class MapCopies {
  readonly #copies: (Copy | null)[]

  constructor(tables: number) {
    this.#copies = Array.from({ length: tables }, () => null)
  }

  /** The copy of a table, if it was taken after `since` (epoch ms). */
  of(table: number, since = -Infinity): Copy | null {
    const copy = this.#copies[table] ?? null
    return copy !== null && copy.takenAt > since ? copy : null
  }

  put(table: number, copy: Copy): void {
    this.#copies[table] = copy
  }

  /** What the copies say of a step's key, if they were taken after `since` (epoch ms); null: they say nothing. */
  answer(key: string, since: number): Copied | null {
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
