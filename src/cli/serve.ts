/** `holdfast serve`: runs the daemon in the foreground, until a signal ends it. */
import type { Config } from '../config/config.js'
import { problemsOf } from '../config/load.js'
import { readConfiguration } from '../daemon/open_sources.js'
import { Daemon } from '../daemon/daemon.js'
import { createEvents } from '../admin/history.js'
import { createLog, messageOf } from '../log.js'
import type { Log } from '../log.js'
import { roleMeans } from '../daemon/state_log.js'
import { createNotifier, inheritedSockets } from '../daemon/systemd.js'
import { counted, exitConfig, exitUnavailable } from './terminal.js'

/** Logs where the daemon listens, and lines for a new user to paste. */
const announce = (daemon: Daemon, { file, maps }: Config, log: Log): void => {
  log.info(`role ${roleMeans(file)}`)
  const addresses = daemon.addresses
  for (const address of addresses) log.info(`listening on ${address}`)
  const health = daemon.healthUrl
  if (health !== null) log.info(`status page: ${health}/ (also /readyz, /livez, /metrics, /status)`)
  const socketmap = addresses.find(address => address.startsWith('socketmap:'))
  const [map] = maps
  if (socketmap !== undefined && map !== undefined) {
    log.info(`try: holdfast query --at ${socketmap.slice('socketmap:'.length)} ${map.name} KEY`)
    log.info(`try: postmap -q KEY ${socketmap}:${map.name}`)
  }
  log.info(`ready: ${mapNames(maps)}`)
}

const mapNames = (maps: Config['maps']): string =>
  `${counted(maps.length, 'map')}: ${maps.map(({ name }) => name).join(', ')}`

/** Reloads that are asked for, from now on, one after the other; one that is asked for before `start` waits for it. */
class Reloads {
  idle = Promise.resolve()
  #reload: (() => Promise<void>) | null = null
  #isAsked = false

  constructor(process: NodeJS.Process) {
    process.on('SIGHUP', () => this.#ask())
  }

  start(reload: () => Promise<void>): void {
    this.#reload = reload
    if (this.#isAsked) this.#ask()
  }

  #ask(): void {
    this.#isAsked = true
    if (this.#reload !== null) this.idle = this.idle.then(this.#reload)
  }
}

/** Serves by the configuration as it is now; if what is wrong concerns all of it, as before: null. */
const reload = async (
  daemon: Daemon, fileName: string, environment: NodeJS.ProcessEnv, log: Log,
): Promise<Config | null> => {
  const next = await readConfiguration(fileName, environment, log, daemon.configuration)
  try {
    if (next === null) throw new Error('the lines above name the faults')
    await daemon.reload(next)
    daemon.reloadFailedAt = null
    return next.config
  } catch (error) {
    daemon.reloadFailedAt ??= Date.now()
    log.error(`not reloaded: ${messageOf(error)}; the former configuration stays in use`)
    return null
  }
}

/** Resolves with the name of the signal that ends the daemon. */
const endSignal = (process: NodeJS.Process): Promise<string> => new Promise(resolve => {
  process.once('SIGTERM', resolve)
  process.once('SIGINT', resolve)
})

/**
 * Runs until SIGTERM or SIGINT, and reloads on SIGHUP. Exit code: 0, 69 if it can't listen where the configuration
 * says, 78 if the configuration is wrong.
 */
export const serve = async (fileName: string, process: NodeJS.Process): Promise<number> => {
  const { env } = process
  const journal = env['JOURNAL_STREAM'] !== undefined
  const events = createEvents(Date.now)
  const log = createLog(
    { level: 'info', format: 'text', journal }, line => process.stderr.write(line), Date.now, events.add)

  const reloads = new Reloads(process)
  const first = await readConfiguration(fileName, env, log, null)
  const inherited = inheritedSockets(env, process.pid)
  if (first === null) {
    await inherited.turnAway()
    return exitConfig
  }
  log.configure({ ...first.config.file.log, journal })
  const notifier = createNotifier(env, problem => log.warn(`systemd: ${problem}`))
  let daemon: Daemon
  try {
    daemon = new Daemon(first, log, events, inherited)
    await daemon.open()
  } catch (error) {
    log.error(`can't start: ${messageOf(error)}`)
    await inherited.turnAway()
    return exitUnavailable
  }
  for (const name of inherited.left()) {
    log.warn(`the service manager listens on ${name}, which the configuration doesn't name: nobody answers there. `
      + 'Name it under `listen`, or remove it from the socket unit')
  }

  const signalled = endSignal(process)
  announce(daemon, first.config, log)
  await notifier.ready()
  reloads.start(async () => {
    await notifier.reloading()
    const config = await reload(daemon, fileName, env, log)
    if (config !== null) {
      log.configure({ ...config.file.log, journal })
      log.info(`reloaded: ${mapNames(config.maps)}`)
    }
    await notifier.reloaded(config === null ? ['not reloaded: the log says why; the former configuration stays in use']
      : problemsOf(config.faults).map(({ place, text }) => `${place}: ${text}`))
  })
  log.info(`stopping on ${await signalled}: answering the requests under way`)
  await notifier.stopping()
  await reloads.idle
  await daemon.close()
  log.info('stopped')
  return 0
}
