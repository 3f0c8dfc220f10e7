/** What the log says when the state of something changes: one line, with how long the last state lasted (ms). */
import type { RedisState } from '../caches/redis.js'
import type { Log } from '../log.js'
import type { CanaryState } from '../trust/canary.js'
import type { GuardState } from '../trust/guard.js'

type Lasted = { readonly lasted_ms: number }

/** Measures states: call it at the beginning of each (epoch ms). */
const timeStates = (): ((since: number) => Lasted) => {
  let began = Date.now()
  return since => {
    const lasted_ms = since - began
    began = since
    return { lasted_ms }
  }
}

/** For `onState` of a Redis cache. */
export const logRedis = (log: Log): ((state: RedisState, detail: string, since: number) => void) => {
  const timed = timeStates()
  let before: RedisState = 'connecting'
  return (state, detail, since) => {
    const lasted = timed(since)
    const text = state === 'ready' ? 'redis: ready' : `redis: ${state}: ${detail}; answers come from memory and MySQL`
    // A slow Redis, or a cluster without one of its nodes, comes and goes every few seconds.
    if (state === 'resting' || before === 'resting') log.repeated(`redis ${state}`, text, lasted)
    else if (state === 'ready') log.info(text, lasted)
    else log.warn(text, lasted)
    before = state
  }
}

/** For a canary's changes. */
export const logCanary = (map: string, log: Log): ((state: CanaryState) => void) => {
  const timed = timeStates()
  return ({ missing, since }) => {
    const lasted = timed(since)
    if (!missing) log.info(`map ${map}: the canary is back, its server is believed again`, lasted)
    else {
      log.error(`map ${map}: the canary is missing, so nothing that its server says is believed: `
        + 'known recipients are still accepted, other lookups are deferred', lasted)
    }
  }
}

/** For a guard's changes. */
export const logGuard = (map: string, log: Log): ((state: GuardState) => void) => {
  const timed = timeStates()
  return ({ trusted, gone, since }) => {
    const fields = { map, ...timed(since) }
    if (trusted) log.info(`map ${map}: the table has its keys again, it is believed when it says absent`, fields)
    else {
      log.error(`map ${map}: the table has lost ${gone} known keys, so it is NOT believed when it says absent: `
        + 'known recipients are still accepted, other lookups are deferred', fields)
    }
  }
}
