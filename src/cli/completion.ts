/** `holdfast completion`: the script for the shell, and the maps' names that it asks for. */
import type { Command } from 'commander'
import { loadConfig } from '../config/load.js'
import { bashCompletion } from '../manual/completion.js'

/** What to print: for `bash` the script, for `maps` the names in that configuration, one a line, none if it has problems. */
export const completion = (program: Command, what: 'bash' | 'maps', config: string, standardConfig: string, environment: NodeJS.ProcessEnv): string => {
  if (what === 'bash') return bashCompletion(program, standardConfig)
  const loaded = loadConfig(config, environment)
  return loaded.ok ? loaded.config.maps.map(({ name }) => `${name}\n`).join('') : ''
}
