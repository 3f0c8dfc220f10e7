/** The sources of a configuration, with their changes of state told to the log. */
import type { Config } from '../config/load.js'
import type { Log } from '../log.js'
import { openSources } from '../sources/open.js'
import type { OpenedSources } from '../sources/open.js'

const breakerWindowMs = 10_000
const idleMs = 60_000

export const sourcesOf = (config: Config, log: Log): OpenedSources => {
  const { connections, breaker, prepared_statements } = config.file
  return openSources(new Map(config.maps.map(({ name, source }) => [name, source])), {
    connections, failures: breaker.failures, windowMs: breakerWindowMs, resetMs: breaker.reset, idleMs,
    onState: (server, state, detail) => {
      switch (state) {
        case 'closed':
          log.info(`mysql ${server}: breaker closed: it answers again`)
          return
        case 'half-open':
          log.debug(`mysql ${server}: breaker half-open: trying it`)
          return
        case 'open':
          log.warn(`mysql ${server}: breaker open: left alone for a while: ${detail}`)
          return
        default: state satisfies never
      }
    },
  }, prepared_statements, map => {
    log.repeated(`empty ${map}`, `map ${map}: a row with an empty value: skipped, as Postfix does`)
  })
}
