/**
 * The status in one word, with each part that does not work and since when; and the report that the page, `holdfast
 * status` and /status show: the daemon at one moment.
 */
import { isOutage } from '../outcome.js'
import type { Event, Events, History, HistoryStep } from './history.js'
import type { CopyStatus } from '../upkeep/copies.js'
import { ofKnownKey, ofUnseenKey, whyNoCopy } from './outage_verdict.js'
import { doubtText } from './status.js'
import type { CachedStatus, MapFaults, MapStatus, Status } from './status.js'

type DegradedPart = {
  /** `mysql 127.0.0.1:3306`, `redis`, `map virtual_alias`. */
  readonly part: string
  /** Epoch ms. */
  readonly since: number
  /** What is wrong and what it means for mail, in one sentence. */
  readonly what: string
}

/** What a map's lookups get while its tables can't be asked: nothing, or what is known, or what the copies have. */
type Effect = 'deferred' | 'known answered' | 'answered'

export type Summary = {
  /**
   * `deferring`: known recipients are deferred, too; `degraded`: they are accepted, and what isn't known yet may be
   * deferred.
   */
  readonly state: 'well' | 'degraded' | 'deferring' | 'stopping'
  /** What this means for mail, in one sentence. */
  readonly sentence: string
  readonly since: number
  /** The worst first. */
  readonly degraded: readonly DegradedPart[]
  /** What lookups get in the maps that don't work as they should, by map. */
  readonly affected: Readonly<Record<string, Effect>>
}

/**
 * Trouble whose end shows nowhere (a question about a map that does not exist, a replica's lag) ends after this (ms).
 */
const oldMs = 60_000

const effectOf = (
  copies: readonly CopyStatus[], { absence, staleForMs, memory }: CachedStatus, hasRedis: boolean,
): Effect => {
  const facts = { absence, staleForMs, whyNoCopy: whyNoCopy(copies) }
  // Started in an outage, with nothing to recall.
  const knowsNobody = memory.found === 0 && facts.whyNoCopy !== '' && !hasRedis && absence.does === 'refuses'
  if (knowsNobody || !ofKnownKey(facts).passes) return 'deferred'
  return ofUnseenKey(facts, true).passes ? 'answered' : 'known answered'
}

const effectTexts: Readonly<Record<Effect, string>> = {
  'deferred': 'there are neither known keys nor copies of its tables to answer from, so mail that needs it is deferred',
  'known answered': 'known keys are answered from the caches, others are deferred',
  'answered': 'keys are answered from the caches and the copies of its tables',
}

/** A map that works not at all or in part: what is wrong, and what its lookups get. */
type Affected = { readonly map: string, readonly effect: Effect, readonly part: DegradedPart | null }

const affectedMap = ({ name, cached, copies }: MapStatus, status: Status): readonly Affected[] => {
  if (cached === null) return []
  const { trouble, doubts, servers } = cached
  const effect = effectOf(copies, cached, status.redis?.state === 'ready')
  const part = `map ${name}`
  const affected: Affected[] = doubts.map(doubt => ({
    map: name, effect: effect === 'answered' ? 'known answered' : effect,
    part: { part, since: doubt.since, what: doubtText(name, doubt) },
  }))
  const its = status.servers.filter(({ server }) => servers.includes(server))
  const isOut = its.length > 0 && its.every(({ state }) => state !== 'closed')
  // The server's part says the rest.
  const lost = { part, since: Math.max(...its.map(({ since }) => since)), what: effectTexts.deferred }
  if (isOut) affected.push({ map: name, effect, part: effect === 'deferred' ? lost : null })
  const isDoubted = doubts.length > 0 || status.canaries.some(({ missing }) => missing)
  // The server or the doubt says so already.
  const isOld = trouble !== null && status.now - trouble.lastAt >= oldMs
  const isOver = trouble !== null && isOutage(trouble.reason)
    && its.some(({ state, since }) => state === 'closed' && since >= trouble.lastAt)
  const isExplained = trouble === null || isOver || (trouble.reason === 'distrusted' ? isDoubted || isOld : isOut)
  if (!isExplained) {
    const what = `its table can't be asked (${trouble.reason}: ${trouble.detail}); ${effectTexts[effect]}`
    affected.push({ map: name, effect, part: { part, since: trouble.since, what } })
  }
  return affected
}

/** A map whose definition has faults: it is deferred, or served by its last good definition. */
const faultyMap = ({ map, problems, isServed, since }: MapFaults): readonly Affected[] => {
  const faults = problems.map(({ place, text }) => `${place}: ${text}`).join('; ')
  const effect = isServed ? 'its last good definition stays in use' : 'its lookups are deferred'
  return [{
    map, effect: isServed ? 'answered' : 'deferred', part: { part: `map ${map}`, since, what: `${faults}; ${effect}` },
  }]
}

const unreachableListeners = ({ listeners }: Status): readonly DegradedPart[] =>
  listeners.flatMap(({ address, problem }) =>
    problem === null ? [] : [{ part: `listener ${address}`, since: problem.since, what: problem.text }])

const degradedServers = ({ servers, canaries }: Status): readonly DegradedPart[] => [
  ...servers.filter(({ state }) => state !== 'closed').map(({ server, since, lastError }) => ({
    part: `mysql ${server}`, since, what: `does not answer${lastError === '' ? '' : ` (${lastError})`}, and is tried `
      + 'again every few seconds; answers come from the caches',
  })),
  ...canaries.filter(({ missing }) => missing).map(({ map, since }) => ({
    part: `canary of ${map}`, since, what: 'missing, so Holdfast believes nothing that its server says',
  })),
]

const degradedRest = ({ redis, answers, now }: Status): readonly DegradedPart[] => [
  ...answers.filter(({ map, unavailableAt }) => map === '' && now - unavailableAt < oldMs)
    .map(({ unavailableAt }) => ({
      part: 'main.cf', since: unavailableAt,
      what: 'clients ask for maps that the configuration doesn\'t have, and their mail is deferred; '
        + 'run `holdfast check`',
    })),
  ...redis === null || redis.state !== 'ready' || redis.refusesWrites === null ? [] : [{
    part: 'redis', since: redis.refusesWrites.since,
    what: `refuses writes (${redis.refusesWrites.detail}); answers are still read from it, new ones are not shared`,
  }],
  ...redis === null || redis.state === 'ready' ? [] : [{
    part: 'redis', since: redis.since,
    what: `${redis.state}; answers come from memory and MySQL, and nodes don't share what they learn`,
  }],
]

const listed = (names: readonly string[]): string => {
  const [shown, more] = [names.slice(0, 3).join(', '), names.length - 3]
  return `${names.length === 1 ? 'map' : 'maps'} ${shown}${more > 0 ? ` and ${more} more` : ''}`
}

const sentenceOf = (affected: readonly Affected[], parts: readonly DegradedPart[], status: Status): string => {
  const mapsWith = (effect: Effect): readonly string[] =>
    [...new Set(affected.filter(each => each.effect === effect).map(({ map }) => map))]
  const [deferred, bridged] = [mapsWith('deferred'), mapsWith('known answered')]
  if (deferred.length > 0) return `Mail is deferred: ${listed(deferred)} can't be answered.`
  if (bridged.length > 0) {
    return `Known recipients are accepted. Mail that needs a key never seen in ${listed(bridged)} is deferred.`
  }
  const isMissing = status.canaries.some(({ missing }) => missing)
  if (isMissing) return 'Known recipients are accepted. Others are deferred.'
  if (affected.some(({ part, map }) => part === null || !status.faults.some(fault => fault.map === map))) {
    return 'Existing recipients are accepted. Unknown ones are deferred, not refused.'
  }
  return parts.length === 1 ? 'Mail is accepted. One part is degraded.'
    : `Mail is accepted. ${parts.length} parts are degraded.`
}

/** `since`: when the first of the degraded parts became so, or the last of all recovered, at the earliest the start. */
export const summarize = (status: Status): Summary => {
  const isReachable = status.listeners.every(({ problem }) => problem === null)
  const affected = [...status.faults.flatMap(faultyMap), ...status.maps.flatMap(map => affectedMap(map, status))]
  const degraded = [
    ...unreachableListeners(status), ...degradedServers(status), ...affected.flatMap(({ part }) => part ?? []),
    ...degradedRest(status),
  ]
  const common = { degraded, affected: Object.fromEntries(affected.map(({ map, effect }) => [map, effect])) }
  if (!status.ready && isReachable) {
    return { state: 'stopping', sentence: 'This node is stopping.', since: status.now, ...common }
  }
  if (degraded.length > 0) {
    return {
      state: !isReachable || affected.some(({ effect }) => effect === 'deferred') ? 'deferring' : 'degraded',
      sentence: isReachable ? sentenceOf(affected, degraded, status)
        : 'Mail is deferred: Postfix can\'t reach this node.',
      since: Math.min(...degraded.map(({ since }) => since)), ...common,
    }
  }
  const changes = [
    status.startedAt, ...status.servers.map(({ since }) => since), ...status.canaries.map(({ since }) => since),
    status.redis?.since ?? 0,
  ]
  return { state: 'well', sentence: 'Mail is safe. All is well.', since: Math.max(...changes), ...common }
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
