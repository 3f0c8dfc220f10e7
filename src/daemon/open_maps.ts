/**
 * Builds what one reading of the configuration decides: Redis, canaries, the
 * maps, and the work on them that goes on behind the lookups. A reload opens
 * the next maps beside the current ones and takes over what those know.
 */
import { isDeepStrictEqual } from 'node:util'
import { FlushChannel } from '../caches/flush_channel.js'
import type { Flush, FlushHooks, Unannounced } from '../caches/flush_channel.js'
import { RedisAnswers } from '../caches/redis.js'
import type { Config, Lifetimes, RedisSettings } from '../config/config.js'
import type { Log } from '../log.js'
import type { Maps, MysqlMap, ServedMap } from '../lookup/maps.js'
import { fold } from '../postfix/fold.js'
import { systemClock } from '../runtime/clock.js'
import { askChanges } from '../tables/changes_query.js'
import type { Sources } from '../tables/open.js'
import { Canary } from '../trust/canary.js'
import type { Neighbour } from '../trust/known_elsewhere.js'
import type { TableTrust } from '../trust/table_trust.js'
import { flushEverywhere, flushHere, watchChanges } from '../upkeep/flush.js'
import { keepCopies } from '../upkeep/copies.js'
import type { Copies } from '../upkeep/copies.js'
import { makeUpWrites } from '../upkeep/missed_writes.js'
import { openLoaders } from '../upkeep/table_loader.js'
import type { Loaders } from '../upkeep/table_loader.js'
import { bringEvidence } from '../upkeep/evidence.js'
import type { Evidence } from '../upkeep/evidence.js'
import { reverify } from '../upkeep/reverify.js'
import { shareDoubts } from '../upkeep/share_doubts.js'
import type { SharedDoubts } from '../upkeep/share_doubts.js'
import { formersIn } from './formers.js'
import type { Formers } from './formers.js'
import { identitiesOf } from './identity.js'
import { openMap } from './open_map.js'
import type { Surroundings } from './open_map.js'
import { logCanary, logCopies, logRedis, logRedisWrites } from './state_log.js'

export type OpenMaps = {
  readonly config: Config
  /** Epoch ms. */
  readonly openedAt: number
  readonly maps: Maps
  /** Those of which the configuration before knew nothing. */
  readonly unknownBefore: ReadonlySet<string>
  /** Those of earlier configurations that may come back. */
  readonly retired: Set<MysqlMap>
  /** Of maps whose tables are loaded ahead of demand. */
  readonly loaders: Loaders
  readonly sources: Sources
  readonly canaries: readonly Canary[]
  readonly copies: Copies
  /** The Redis that nodes share. */
  readonly redis: OpenedRedis | null
  readonly evidence: Evidence
  /** Tells the nodes that share the Redis of a flush: null if all of them know, else why some will know it later. */
  announce(flush: Flush): Promise<string | null>
  /** Cuts off the lookups under way. */
  close(): void
}

const changesBudgetMs = 2_000

/** For this time (ms) an answer may be given without another question. */
const longestFreshMs = ({ freshForMs, absentForMs }: Lifetimes): number => Math.max(freshForMs, absentForMs)

export type OpenHooks = {
  /** Something came to light that kill -9 must not take. */
  readonly save: () => void
  /** The Redis of this configuration, opened ahead. */
  readonly redis: OpenedRedis | null
  /** Reads the snapshot into these maps; a reload into those that are new or edited: else it has what is in memory. */
  readonly recall: (maps: Maps, changed: ReadonlySet<string>) => Promise<void>
}

/** Connects in the background. `previous` stays open and usable. */
export const openMaps = (
  config: Config, sources: Sources, log: Log, previous: OpenMaps | null,
  { save = () => undefined, recall, redis = openRedis(config, log, previous) }: Partial<OpenHooks> = {},
): OpenMaps => {
  if (redis !== null && previous?.redis != null) redis.cache.inherit(previous.redis.cache)
  const canaries = openCanaries(config, sources, log)
  // The maps inherit doubts before there is anybody to tell; Redis has those already.
  let doubts = null as SharedDoubts | null
  const identities = identitiesOf(config, sources)
  const formers = formersIn([...identities.values()], previous)
  const maps = openEachMap({
    config, sources, log, redis: redis?.cache ?? null, canaries, previous, identities, formers,
    onDoubt: name => {
      doubts?.noteChange(name)
      save()
    },
    save,
  })
  const mysqlMaps = [...maps.values()].filter(map => map.kind === 'mysql')
  const { changed, unknownBefore } = changesOf(formers, mysqlMaps)
  const channel = redis === null ? null : openFlushes(redis, maps, log)
  doubts = redis === null ? null : openDoubts(redis.cache, mysqlMaps, log)
  const announce: OpenMaps['announce'] = flush => channel?.announce(flush) ?? Promise.resolve(null)
  const loaders = openLoaders({
    config, maps: mysqlMaps, redis, canaries, previous, log,
  })
  const copies = keepCopies({
    maps: mysqlMaps, everyMs: config.file.copy_every, maxRows: config.file.copy_rows, folder: config.copiesPath,
    clock: systemClock, random: Math.random, ...logCopies(log),
  })
  const evidence = bringEvidence({
    maps: mysqlMaps, copies, clock: systemClock, log,
    recall: () => recall?.(maps, changed) ?? Promise.resolve(),
    redisTried: Promise.all([redis?.cache.tried, channel?.tried, doubts?.tried]),
  })
  const ends = mysqlMaps.flatMap(map => [
    ...followChanges(config, map, sources, { announce, copies }, log), ...keepVerified(config, map),
  ])
  if (redis !== null) ends.push(makeUpWrites({ maps: mysqlMaps, redis: redis.cache, clock: systemClock }))
  const allCanaries = [...new Set([...canaries.values()].flat())]
  return {
    config, openedAt: Date.now(), maps, unknownBefore, retired: formers.retired, loaders, sources,
    canaries: allCanaries, copies, redis, evidence, announce,
    close: () => {
      evidence.close()
      for (const end of ends) end()
      copies.close()
      for (const loader of loaders.values()) loader.close()
      for (const { trust } of mysqlMaps) trust.close()
      doubts?.close()
      for (const canary of allCanaries) canary.close()
      channel?.close()
      redis?.close()
      sources.close()
    },
  }
}

/**
 * The names of the maps that go on with none, or with none on the same tables. In `openMaps` this would keep the former
 * ones with it.
 */
const changesOf = (
  { of }: Formers, maps: readonly MysqlMap[],
): { readonly changed: ReadonlySet<string>, readonly unknownBefore: ReadonlySet<string> } => {
  const changed = maps.filter(({ name, identity }) => of.get(name)?.identity.definition !== identity.definition)
  const names = changed.map(({ name }) => name)
  return { changed: new Set(names), unknownBefore: new Set(names.filter(name => !of.has(name))) }
}

const openEachMap = (surroundings: Omit<Surroundings, 'neighbours' | 'siblings'>): Maps => {
  const { config } = surroundings
  const maps = new Map<string, ServedMap>()
  const siblings = new Map<string, TableTrust[]>()
  // Each map sees all of them, those that come after it too.
  const neighbours: Neighbour[] = [{ search: 'exact', knows: key => config.staticDomains.has(key), isPartial: true }]
  for (const map of config.maps) {
    const opened = openMap(map, { ...surroundings, neighbours, siblings })
    maps.set(map.name, opened)
    // That an address may log in, or that mail from it is copied, doesn't say that it takes mail.
    const saysWhoTakesMail = !map.sensitive && (map.absence.does === 'refuses' || map.search === 'virtual')
    if (saysWhoTakesMail) neighbours.push(neighbourOf(opened))
  }
  return maps
}

const neighbourOf = (map: ServedMap): Neighbour => {
  const { search } = map.config
  const knows = (key: string): boolean => map.lookup.has(key)
  if (map.kind === 'text') return { search, knows }
  const { lookup, targets } = map
  return { search, knows, targets, readRedis: (key, deadline) => lookup.readRedis(key, deadline) }
}

/** A Redis for all configurations in a row that name it alike. */
export type OpenedRedis = {
  readonly settings: RedisSettings
  readonly cache: RedisAnswers
  readonly unannounced: Unannounced
  /** For one more configuration. */
  share(): OpenedRedis
  /** Each configuration closes it once; the last one disconnects. */
  close(): void
}

/**
 * Connects in the background, unless the configuration before names the same Redis: in an outage a new connection
 * to a slow one would take seconds, in which nobody knew what it alone knows.
 */
export const openRedis = (
  { redis: settings }: Config, log: Log, previous: { readonly redis: OpenedRedis | null } | null,
): OpenedRedis | null => {
  if (settings === null) return null
  if (previous?.redis != null && isDeepStrictEqual(settings, previous.redis.settings)) return previous.redis.share()
  const logState = logRedis(log)
  const unannounced = previous?.redis?.unannounced ?? (new Map() as Unannounced)
  let users = 1
  const cache = new RedisAnswers(settings, {
    onState: (state, detail, since) => {
      if (users > 0) logState(state, detail, since)
    },
    onWrites: refusal => {
      if (users > 0) logRedisWrites(log, refusal)
    },
    onFault: (fault, detail) => {
      if (users > 0) log.repeated(`redis ${fault}`, `redis: a command failed: ${fault}: ${detail}`)
    },
  }, systemClock)
  const opened: OpenedRedis = {
    settings, cache, unannounced,
    share: () => {
      users++
      return opened
    },
    close: () => {
      if (--users === 0) cache.close()
    },
  }
  return opened
}

/** The canaries by the servers and databases that they guard (`authorities`). */
const openCanaries = (config: Config, sources: Sources, log: Log): ReadonlyMap<string, readonly Canary[]> => {
  const canaries = new Map<string, readonly Canary[]>()
  for (const map of config.maps) {
    const opened = sources.of(map.name)
    if (map.canary === null || opened.kind === 'text') continue
    const tables = opened.tables.map(({ source }) => source)
    const canary = new Canary(map.name, fold(map.canary), tables, systemClock, logCanary(map.name, log))
    for (const { authority } of opened.tables) canaries.set(authority, [...canaries.get(authority) ?? [], canary])
  }
  return canaries
}

/** Nodes that share a Redis share their doubts. */
const openDoubts = (redis: RedisAnswers, maps: readonly MysqlMap[], log: Log): SharedDoubts => shareDoubts({
  maps, redis, clock: systemClock,
  onProblem: problem =>
    log.repeated('redis doubts', `redis: doubts that other nodes have may not reach this one: ${problem}`),
})

/** Flushes by other nodes reach the maps. */
const openFlushes = ({ settings, cache, unannounced }: OpenedRedis, maps: Maps, log: Log): FlushChannel => {
  const mysqlMaps = [...maps.values()].filter(map => map.kind === 'mysql')
  const hooks: FlushHooks = {
    onFlush: ({ map: name, what }, at) => {
      const map = maps.get(name)
      if (map?.kind === 'mysql') map.lookup.flush(what, at)
    },
    // A Redis that has lost the flushes has lost everything else, too.
    onLost: at => {
      for (const { lookup, identity } of mysqlMaps) {
        lookup.flush(null, at)
        if (lookup.known.isRedisRead) lookup.known.redis?.noteName(identity)
      }
      cache.miss(0)
    },
    onInTouch: isInTouch => { for (const { lookup } of mysqlMaps) lookup.known.knowsFlushes = isInTouch },
    onProblem: problem =>
      log.repeated('redis flush', `redis: flushes by other nodes may not reach this one at once: ${problem}`),
  }
  return new FlushChannel({ client: cache.client, settings, hooks, unannounced, now: Date.now })
}

/** Flushes the rows that the map's `changes` query lists; gives the functions that end this. */
const followChanges = (
  config: Config, map: MysqlMap, sources: Sources, { announce, copies }: Pick<OpenMaps, 'announce' | 'copies'>,
  log: Log,
): (() => void)[] => {
  const { config: { lifetimes }, name } = map
  const opened = sources.of(name)
  const [table] = map.tables
  if (opened.kind === 'text' || opened.changes === null || table === undefined) return []
  const { changes } = opened
  return [watchChanges({
    ask: seconds => askChanges(table.database, changes, seconds, changesBudgetMs),
    // The other nodes are told of a change once.
    onChanged: (key, isNew) => {
      if (!isNew) return void flushHere(map, key)
      copies.retake(name)
      void flushEverywhere(map, key, announce)
    },
    onProblem: ({ reason, detail }) => {
      // An open breaker has its own line.
      if (reason === 'breaker-open') return
      log.repeated(`changes ${name}`, `map ${name}: its changes query failed, so edits show later: `
        + `${reason}: ${detail}`, { map: name })
    },
    everyMs: config.file.changes_every, freshForMs: longestFreshMs(lifetimes), clock: systemClock,
  })]
}

/** Re-verifies what may bridge an outage, unless nothing stale ever does; gives the functions that end this. */
const keepVerified = ({ file: { remember_for: rememberForMs, deadline } }: Config, map: MysqlMap): (() => void)[] => {
  const { lookup, plan, config: { lifetimes } } = map
  if (rememberForMs === 0 || lifetimes.staleForMs <= lifetimes.freshForMs) return []
  return [reverify({
    lookup, known: lookup.known, plan, deadlineMs: deadline, clock: systemClock, random: Math.random,
  }, rememberForMs)]
}
