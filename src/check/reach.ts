/**
 * Whether Postfix's processes reach the listeners that main.cf and master.cf
 * name: by the path as each of them sees it, and by the permissions on the way.
 */
import { realpathSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { socketInQueue } from '../adopt/draft.js'
import type { Config, ListenerConfig } from '../config/config.js'
import { endpointName, isLoopback } from '../config/endpoint.js'
import type { Postconf } from '../postfix/postconf.js'
import { accessFindings } from './access.js'
import type { Account } from './access.js'
import { deferred, fileAndName, servicesOfAll } from './uses.js'
import type { Finding, FindingText, Use, UsingService } from './uses.js'

type Reached = {
  /** The listener; null if nobody, or another program, listens there. */
  readonly listener: ListenerConfig | null
  /** Postfix means the daemon of this configuration. */
  readonly isOurs: boolean
  readonly findings: readonly Finding[]
}

/** A unix socket as Postfix's processes see it: all of them work in the queue folder, which is / to those in a jail. */
type SocketPaths = { readonly queue: string, readonly outside: string, readonly inJail: string }

const listenersFor = ({ listeners }: Config, protocol: Use['protocol']): readonly ListenerConfig[] =>
  listeners.filter(each => each.protocol === (protocol === 'tcp' ? 'tcp_table' : 'socketmap'))

/** null: it is no unix socket. */
const socketPaths = (postfix: Postconf, endpoint: string): SocketPaths | null => {
  if (!endpoint.startsWith('unix:')) return null
  const path = endpoint.slice('unix:'.length)
  const queue = resolve(postfix.expanded.get('queue_directory') ?? '/var/spool/postfix')
  return { queue, outside: path.startsWith('/') ? path : join(queue, path), inJail: join(queue, path) }
}

/** The listener that Postfix means by an endpoint; null if this configuration has none there. */
export const listenerFor = (
  postfix: Postconf, config: Config, { endpoint, protocol }: Pick<Use, 'endpoint' | 'protocol'>,
): ListenerConfig | null => {
  const listeners = listenersFor(config, protocol)
  const paths = socketPaths(postfix, endpoint)
  if (paths !== null) return listenerAt(listeners, paths.outside) ?? listenerAt(listeners, paths.inJail) ?? null
  const { host, port } = hostAndPort(endpoint)
  return listeners.find(each => isAt(each, host, port)) ?? null
}

/** `uses` are of one endpoint, in whatever parameters. `account` is Postfix's; null if this machine has none. */
export const reach = async (
  postfix: Postconf, config: Config, uses: readonly Use[], account: Account | null,
): Promise<Reached> => {
  const [{ endpoint, protocol } = { endpoint: '', protocol: 'socketmap' as const }] = uses
  const listeners = listenersFor(config, protocol)
  const listener = listenerFor(postfix, config, { endpoint, protocol })
  const paths = socketPaths(postfix, endpoint)
  if (listener === null) {
    const at = paths === null ? hostAndPort(endpoint) : { path: paths.outside }
    return withoutListener(postfix, config, uses, listeners, at)
  }
  if (paths === null || listener.address.kind !== 'unix') return { listener, isOurs: true, findings: [] }

  const services = servicesOfAll(postfix, uses)
  const socket = { ...listener.address, path: real(listener.address.path) }
  const wrongPaths = pathFindings(services, paths, socket.path, file => listenerAt(listeners, file) !== undefined)
  const isRelative = paths.outside !== endpoint.slice('unix:'.length)
  const from = isRelative || services.some(({ isChrooted }) => isChrooted) ? real(paths.queue) : '/'
  const texts = wrongPaths.length > 0 || account === null ? wrongPaths : accessFindings(socket, from, account)
  const place = fileAndName(postfix, uses)
  const findings = texts.map(({ level, text }) => ({ level, place, text: `${endpoint}: ${text}` }))
  return { listener, isOurs: true, findings }
}

/** No listener of this configuration is at `at`: the endpoint is another program's, or nobody's. */
const withoutListener = async (
  postfix: Postconf, config: Config, uses: readonly Use[], listeners: readonly ListenerConfig[], at: ProbedAddress,
): Promise<Reached> => {
  if (await isAnswered(at)) return { listener: null, isOurs: false, findings: [] }
  const [{ endpoint, protocol } = { endpoint: '', protocol: 'socketmap' }] = uses
  const isOurs = endpoint.includes('holdfast') || uses.some(({ map }) => config.maps.some(({ name }) => name === map))
  const listening = listeners.length === 0 ? `The configuration has no ${protocol} listener`
    : `Holdfast listens on ${listeners.map(({ address }) => endpointName(address)).join(', ')}`
  const finding: Finding = {
    level: isOurs ? 'error' : 'warning', place: fileAndName(postfix, uses),
    text: `${endpoint}: no listener of ${config.fileName} is there, and nobody else answers: ${deferred}. `
      + `${listening}: write the same address in both`,
  }
  return { listener: null, isOurs, findings: [finding] }
}

type ProbedAddress = { readonly path: string } | { readonly host: string, readonly port: number }

const probeMs = 1_000

const isAnswered = (at: ProbedAddress): Promise<boolean> => new Promise(done => {
  const socket = connect({ ...at, timeout: probeMs })
  const end = (answer: boolean): void => {
    socket.destroy()
    done(answer)
  }
  // Somebody may listen where we may not look.
  socket.on('connect', () => end(true)).on('timeout', () => end(true))
    .on('error', error => end('code' in error && error.code === 'EACCES'))
})

/** The parts of `inet:HOST:PORT`. */
const hostAndPort = (endpoint: string): { host: string, port: number } => {
  const [, host = '', port = ''] = /^inet:(.*):([^:]*)$/.exec(endpoint) ?? []
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) || 0 }
}

const isAt = ({ address }: ListenerConfig, host: string, port: number): boolean => {
  if (address.kind !== 'inet' || port !== address.port) return false
  return ['0.0.0.0', '::', host].includes(address.host) || (isLoopback(host) && isLoopback(address.host))
}

/** Where a path leads, as far as its folder is there. */
const real = (path: string): string => {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return resolve(path)
  }
}

const listenerAt = (listeners: readonly ListenerConfig[], file: string): ListenerConfig | undefined =>
  listeners.find(({ address }) => address.kind === 'unix' && real(address.path) === real(file))

/** Whether each service finds a listener where it looks for one. `socket` is the real path of the one that is meant. */
const pathFindings = (
  services: readonly UsingService[], { queue, outside, inJail }: SocketPaths, socket: string,
  hasListener: (file: string) => boolean,
): readonly FindingText[] => {
  const [jailed, free] = [true, false].map(isChrooted =>
    services.filter(service => service.isChrooted === isChrooted).map(({ text }) => text).join(', '))
  const realQueue = `${real(queue)}/`
  const remedy = socket.startsWith(realQueue)
    ? `Write unix:${socket.slice(realQueue.length)} here, without a slash in front: that is right for all of them`
    : `Listen within the queue folder, \`socketmap: unix:${queue}/${socketInQueue}\`, `
      + `and write unix:${socketInQueue} here`
  const findings: FindingText[] = []
  const leadsOut = !`${real(inJail)}/`.startsWith(realQueue)
  if (jailed !== '' && (!hasListener(inJail) || leadsOut)) {
    const why = leadsOut ? 'a symbolic link leads out of there' : 'sees no such file there'
    findings.push({ level: 'error', text: `${jailed}: chrooted to ${queue}, and ${why}: ${deferred}. ${remedy}` })
  }
  if (free !== '' && !hasListener(outside)) {
    findings.push({ level: 'error', text: `${free}: not chrooted, and looks for ${outside}: ${deferred}. ${remedy}` })
  }
  return findings
}
