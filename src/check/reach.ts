/**
 * Whether Postfix's processes can reach the listeners that main.cf and
 * master.cf name: the path as each of them sees it, the folders on the way, the
 * socket's group and mode.
 */
import { realpathSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { socketInQueue } from '../adopt/plan.js'
import type { Postconf } from '../postfix/postconf.js'
import type { Config, ListenerConfig } from '../config/config.js'
import { endpointName } from '../config/endpoint.js'
import { groupName } from '../config/group.js'
import { look, mayDo, obstacle, ownership } from './account.js'
import type { Account } from './account.js'
import { fileAndName } from './finding.js'
import type { Finding } from './finding.js'
import { servicesOfAll } from './tables.js'
import type { Use } from './uses.js'

const deferred = '"Temporary lookup failure" (451)'
const probeMs = 1_000

/** Where a path leads, as far as its folder is there. */
const real = (path: string): string => {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return resolve(path)
  }
}

const hostKind = (host: string): string => /^(localhost|127\..*|::1|\[::1\])$/.test(host) ? 'this machine' : host.replace(/^\[|\]$/g, '')

const isAt = ({ address }: ListenerConfig, endpoint: string): boolean => {
  const [, host, port] = /^inet:(.*):([^:]*)$/.exec(endpoint) ?? []
  if (address.kind !== 'inet' || host === undefined || port !== String(address.port)) return false
  return ['0.0.0.0', '::'].includes(address.host) || hostKind(host) === hostKind(address.host)
}

const isAnswered = (at: { path: string } | { host: string, port: number }): Promise<boolean> => new Promise(done => {
  const socket = connect({ ...at, timeout: probeMs })
  const end = (answer: boolean): void => {
    socket.destroy()
    done(answer)
  }
  // What can't be looked at may well be there.
  socket.on('connect', () => end(true)).on('timeout', () => end(true))
    .on('error', error => end('code' in error && error.code === 'EACCES'))
})

export type Reached = {
  /** The listener, or null: somebody else's endpoint, or nobody's. */
  readonly listener: ListenerConfig | null
  /** It is meant for this configuration. */
  readonly isOurs: boolean
  readonly findings: readonly Finding[]
}

/** The same endpoint, in whatever parameters. `account` is Postfix's; null if this machine has none. */
export const reach = async (postfix: Postconf, config: Config, uses: readonly Use[], account: Account | null): Promise<Reached> => {
  const [{ endpoint, protocol } = { endpoint: '', protocol: 'socketmap' }] = uses
  const place = fileAndName(postfix, uses)
  const listeners = config.listeners.filter(each => each.protocol === (protocol === 'tcp' ? 'tcp_table' : 'socketmap'))

  const nobody = async (at: Parameters<typeof isAnswered>[0]): Promise<Reached> => {
    const isOurs = endpoint.includes('holdfast') || uses.some(({ map }) => config.maps.some(({ name }) => name === map))
    if (await isAnswered(at)) return { listener: null, isOurs: false, findings: [] }
    const known = listeners.length === 0 ? `it has no ${protocol} listener` : `it listens on ${listeners.map(({ address }) => endpointName(address)).join(', ')}`
    const text = `${endpoint}: no listener of ${config.fileName} is there, and nobody else answers: ${deferred}; ${known}`
    return { listener: null, isOurs, findings: [{ level: isOurs ? 'error' : 'warning', place, text }] }
  }

  if (!endpoint.startsWith('unix:')) {
    const listener = listeners.find(each => isAt(each, endpoint))
    const [, host = '', port] = /^inet:(.*):([^:]*)$/.exec(endpoint) ?? []
    return listener === undefined ? nobody({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) || 0 }) : { listener, isOurs: true, findings: [] }
  }

  const path = endpoint.slice('unix:'.length)
  const queue = resolve(postfix.expanded.get('queue_directory') ?? '/var/spool/postfix')
  const services = servicesOfAll(postfix, uses)
  const [jailed, free] = [true, false].map(isChrooted => services.filter(service => service.isChrooted === isChrooted).map(({ text }) => text))
  const atFile = (file: string): ListenerConfig | undefined =>
    listeners.find(({ address }) => address.kind === 'unix' && real(address.path) === real(file))
  // Every process of Postfix works in the queue folder.
  const seen = { free: path.startsWith('/') ? path : join(queue, path), jailed: join(queue, path) }
  const listener = atFile(seen.free) ?? atFile(seen.jailed)
  if (listener?.address.kind !== 'unix') return nobody({ path: seen.free })

  const findings: Finding[] = []
  const say = (level: Finding['level'], text: string): void => {
    findings.push({ level, place, text: `${endpoint}: ${text}` })
  }
  const inQueue = real(listener.address.path).startsWith(`${real(queue)}/`) ? real(listener.address.path).slice(real(queue).length + 1) : null
  const remedy = inQueue === null
    ? `Listen within the queue folder, \`socketmap: unix:${queue}/${socketInQueue}\`, and write unix:${socketInQueue} here`
    : `Write unix:${inQueue} here, without a slash in front: that is right for all of them`
  const [inJail = [], outside = []] = [jailed, free]
  const leadsOut = !`${real(seen.jailed)}/`.startsWith(`${real(queue)}/`)
  if (inJail.length > 0 && (atFile(seen.jailed) === undefined || leadsOut)) {
    say('error', `${inJail.join(', ')}: chrooted to ${queue}, and ${leadsOut ? 'a symbolic link leads out of there' : 'sees no such file there'}: ${deferred}. ${remedy}`)
  }
  if (outside.length > 0 && atFile(seen.free) === undefined) {
    say('error', `${outside.join(', ')}: not chrooted, and looks for ${seen.free}: ${deferred}. ${remedy}`)
  }
  if (findings.length > 0 || account === null) return { listener, isOurs: true, findings }

  const file = real(listener.address.path)
  const way = obstacle(file, path.startsWith('/') && inJail.length === 0 ? '/' : real(queue), account)
  const stats = way === null ? look(file) : null
  const { mode, gid } = listener.address
  if (way?.kind === 'missing') say('error', `there is no folder ${way.folder}: ${deferred}. Make it: install -d -m 0750 -g ${groupName(account.gids[0] ?? 0)} ${way.folder}`)
  else if (way?.kind === 'hidden') {
    if (process.geteuid?.() === account.uid) say('error', `${account.name} can't search the folders to ${way.folder}: ${deferred}`)
    else say('warning', `${way.folder} can't be looked at: run this as ${account.name} or root`)
  } else if (way?.kind === 'closed') {
    say('error', `${account.name} can't go through ${way.folder} (${ownership(way.stats)}): ${deferred}. Give it Postfix's group and mode 0750`)
  } else if (stats === null || stats === 'hidden') {
    say('warning', `there is no socket ${file}: is the daemon running? Until then ${deferred}`)
    const asConfigured = { uid: -1, gid: gid ?? -1, mode }
    if (!mayDo(asConfigured, account, 'write')) say('error', `${account.name} could not write to a socket of ${gid === null ? 'the daemon\'s own group' : `group ${groupName(gid)}`} and mode 0${mode.toString(8)}: ${deferred}. Set \`group: ${groupName(account.gids[0] ?? 0)}\` and \`mode: "0660"\` of that listener`)
  } else if (!stats.isSocket()) say('error', `${file} is not a socket: ${deferred}`)
  else if (!mayDo(stats, account, 'write')) {
    say('error', `${account.name} can't write to the socket (${ownership(stats)}): ${deferred}. Set \`group: ${groupName(account.gids[0] ?? 0)}\` and \`mode: "0660"\` of that listener`)
  }
  return { listener, isOurs: true, findings }
}
