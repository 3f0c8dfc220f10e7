/** Reads the configuration file and opens the sources that it names. */
import { loadClient } from '../caches/redis_client.js'
import type { Config, MapConfig } from '../config/config.js'
import { loadConfig, problemsOf } from '../config/load.js'
import type { ConfigFile } from '../config/schema.js'
import type { Log } from '../log.js'
import type { ServerSettings } from '../mysql/server.js'
import { loadDriver } from '../mysql/session.js'
import { openSources } from '../tables/open.js'
import type { OpenedSources, Sources } from '../tables/open.js'
import { logServers } from './state_log.js'

/** What no user needs to set for MySQL servers (ms). */
const serverDefaults = { standing: 2, idleMs: 60_000, maxAgeMs: 15 * 60_000, windowMs: 10_000 }
/** A statement has at least so long (ms), however impatient lookups are. */
const minStatementMs = 1_000
/** Lookups wait so long (ms) for a server that is silent: the ten of a RCPT, one after the other, below a second. */
const silentMs = 900

/** A configuration without its faulty maps, and its open sources. */
export type Configuration = { readonly config: Config, readonly sources: Sources }

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

/** What the file says of all MySQL servers. */
export const settingsOfServers = (
  { connections, connect_timeout, breaker, deadline, soft_deadline, max_lag }: Omit<ConfigFile, 'role'>,
): Omit<ServerSettings, 'onState'> => ({
  ...serverDefaults, connections, connectTimeoutMs: connect_timeout, failures: breaker.failures,
  resetMs: breaker.reset, statementMs: Math.max(deadline, minStatementMs),
  silentMs: Math.max(soft_deadline, silentMs), maxLagMs: max_lag ?? null,
})

/** What is behind each map of a configuration; `last`: those to open maps by that now have faults. Connects nowhere. */
export const openMapSources = (config: Config, log: Log, last?: Sources): OpenedSources =>
  openSources(config.maps, { ...settingsOfServers(config.file), onState: logServers(log) }, map => {
    log.repeated(`empty ${map}`, `map ${map}: the table has a row with an empty value; `
      + 'Holdfast skips it, as Postfix does')
  }, map => last?.has(map) === true ? last.of(map) : null)
