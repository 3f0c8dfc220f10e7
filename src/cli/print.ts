/** `holdfast manual`, `schema` and `completion`: print files of the build (deploy/pages), and the names of the maps. */
import { readFileSync } from 'node:fs'
import { packageFile } from '../runtime/package.js'

/** Prints a file that ships beside the program. */
export const printPage = (name: string, process: NodeJS.Process): number => {
  process.stdout.write(readFileSync(packageFile(`dist/holdfast/${name}`)))
  return 0
}

/** Prints the maps' names, one a line, for the completion scripts; none if the configuration has problems. */
export const printMapNames = async (config: string, process: NodeJS.Process): Promise<number> => {
  const { loadConfig } = await import('../config/load.js')
  const loaded = loadConfig(config, process.env)
  if (loaded.ok) process.stdout.write(loaded.config.maps.map(({ name }) => `${name}\n`).join(''))
  return 0
}
