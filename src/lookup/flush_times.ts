/**
 * When what is known of a map was flushed: all of it, the keys of a domain, or
 * a key. What was verified before then is not fresh, wherever it comes from and
 * whenever it comes. Bounded: more than `maxKeys` are taken for all.
 */
import { domainOf } from '../postfix/address.js'

const maxKeys = 10_000
/** A clock that was set back by less than this (ms) makes nothing fresh for noticeably longer. */
const clockToleranceMs = 1_000

/** What a flush concerns: null is all, `@example.com` every key of that domain, anything else that folded key. */
export type Flushed = string | null

export class FlushTimes {
  #allAt = 0
  /** How far the wall clock was ahead of the elapsed time (ms), at most. */
  #clockAhead = -Infinity
  readonly #at = new Map<string, number>()

  /** `at` is epoch ms. */
  note(what: Flushed, at: number): void {
    if (what === null) {
      this.#allAt = Math.max(this.#allAt, at)
      return
    }
    this.#at.set(what, Math.max(this.#at.get(what) ?? 0, at))
    if (this.#at.size <= maxKeys) return
    for (const then of this.#at.values()) this.#allAt = Math.max(this.#allAt, then)
    this.#at.clear()
  }

  /**
   * Whether the wall clock was set back since it was last looked at: then what was fresh once would be so again. `now`
   * is epoch ms, and `elapsed` what nobody sets.
   */
  wasClockSetBack(now: number, elapsed: number): boolean {
    const ahead = now - elapsed
    const isSetBack = ahead < this.#clockAhead - clockToleranceMs
    this.#clockAhead = isSetBack ? ahead : Math.max(this.#clockAhead, ahead)
    return isSetBack
  }

  /**
   * The last flush (epoch ms) that concerns this folded key; 0 if there was none. One that is later than `now` was
   * noted by a clock that was wrong: from now on it counts as of now, or nothing would be fresh until then.
   */
  lastAt(key: string, now: number): number {
    this.#allAt = Math.min(this.#allAt, now)
    if (this.#at.size === 0) return this.#allAt
    return Math.max(this.#allAt, this.#lastOf(key, now), this.#lastOf(`@${domainOf(key)}`, now))
  }

  /** The last flush of this very key. */
  keyAt(key: string, now: number): number {
    return this.#lastOf(key, now)
  }

  #lastOf(what: string, now: number): number {
    const at = this.#at.get(what) ?? 0
    if (at > now) this.#at.set(what, now)
    return Math.min(at, now)
  }
}
