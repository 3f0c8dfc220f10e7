/** A configuration file read, with its sources opened: what the daemon begins with. */
import { loadClient } from '../caches/redis_client.js'
import { loadDriver } from '../mysql/connection.js'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/config.js'
import type { Log } from '../log.js'
import { sourcesOf } from './watched.js'
import type { WatchedSources } from './watched.js'

export type Configured = { readonly config: Config, readonly sources: WatchedSources }

/** Resolves with null if there are problems, all of which are in the log then, as are warnings. */
export const readConfigured = async (fileName: string, environment: NodeJS.ProcessEnv, log: Log): Promise<Configured | null> => {
  const loaded = loadConfig(fileName, environment)
  if (!loaded.ok) {
    for (const { place, text } of loaded.problems) log.error(`${place}: ${text}`)
    return null
  }
  const { maps, redis } = loaded.config
  // Code that takes as long to read as all the rest: no lookup shall wait for it, nor a start that has no use for it.
  await Promise.all([redis === null ? null : loadClient(), maps.every(({ source }) => source.kind === 'text') ? null : loadDriver()])
  const opened = sourcesOf(loaded.config, log)
  for (const { place, text } of opened.warnings) log.warn(`${place}: ${text}`)
  if (!opened.ok) {
    for (const { place, text } of opened.problems) log.error(`${place}: ${text}`)
    return null
  }
  return { config: loaded.config, sources: opened.sources }
}
