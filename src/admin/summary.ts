/**
 * The status in one word, with each part that does not work and since when; and the report that the page, `holdfast
 * status` and /status show: the daemon at one moment.
 */
import type { Event, Events, History, HistoryStep } from './history.js'
import { doubtText } from './status.js'
import type { Status } from './status.js'

type DegradedPart = {
  /** `mysql 127.0.0.1:3306`, `redis`, `map virtual_alias`. */
  readonly part: string
  /** Epoch ms. */
  readonly since: number
  /** What is wrong and what it means for mail, in one sentence. */
  readonly what: string
}

export type Summary = {
  /** `degraded`: known recipients are still accepted; what isn't known yet may be deferred. */
  readonly state: 'well' | 'degraded' | 'stopping'
  readonly since: number
  readonly degraded: readonly DegradedPart[]
}

const degradedParts = (status: Status): DegradedPart[] => {
  const parts: DegradedPart[] = []
  for (const { server, state, since, lastError } of status.servers) {
    if (state === 'closed') continue
    const because = lastError === '' ? '' : ` (${lastError})`
    parts.push({ part: `mysql ${server}`, since, what: `breaker ${state}${because}; answers come from the caches` })
  }
  for (const { map, missing, since } of status.canaries) {
    if (!missing) continue
    parts.push({
      part: `canary of ${map}`, since,
      what: 'missing, so nothing that its server says is believed; known recipients are still accepted, '
        + 'other lookups are deferred',
    })
  }
  for (const { name, cached } of status.maps) {
    for (const doubt of cached?.doubts ?? []) {
      parts.push({ part: `map ${name}`, since: doubt.since, what: doubtText(name, doubt) })
    }
  }
  if (status.redis !== null && status.redis.state !== 'ready') {
    const { state, since } = status.redis
    parts.push({ part: 'redis', since, what: `${state}; answers come from memory and MySQL` })
  }
  return parts
}

/** `since`: when the first of the degraded parts became so, or the last of all recovered, at the earliest the start. */
export const summarize = (status: Status): Summary => {
  const degraded = degradedParts(status)
  if (!status.ready) return { state: 'stopping', since: status.now, degraded }
  if (degraded.length > 0) {
    return { state: 'degraded', since: Math.min(...degraded.map(({ since }) => since)), degraded }
  }
  const changes = [
    status.startedAt, ...status.servers.map(({ since }) => since), ...status.canaries.map(({ since }) => since),
    status.redis?.since ?? 0,
  ]
  return { state: 'well', since: Math.max(...changes), degraded }
}

/** Where a report comes from. */
export type Shown = {
  readonly status: () => Status
  readonly history: History
  readonly events: Events
}

export type Report = Status & {
  readonly summary: Summary
  /** By map. */
  readonly history: Readonly<Record<string, readonly HistoryStep[]>>
  readonly events: readonly Event[]
}

export const reportOf = ({ status, history, events }: Shown): Report => {
  const now = status()
  return { summary: summarize(now), ...now, history: history.steps(now), events: events.list() }
}
