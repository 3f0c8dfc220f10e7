/** The sources of a configuration, with their changes of state told to the log. */
import type { Config } from '../config/load.js'
import type { Log } from '../log.js'
import { openSources } from '../sources/open.js'
import type { OpenedSources } from '../sources/open.js'

const breakerWindowMs = 10_000
const idleMs = 60_000

export const sourcesOf = (config: Config, log: Log): OpenedSources => {
  const { connections, breaker, prepared_statements } = config.file
  /** Since when each server that is left alone has been so. That a probe failed, and another, is no news. */
  const openSince = new Map<string, number>()
  return openSources(new Map(config.maps.map(({ name, source }) => [name, source])), {
    connections, failures: breaker.failures, windowMs: breakerWindowMs, resetMs: breaker.reset, idleMs,
    onState: (server, state, detail) => {
      const since = openSince.get(server)
      switch (state) {
        case 'closed':
          openSince.delete(server)
          log.info(`mysql ${server}: breaker closed: it answers again`, { lasted_ms: Date.now() - (since ?? Date.now()) })
          return
        case 'half-open':
          log.debug(`mysql ${server}: breaker half-open: trying it`)
          return
        case 'open':
          if (since !== undefined) return
          openSince.set(server, Date.now())
          log.warn(`mysql ${server}: breaker open: left alone but for a probe now and then: ${detail}`)
          return
        default: state satisfies never
      }
    },
  }, prepared_statements, map => {
    log.repeated(`empty ${map}`, `map ${map}: a row with an empty value: skipped, as Postfix does`)
  })
}
