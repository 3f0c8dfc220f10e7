/** `holdfast serve`: the daemon in the foreground, from start to signal. */
import { loadConfig } from '../config/load.js'
import { startDaemon } from '../daemon.js'
import type { Daemon } from '../daemon.js'
import { createLog } from '../log.js'
import type { Log } from '../log.js'
import { sourcesOf } from './sources.js'

/** sysexits(3). */
const exitConfig = 78
const exitUnavailable = 69

/** The lines to paste that a new user needs, for each map that is served. */
const announce = (daemon: Daemon, maps: readonly string[], log: Log): void => {
  const socketmap = daemon.addresses.find(address => address.startsWith('socketmap:'))
  for (const address of daemon.addresses) log.info(`listening on ${address}`)
  if (daemon.healthUrl !== null) log.info(`health: ${daemon.healthUrl}/readyz and ${daemon.healthUrl}/status`)
  const map = maps[0]
  if (socketmap !== undefined && map !== undefined) {
    log.info(`try: npx holdfast query --at ${socketmap.slice('socketmap:'.length)} ${map} KEY`)
    log.info(`try: postmap -q KEY ${socketmap}:${map}`)
  }
  log.info(`ready: ${maps.length} maps: ${maps.join(', ')}`)
}

/** Runs until SIGTERM or SIGINT; gives the exit code. */
export const serve = async (fileName: string, process: NodeJS.Process): Promise<number> => {
  const loaded = loadConfig(fileName, process.env)
  const journal = process.env['JOURNAL_STREAM'] !== undefined
  const settings = loaded.ok ? loaded.config.file.log : { level: 'info', format: 'text' } as const
  const log = createLog({ ...settings, journal }, line => process.stderr.write(line), Date.now)
  if (!loaded.ok) {
    for (const { place, text } of loaded.problems) log.error(`${place}: ${text}`)
    return exitConfig
  }
  const { config } = loaded
  const opened = sourcesOf(config, log)
  for (const { place, text } of opened.warnings) log.warn(`${place}: ${text}`)
  if (!opened.ok) {
    for (const { place, text } of opened.problems) log.error(`${place}: ${text}`)
    return exitConfig
  }
  let daemon: Daemon
  try {
    daemon = await startDaemon(config, opened.sources, log)
  } catch (error) {
    log.error(`can't start: ${error instanceof Error ? error.message : 'unknown error'}`)
    return exitUnavailable
  }
  announce(daemon, config.maps.map(({ name }) => name), log)
  const signal = await new Promise<string>(resolve => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  log.info(`stopping on ${signal}: answering what was asked`)
  await daemon.close()
  log.info('stopped')
  return 0
}
