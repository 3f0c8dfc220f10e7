/** Time as the lookups see it, so that tests can turn the clock by hand. */
export type Clock = {
  /** Epoch ms. */
  now(): number
  /** Calls `run` once after `ms`; the returned function cancels that. The timer doesn't keep the process alive. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: Date.now,
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
