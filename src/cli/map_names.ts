/** `holdfast completion maps`: the names of the maps, for the completion scripts. */
import { loadConfig } from '../config/load.js'

/** Prints a name a line; none if the configuration has problems. */
export const printMapNames = (config: string, process: NodeJS.Process): number => {
  const loaded = loadConfig(config, process.env)
  if (loaded.ok) process.stdout.write(loaded.config.maps.map(({ name }) => `${name}\n`).join(''))
  return 0
}
