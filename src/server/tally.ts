/**
 * What was answered, counted once for each reply: by map, protocol, outcome
 * and reason. Plain numbers, so that counting costs the hot path nothing.
 */
import type { Outcome, Reason } from '../outcome.js'

/** Upper bounds (ms) of the classes that waiting times are counted in; one class more is beyond the last. */
const waitBoundsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const

export type Tally = {
  readonly map: string
  readonly protocol: 'socketmap' | 'tcp_table'
  fresh: number
  stale: number
  absent: number
  readonly unavailable: Partial<Record<Reason, number>>
  /** Of lookups that memory could not answer at once. */
  readonly waits: { readonly boundsMs: readonly number[], readonly counts: number[], sumMs: number }
}

export const createTally = (map: string, protocol: Tally['protocol']): Tally =>
  ({ map, protocol, fresh: 0, stale: 0, absent: 0, unavailable: {}, waits: { boundsMs: waitBoundsMs, counts: new Array<number>(waitBoundsMs.length + 1).fill(0), sumMs: 0 } })

export const count = (tally: Tally, outcome: Outcome): void => {
  switch (outcome.kind) {
    case 'found':
      if (outcome.age === 'fresh') tally.fresh++
      else tally.stale++
      return
    case 'absent':
      tally.absent++
      return
    case 'unavailable':
      tally.unavailable[outcome.reason] = (tally.unavailable[outcome.reason] ?? 0) + 1
      return
    default: outcome satisfies never
  }
}

/** A lookup that had to wait was settled after `ms`. */
export const countWait = ({ waits }: Tally, ms: number): void => {
  const found = waitBoundsMs.findIndex(bound => ms <= bound)
  const index = found === -1 ? waitBoundsMs.length : found
  waits.counts[index] = (waits.counts[index] ?? 0) + 1
  waits.sumMs += ms
}
