/** Status in one word, and which part is ill since when: for the page, the terminal and /readyz. Pure. */
import type { Status } from './status.js'

export type Ill = {
  /** `mysql 127.0.0.1:3306`, `redis`, `map virtual_alias`. */
  readonly part: string
  /** Epoch ms. */
  readonly since: number
  /** What is wrong and what it means for mail, in one sentence. */
  readonly what: string
}

export type Summary = {
  /** `ill`: known recipients are served as ever; what isn't known yet may be deferred. */
  readonly state: 'well' | 'ill' | 'stopping'
  readonly since: number
  readonly ill: readonly Ill[]
}

const illOf = (status: Status): Ill[] => {
  const ill: Ill[] = []
  for (const { server, state, since, lastError } of status.servers) {
    if (state === 'closed') continue
    const because = lastError === '' ? '' : ` (${lastError})`
    ill.push({ part: `mysql ${server}`, since, what: `breaker ${state}${because}: known keys are served from the caches` })
  }
  for (const { map, missing, since } of status.canaries) {
    if (missing) ill.push({ part: `canary of ${map}`, since, what: 'missing: nothing that its server says is believed; known keys are served, others deferred' })
  }
  for (const { name, cached } of status.maps) {
    for (const { server, since, missing, known } of cached?.doubts ?? []) {
      ill.push({
        part: `map ${name}`, since,
        what: `the table on ${server} lacks ${missing ?? 'some'} of ${known} known keys: it is not believed when it says absent; `
          + `if that is right, run holdfast trust ${name}`,
      })
    }
  }
  if (status.redis !== null && status.redis.state !== 'ready') {
    ill.push({ part: 'redis', since: status.redis.since, what: `${status.redis.state}: answers come from memory and the tables` })
  }
  return ill
}

/** `since`: when the first of the parts that are ill fell ill; or when the last of all got well, at the earliest the start. */
export const summarize = (status: Status): Summary => {
  const ill = illOf(status)
  if (!status.ready) return { state: 'stopping', since: status.now, ill }
  if (ill.length > 0) return { state: 'ill', since: Math.min(...ill.map(({ since }) => since)), ill }
  const changes = [
    status.startedAt, ...status.servers.map(({ since }) => since), ...status.canaries.map(({ since }) => since),
    status.redis?.since ?? 0,
  ]
  return { state: 'well', since: Math.max(...changes), ill }
}
