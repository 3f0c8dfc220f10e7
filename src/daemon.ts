/**
 * The running daemon: builds the parts from a Config, in order, and closes
 * them in the opposite one. All wiring is here.
 */
import { createHash } from 'node:crypto'
import { createMemory } from './caches/memory.js'
import { createRedisCache } from './caches/redis.js'
import type { RedisCache } from './caches/redis.js'
import type { Config, LoadedMap } from './config/load.js'
import { serveHealth } from './health/health.js'
import type { Snapshot } from './health/health.js'
import type { Log } from './log.js'
import { printable } from './log.js'
import { Canary } from './lookup/canary.js'
import { systemClock } from './lookup/clock.js'
import { Guard } from './lookup/guard.js'
import { MapLookup } from './lookup/lookup.js'
import { compileSearch } from './lookup/search.js'
import { TableLookup } from './lookup/table.js'
import { absent, unavailable } from './outcome.js'
import type { Outcome } from './outcome.js'
import type { ConnectionHooks } from './server/connection.js'
import { listen } from './server/listener.js'
import type { Listener } from './server/listener.js'
import { socketmap } from './server/socketmap.js'
import { count, createTally } from './server/tally.js'
import type { Tally } from './server/tally.js'
import { tcpTable } from './server/tcp_table.js'
import { fold } from './sources/fold.js'
import type { Sources } from './sources/open.js'

export type Daemon = {
  /** Where clients reach it, as Postfix would name it: `socketmap:unix:/run/...`. */
  readonly addresses: readonly string[]
  readonly healthUrl: string | null
  snapshot(): Snapshot
  /** Answers what was asked, then closes everything. */
  close(): Promise<void>
}

/** Requests that wait for an answer at shutdown have the deadline and this much more (ms). */
const drainGraceMs = 500

type ServedMap = {
  readonly lookup: MapLookup | TableLookup
  readonly guard: Guard | null
  readonly detail: () => Record<string, unknown>
}

/** Starts serving. Rejects if an address can't be listened on, having closed what was open. */
export const startDaemon = async (config: Config, sources: Sources, log: Log): Promise<Daemon> => {
  const startedAt = Date.now()
  const closers: (() => void | Promise<void>)[] = [() => sources.close()]
  const closeAll = async (): Promise<void> => {
    for (const close of closers.reverse()) await close()
  }
  const redis = config.redis === null ? null : openRedis(config, log)
  if (redis !== null) closers.push(() => redis.close())

  const canaries = openCanaries(config, sources, log)
  const maps = new Map<string, ServedMap>()
  for (const map of config.maps) maps.set(map.name, serveMap(config, map, sources, canaries, redis, log))
  closers.push(() => {
    for (const { guard } of maps.values()) guard?.close()
    for (const canary of [...canaries.values()].flat()) canary.close()
  })

  const tallies: Tally[] = []
  const listeners: Listener[] = []
  let stopping = false
  try {
    for (const listener of config.listeners) {
      const dialect = listener.protocol === 'socketmap' ? socketmap : tcpTable
      const fixedMap = listener.protocol === 'tcp_table' ? listener.map : null
      const hooks = clientHooks(maps, fixedMap, dialect.protocol, tallies, log)
      const opened = await listen({ address: listener.address, dialect, maxConnections: config.file.max_connections }, hooks)
      listeners.push(opened)
    }
    closers.push(async () => {
      await Promise.all(listeners.map(listener => listener.close(config.file.deadline + drainGraceMs)))
    })
    const snapshot = (): Snapshot => ({
      ready: !stopping,
      detail: {
        role: config.file.role,
        uptime_seconds: Math.round((Date.now() - startedAt) / 1_000),
        listeners: listeners.map(listener => ({ address: listener.name, protocol: listener.protocol, connections: listener.connections() })),
        redis: redis === null ? 'not configured' : redis.status(),
        servers: sources.status(),
        canaries: [...new Set([...canaries.values()].flat())].map(canary => canary.state),
        maps: Object.fromEntries([...maps].map(([name, map]) => [name, map.detail()])),
        answers: tallies,
      },
    })
    const health = config.health === null ? null : await serveHealth(config.health, snapshot)
    if (health !== null) closers.push(() => health.close())
    return {
      addresses: listeners.map(listener => `${listener.protocol === 'socketmap' ? 'socketmap' : 'tcp'}:${
        listener.protocol === 'tcp_table' ? listener.name.slice('inet:'.length) : listener.name}`),
      healthUrl: health?.url ?? null,
      snapshot,
      close: async () => {
        stopping = true
        await closeAll()
      },
    }
  } catch (error) {
    for (const listener of listeners) await listener.close(0)
    await closeAll()
    throw error
  }
}

const openRedis = (config: Config, log: Log): RedisCache | null => {
  if (config.redis === null) return null
  let since = Date.now()
  return createRedisCache(config.redis, (state, detail) => {
    const lasted_ms = Date.now() - since
    since = Date.now()
    if (state === 'ready') log.info('redis: ready', { lasted_ms })
    else log.warn(`redis: ${state}: ${detail}; answers come from memory and the tables`, { lasted_ms })
  }, Date.now)
}

/** The canaries of each authority. */
const openCanaries = (config: Config, sources: Sources, log: Log): Map<string, Canary[]> => {
  const canaries = new Map<string, Canary[]>()
  for (const map of config.maps) {
    const opened = sources.of(map.name)
    if (map.canary === null || opened.kind === 'text') continue
    const canary = new Canary(map.name, fold(map.canary), opened.source, systemClock, ({ missing }) => {
      if (missing) log.error(`map ${map.name}: the canary is missing: nothing that its server says is believed; known keys are served as before, others deferred`)
      else log.info(`map ${map.name}: the canary is back, its server is believed again`)
    })
    for (const authority of opened.authorities) canaries.set(authority, [...canaries.get(authority) ?? [], canary])
  }
  return canaries
}

const serveMap = (
  config: Config, map: LoadedMap, sources: Sources, canaries: ReadonlyMap<string, Canary[]>, redis: RedisCache | null, log: Log,
): ServedMap => {
  const { file } = config
  const opened = sources.of(map.name)
  const plan = compileSearch(map.search, config.search)
  if (opened.kind === 'text') {
    const lookup = new TableLookup(map.name, plan, map.policy, opened.lookup)
    return { lookup, guard: null, detail: () => ({ search: map.search, source: 'text' }) }
  }
  const { source, authorities } = opened
  const guardSettings = { maxShrink: map.maxShrink, windowMs: file.shrink_window, canaries: [...new Set(authorities.flatMap(authority => canaries.get(authority) ?? []))] }
  const guard = new Guard(source, guardSettings, systemClock, Math.random, state => {
    if (state.trusted) log.info(`map ${map.name}: the table has its keys again, it is believed when it says absent`)
    else {
      log.error(`map ${map.name}: ${state.gone} of its known keys are gone from the table: NOT believed when it says absent; `
        + 'known keys are served as before, others deferred', { map: map.name })
    }
  })
  const memory = createMemory({ entries: file.memory.entries, bytes: file.memory.bytes, absentEntries: file.memory.absent_entries })
  const lookup = new MapLookup({
    name: map.name, definition: definitionOf(source.definition, config, map), plan, policy: map.policy, lifetimes: map.lifetimes,
    deadlineMs: file.deadline, softDeadlineMs: file.soft_deadline,
  }, {
    source, memory, redis: map.sensitive ? null : redis, guard, clock: systemClock, random: Math.random,
  })
  return {
    lookup, guard,
    detail: () => ({
      search: map.search, source: 'mysql', guard: guard.state, memory: memory.size(), in_flight: lookup.flights, answers_from: { ...lookup.origins },
    }),
  }
}

/** 16 hexadecimal digits that change whenever an answer of this map could. */
const definitionOf = (source: string, config: Config, map: LoadedMap): string => {
  const { recipientDelimiter, parentDomainMatchesSubdomains, propagateUnmatchedExtensions, localDomains } = config.search
  return createHash('sha256').update(JSON.stringify([
    source, map.search, recipientDelimiter, [...parentDomainMatchesSubdomains], [...propagateUnmatchedExtensions], [...localDomains],
  ])).digest('hex').slice(0, 16)
}

const clientHooks = (
  maps: ReadonlyMap<string, ServedMap>, fixedMap: string | null, protocol: Tally['protocol'], tallies: Tally[], log: Log,
): ConnectionHooks => {
  const known = [...maps.keys()].join(', ')
  const served = new Map([...maps].map(([name, map]) => [name, { lookup: map.lookup, tally: createTally(name, protocol) }]))
  // Names that peers make up are counted together: labels are a closed set.
  const unknown = createTally('', protocol)
  tallies.push(...[...served.values()].map(({ tally }) => tally).filter(({ map }) => fixedMap === null || map === fixedMap), unknown)
  const badKey = (): Outcome => {
    log.repeated('bad-key', `${protocol}: a key that is not UTF-8: absent without a query`)
    return absent
  }
  return {
    answer: (map, key) => {
      if (key === null) return badKey()
      const found = served.get(fixedMap ?? map ?? '')
      if (found !== undefined) return found.lookup.lookup(key)
      const name = printable((map ?? '').slice(0, 60))
      log.repeated('unknown-map', `a client asks for map '${name}', which is not configured; known maps: ${known}`)
      return unavailable('unknown-map', `map '${name}' is not configured in holdfast`)
    },
    onReply: (map, outcome) => {
      const tally = served.get(fixedMap ?? map ?? '')?.tally ?? unknown
      count(tally, outcome)
      if (outcome.kind === 'unavailable' && tally !== unknown) {
        log.repeated(`${tally.map} ${outcome.reason}`, `map ${tally.map}: ${outcome.reason}: ${outcome.detail}`, { map: tally.map })
      }
    },
    onFault: problem => log.repeated(`fault ${protocol}`, `${protocol}: closing a connection: ${problem}`),
    onBug: error => log.error(`bug: ${error instanceof Error ? error.stack ?? error.message : 'unknown'}`),
  }
}
