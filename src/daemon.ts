/**
 * The running daemon: listeners that stay, and behind them a generation of
 * maps that a reload replaces as a whole. All wiring is here; parts close in
 * the opposite order of their opening.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config, ListenerConfig } from './config/load.js'
import { explain } from './explain.js'
import { flush } from './flush.js'
import { openGeneration, statusOf } from './generation.js'
import type { Generation, ServedMap } from './generation.js'
import type { Events } from './health/events.js'
import { serveAdmin } from './health/admin.js'
import type { Actions } from './health/admin.js'
import { reportOf, serveHealth } from './health/health.js'
import type { HealthServer, Shown } from './health/health.js'
import { createHistory, stepMs } from './health/history.js'
import type { Status } from './health/status.js'
import type { Log } from './log.js'
import { printable } from './log.js'
import { absent, unavailable } from './outcome.js'
import type { Outcome } from './outcome.js'
import type { ConnectionHooks, Route } from './server/connection.js'
import { listen } from './server/listener.js'
import type { Limits, Listener } from './server/listener.js'
import type { Inherited } from './server/inherited.js'
import { socketmap } from './server/socketmap.js'
import { count, countWait, createTally } from './server/tally.js'
import type { Tally } from './server/tally.js'
import { tcpTable } from './server/tcp_table.js'
import { cachedMap, knownRows, takeRows } from './rows.js'
import type { Row } from './rows.js'
import { recallSnapshot, saveSnapshot } from './remembered.js'
import { version } from './version.js'
import type { WatchedSources } from './watched.js'

export type Daemon = {
  /** Where clients reach it, as Postfix would name it: `socketmap:unix:/run/...`. */
  addresses(): readonly string[]
  healthUrl(): string | null
  status(): Status
  /**
   * Takes another configuration over: connections stay, addresses that are new
   * open, those that are gone close, and every map changes at the same moment.
   * Rejects if a new address can't be had; then all is as it was, and the
   * sources given are closed.
   */
  reload(config: Config, sources: WatchedSources): Promise<void>
  /** Answers what was asked, then closes everything. */
  close(): Promise<void>
}

/** Lookups that wait for an answer when their maps or the daemon go have the deadline and this much more (ms). */
const drainGraceMs = 500
/** What is known is written down so often (ms). */
const snapshotEveryMs = 300_000

/**
 * How long the first listener waits for Redis (ms). After a restart during an outage of MySQL, Redis is all
 * that is known, and whoever asks before it is there is deferred.
 */
const redisPatienceMs = 1_000

type Protocol = Tally['protocol']
type CountedRoute = Route & { readonly tally: Tally }
/** What the clients of a listener reach; a reload changes it between two requests. */
type Served = { routes: ReadonlyMap<string, CountedRoute>, readonly unknown: Tally }
type Slot = { config: ListenerConfig, readonly served: Served, readonly listener: Listener }

/** An HTTP server and the address that it was opened for. */
type Web = { readonly name: string, readonly server: Pick<HealthServer, 'close'> & { readonly url?: string } }

const limitsOf = ({ allowed }: ListenerConfig, { file }: Config): Limits => ({ maxConnections: file.max_connections, allowed })

const keyOf = ({ address, protocol }: ListenerConfig): string => JSON.stringify([protocol, address])

/** Starts serving. Rejects if an address can't be listened on, having closed what was open. */
export const startDaemon = async (config: Config, sources: WatchedSources, log: Log, events: Events, inherited: Inherited): Promise<Daemon> => {
  const startedAt = Date.now()
  let generation = openGeneration(config, sources, log, null)
  await Promise.race([generation.redisTried, sleep(redisPatienceMs, undefined, { ref: false })])
  let slots: Slot[] = []
  let health: Web | null = null
  let admin: Web | null = null
  let isStopping = false
  const history = createHistory()
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

  const routesOf = (listener: ListenerConfig, { maps }: Generation): ReadonlyMap<string, CountedRoute> => {
    const routes = new Map<string, CountedRoute>()
    for (const [name, { lookup }] of maps) {
      if (listener.protocol === 'socketmap') routes.set(name, routeTo(lookup, tallyOf('socketmap', name), log))
      // tcp_table has no map names: whatever is asked there is asked of this map.
      else if (listener.map === name) routes.set('', routeTo(lookup, tallyOf('tcp_table', name), log))
    }
    return routes
  }

  const open = async (given: ListenerConfig, target: Generation): Promise<Slot> => {
    const dialect = given.protocol === 'socketmap' ? socketmap : tcpTable
    // Names that peers make up are counted together: labels are a closed set.
    const served: Served = { routes: routesOf(given, target), unknown: tallyOf(given.protocol, '') }
    const settings = { address: given.address, dialect, limits: limitsOf(given, target.config), fd: inherited.take(given.address) }
    return { config: given, served, listener: await listen(settings, clientHooks(served, given.protocol, log)) }
  }
  const closeSlots = async (closing: readonly Slot[], graceMs: number): Promise<void> => {
    await Promise.all(closing.map(({ listener }) => listener.close(graceMs)))
  }

  const status = (): Status => {
    const served = slots.flatMap(slot => [...[...slot.served.routes.values()].map(({ tally }) => tally), slot.served.unknown])
    return {
      version, role: generation.config.file.role, ready: !isStopping, now: Date.now(), startedAt, configuredAt: generation.loadedAt,
      listeners: slots.map(({ listener }) => ({ address: listener.name, protocol: listener.protocol, connections: listener.connections(), refused: listener.refused() })),
      redis: generation.redisStatus(),
      servers: generation.sources.status(),
      canaries: generation.canaries().map(canary => canary.state),
      maps: [...generation.maps.values()].map(statusOf),
      answers: [...new Set(served)],
    }
  }

  const shown: Shown = { status: () => status(), history, events }
  const actions: Actions = {
    maps: () => [...generation.maps.keys()],
    explain: (address, map) => explain(generation, address, map),
    trust: name => {
      const map = generation.maps.get(name)
      if (map?.kind !== 'mysql') return null
      map.guard.trust()
      log.warn(`map ${name}: an administrator vouches for the table as it is`)
      return `${name}: the table is believed as it is now`
    },
    flush: async (name, key) => {
      if (key === null) log.info(`map ${name}: an administrator has all of it asked anew`)
      return flush(generation, name, key)
    },
    rows: name => {
      const map = cachedMap(generation, name)
      return typeof map === 'string' ? map : knownRows(map)
    },
    take: async (name, rows, madeAt) => {
      const map = cachedMap(generation, name)
      return typeof map === 'string' ? map : takeRows(map, rows as readonly Row[], madeAt)
    },
  }

  /** Listeners and health of `target`, those of now where they fit; rejects having closed what it opened. */
  const openOutside = async (target: Generation): Promise<{ slots: Slot[], health: Web | null, admin: Web | null }> => {
    const free = [...slots]
    const next: Slot[] = []
    const opened: Slot[] = []
    const openedWeb: Web[] = []
    try {
      for (const given of target.config.listeners) {
        const kept = free.findIndex(slot => keyOf(slot.config) === keyOf(given))
        const slot = free[kept] ?? await open(given, target)
        if (kept === -1) opened.push(slot)
        else free.splice(kept, 1)
        next.push(slot)
      }
      const { health: address, admin: path } = target.config
      const nextHealth = address === null ? null : await keep(health, JSON.stringify(address), () => serveHealth(address, shown, { token: () => generation.config.adminToken, actions }))
      if (nextHealth !== null && nextHealth !== health) openedWeb.push(nextHealth)
      const nextAdmin = path === null ? null : await keep(admin, path, () => serveAdmin(path, () => reportOf(shown), actions))
      return { slots: next, health: nextHealth, admin: nextAdmin }
    } catch (error) {
      await Promise.all(openedWeb.map(({ server }) => server.close()))
      await closeSlots(opened, 0)
      throw error
    }
  }

  const save = async (): Promise<void> => {
    const { config: { snapshotPath }, maps } = generation
    if (snapshotPath !== null) await saveSnapshot(snapshotPath, maps, log)
  }

  try {
    if (config.snapshotPath !== null) await recallSnapshot(config.snapshotPath, generation.maps, log)
    ;({ slots, health, admin } = await openOutside(generation))
  } catch (error) {
    generation.close()
    throw error
  }
  const saving = setInterval(() => void save(), snapshotEveryMs).unref()
  const sampling = setInterval(() => history.sample(status()), stepMs).unref()

  /** Closes a generation when the last lookup in it has had its time. */
  const leave = (old: Generation): void => {
    leaving.set(old, setTimeout(() => {
      leaving.delete(old)
      old.close()
    }, old.config.file.deadline + drainGraceMs).unref())
  }

  return {
    addresses: () => slots.map(({ listener: { name, protocol } }) =>
      protocol === 'socketmap' ? `socketmap:${name}` : `tcp:${name.slice('inet:'.length)}`),
    healthUrl: () => health?.server.url ?? null,
    status,
    reload: async (nextConfig, nextSources) => {
      const next = openGeneration(nextConfig, nextSources, log, generation)
      let outside
      try {
        outside = await openOutside(next)
      } catch (error) {
        next.close()
        throw error
      }
      // From here nothing can fail, and nothing waits: all maps change between two requests.
      const [old, oldSlots, oldWeb] = [generation, slots, [health, admin]]
      generation = next
      slots = outside.slots
      health = outside.health
      admin = outside.admin
      for (const [index, slot] of slots.entries()) {
        slot.config = nextConfig.listeners[index] ?? slot.config
        slot.served.routes = routesOf(slot.config, next)
        slot.listener.limit(limitsOf(slot.config, nextConfig))
      }
      leave(old)
      await closeSlots(oldSlots.filter(slot => !slots.includes(slot)), old.config.file.deadline + drainGraceMs)
      for (const web of oldWeb) if (web !== null && web !== health && web !== admin) await web.server.close()
    },
    close: async () => {
      isStopping = true
      clearInterval(sampling)
      clearInterval(saving)
      await closeSlots(slots, generation.config.file.deadline + drainGraceMs)
      await save()
      await health?.server.close()
      await admin?.server.close()
      for (const [old, timer] of leaving) {
        clearTimeout(timer)
        old.close()
      }
      generation.close()
    },
  }
}

const keep = async (now: Web | null, name: string, open: () => Promise<Web['server']>): Promise<Web> =>
  now?.name === name ? now : { name, server: await open() }

const clientHooks = (served: Served, protocol: Protocol, log: Log): ConnectionHooks => ({
  route: map => served.routes.get(map ?? '') ?? noRoute(map ?? '', served, log),
  onFault: problem => log.repeated(`fault ${protocol}`, `${protocol}: closing a connection: ${problem}`),
  onBug: error => log.error(`bug: ${error instanceof Error ? error.stack ?? error.message : 'unknown'}`),
})

const routeTo = (lookup: ServedMap['lookup'], tally: Tally, log: Log): CountedRoute => ({
  tally,
  answer: key => {
    if (key === null) return badKey(tally.protocol, log)
    const outcome = lookup.lookup(key)
    return outcome instanceof Promise ? timed(outcome, tally) : outcome
  },
  onReply: outcome => {
    count(tally, outcome)
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

const timed = async (waiting: Promise<Outcome>, tally: Tally): Promise<Outcome> => {
  const startedAt = performance.now()
  const outcome = await waiting
  countWait(tally, performance.now() - startedAt)
  return outcome
}
