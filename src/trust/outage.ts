/**
 * Whether the servers of a table are out, and have been for long: by connections
 * or statements that failed, one after the other, and not by this node's own
 * trouble. A server that answers, be it with a refusal (its limits, our password),
 * is not out. While the breaker is open, the tries in the background count.
 */
import type { Outcome, Unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'

/**
 * The last failure was no longer ago than this (ms): a process that was held up, or is asked nothing, knows nothing.
 */
const recentMs = 15_000

/** A question that ends so much (ms) after its time shows that this process was held up. */
export const lateMs = 250
/** Failures so far apart (ms) may be two outages: nobody asked in between. */
const longestGapMs = 3_600_000

export class Outage {
  readonly #afterMs: number
  readonly #clock: Clock
  /** Of the clock's elapsed time, which nobody sets. */
  #since: number | null = null
  #failedAt = 0

  constructor(afterMs: number, clock: Clock) {
    this.#afterMs = afterMs
    this.#clock = clock
  }

  /**
   * Notes what came of a question that had time until `until` (elapsed ms). `outAt`: when the servers had last been
   * found out (elapsed ms); null: they had not.
   */
  note(outcome: Outcome, until: number, outAt: number | null = null): void {
    const now = this.#clock.elapsed()
    if (outcome.kind !== 'unavailable' || now > until + lateMs) this.#since = null
    else if (isFailure(outcome)) this.#fail(now)
    else if (outcome.reason === 'breaker-open' && outAt !== null) this.#fail(outAt)
    else if (outcome.reason !== 'overloaded') this.#since = null
  }

  #fail(at: number): void {
    if (this.#since === null || at - this.#failedAt > longestGapMs) this.#since = at
    this.#failedAt = Math.max(this.#failedAt, at)
  }

  /** Whether the servers have been out for `outage_after`. */
  get isLong(): boolean {
    const now = this.#clock.elapsed()
    return this.#since !== null && now - this.#since >= this.#afterMs && now - this.#failedAt <= recentMs
  }
}

const isFailure = ({ reason }: Unavailable): boolean => reason === 'source-down' || reason === 'timeout'
