/** `holdfast check`: checks the configuration, each server, and that Postfix can ask the daemon. */
import { checkPostfix } from '../check/postfix.js'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/config.js'
import { messageOf } from '../log.js'
import type { Problem } from '../log.js'
import { findListing } from '../upkeep/load_table.js'
import { exitConfig, exitTempfail, terminalLog } from './terminal.js'
import { sourcesOf } from '../daemon/watched.js'
import type { WatchedSources } from '../daemon/watched.js'

export type CheckOptions = { readonly configDir: string }

/**
 * Prints what it finds. Exit code: 0, 78 if the configuration of Holdfast or of Postfix is wrong, 75 if a server can't
 * be used now.
 */
export const check = async (
  fileName: string, { configDir }: CheckOptions, process: NodeJS.Process,
): Promise<number> => {
  const say = (kind: string, { place, text }: Problem): void => {
    process.stdout.write(`${kind}: ${place}: ${text}\n`)
  }
  const loaded = loadConfig(fileName, process.env)
  if (!loaded.ok) {
    for (const problem of loaded.problems) say('error', problem)
    return exitConfig
  }
  const { config } = loaded
  const tables = await checkTables(config, say, process)
  const isPostfixRight = await checkPostfixOf(config, configDir, say)
  if (tables === 'wrong' || !isPostfixRight) return exitConfig
  if (tables === 'down') return exitTempfail
  process.stdout.write(`ok: ${fileName}: ${config.maps.length} maps\n`)
  return 0
}

type Say = (kind: string, problem: Problem) => void

const checkTables = async (config: Config, say: Say, process: NodeJS.Process): Promise<'right' | 'wrong' | 'down'> => {
  // No warnings of the log: the problems are printed below.
  const opened = sourcesOf(config, terminalLog('error', process))
  for (const warning of opened.warnings) say('warning', warning)
  if (!opened.ok) {
    for (const problem of opened.problems) say('error', problem)
    return 'wrong'
  }
  const problems = await opened.sources.check()
  for (const problem of problems) say('error', problem)
  if (problems.length === 0) for (const warning of await checkLists(config, opened.sources)) say('warning', warning)
  opened.sources.close()
  return problems.length > 0 ? 'down' : 'right'
}

/** The maps whose tables should be loaded ahead of demand, and can't be. */
const checkLists = async ({ maps }: Config, sources: WatchedSources): Promise<readonly Problem[]> => {
  const problems: Problem[] = []
  for (const { name, place, warm } of maps) {
    const opened = sources.of(name)
    const table = opened.kind === 'mysql' ? opened.tables[0] : undefined
    if (warm === null || table === undefined) continue
    const listing = await findListing(table, warm)
    if (typeof listing === 'string') {
      problems.push({ place, text: `warm: the keys of map ${name} can't be listed, and are not loaded: ${listing}` })
    }
  }
  return problems
}

/** Whether Postfix has no errors where it asks Holdfast. */
const checkPostfixOf = async (config: Config, configDir: string, say: Say): Promise<boolean> => {
  try {
    const findings = await checkPostfix(configDir, config) ?? []
    for (const { level, ...problem } of findings) say(level, problem)
    return !findings.some(({ level }) => level === 'error')
  } catch (error) {
    say('warning', { place: configDir, text: `Postfix's side is not checked: ${messageOf(error)}` })
    return true
  }
}
