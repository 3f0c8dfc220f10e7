/** The `listen` section -> listeners, or what is wrong with them; and the addresses of `health` and `admin`. */
import { BlockList, isIP } from 'node:net'
import type { ListenerConfig } from './config.js'
import { groupId, isLoopback, parseEndpoint } from './endpoint.js'
import type { Endpoint, ListenAddress } from './endpoint.js'
import type { ParameterPath } from './parse.js'
import type { Reading } from './reading.js'
import type { ConfigFile, ListenerSection } from './schema.js'

/** The networks that `allow` names, and this machine; null without `allow`. */
const allowedOf = (
  { problem }: Reading, path: ParameterPath, networks: readonly string[] | undefined,
): BlockList | null => {
  if (networks === undefined) return null
  const allowed = new BlockList()
  allowed.addSubnet('127.0.0.0', 8, 'ipv4')
  allowed.addAddress('::1', 'ipv6')
  for (const [index, text] of networks.entries()) {
    const [network = '', prefix] = text.split('/')
    const family = isIP(network)
    const maxBits = family === 4 ? 32 : 128
    const bits = prefix === undefined ? maxBits : Number(prefix)
    if (family === 0 || !/^\d{1,3}$/.test(prefix ?? '0') || bits > maxBits) {
      problem([...path, index], `allow: '${text}' is not a network: write 192.0.2.0/24, 2001:db8::/32 or an address`)
    } else allowed.addSubnet(network, bits, family === 4 ? 'ipv4' : 'ipv6')
  }
  return allowed
}

/** A unix socket with its mode and group, or a host and port. */
const addressOf = (
  { problem }: Reading, path: ParameterPath, endpoint: Endpoint, { group, mode }: ListenerSection,
  maps: ConfigFile['maps'],
): ListenAddress => {
  const gid = group === undefined ? null : groupId(String(group))
  if (group !== undefined && gid === null) {
    problem([...path, 'group'], `group: '${group}' is no group of this machine; write one of getent(1) group`)
  }
  if (endpoint.kind === 'inet') return endpoint
  const secret = Object.keys(maps).find(name => maps[name]?.sensitive === true)
  if (secret !== undefined && group === undefined && mode === undefined) {
    problem([...path, 'socketmap'], `socketmap: has neither group nor mode, so every account of this machine `
      + `could ask for ${secret}, which is sensitive: say who may, such as \`group: postfix\``)
  }
  // Postfix's processes run as its own user, which is in none of our groups unless `group` says so.
  return { ...endpoint, mode: parseInt(mode ?? (group === undefined ? '0666' : '0660'), 8), gid }
}

const listenerOf = (
  reading: Reading, path: ParameterPath, section: ListenerSection, maps: ConfigFile['maps'],
): ListenerConfig | null => {
  const { problem } = reading
  const mapNames = [...Object.keys(maps), ...reading.faults.keys()]
  const { socketmap, tcp, map, allow } = section
  if ((socketmap === undefined) === (tcp === undefined)) {
    const found = socketmap === undefined ? 'neither socketmap nor tcp' : 'socketmap and tcp'
    problem(path, `listen: has ${found}; must have one: `
      + '`socketmap: unix:PATH` (or inet:HOST:PORT), or `tcp: HOST:PORT` with `map:`')
    return null
  }
  const name = socketmap === undefined ? 'tcp' : 'socketmap'
  const endpoint = parseEndpoint(socketmap ?? tcp ?? '')
  if (typeof endpoint === 'string') {
    problem([...path, name], `${name}: ${endpoint}`)
    return null
  }
  const address = addressOf(reading, path, endpoint, section, maps)
  const allowed = allowedOf(reading, [...path, 'allow'], allow)
  if (endpoint.kind === 'unix' && allow !== undefined) {
    problem([...path, 'allow'], 'allow: is set for a unix socket; goes with TCP: write `mode` and `group` instead')
  }
  if (endpoint.kind === 'inet' && allowed === null && !isLoopback(endpoint.host)) {
    problem([...path, name], `${name}: ${endpoint.host} can be reached by other machines, and there is no allow: `
      + 'say which ones may ask, `allow: [192.0.2.0/24]`, or listen on 127.0.0.1')
  }
  if (socketmap !== undefined) {
    if (map !== undefined) {
      problem([...path, 'map'],
        'map: is set together with socketmap, with which the client names the map; goes with tcp: remove this')
    }
    return { address, allowed, protocol: 'socketmap' }
  }
  if (endpoint.kind === 'unix') {
    problem([...path, 'tcp'], 'tcp: is a unix socket, which Postfix\'s tcp: tables can\'t ask; write HOST:PORT')
  }
  if (map === undefined) {
    problem(path, 'tcp: has no `map:`; say which map is asked here, since the protocol has no map names')
  } else if (!mapNames.includes(map)) {
    problem([...path, 'map'], `map: '${map}' is not under \`maps\`; name one that is: ${mapNames.join(', ')}`)
  }
  return { address, allowed, protocol: 'tcp_table', map: map ?? '' }
}

/** The listeners, without those that have problems. */
export const listenersOf = (reading: Reading, { listen, maps }: ConfigFile): readonly ListenerConfig[] =>
  listen.flatMap((section, index) => listenerOf(reading, ['listen', index], section, maps) ?? [])

/** Where the status is shown; null if nowhere. */
export const healthOf = ({ problem }: Reading, { health }: ConfigFile): Endpoint | null => {
  const endpoint = health === 'off' ? null : parseEndpoint(health)
  if (typeof endpoint !== 'string') return endpoint
  problem(['health'], `health: ${endpoint}`)
  return null
}

/** The path of the administrators' socket; null if there is none. */
export const adminOf = ({ problem }: Reading, { admin }: ConfigFile): string | null => {
  const endpoint = admin === 'off' ? null : parseEndpoint(admin)
  if (endpoint === null) return null
  if (typeof endpoint !== 'string' && endpoint.kind === 'unix') return endpoint.path
  problem(['admin'], typeof endpoint === 'string' ? `admin: ${endpoint}`
    : `admin: '${admin}' is no unix socket; write unix:PATH, whose permissions say who may use it, or off`)
  return null
}
