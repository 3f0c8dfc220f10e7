/** The sources of a configuration, with their changes of state told to the log and counted. */
import type { Config } from '../config/config.js'
import type { ServerReport } from '../admin/status.js'
import type { Log } from '../log.js'
import { openSources } from '../tables/open.js'
import type { OpenedSources, Sources } from '../tables/open.js'

const breakerWindowMs = 10_000
const idleMs = 60_000
/** Checks of our own wait longer than a lookup. */
const longestCheckMs = 5_000

export type WatchedSources = Omit<Sources, 'status'> & {
  /** Calls `run` whenever a server that was left alone may be asked one question: what `run` asks is the probe. */
  onHalfOpen(run: () => void): void
  /** Each MySQL server with its breaker's state, its last error, and how often the breaker opened. */
  status(): readonly ServerReport[]
}

export type OpenedWatched = Extract<OpenedSources, { ok: false }> | { readonly ok: true, readonly sources: WatchedSources, readonly warnings: OpenedSources['warnings'] }

export const sourcesOf = (config: Config, log: Log): OpenedWatched => {
  const { connections, breaker } = config.file
  const startedAt = Date.now()
  /** When each server's breaker last opened or closed; half-open is part of open. */
  const sinceByServer = new Map<string, number>()
  const openedByServer = new Map<string, number>()
  const lasted = (server: string): number => {
    const now = Date.now()
    const lasted_ms = now - (sinceByServer.get(server) ?? startedAt)
    sinceByServer.set(server, now)
    return lasted_ms
  }
  const isOpen = new Set<string>()
  const probes: (() => void)[] = []
  const opened = openSources(new Map(config.maps.map(({ name, source }) => [name, source])), {
    connections, failures: breaker.failures, windowMs: breakerWindowMs, resetMs: breaker.reset, suspectMs: config.file.soft_deadline,
    statementMs: config.file.deadline + longestCheckMs, idleMs, maxLagMs: config.file.max_lag ?? null,
    onState: (server, state, detail) => {
      switch (state) {
        case 'closed':
          isOpen.delete(server)
          log.info(`mysql ${server}: breaker closed: it answers again`, { lasted_ms: lasted(server) })
          return
        case 'half-open':
          log.debug(`mysql ${server}: breaker half-open: trying it`)
          for (const probe of probes) probe()
          return
        case 'open':
          openedByServer.set(server, (openedByServer.get(server) ?? 0) + 1)
          // Probes that fail again are no change.
          if (isOpen.has(server)) log.debug(`mysql ${server}: breaker open again: ${detail}`)
          else log.warn(`mysql ${server}: breaker open: left alone but for a probe now and then: ${detail}`, { lasted_ms: lasted(server) })
          isOpen.add(server)
          return
        default: state satisfies never
      }
    },
  }, map => {
    log.repeated(`empty ${map}`, `map ${map}: a row with an empty value: skipped, as Postfix does`)
  })
  if (!opened.ok) return opened
  return {
    ok: true, warnings: opened.warnings,
    sources: {
      ...opened.sources,
      onHalfOpen: run => void probes.push(run),
      status: () => opened.sources.status().map(report => ({
        ...report, since: sinceByServer.get(report.server) ?? report.since, opened: openedByServer.get(report.server) ?? 0,
      })),
    },
  }
}
