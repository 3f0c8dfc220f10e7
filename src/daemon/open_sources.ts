/**
 * Reads the configuration file and opens the sources that it names. The servers' changes of state are logged and
 * counted here.
 */
import type { ServerReport } from '../admin/status.js'
import { loadClient } from '../caches/redis_client.js'
import type { Config, MapConfig } from '../config/config.js'
import { loadConfig, problemsOf } from '../config/load.js'
import type { Log } from '../log.js'
import { loadDriver } from '../mysql/session.js'
import type { ServerSettings } from '../mysql/server.js'
import { openSources } from '../tables/open.js'
import type { OpenedSources, Sources } from '../tables/open.js'

const breakerWindowMs = 10_000
const idleMs = 60_000
/** Checks of our own wait longer than a lookup. */
const longestCheckMs = 5_000

export type MapSources = Omit<Sources, 'status'> & {
  /** Calls `run` whenever the breaker of a server is half-open: the question that `run` asks is the probe. */
  onHalfOpen(run: () => void): void
  /** Each MySQL server with its breaker's state, its last error, and how often the breaker opened. */
  status(): readonly ServerReport[]
}

export type OpenedMapSources = Omit<OpenedSources, 'sources'> & { readonly sources: MapSources }

/** A configuration without its faulty maps, and its open sources. */
export type Configuration = { readonly config: Config, readonly sources: MapSources }

/**
 * Reads the file and logs all problems and warnings. A map with faults is served by its last good definition, the one
 * of `current`, or not at all; null if no map can be served, or what is wrong concerns all of them. Connects nowhere
 * yet.
 */
export const readConfiguration = async (
  fileName: string, environment: NodeJS.ProcessEnv, log: Log, current: Configuration | null,
): Promise<Configuration | null> => {
  const loaded = loadConfig(fileName, environment)
  if (!loaded.ok) {
    for (const { place, text } of loaded.problems) log.error(`${place}: ${text}`)
    return null
  }
  const lastGood = (name: string): MapConfig | undefined => current?.config.maps.find(map => map.name === name)
  const wanted = [...loaded.config.maps, ...[...loaded.config.faults.keys()].flatMap(name => lastGood(name) ?? [])]
  // These libraries take as long to load as all the rest: so not during a lookup, and only if they are needed.
  const hasMysql = wanted.some(({ source }) => source.kind !== 'text')
  await Promise.all([loaded.config.redis === null ? null : loadClient(), hasMysql ? loadDriver() : null])
  const opened = openMapSources({ ...loaded.config, maps: wanted }, log, current?.sources)
  for (const { place, text } of opened.warnings) log.warn(`${place}: ${text}`)
  const faults = new Map([...opened.faults, ...loaded.config.faults])
  // Source and search go together: a map whose source has faults keeps all of its last good definition.
  const maps = wanted.map(map => opened.faults.has(map.name) ? lastGood(map.name) ?? map : map)
    .filter(({ name }) => opened.sources.has(name))
  for (const { place, text } of problemsOf(faults)) log.error(`${place}: ${text}`)
  if (maps.length === 0) {
    opened.sources.close()
    return null
  }
  for (const name of faults.keys()) {
    log.error(`map ${name}: ${opened.sources.has(name) ? 'its last good definition stays in use'
      : 'not served: its lookups get a temporary error until its definition is mended and reloaded'}`)
  }
  return { config: { ...loaded.config, maps, faults }, sources: opened.sources }
}

/** What is behind each map of a configuration; `last`: those to open maps by that now have faults. Connects nowhere. */
export const openMapSources = (config: Config, log: Log, last?: MapSources): OpenedMapSources => {
  const { connections, breaker, deadline, soft_deadline, max_lag } = config.file
  const breakers = followBreakers(log)
  const opened = openSources(config.maps, {
    connections, failures: breaker.failures, windowMs: breakerWindowMs, resetMs: breaker.reset,
    suspectMs: soft_deadline, statementMs: deadline + longestCheckMs, idleMs, maxLagMs: max_lag ?? null,
    onState: breakers.onState,
  }, map => {
    log.repeated(`empty ${map}`, `map ${map}: a row with an empty value: skipped, as Postfix does`)
  }, map => last?.has(map) === true ? last.of(map) : null)
  const { sources } = opened
  return {
    ...opened,
    sources: {
      ...sources, onHalfOpen: breakers.onHalfOpen,
      status: () => sources.status().map(report => ({ ...report, ...breakers.historyOf(report) })),
    },
  }
}

type Breakers = {
  readonly onState: ServerSettings['onState']
  readonly onHalfOpen: MapSources['onHalfOpen']
  /** When a server's breaker last opened or closed (half-open is part of open), and how often it opened. */
  historyOf(report: { readonly server: string, readonly since: number }): Pick<ServerReport, 'since' | 'opened'>
}

/** Logs the changes of all breakers, and keeps their history. */
const followBreakers = (log: Log): Breakers => {
  const startedAt = Date.now()
  const sinceByServer = new Map<string, number>()
  const openedByServer = new Map<string, number>()
  const openServers = new Set<string>()
  const probes: (() => void)[] = []
  const lasted = (server: string): { lasted_ms: number } => {
    const now = Date.now()
    const lasted_ms = now - (sinceByServer.get(server) ?? startedAt)
    sinceByServer.set(server, now)
    return { lasted_ms }
  }
  return {
    onHalfOpen: run => void probes.push(run),
    historyOf: ({ server, since }) =>
      ({ since: sinceByServer.get(server) ?? since, opened: openedByServer.get(server) ?? 0 }),
    onState: (server, state, detail) => {
      switch (state) {
        case 'closed':
          openServers.delete(server)
          log.info(`mysql ${server}: breaker closed: it answers again`, lasted(server))
          return
        case 'half-open':
          log.debug(`mysql ${server}: breaker half-open: trying it`)
          for (const probe of probes) probe()
          return
        case 'open':
          openedByServer.set(server, (openedByServer.get(server) ?? 0) + 1)
          // A probe that fails again is no change.
          if (openServers.has(server)) log.debug(`mysql ${server}: breaker open again: ${detail}`)
          else {
            log.warn(`mysql ${server}: breaker open: left alone but for a probe now and then: ${detail}`,
              lasted(server))
          }
          openServers.add(server)
          return
        default: state satisfies never
      }
    },
  }
}
