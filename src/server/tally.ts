/**
 * What was answered, counted once for each reply: by map, protocol, outcome
 * and reason. Plain numbers, so that counting costs the hot path nothing.
 */
import type { Outcome, Reason } from '../outcome.js'

export type Tally = {
  readonly map: string
  readonly protocol: 'socketmap' | 'tcp_table'
  fresh: number
  stale: number
  absent: number
  readonly unavailable: Partial<Record<Reason, number>>
}

export const createTally = (map: string, protocol: Tally['protocol']): Tally =>
  ({ map, protocol, fresh: 0, stale: 0, absent: 0, unavailable: {} })

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
