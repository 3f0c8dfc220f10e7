/** What the log says when the state of something changes: one line, with how long the last state lasted (ms). */
import type { RedisState } from '../caches/redis_server.js'
import type { ConfigFile } from '../config/schema.js'
import type { Log } from '../log.js'
import type { ServerSettings } from '../mysql/server.js'
import type { CanaryState } from '../trust/canary.js'
import { doubtCauses } from '../trust/doubt.js'
import type { Doubt } from '../trust/doubt.js'
import type { CopiesParts } from '../upkeep/copies.js'

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

/** For `onWrites` of a Redis cache. */
export const logRedisWrites = (log: Log, refusal: string | null): void => {
  if (refusal === null) log.info('redis: takes writes again')
  else log.warn(`redis: refuses writes: ${refusal}; answers are still read from it, new ones are not shared`)
}

/** For `onState` of the MySQL servers. */
export const logServers = (log: Log): ServerSettings['onState'] => {
  const isOpen = new Set<string>()
  return (server, state, detail, lasted_ms) => {
    switch (state) {
      case 'closed':
        isOpen.delete(server)
        return log.info(`mysql ${server}: answers again`, { lasted_ms })
      case 'half-open':
        return log.debug(`mysql ${server}: trying it again`)
      case 'open':
        // A try that fails is no change.
        if (isOpen.has(server)) log.debug(`mysql ${server}: still fails: ${detail}`)
        else {
          log.warn(`mysql ${server}: fails: ${detail}; other servers and the caches answer; `
            + 'what they don\'t know is deferred', { lasted_ms })
        }
        isOpen.add(server)
        return
      default: state satisfies never
    }
  }
}

/** For a canary's changes. */
export const logCanary = (map: string, log: Log): ((state: CanaryState) => void) => {
  const timed = timeStates()
  return ({ missing, since }) => {
    const lasted = timed(since)
    if (!missing) log.info(`map ${map}: the canary is back, so its server is believed again`, lasted)
    else {
      log.error(`map ${map}: the canary is missing, so Holdfast believes nothing that its server says: `
        + 'other servers and the caches answer; what they don\'t know is deferred', lasted)
    }
  }
}

/** For the copies of tables: the first one of each map, and what goes wrong. */
export const logCopies = (log: Log): Pick<CopiesParts, 'onTaken' | 'onProblem'> => {
  const taken = new Set<string>()
  return {
    onTaken: (map, rows, took_ms) => {
      const text = `map ${map}: a copy of its table (${rows} row${rows === 1 ? '' : 's'}) is ready for outages`
      if (taken.has(map)) log.debug(text, { map, took_ms })
      else log.info(text, { map, took_ms })
      taken.add(map)
    },
    onProblem: (map, problem) =>
      log.repeated(`copy ${map}`, `map ${map}: there is no new copy of its table: ${problem}`, { map }),
  }
}

type OnDoubt = (server: string, doubt: Doubt, isOver: boolean) => void

/** For the doubts in a map's tables. */
export const logDoubt = (map: string, log: Log): OnDoubt => (server, doubt, isOver) => {
  const fields = { map, server, lasted_ms: isOver ? Date.now() - doubt.since : undefined }
  if (isOver) {
    log.info(`map ${map}: the table has its keys again, so it is believed again when it says absent`, fields)
    return
  }
  log.error(`map ${map}: ${doubtCauses[doubt.cause]}, so it is not believed when it says absent: `
    + 'what it still has and what is known is answered, the rest is deferred. '
    + `If the rows are gone on purpose: holdfast trust ${map}`, fields)
}

/** What `role`, `unknown` and `outage` together mean for mail, in a sentence. */
export const roleMeans = ({ role, unknown, outage }: Pick<ConfigFile, 'role' | 'unknown' | 'outage'>): string => {
  switch (role) {
    case 'primary':
      return 'primary: this node defers recipients that can\'t be looked up, and '
        + (unknown === 'defer' ? 'those that the table lacks: their senders go on to the next MX'
          : 'rejects those that the table lacks')
    case 'fallback':
      return outage === 'reject'
        ? 'fallback, outage: reject: this node rejects recipients that the table lacks, and in an outage those that it '
          + 'doesn\'t know; if the primaries use the same database, choose outage: defer'
        : 'fallback, outage: defer: this node rejects recipients that the table lacks, and defers those that can\'t be '
          + 'looked up'
    default: return role satisfies never
  }
}
