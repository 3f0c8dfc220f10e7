/**
 * The status in one word, with each part that does not work and since when; and the report that the page, `holdfast
 * status` and /status show: the daemon at one moment.
 */
import { durationText } from '../config/units.js'
import { absencesFor } from '../lookup/answers.js'
import { isOutage } from '../outcome.js'
import type { Reason } from '../outcome.js'
import type { Tally } from '../server/tally.js'
import type { Event, Events, History, HistoryStep } from './history.js'
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

/** A map on MySQL. */
type CachedMap = MapStatus & { readonly cached: CachedStatus }

const hasCache = (map: MapStatus): map is CachedMap => map.cached !== null

/**
 * `reason`: why the tables can't be asked. `hasNoStandIn`: neither memory nor a copy has anything that would do, as
 * after a start in an outage.
 */
const effectOf = (
  { cached, copies }: CachedMap, reason: Reason = 'source-down',
): { readonly effect: Effect, readonly text: string, readonly hasNoStandIn: boolean } => {
  const { staleForMs, memory } = cached
  const absence = absencesFor(reason) === 'any' ? cached.absence : { ...cached.absence, inOutage: 'defer' as const }
  const facts = { absence, staleForMs, whyNoCopy: whyNoCopy(copies) }
  const unseen = ofUnseenKey(facts, true)
  if (unseen.passes) {
    const byCopy = facts.whyNoCopy === '' && staleForMs > 0
    const text = byCopy ? effectTexts.answered : `known keys are answered from the caches, others pass (${unseen.why})`
    return { effect: 'answered', text, hasNoStandIn: false }
  }
  const hasNoStandIn = memory.found === 0 && (memory.absent === 0 || ['refuses', 'weakens'].includes(absence.does))
  const effect = hasNoStandIn || !ofKnownKey(facts).passes ? 'deferred' : 'known answered'
  return { effect, text: effectTexts[effect], hasNoStandIn }
}

const effectTexts: Readonly<Record<Effect, string>> = {
  'deferred': 'neither known keys nor copies of its tables are there to answer from, so mail that needs it is deferred',
  'known answered': 'known keys are answered from the caches, others are deferred',
  'answered': 'keys are answered from the caches and the copies of its tables',
}

/** A map that works not at all or in part: what is wrong, and what its lookups get. */
type Affected = {
  readonly map: string
  readonly effect: Effect
  readonly part: DegradedPart | null
  /** The table answers, and is not believed only when it says absent. */
  readonly isDoubt?: true
  /** An absence in it refuses mail. */
  readonly refuses?: boolean
  /** It says absent for what it never found, once its servers have been out for so long (ms). */
  readonly rejectsAfterMs?: number | null
}

/** A map none of whose servers answers; null if one does. The server's part says the rest. */
const mapWithoutServers = (map: CachedMap, { servers }: Status): Affected | null => {
  const { name, cached } = map
  const its = servers.filter(({ server }) => cached.servers.includes(server))
  if (its.length === 0 || its.some(({ state }) => state === 'closed')) return null
  const { effect } = effectOf(map)
  const lost = { part: `map ${name}`, since: Math.max(...its.map(({ since }) => since)), what: effectTexts.deferred }
  const { outage, outageAfterMs } = cached.policy
  return {
    map: name, effect, part: effect === 'deferred' ? lost : null, refuses: cached.absence.does === 'refuses',
    rejectsAfterMs: outage === 'reject' ? outageAfterMs : null,
  }
}

/** A map on a server that lacks a canary; null if there is none. The canary's part says the rest. */
const mapWithoutCanary = (map: CachedMap, { canaries, maps }: Status): Affected | null => {
  const { name, cached } = map
  const isShared = (server: string): boolean => cached.servers.includes(server)
  const missing = canaries.find(canary =>
    canary.missing && maps.some(each => each.name === canary.map && each.cached?.servers.some(isShared)))
  if (missing === undefined) return null
  const { effect } = effectOf(map)
  const common = { map: name, refuses: cached.absence.does === 'refuses' }
  // Another server of the map may have it.
  if (effect === 'deferred' && cached.servers.length > 1) return { ...common, effect: 'known answered', part: null }
  const lost = { part: `map ${name}`, since: missing.since, what: effectTexts.deferred }
  return { ...common, effect, part: effect === 'deferred' ? lost : null }
}

const affectedMap = (map: CachedMap, status: Status): readonly Affected[] => {
  const { name, cached: { trouble, doubts, servers, absence } } = map
  const { effect, hasNoStandIn } = effectOf(map)
  const part = `map ${name}`
  const affected: Affected[] = doubts.map(doubt => ({
    map: name, effect: effect === 'deferred' && !hasNoStandIn ? effect : 'known answered', isDoubt: true,
    part: { part, since: doubt.since, what: doubtText(name, doubt) },
  }))
  const out = mapWithoutServers(map, status)
  const isDoubted = doubts.length > 0 || status.canaries.some(({ missing }) => missing)
  const bridged = out ?? mapWithoutCanary(map, status)
  if (bridged !== null) affected.push(bridged)
  // The server, the canary or the doubt says so already.
  const isOld = trouble !== null && status.now - trouble.lastAt >= oldMs
  const isOver = trouble !== null && isOutage(trouble.reason) && status.servers.some(({ server, state, since }) =>
    servers.includes(server) && state === 'closed' && since >= trouble.lastAt)
  const isExplained = trouble === null || isOver
    || (trouble.reason === 'distrusted' ? isDoubted || isOld : out !== null)
  if (!isExplained) {
    const { effect: instead, text } = effectOf(map, trouble.reason)
    const problem = trouble.reason === 'distrusted' ? 'its table is not believed when it says absent'
      : 'its table can\'t be asked'
    const what = `${problem} (${trouble.reason}: ${trouble.detail}); ${text}`
    affected.push({
      map: name, effect: instead, refuses: absence.does === 'refuses', part: { part, since: trouble.since, what },
    })
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
    part: `mysql ${server}`, since,
    what: `fails${lastError === '' ? '' : ` (${lastError})`}; Holdfast tries it again every few seconds`,
  })),
  ...canaries.filter(({ missing }) => missing).map(({ map, since }) => ({
    part: `canary of ${map}`, since, what: 'missing, so Holdfast believes nothing that the server without it says',
  })),
]

/** Whether clients still ask for maps that the configuration doesn't have. */
const isOfNoMap = ({ map, unavailableAt }: Tally, now: number): boolean => map === '' && now - unavailableAt < oldMs

const degradedRest = ({ redis, answers, now, reloadFailedAt, snapshotProblem }: Status): readonly DegradedPart[] => [
  ...reloadFailedAt === null ? [] : [{
    part: 'configuration', since: reloadFailedAt,
    what: 'a reload failed, so the former configuration stays in use; a restart may fail, too: '
      + '`holdfast check` and the log say why',
  }],
  ...answers.filter(answer => isOfNoMap(answer, now))
    .map(({ unavailableAt, lastUnknown }) => ({
      part: 'main.cf', since: unavailableAt,
      what: `a client asks for map '${lastUnknown}', which the configuration doesn't have, and gets a temporary error; `
        + '`holdfast check` finds where main.cf names it',
    })),
  ...snapshotProblem === null ? [] : [{
    part: 'snapshot', since: snapshotProblem.since,
    what: `${snapshotProblem.text}; a restart would lose what was learned since: free space, or mend the rights of its `
      + 'folder',
  }],
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

/** What happens to mail that the maps have no answer for. */
const restOf = (affected: readonly Affected[]): string => {
  const [rejectsAfterMs] = affected.flatMap(each => each.rejectsAfterMs ?? []).sort((a, b) => a - b)
  return rejectsAfterMs === undefined ? 'deferred, not refused'
    : `deferred, and refused once MySQL has been out for ${durationText(rejectsAfterMs)} (\`outage: reject\`)`
}

const sentenceOf = (affected: readonly Affected[], parts: readonly DegradedPart[], asksForOthers: boolean): string => {
  const having = (effect: Effect): readonly Affected[] => affected.filter(each => each.effect === effect)
  const named = (some: readonly Affected[]): string => listed([...new Set(some.map(({ map }) => map))])
  const [deferred, known] = [having('deferred'), having('known answered')]
  if (deferred.length > 0) return `Mail is deferred: ${named(deferred)} can't be answered.`
  if (asksForOthers) return 'Mail that needs a map which the configuration doesn\'t have is deferred.'
  const bridged = known.filter(({ isDoubt }) => isDoubt !== true)
  if (bridged.length > 0) {
    return 'Known recipients are accepted. '
      + `Mail that needs a key never seen in ${named(bridged)} is ${restOf(affected)}.`
  }
  if (known.length > 0) {
    return 'Known recipients are accepted, and those that the table has. Others are deferred, not refused.'
  }
  if (affected.some(({ refuses }) => refuses)) {
    return `Existing recipients are accepted. Unknown ones are ${restOf(affected)}.`
  }
  return parts.length === 1 ? 'Mail is accepted. One part is degraded.'
    : `Mail is accepted. ${parts.length} parts are degraded.`
}

/** `since`: when the first of the degraded parts became so, or the last of all recovered, at the earliest the start. */
export const summarize = (status: Status): Summary => {
  const isReachable = status.listeners.every(({ problem }) => problem === null)
  const affected = [
    ...status.faults.flatMap(faultyMap), ...status.maps.flatMap(map => hasCache(map) ? affectedMap(map, status) : []),
  ]
  const degraded = [
    ...unreachableListeners(status), ...degradedServers(status), ...affected.flatMap(({ part }) => part ?? []),
    ...degradedRest(status),
  ]
  const common = { degraded, affected: Object.fromEntries(affected.map(({ map, effect }) => [map, effect])) }
  if (!status.ready && isReachable) {
    return { state: 'stopping', sentence: 'This node is stopping.', since: status.now, ...common }
  }
  if (degraded.length > 0) {
    const asksForOthers = status.answers.some(answer => isOfNoMap(answer, status.now))
    const isDeferring = !isReachable || asksForOthers || affected.some(({ effect }) => effect === 'deferred')
    return {
      state: isDeferring ? 'deferring' : 'degraded',
      sentence: isReachable ? sentenceOf(affected, degraded, asksForOthers)
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
