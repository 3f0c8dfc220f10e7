/**
 * How many statements a server gets at once: as many as it takes, found out as in TCP (RFC 5681). After an outage one,
 * then one more with each answer; half as many when statements take too long, then one more for each round of answers.
 */

/** However slow they are: it may be one query that is slow, which with a single turn would keep all others waiting. */
const least = 2

export class Limit {
  readonly #max: number
  #exact: number
  /** Below this it grows with each answer, above it with each round of answers. */
  #threshold: number
  #shrunkAt = -Infinity

  constructor(max: number) {
    this.#max = max
    this.#exact = max
    this.#threshold = max
  }

  get value(): number {
    return Math.floor(this.#exact)
  }

  /** Whether the server gets one more now. */
  grow(): boolean {
    if (this.#exact === this.#max) return false
    const before = this.value
    this.#exact = Math.min(this.#max, this.#exact + (this.#exact < this.#threshold ? 1 : 1 / this.#exact))
    return this.value > before
  }

  /** Once for all statements that were sent before the last time. */
  shrink(sentAt: number): void {
    if (sentAt < this.#shrunkAt) return
    this.#threshold = this.#exact = Math.max(Math.min(least, this.#max), this.#exact / 2)
    this.#shrunkAt = performance.now()
  }

  restart(): void {
    this.#exact = 1
    this.#threshold = this.#max
  }
}
