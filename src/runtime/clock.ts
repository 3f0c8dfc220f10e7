import { systemTiming } from './alarm.js'
import type { Timing } from './alarm.js'

/** Time as the lookups see it, so that tests can turn the clock by hand. */
export type Clock = Timing & {
  /** Epoch ms. */
  now(): number
}

export const systemClock: Clock = { ...systemTiming, now: Date.now }
