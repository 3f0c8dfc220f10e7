/**
 * All that one reading of the configuration decides behind the listeners:
 * Redis, guards and the lookup of each map. A reload builds the next
 * generation beside the running one and takes over what that one knows.
 */
import { createHash } from 'node:crypto'
import { makeEntry } from '../caches/entry.js'
import type { Lifetimes } from '../config/config.js'
import { createMemory } from '../caches/memory.js'
import type { Memory } from '../caches/memory.js'
import { createRedisCache } from '../caches/redis.js'
import { openFlushChannel } from '../caches/flush_channel.js'
import type { Flush, FlushChannel } from '../caches/flush_channel.js'
import type { RedisCache, RedisState } from '../caches/redis.js'
import { warmMap } from './warmed.js'
import type { WatchedSources } from './watched.js'
import type { Config, MapConfig } from '../config/config.js'
import type { MapStatus, RedisStatus } from '../admin/status.js'
import type { Log } from '../log.js'
import { flushEverywhere } from '../upkeep/flush.js'
import { Canary } from '../trust/canary.js'
import { watchChanges } from '../upkeep/changes.js'
import { systemClock } from '../runtime/clock.js'
import { Guard } from '../trust/guard.js'
import type { Maps, MysqlMap, ServedMap } from '../lookup/maps.js'
import { Known } from '../lookup/known.js'
import { MapLookup } from '../lookup/lookup.js'
import { reverify } from '../upkeep/reverify.js'
import { compileSearch } from '../lookup/search.js'
import { TextLookup } from '../lookup/text_map.js'
import type { Warmer } from '../warm/warmer.js'
import { createTargets, isKnownElsewhere } from '../trust/known_elsewhere.js'
import type { Neighbour } from '../trust/known_elsewhere.js'
import { bugOf } from '../log.js'
import { fold } from '../postfix/fold.js'
import { askChanges } from '../tables/changes_query.js'

type OpenedRedis = ReturnType<typeof createRedisCache>
/** So long (ms) an answer may be good without another question. */
const longestFreshMs = ({ freshForMs, absentForMs }: Lifetimes): number => Math.max(freshForMs, absentForMs)
/** Flushes are kept for so much longer (ms) than anything is fresh. */
const flushGraceMs = 60_000
const changesBudgetMs = 2_000

export type Generation = {
  readonly config: Config
  readonly loadedAt: number
  readonly maps: Maps
  /** By map; those of maps whose tables are loaded ahead of demand. */
  readonly warmers: ReadonlyMap<string, Warmer>
  readonly sources: WatchedSources
  redisStatus(): RedisStatus | null
  /** Resolves when Redis, if there is one, has been reached or has failed once. */
  readonly redisTried: Promise<void>
  /** Tells the nodes that share the Redis of a flush; null once there is none left to tell, else why they could not all be told. */
  announce(flush: Flush): Promise<string | null>
  canaries(): readonly Canary[]
  /** Cuts off lookups that still wait; to be called when there are none left to wait for. */
  close(): void
}

/** Opens the parts; connects in the background. `previous` stays whole and usable. */
export const openGeneration = (config: Config, sources: WatchedSources, log: Log, previous: Generation | null): Generation => {
  const redis = openRedis(config, log)
  const canaries = openCanaries(config, sources, log)
  const maps = new Map<string, ServedMap>()
  const warmers = new Map<string, Warmer>()
  const redisTried = redis?.cache.tried ?? Promise.resolve()
  // One load at a time.
  let loading = Promise.resolve()
  const inTurn = (work: () => Promise<void>): Promise<void> => loading = loading.then(work)
    .catch((error: unknown) => log.error(bugOf(error)))
  // Each map sees all of them, those that come after it too.
  const neighbours: Neighbour[] = []
  for (const map of config.maps) {
    const served = serveMap(config, map, sources, canaries, redis?.cache ?? null, neighbours, previous, log)
    const warmer = served.kind === 'text' ? null
      : warmMap(config, served, sources, previous, { client: redis?.cache.client ?? null, redisTried, inTurn }, log)
    if (warmer !== null) warmers.set(map.name, warmer)
    maps.set(map.name, served)
    if (!map.sensitive) neighbours.push({ search: map.search, knows: key => served.kind === 'text' ? served.lookup.has(key) : served.lookup.known.has(key), ...served.kind === 'mysql' ? { targets: served.targets } : {} })
  }
  const channel = redis === null ? null : openFlushes(config, redis.cache, maps, log)
  const allCanaries = [...new Set([...canaries.values()].flat())]
  const generation: Generation = {
    config, maps, warmers, sources,
    loadedAt: Date.now(),
    redisStatus: () => redis?.status() ?? null,
    // What Redis knows is fresh only where its flushes are known.
    redisTried: Promise.all([redisTried, channel?.tried]).then(() => undefined),
    announce: flush => channel?.announce(flush) ?? Promise.resolve(null),
    canaries: () => allCanaries,
    close: () => {
      for (const end of watches) end()
      for (const warmer of warmers.values()) warmer.close()
      for (const map of maps.values()) if (map.kind === 'mysql') map.guard.close()
      for (const canary of allCanaries) canary.close()
      channel?.close()
      redis?.close()
      sources.close()
    },
  }
  const watches = [...maps.values()].flatMap(map => map.kind === 'mysql' ? [...watchTable(generation, map, log), ...reverifyMap(config, map)] : [])
  return generation
}

/** Where a stale answer bridges nothing, there is nothing to keep recent. */
const reverifyMap = ({ file: { remember_for: rememberForMs, deadline } }: Config, map: MysqlMap): (() => void)[] => {
  const { lookup, plan, source, guard, config: { lifetimes } } = map
  if (rememberForMs === 0 || lifetimes.staleForMs <= lifetimes.freshForMs) return []
  return [reverify({
    lookup, known: lookup.known, plan, source, guard, deadlineMs: deadline, clock: systemClock, random: Math.random,
  }, rememberForMs)]
}

/** Edits that the table's `changes` query lists are flushed; gives the functions that end this. */
const watchTable = (generation: Generation, map: MysqlMap, log: Log): (() => void)[] => {
  const { config: { changes, lifetimes }, name } = map
  const opened = generation.sources.of(name)
  const table = opened.kind === 'mysql' ? opened.tables[0] : undefined
  if (changes === null || table === undefined) return []
  return [watchChanges({
    ask: seconds => askChanges(table.database, changes, seconds, changesBudgetMs),
    // What other nodes have been told they need not be told again.
    onChanged: (key, isNew) => {
      if (isNew) void flushEverywhere(map, key, flush => generation.announce(flush))
      else map.lookup.flush(key, Date.now())
    },
    onProblem: ({ reason, detail }) => {
      // The breaker has its own line.
      if (reason !== 'breaker-open') log.repeated(`changes ${name}`, `map ${name}: changes can't be asked: ${reason}: ${detail}`, { map: name })
    },
    everyMs: generation.config.file.changes_every, freshForMs: longestFreshMs(lifetimes), clock: systemClock,
  })]
}

/** What /status says of a map. */
export const statusOf = (map: ServedMap, warmer: Warmer | undefined): MapStatus => ({
  name: map.name, search: map.config.search, source: map.kind,
  cached: map.kind === 'text' ? null : {
    origins: { ...map.lookup.origins }, memory: map.memory.size(), inFlight: map.lookup.flights, guard: map.guard.state,
  },
  warm: warmer?.state() ?? null,
})

/** Flushes by other nodes reach the maps. */
const openFlushes = (config: Config, { client }: Pick<OpenedRedis, 'client'>, maps: Maps, log: Log): FlushChannel | null => {
  if (config.redis === null) return null
  const lookups = [...maps.values()].flatMap(map => map.kind === 'mysql' ? [map.lookup] : [])
  const keepMs = Math.max(...config.maps.map(({ lifetimes }) => longestFreshMs(lifetimes))) + flushGraceMs
  return openFlushChannel(client, config.redis, keepMs, {
    onFlush: ({ map: name, what }, at) => {
      const map = maps.get(name)
      if (map?.kind === 'mysql') map.lookup.flush(what, at)
    },
    onMany: at => { for (const lookup of lookups) lookup.flush(null, at) },
    onGap: () => { for (const lookup of lookups) lookup.known.expire() },
    onInTouch: isInTouch => { for (const lookup of lookups) lookup.known.knowsFlushes = isInTouch },
    onProblem: problem => log.repeated('redis flush', `redis: flushes by other nodes may not reach this one at once: ${problem}`),
  }, Date.now)
}

const openRedis = (config: Config, log: Log): { cache: OpenedRedis, status: () => RedisStatus, close: () => void } | null => {
  if (config.redis === null) return null
  let since = Date.now()
  let isClosed = false
  let before: RedisState = 'connecting'
  const cache = createRedisCache(config.redis, (state, detail) => {
    if (isClosed) return
    const lasted_ms = Date.now() - since
    since = Date.now()
    const text = state === 'ready' ? 'redis: ready' : `redis: ${state}: ${detail}; answers come from memory and the tables`
    // One that is slow, or a cluster without one of its nodes, comes and goes every few seconds.
    if (state === 'resting' || before === 'resting') log.repeated(`redis ${state}`, text, { lasted_ms })
    else if (state === 'ready') log.info(text, { lasted_ms })
    else log.warn(text, { lasted_ms })
    before = state
  }, (fault, detail) => {
    if (!isClosed) log.repeated(`redis ${fault}`, `redis: ${fault}: ${detail}`)
  }, Date.now)
  return {
    cache,
    status: () => ({ ...cache.status(), since }),
    close: () => {
      isClosed = true
      cache.close()
    },
  }
}

/** The canaries of each authority. */
const openCanaries = (config: Config, sources: WatchedSources, log: Log): Map<string, Canary[]> => {
  const canaries = new Map<string, Canary[]>()
  for (const map of config.maps) {
    const opened = sources.of(map.name)
    if (map.canary === null || opened.kind === 'text') continue
    let since = Date.now()
    const canary = new Canary(map.name, fold(map.canary), opened.source, systemClock, state => {
      const lasted_ms = state.since - since
      since = state.since
      if (state.missing) log.error(`map ${map.name}: the canary is missing: nothing that its server says is believed; known keys are served as before, others deferred`, { lasted_ms })
      else log.info(`map ${map.name}: the canary is back, its server is believed again`, { lasted_ms })
    })
    // A breaker that is half-open lets one question through: let it be this one.
    sources.onHalfOpen(() => canary.probe())
    for (const authority of opened.authorities) canaries.set(authority, [...canaries.get(authority) ?? [], canary])
  }
  return canaries
}

const serveMap = (
  config: Config, map: MapConfig, sources: WatchedSources, canaries: ReadonlyMap<string, Canary[]>, redis: RedisCache | null,
  neighbours: readonly Neighbour[], previous: Generation | null, log: Log,
): ServedMap => {
  const { file } = config
  const { name } = map
  const opened = sources.of(name)
  const plan = compileSearch(map.search, config.search)
  if (opened.kind === 'text') {
    return { kind: 'text', name, config: map, plan, table: opened.lookup, lookup: new TextLookup(name, plan, map.policy, opened.lookup) }
  }
  const { source, authorities } = opened
  const guardSettings = { maxShrink: map.maxShrink, windowMs: file.shrink_window, canaries: [...new Set(authorities.flatMap(authority => canaries.get(authority) ?? []))] }
  let since = Date.now()
  const guard = new Guard(source, guardSettings, systemClock, Math.random, state => {
    const lasted_ms = state.since - since
    since = state.since
    if (state.trusted) log.info(`map ${name}: the table has its keys again, it is believed when it says absent`, { map: name, lasted_ms })
    else {
      log.error(`map ${name}: ${state.gone} of its known keys are gone from the table: NOT believed when it says absent; `
        + 'known keys are served as before, others deferred', { map: name, lasted_ms })
    }
  })
  const definition = definitionOf(source.definition, config, map)
  const earlier = previous?.maps.get(name)
  const isSameTable = earlier?.kind === 'mysql' && earlier.identity.definition === definition
  if (isSameTable) guard.inherit(earlier.guard)
  const memory = isSameTable ? takeOver(earlier, previous?.config ?? null, config, map) : emptyMemory(config)
  const targets = isSameTable ? earlier.targets : createTargets()
  const mapRedis = map.sensitive ? null : redis
  const known = new Known({ identity: { name, definition }, plan, lifetimes: map.lifetimes }, {
    memory, redis: mapRedis, clock: systemClock, random: Math.random,
    isKnownElsewhere: key => isKnownElsewhere(map.search, key, neighbours),
    ...map.search === 'virtual' ? { onFound: value => targets.note(value) } : {},
  })
  const lookup = new MapLookup({
    plan, policy: map.policy, deadlineMs: file.deadline, softDeadlineMs: file.soft_deadline,
  }, {
    known, source, guard, clock: systemClock,
    onBug: error => log.repeated('bug', bugOf(error), { map: name }),
  })
  known.knowsFlushes = mapRedis === null
  return { kind: 'mysql', name, config: map, plan, lookup, source, guard, memory, redis: mapRedis, identity: { name, definition }, targets }
}

const emptyMemory = ({ file: { memory } }: Config): Memory =>
  createMemory({ entries: memory.entries, bytes: memory.bytes, absentEntries: memory.absent_entries })

/** The memory itself if its bounds and lifetimes are the same; else what is known, under the new ones. */
const takeOver = (earlier: MysqlMap, before: Config | null, config: Config, map: MapConfig): Memory => {
  const isSame = JSON.stringify([before?.file.memory, earlier.config.lifetimes]) === JSON.stringify([config.file.memory, map.lifetimes])
  if (isSame) return earlier.memory
  const memory = emptyMemory(config)
  const now = Date.now()
  // The most recently used come last, as in the memory that they come from.
  for (const [key, { outcome, verifiedAt, askedAt }] of [...earlier.memory.known()].reverse()) {
    const entry = { ...makeEntry(outcome, verifiedAt, map.lifetimes, now, Math.random()), askedAt }
    if (now < entry.expiredAt) memory.set(key, entry, true)
  }
  return memory
}

/** 16 hexadecimal digits that change whenever an answer of this map could. */
const definitionOf = (source: string, config: Config, map: MapConfig): string => {
  const { recipientDelimiter, parentDomainMatchesSubdomains, propagateUnmatchedExtensions, localDomains } = config.search
  return createHash('sha256').update(JSON.stringify([
    source, map.search, recipientDelimiter, [...parentDomainMatchesSubdomains], [...propagateUnmatchedExtensions], [...localDomains],
  ])).digest('hex').slice(0, 16)
}
