/** `holdfast check`: is the configuration right, and can each server be used now? */
import { loadConfig } from '../config/load.js'
import { openSources } from '../sources/open.js'
import type { Problem } from '../sources/problem.js'

/** sysexits(3). */
const exitConfig = 78
const exitTempfail = 75

/** Prints what it finds; exit code 0, 78 for a wrong configuration, 75 for a server that can't be used now. */
export const check = async (fileName: string, process: NodeJS.Process): Promise<number> => {
  const say = (kind: string, { place, text }: Problem): void => {
    process.stdout.write(`${kind}: ${place}: ${text}\n`)
  }
  const loaded = loadConfig(fileName, process.env)
  if (!loaded.ok) {
    for (const problem of loaded.problems) say('error', problem)
    return exitConfig
  }
  const opened = openSources(new Map(loaded.config.maps.map(({ name, source }) => [name, source])))
  for (const warning of opened.warnings) say('warning', warning)
  if (!opened.ok) {
    for (const problem of opened.problems) say('error', problem)
    return exitConfig
  }
  const problems = await opened.sources.check()
  for (const problem of problems) say('error', problem)
  await opened.sources.close()
  if (problems.length > 0) return exitTempfail
  process.stdout.write(`ok: ${fileName}: ${loaded.config.maps.length} maps\n`)
  return 0
}
