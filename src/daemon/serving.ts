/**
 * What answers clients: their connections, and behind these a generation of
 * maps that a reload replaces as a whole. Listeners and HTTP are the daemon's
 * (daemon.ts).
 */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config, ListenerConfig } from '../config/config.js'
import { explain } from '../admin/explain.js'
import { flush } from '../upkeep/flush.js'
import { openGeneration, statusOf } from './generation.js'
import type { Generation } from './generation.js'
import type { ServedMap } from '../lookup/maps.js'
import type { Explained, TableRow } from '../admin/actions.js'
import type { Status } from '../admin/status.js'
import type { Log } from '../log.js'
import { bugOf, printable } from '../log.js'
import { absent, unavailable, worded } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import { recallSnapshot, saveSnapshot } from '../upkeep/snapshots.js'
import { cachedMap, knownRows, takeRows } from '../admin/rows.js'
import type { Row } from '../admin/rows.js'
import { createClients } from '../server/clients.js'
import type { Clients, Limits } from '../server/clients.js'
import type { ConnectionHooks, Route } from '../server/client.js'
import { socketmap } from '../server/socketmap.js'
import { count, countWait, createTally } from '../server/tally.js'
import type { Tally } from '../server/tally.js'
import { tcpTable } from '../server/tcp_table.js'
import { keepTicksQuick } from '../runtime/ticks.js'
import type { WatchedSources } from './watched.js'

/** What it says of itself; `key` names a listener (`listenerKey`). */
export type Figures = Pick<Status, 'configuredAt' | 'redis' | 'servers' | 'canaries' | 'maps' | 'answers'> & {
  readonly listeners: readonly { readonly key: string, readonly connections: number, readonly refused: number }[]
}

/** What clients and administrators are answered by. */
export type Answering = {
  /** Serves a client of a listener (`listenerKey`): a paused socket that allows half-open. */
  accept(listener: string, socket: Socket): void
  figures(): Figures
  explain(address: string, map: string | null): Promise<readonly Explained[]>
  /** These give one line that says what was done; null for a text table, which has nothing to trust or forget. */
  trust(map: string): Promise<string | null>
  flush(map: string, key: string | null): Promise<string | null>
  /** Has its table loaded now; null if it isn't one that is loaded ahead of demand. */
  warm(map: string): Promise<string | null>
  /** What is known of a map, in batches; it ends with why some may be missing. A sentence if it gives none. */
  rows(map: string): Promise<AsyncGenerator<readonly TableRow[], string | null> | string>
  /** Takes rows in that were right at that time (epoch ms); what became of them, or a sentence why of none anything can. */
  take(map: string, rows: readonly TableRow[], madeAt: number): Promise<Readonly<Record<string, number>> | string>
  /** Takes another configuration over: clients stay but for those of listeners that are gone, and every map changes at the same moment. */
  reload(config: Config, sources: WatchedSources): Promise<void>
  /** Answers what was asked, then closes everything; `isKept`: what is known is written to the snapshot, if there is one. */
  close(how: { readonly isKept: boolean }): Promise<void>
}

/** Lookups that wait for an answer when their maps or the daemon go have the deadline and this much more (ms). */
const drainGraceMs = 500
/** What is known is written down so often (ms). */
const snapshotEveryMs = 300_000

/**
 * How long the first client waits for Redis (ms). After a restart during an outage of MySQL, Redis is all
 * that is known, and whoever asks before it is there is deferred.
 */
const redisPatienceMs = 1_000

type Protocol = Tally['protocol']
type CountedRoute = Route & { readonly tally: Tally }
/** What the clients of a listener reach; a reload changes it between two requests. */
type Served = { routes: ReadonlyMap<string, CountedRoute>, readonly unknown: Tally, readonly clients: Clients }

/** The name of a listener. */
export const listenerKey = ({ address, protocol }: ListenerConfig): string => JSON.stringify([protocol, address])

const limitsOf = ({ allowed }: ListenerConfig, { file }: Config): Limits => ({ maxConnections: file.max_connections, allowed })

/** Opens the maps and recalls what was known; resolves when clients may come. */
export const startServing = async (config: Config, sources: WatchedSources, log: Log): Promise<Answering> => {
  keepTicksQuick()
  let generation = openGeneration(config, sources, log, null)
  await Promise.race([generation.redisTried, sleep(redisPatienceMs, undefined, { ref: false })])
  if (config.snapshotPath !== null) await recallSnapshot(config.snapshotPath, generation.maps, log)
  /** Generations that have been replaced, until the last lookup in them has its answer. */
  const leaving = new Map<Generation, NodeJS.Timeout>()

  // Counters outlive a reload.
  const tallies = new Map<string, Tally>()
  const tallyOf = (protocol: Protocol, map: string): Tally => {
    const key = `${protocol} ${map}`
    const tally = tallies.get(key) ?? createTally(map, protocol)
    tallies.set(key, tally)
    return tally
  }

  const routesOf = (listener: ListenerConfig): ReadonlyMap<string, CountedRoute> => {
    const routes = new Map<string, CountedRoute>()
    for (const [name, { lookup }] of generation.maps) {
      if (listener.protocol === 'socketmap') routes.set(name, routeTo(lookup, tallyOf('socketmap', name), log))
      // tcp_table has no map names: whatever is asked there is asked of this map.
      else if (listener.map === name) routes.set('', routeTo(lookup, tallyOf('tcp_table', name), log))
    }
    return routes
  }

  const listeners = new Map<string, Served>()
  const serveListener = (given: ListenerConfig): void => {
    const known = listeners.get(listenerKey(given))
    if (known !== undefined) {
      known.routes = routesOf(given)
      known.clients.limit(limitsOf(given, generation.config))
      return
    }
    const { protocol } = given
    // Names that peers make up are counted together: labels are a closed set.
    const unknown = tallyOf(protocol, '')
    const clients = createClients(protocol === 'socketmap' ? socketmap : tcpTable, limitsOf(given, generation.config), clientHooks(() => served, log))
    const served: Served = { routes: routesOf(given), unknown, clients }
    listeners.set(listenerKey(given), served)
  }
  const drain = (some: readonly Served[], { file }: Config): Promise<unknown> =>
    Promise.all(some.map(({ clients }) => clients.drain(file.deadline + drainGraceMs)))

  const save = async (): Promise<void> => {
    const { config: { snapshotPath }, maps } = generation
    if (snapshotPath !== null) await saveSnapshot(snapshotPath, maps, log)
  }
  const saving = setInterval(() => void save(), snapshotEveryMs).unref()

  /** Closes a generation when the last lookup in it has had its time. */
  const leave = (old: Generation): void => {
    leaving.set(old, setTimeout(() => {
      leaving.delete(old)
      old.close()
    }, old.config.file.deadline + drainGraceMs).unref())
  }

  for (const given of config.listeners) serveListener(given)

  const figures = (): Figures => {
    const tallied = [...listeners.values()].flatMap(({ routes, unknown }) => [...[...routes.values()].map(({ tally }) => tally), unknown])
    return {
      configuredAt: generation.loadedAt,
      listeners: [...listeners].map(([key, { clients }]) => ({ key, connections: clients.connections(), refused: clients.refused() })),
      redis: generation.redisStatus(),
      servers: generation.sources.status(),
      canaries: generation.canaries().map(canary => canary.state),
      maps: [...generation.maps.values()].map(map => statusOf(map, generation.warmers.get(map.name))),
      answers: [...new Set(tallied)],
    }
  }

  return {
    accept: (listener, socket) => {
      const served = listeners.get(listener)
      // Of a listener that went with a reload.
      if (served === undefined) socket.destroy()
      else served.clients.accept(socket)
    },
    figures,
    explain: (address, map) => explain(generation.maps, generation.config.file.deadline, address, map),
    trust: name => {
      const map = generation.maps.get(name)
      if (map?.kind !== 'mysql') return Promise.resolve(null)
      map.guard.trust()
      log.warn(`map ${name}: an administrator vouches for the table as it is`)
      return Promise.resolve(`${name}: the table is believed as it is now`)
    },
    flush: async (name, key) => {
      const map = generation.maps.get(name)
      if (map?.kind !== 'mysql') return null
      if (key === null) log.info(`map ${name}: an administrator has all of it asked anew`)
      return flush(map, key, told => generation.announce(told))
    },
    warm: name => {
      const warmer = generation.warmers.get(name)
      if (warmer === undefined) return Promise.resolve(null)
      warmer.load()
      return Promise.resolve(`${name}: its table is loaded`)
    },
    rows: name => {
      const map = cachedMap(generation.maps, name)
      return Promise.resolve(typeof map === 'string' ? map : knownRows(map))
    },
    take: async (name, rows, madeAt) => {
      const map = cachedMap(generation.maps, name)
      return typeof map === 'string' ? map : takeRows(map, rows as readonly Row[], madeAt)
    },
    reload: async (nextConfig, nextSources) => {
      const old = generation
      // From here nothing can fail, and nothing waits: all maps change between two requests.
      generation = openGeneration(nextConfig, nextSources, log, old)
      for (const given of nextConfig.listeners) serveListener(given)
      leave(old)
      const kept = new Set(nextConfig.listeners.map(listenerKey))
      const gone = [...listeners].filter(([key]) => !kept.has(key))
      for (const [key] of gone) listeners.delete(key)
      await drain(gone.map(([, served]) => served), old.config)
    },
    close: async ({ isKept }) => {
      clearInterval(saving)
      await drain([...listeners.values()], generation.config)
      if (isKept) await save()
      for (const [old, timer] of leaving) {
        clearTimeout(timer)
        old.close()
      }
      generation.close()
    },
  }
}

const clientHooks = (served: () => Served, log: Log): ConnectionHooks => ({
  route: map => served().routes.get(map ?? '') ?? noRoute(map ?? '', served(), log),
  onFault: problem => {
    const { protocol } = served().unknown
    log.repeated(`fault ${protocol}`, `${protocol}: closing a connection: ${problem}`)
  },
  onBug: error => log.error(bugOf(error)),
})

/** The one place that logs keys and values, at debug level. */
const told = async (outcome: Outcome | Promise<Outcome>, map: string, key: string, log: Log): Promise<Outcome> => {
  const settled = await outcome
  log.debug(`map ${map}: ${key}: ${worded(settled)}`)
  return settled
}

const routeTo = (lookup: ServedMap['lookup'], tally: Tally, log: Log): CountedRoute => ({
  tally,
  answer: key => {
    if (key === null) return badKey(tally.protocol, log)
    const outcome = lookup.lookup(key)
    return log.isDebug ? told(outcome, tally.map, key, log) : outcome
  },
  onReply: (outcome, waitedMs) => {
    count(tally, outcome)
    if (waitedMs !== null) countWait(tally, waitedMs)
    if (outcome.kind === 'unavailable') log.repeated(`${tally.map} ${outcome.reason}`, `map ${tally.map}: ${outcome.reason}: ${outcome.detail}`, { map: tally.map })
  },
})

const badKey = (protocol: Protocol, log: Log): Outcome => {
  log.repeated('bad-key', `${protocol}: a key that is not UTF-8: absent without a query`)
  return absent
}

/** For a map that the configuration doesn't name, and for a request that isn't UTF-8 as a whole. */
const noRoute = (map: string, { routes, unknown }: Served, log: Log): Route => ({
  answer: key => {
    if (key === null) return badKey(unknown.protocol, log)
    const name = printable(map.slice(0, 60))
    log.repeated('unknown-map', `a client asks for map '${name}', which is not configured; known maps: ${[...routes.keys()].join(', ')}`)
    return unavailable('unknown-map', `map '${name}' is not configured in holdfast`)
  },
  onReply: outcome => count(unknown, outcome),
})
