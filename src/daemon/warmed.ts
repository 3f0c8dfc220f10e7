/** The maps whose tables are loaded ahead of demand: what is loaded, where to, and what the log says of it. */
import { statement } from '../caches/entry.js'
import type { Client } from '../caches/redis_client.js'
import type { Config } from '../config/config.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import type { Log } from '../log.js'
import { systemClock } from '../runtime/clock.js'
import { describeListing, orderedListing } from '../tables/ordered_listing.js'
import { keepWarm } from '../warm/warmer.js'
import type { Warmer } from '../warm/warmer.js'
import type { WatchedSources } from './watched.js'

/** What the loads of all maps share. */
export type Loading = {
  /** null: there is no Redis. */
  readonly client: Client | null
  /** Resolves when Redis, if there is one, has been reached or has failed once. */
  readonly redisTried: Promise<void>
  /** One load at a time. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
}

/** Loads a map's table ahead of demand, if it is to be; says what is loaded, or why nothing can be. */
export const warmMap = (
  config: Config, map: MysqlMap, sources: WatchedSources, previous: { readonly maps: Maps, readonly warmers: ReadonlyMap<string, Warmer> } | null,
  { client, redisTried, inTurn }: Loading, log: Log,
): Warmer | null => {
  const { name, identity, lookup, trust, memory, redis, config: { warm, lifetimes } } = map
  const opened = sources.of(name)
  const [table, ...others] = opened.kind === 'mysql' ? opened.tables : []
  if (warm === null || table === undefined) return null
  if (warm === 'auto') {
    const { listing: derived } = table.definition
    const listing = typeof derived === 'string' ? derived : orderedListing(derived)
    if (typeof listing === 'string') {
      log.warn(`map ${name}: warm: auto: its keys can't be listed: ${listing}; name a query that gives keys and answers, or remove this`)
      return null
    }
    log.info(`map ${name}: warm: auto: ${describeListing(listing)}`)
  }
  if (others.length > 0) log.info(`map ${name}: warm: the first of its ${others.length + 1} tables is loaded; what the others have is known once it was asked for`)
  const earlier = previous?.maps.get(name)
  // What a memory was loaded with is still there if it was taken over.
  const loadedAt = redis === null && earlier?.kind === 'mysql' && earlier.memory === memory && earlier.config.warm === warm ? previous?.warmers.get(name)?.state().loadedAt ?? null : null
  return keepWarm({ identity, warm, everyMs: config.file.warm_every, keepMs: Math.max(lifetimes.staleForMs, lifetimes.freshForMs) }, {
    table,
    redis: redis === null || client === null || config.redis === null ? null : { client, settings: config.redis },
    remember: ({ key, outcome }, verifiedAt) => {
      const known = memory.peekFound(key)
      const hasRoom = known !== undefined || memory.hasRoom()
      // Nobody has asked for it by that.
      if (hasRoom) lookup.known.adopt(key, statement(outcome, verifiedAt, 0), known?.askedAt ?? 0)
      return hasRoom
    },
    check: () => Promise.resolve(trust.doubts.length === 0 ? null : 'the table is in doubt'),
    doubt: () => trust.doubts.length === 0 ? null : 'the table is in doubt',
    ready: redisTried, clock: systemClock, random: Math.random, inTurn,
    onLoaded: ({ rows, keys }, took_ms, left) => log.info(`map ${name}: warm: ${keys} keys of ${rows} rows loaded into ${redis === null ? 'memory' : 'Redis'}`
      + (left === 0 ? '' : `; for ${left} of them there was no room (memory.entries, memory.bytes)`), { map: name, took_ms }),
    onProblem: problem => log.repeated(`warm ${name}`, `map ${name}: warm: not loaded: ${problem}`, { map: name }),
  }, loadedAt)
}
