/** Opens a loader for each map with `warm:`: what it loads, into what, and what the log says. */
import { statement } from '../caches/entry.js'
import type { RedisCache } from '../caches/redis.js'
import type { Client } from '../caches/redis_client.js'
import type { Config } from '../config/config.js'
import { bugOf } from '../log.js'
import type { Log } from '../log.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import { systemClock } from '../runtime/clock.js'
import type { Table } from '../tables/open.js'
import { describeListing, orderedListing } from '../tables/ordered_listing.js'
import type { Canary } from '../trust/canary.js'
import { memoryTarget, redisTarget } from './load_target.js'
import type { LoadTarget } from './load_target.js'
import { TableLoader } from './table_loader.js'

/** By the name of the map. */
export type Loaders = ReadonlyMap<string, TableLoader>

export type LoadersParts = {
  readonly config: Config
  readonly maps: readonly MysqlMap[]
  readonly tablesOf: (map: string) => readonly Table[]
  readonly redis: { readonly cache: RedisCache, readonly client: Client } | null
  /** By the `authority` of the tables. */
  readonly canaries: ReadonlyMap<string, readonly Canary[]>
  /** Of the configuration before this one. */
  readonly previous: { readonly maps: Maps, readonly loaders: Loaders } | null
  readonly log: Log
}

const canaryBudgetMs = 2_000

/** They begin once Redis, if there is one, has been reached or has failed once. One of them loads at a time. */
export const openLoaders = (parts: LoadersParts): Loaders => {
  let loading = Promise.resolve()
  const inTurn = (work: () => Promise<void>): Promise<void> => loading = loading.then(work)
    .catch((error: unknown) => parts.log.error(bugOf(error)))
  const loaders = new Map<string, TableLoader>()
  for (const map of parts.maps) {
    const loader = openLoader(map, parts, inTurn)
    if (loader !== null) loaders.set(map.name, loader)
  }
  return loaders
}

const openLoader = (map: MysqlMap, parts: LoadersParts, inTurn: (work: () => Promise<void>) => Promise<void>): TableLoader | null => {
  const { name, trust, config: { warm } } = map
  const { config, redis, log } = parts
  const [table, ...others] = parts.tablesOf(name)
  if (warm === null || table === undefined) return null
  if (warm === 'auto' && !logListing(name, table, log)) return null
  if (others.length > 0) log.info(`map ${name}: warm: only the first of its ${others.length + 1} tables is loaded`)
  const target = targetOf(map, parts)
  const canaries = parts.canaries.get(table.authority) ?? []
  const doubt = (): string | null => canaries.find(canary => canary.doubt !== null)?.doubt?.detail
    ?? (trust.doubts.length === 0 ? null : 'the table is in doubt')
  return new TableLoader({
    table, target, warm, everyMs: config.file.warm_every,
    check: async () => (await Promise.all(canaries.map(canary => canary.check(canaryBudgetMs)))).find(missing => missing !== null)?.detail ?? doubt(),
    doubt,
    ready: redis?.cache.tried ?? Promise.resolve(), clock: systemClock, random: Math.random, inTurn,
    onLoaded: ({ rows, keys }, took_ms, left) => {
      const noRoom = left === 0 ? '' : `; there was no room for ${left} of them (memory.entries, memory.bytes)`
      log.info(`map ${name}: warm: ${keys} keys of ${rows} rows loaded into ${target.name}${noRoom}`, { map: name, took_ms })
    },
    onProblem: problem => log.repeated(`warm ${name}`, `map ${name}: warm: not loaded: ${problem}`, { map: name }),
  })
}

/** Whether the table of a map with `warm: auto` can be listed. */
const logListing = (name: string, { definition }: Table, log: Log): boolean => {
  const listing = typeof definition.listing === 'string' ? definition.listing : orderedListing(definition.listing)
  if (typeof listing === 'string') {
    log.warn(`map ${name}: warm: auto: its keys can't be listed: ${listing}; name a query that gives keys and answers, or remove this`)
    return false
  }
  log.info(`map ${name}: warm: auto: ${describeListing(listing)}`)
  return true
}

/** Redis if the map uses it, else memory. */
const targetOf = (map: MysqlMap, { config, redis, previous }: LoadersParts): LoadTarget => {
  const { name, identity, lookup, memory, config: { warm, lifetimes } } = map
  if (map.redis !== null && redis !== null && config.redis !== null) {
    return redisTarget({
      client: redis.client, redis: config.redis, map: identity, warm: warm ?? '',
      keepMs: Math.max(lifetimes.staleForMs, lifetimes.freshForMs),
    })
  }
  const earlier = previous?.maps.get(name)
  // A memory that was taken over has the table in it.
  const isTakenOver = earlier?.kind === 'mysql' && earlier.memory === memory && earlier.config.warm === warm
  return memoryTarget(({ key, outcome }, verifiedAt) => {
    const known = memory.peekFound(key)
    const hasRoom = known !== undefined || memory.hasRoom()
    // A load does not count as somebody asking for the key.
    if (hasRoom) lookup.known.adopt(key, statement(outcome, verifiedAt, 0), known?.askedAt ?? 0)
    return hasRoom
  }, isTakenOver ? previous?.loaders.get(name)?.state.loadedAt ?? null : null)
}
