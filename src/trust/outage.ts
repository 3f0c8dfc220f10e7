/**
 * Whether the servers of a table are out, and have been for long: by connections
 * or statements that failed, one after the other, and not by this node's own
 * trouble. A server that answers, be it with a refusal (its limits, our password),
 * is not out. While the breaker is open, the tries in the background count.
 */
import { isOutage } from '../outcome.js'
import type { Outcome, Unavailable } from '../outcome.js'
import type { Out } from '../mysql/breaker.js'
import type { Clock } from '../runtime/clock.js'

/**
 * A lookup's failure is the last word for so long (ms): a process that was held up, or is asked nothing, knows nothing.
 */
const recentMs = 15_000

/** A question that ends so much (ms) after its time shows that this process was held up. */
export const lateMs = 250

export class Outage {
  readonly #afterMs: number
  readonly #tryMs: number
  readonly #clock: Clock
  /** Of the clock's elapsed time, which nobody sets. */
  #since: number | null = null
  /** Until when the last failure is the last word. */
  #until = 0

  /** `tryMs`: while a server fails, one try ends at most so long after the one before (breaker.ts). */
  constructor(afterMs: number, tryMs: number, clock: Clock) {
    this.#afterMs = afterMs
    this.#tryMs = tryMs
    this.#clock = clock
  }

  /**
   * Notes what came of a question that had time until `until` (elapsed ms). `out`: since when the servers have been
   * out, and when that was last seen (elapsed ms), as far as they were tried in the background; null: nothing is known.
   */
  note(outcome: Outcome, until: number, out: Out | null = null): void {
    const now = this.#clock.elapsed()
    if (outcome.kind !== 'unavailable' || now > until + lateMs) this.#since = null
    else if (out !== null && isOutage(outcome.reason)) this.#fail(out.since, out.at + this.#tryMs + lateMs)
    else if (isFailure(outcome)) {
      // Failures far apart may be two outages: nobody asked in between.
      this.#fail(now <= this.#until ? this.#since ?? now : now, now + recentMs)
    } else if (outcome.reason !== 'overloaded') this.#since = null
  }

  #fail(since: number, until: number): void {
    this.#since = since
    this.#until = until
  }

  /** Whether the servers have been out for `outage_after`. */
  get isLong(): boolean {
    const now = this.#clock.elapsed()
    return this.#since !== null && now - this.#since >= this.#afterMs && now <= this.#until
  }
}

const isFailure = ({ reason }: Unavailable): boolean => reason === 'source-down' || reason === 'timeout'
