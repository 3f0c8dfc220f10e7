/**
 * Reads the configuration file and opens the sources that it names. The servers' changes of state are logged and
 * counted here.
 */
import type { ServerReport } from '../admin/status.js'
import { loadClient } from '../caches/redis_client.js'
import type { Config } from '../config/config.js'
import { loadConfig } from '../config/load.js'
import type { Log, Problem } from '../log.js'
import { loadDriver } from '../mysql/session.js'
import type { ServerSettings } from '../mysql/server.js'
import { openSources } from '../tables/open.js'
import type { Sources } from '../tables/open.js'

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

export type OpenedMapSources =
  | { readonly ok: false, readonly problems: readonly Problem[], readonly warnings: readonly Problem[] }
  | { readonly ok: true, readonly sources: MapSources, readonly warnings: readonly Problem[] }

/** A configuration without faults, and its open sources. */
export type Configuration = { readonly config: Config, readonly sources: MapSources }

/** Logs all problems and warnings; resolves with null if there are problems. Connects nowhere yet. */
export const readConfiguration = async (
  fileName: string, environment: NodeJS.ProcessEnv, log: Log,
): Promise<Configuration | null> => {
  const loaded = loadConfig(fileName, environment)
  if (!loaded.ok) {
    for (const { place, text } of loaded.problems) log.error(`${place}: ${text}`)
    return null
  }
  const { maps, redis } = loaded.config
  // These libraries take as long to load as all the rest: so not during a lookup, and only if they are needed.
  const hasMysql = maps.some(({ source }) => source.kind !== 'text')
  await Promise.all([redis === null ? null : loadClient(), hasMysql ? loadDriver() : null])
  const opened = openMapSources(loaded.config, log)
  for (const { place, text } of opened.warnings) log.warn(`${place}: ${text}`)
  if (!opened.ok) {
    for (const { place, text } of opened.problems) log.error(`${place}: ${text}`)
    return null
  }
  return { config: loaded.config, sources: opened.sources }
}

/** What is behind each map of a configuration. Connects nowhere yet. */
export const openMapSources = (config: Config, log: Log): OpenedMapSources => {
  const { connections, breaker, deadline, soft_deadline, max_lag } = config.file
  const breakers = followBreakers(log)
  const opened = openSources(config.maps, {
    connections, failures: breaker.failures, windowMs: breakerWindowMs, resetMs: breaker.reset,
    suspectMs: soft_deadline, statementMs: deadline + longestCheckMs, idleMs, maxLagMs: max_lag ?? null,
    onState: breakers.onState,
  }, map => {
    log.repeated(`empty ${map}`, `map ${map}: a row with an empty value: skipped, as Postfix does`)
  })
  if (!opened.ok) return opened
  const { sources, warnings } = opened
  return {
    ok: true, warnings,
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
