/**
 * One timer for deadlines that are set far more often than they pass. While
 * what has a deadline is done in time, no timer is set or cleared for it: when
 * the timer rings, at the first deadline that it knew of, it is seen which of
 * them are over, and when it has to ring next.
 */

/** Time that nobody sets. */
export type Timing = {
  /** ms since some moment. */
  elapsed(): number
  /** Calls `run` once after `ms`; the returned function cancels that. The timer doesn't keep the process alive. */
  after(ms: number, run: () => void): () => void
}

export const systemTiming: Timing = {
  elapsed: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

export class Alarm {
  readonly #timing: Timing
  readonly #onRing: (now: number) => number
  /** When it will ring; Infinity: it isn't set. */
  #at = Infinity
  #cancel: () => void = () => undefined

  /** `onRing` ends what is over at `now`, and gives the first deadline of the rest; Infinity if there is none. Times as `timing.elapsed()` has them. */
  constructor(timing: Timing, onRing: (now: number) => number) {
    this.#timing = timing
    this.#onRing = onRing
  }

  /** Has it ring at `deadline`, if it wouldn't ring sooner; `now` is the time. */
  setFor(deadline: number, now: number): void {
    if (deadline >= this.#at) return
    this.#cancel()
    this.#at = deadline
    this.#cancel = this.#timing.after(Math.max(0, deadline - now), this.#ring)
  }

  readonly #ring = (): void => {
    this.#at = Infinity
    const now = this.#timing.elapsed()
    this.setFor(this.#onRing(now), now)
  }
}
