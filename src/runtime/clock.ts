/** Time as the lookups see it, so that tests can set it. */
export type Clock = {
  /** Epoch ms. */
  now(): number
  /** ms since some moment, which nobody sets. */
  elapsed(): number
  /** Calls `run` once after `ms`; the returned function cancels that. The timer doesn't keep the process alive. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: Date.now,
  elapsed: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
