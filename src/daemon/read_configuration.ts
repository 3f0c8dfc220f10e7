/** Reads the configuration file and opens the sources that it names. */
import { loadClient } from '../caches/redis_client.js'
import { loadDriver } from '../mysql/session.js'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/config.js'
import type { Log } from '../log.js'
import { sourcesOf } from './watched.js'
import type { WatchedSources } from './watched.js'

/** A configuration without faults, and its open sources. */
export type Configuration = { readonly config: Config, readonly sources: WatchedSources }

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
  const opened = sourcesOf(loaded.config, log)
  for (const { place, text } of opened.warnings) log.warn(`${place}: ${text}`)
  if (!opened.ok) {
    for (const { place, text } of opened.problems) log.error(`${place}: ${text}`)
    return null
  }
  return { config: loaded.config, sources: opened.sources }
}
