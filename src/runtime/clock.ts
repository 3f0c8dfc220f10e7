/** Time as the lookups see it, so that tests can set it. */
export type Clock = {
  /** Epoch ms. */
  now(): number
  /** ms since some moment, which nobody sets. */
  elapsed(): number
  /** Calls `run` once after `ms`; the returned function cancels that. The timer doesn't keep the process alive. */
  after(ms: number, run: () => void): () => void
}

/** The longest wait of Node's timers, 24.8 days; a longer one would run out at once. */
const longestTimerMs = 2_147_483_647

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after: (ms, run) => {
    let cancel = (): void => clearTimeout(timer)
    const timer = setTimeout(ms <= longestTimerMs ? run
      : () => { cancel = systemClock.after(ms - longestTimerMs, run) }, Math.min(ms, longestTimerMs)).unref()
    return () => cancel()
  },
}
