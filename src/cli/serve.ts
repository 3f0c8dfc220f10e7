/** `holdfast serve`: the daemon in the foreground, from start to signal. */
import type { Config } from '../config/config.js'
import { roleMeans } from '../config/role_meaning.js'
import { readConfigured } from '../daemon/read_configuration.js'
import { startDaemon } from '../daemon/daemon.js'
import type { Daemon } from '../daemon/daemon.js'
import { createEvents } from '../admin/events.js'
import { createLog, messageOf } from '../log.js'
import type { Log } from '../log.js'
import { createNotifier } from '../daemon/systemd.js'
import { inheritedSockets } from '../server/inherited.js'
import { startServing } from '../daemon/serving.js'
import { exitConfig, exitUnavailable } from './exit.js'

/** The lines to paste that a new user needs, for each map that is served. */
const announce = (daemon: Daemon, { file, maps: configured }: Config, log: Log): void => {
  const maps = configured.map(({ name }) => name)
  log.info(roleMeans(file))
  const addresses = daemon.addresses()
  const socketmap = addresses.find(address => address.startsWith('socketmap:'))
  for (const address of addresses) log.info(`listening on ${address}`)
  const health = daemon.healthUrl()
  if (health !== null) log.info(`status page: ${health}/ (also /readyz, /livez, /metrics, /status)`)
  const map = maps[0]
  if (socketmap !== undefined && map !== undefined) {
    log.info(`try: npx holdfast query --at ${socketmap.slice('socketmap:'.length)} ${map} KEY`)
    log.info(`try: postmap -q KEY ${socketmap}:${map}`)
  }
  log.info(`ready: ${maps.length} maps: ${maps.join(', ')}`)
}

/** Runs until SIGTERM or SIGINT, and reads its configuration anew on SIGHUP; gives the exit code. */
export const serve = async (fileName: string, process: NodeJS.Process): Promise<number> => {
  const journal = process.env['JOURNAL_STREAM'] !== undefined
  const base = createLog({ level: 'info', format: 'text', journal }, line => process.stderr.write(line), Date.now)
  const events = createEvents(Date.now)
  const log = events.recording(base)

  const first = await readConfigured(fileName, process.env, log)
  if (first === null) return exitConfig
  base.configure({ ...first.config.file.log, journal })
  const notifier = createNotifier(process.env, text => log.warn(text))
  const inherited = inheritedSockets(process.env, process.pid)
  let daemon: Daemon
  try {
    const answering = await startServing(first.config, first.sources, log)
    daemon = await startDaemon(first.config, answering, log, events, inherited)
  } catch (error) {
    log.error(`can't start: ${messageOf(error)}`)
    return exitUnavailable
  }

  for (const name of inherited.left()) log.warn(`the service manager listens on ${name}, which the configuration doesn't name: nobody answers there`)

  const reload = async (): Promise<void> => {
    const next = await readConfigured(fileName, process.env, log)
    if (next === null) {
      log.error('not reloaded: the configuration has problems; serving as before')
      return
    }
    try {
      await daemon.reload(next.config, next.sources)
    } catch (error) {
      log.error(`not reloaded: ${messageOf(error)}; serving as before`)
      return
    }
    base.configure({ ...next.config.file.log, journal })
    log.info(`reloaded: ${next.config.maps.length} maps: ${next.config.maps.map(({ name }) => name).join(', ')}`)
  }
  // One reload after the other.
  let reloading = Promise.resolve()
  process.on('SIGHUP', () => {
    reloading = reloading.then(() => notifier.reloading()).then(reload).then(() => notifier.ready())
  })

  const signalled = new Promise<string>(resolve => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  announce(daemon, first.config, base)
  await notifier.ready()
  const signal = await signalled
  log.info(`stopping on ${signal}: answering what was asked`)
  await notifier.stopping()
  await reloading
  await daemon.close()
  log.info('stopped')
  return 0
}
