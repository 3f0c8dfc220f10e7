/**
 * When what is known of a map was flushed: all of it, the keys of a domain, or
 * a key. What was verified before then is not fresh, wherever it comes from and
 * whenever it comes. Bounded: more than `maxKeys` at once are taken for all.
 */
const maxKeys = 10_000

/** What a flush concerns: null is all, `@example.com` every key of that domain, anything else that folded key. */
export type Flushed = string | null

/** The domain of a folded key; a key without @ is taken for one. */
export const domainOf = (key: string): string => key.slice(key.lastIndexOf('@') + 1)

export class FlushTimes {
  /** FlushTimes older than this (ms) say nothing any more: nothing that old is fresh. */
  readonly #keepMs: number
  #allAt = 0
  readonly #at = new Map<string, number>()

  constructor(keepMs: number) {
    this.#keepMs = keepMs
  }

  /** `at` is epoch ms. */
  note(what: Flushed, at: number): void {
    if (what === null) {
      this.#allAt = Math.max(this.#allAt, at)
      return
    }
    this.#at.set(what, Math.max(this.#at.get(what) ?? 0, at))
    if (this.#at.size <= maxKeys) return
    for (const [key, then] of this.#at) if (then < at - this.#keepMs) this.#at.delete(key)
    if (this.#at.size <= maxKeys) return
    for (const then of this.#at.values()) this.#allAt = Math.max(this.#allAt, then)
    this.#at.clear()
  }

  /** The last flush (epoch ms) that concerns this folded key; 0 if there was none. */
  lastAt(key: string): number {
    if (this.#at.size === 0) return this.#allAt
    return Math.max(this.#allAt, this.#at.get(key) ?? 0, this.#at.get(`@${domainOf(key)}`) ?? 0)
  }
}
