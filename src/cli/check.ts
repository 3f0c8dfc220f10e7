/** `holdfast check`: is the configuration right, and can each server be used now? */
import { loadConfig } from '../config/load.js'
import { createLog } from '../log.js'
import type { Problem } from '../sources/problem.js'
import { sourcesOf } from '../watched.js'

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
  // What is wrong is said below, once; the log's own words would come on top.
  const log = createLog({ level: 'error', format: 'text', journal: false }, line => process.stderr.write(line), Date.now)
  const opened = sourcesOf(loaded.config, log)
  for (const warning of opened.warnings) say('warning', warning)
  if (!opened.ok) {
    for (const problem of opened.problems) say('error', problem)
    return exitConfig
  }
  const problems = await opened.sources.check()
  for (const problem of problems) say('error', problem)
  opened.sources.close()
  if (problems.length > 0) return exitTempfail
  process.stdout.write(`ok: ${fileName}: ${loaded.config.maps.length} maps\n`)
  return 0
}
