/**
 * The `hosts` parameter of mysql_table(5): where the servers are. unix:PATH,
 * inet:HOST:PORT, HOST or HOST:PORT, in a list with commas or blanks. As the
 * client library has it, `localhost` is the local socket and not TCP. Beyond
 * Postfix's own reading, an IPv6 address may stand in brackets, or bare if no
 * port follows; Postfix takes those for a host named `[::1]` or `:`.
 */
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'

export type Host =
  | { readonly kind: 'unix', readonly path: string }
  | { readonly kind: 'inet', readonly host: string, readonly port: number }

/** As it is written in `hosts`. */
export const nameOf = (host: Host): string => {
  if (host.kind === 'unix') return `unix:${host.path}`
  return `${host.host.includes(':') ? `[${host.host}]` : host.host}:${host.port}`
}

/** ACCOUNT@HOST/DATABASE, by which log-ins on one server are told apart. */
export const serverName = (host: Host, { user, dbname }: { readonly user: string, readonly dbname: string }): string =>
  `${user}@${nameOf(host)}/${dbname}`

/** What an item that leaves something open means; from the option files, or the library's own. */
export type HostDefaults = { readonly host: string | null, readonly port: number, readonly socket: string }

const hostName = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?$/i

/** The port of a TCP service by its name, from services(5): Node has no getservbyname(3); null if there is none. */
const servicePort = (name: string): number | null => {
  if (name === 'mysql') return 3306
  try {
    for (const line of readFileSync('/etc/services', 'utf8').split('\n')) {
      const [service = '', port = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
      if (port.endsWith('/tcp') && [service, ...aliases].includes(name)) return Number(port.slice(0, -'/tcp'.length))
    }
  } catch {
    // Minimal installations have no such file.
  }
  return null
}

const parsePort = (text: string): number | null => {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : servicePort(text) ?? 0
  return port >= 1 && port <= 65_535 ? port : null
}

const inet = (host: string, portText: string | null, defaults: HostDefaults): Host | string => {
  const port = portText === null ? defaults.port : parsePort(portText)
  if (port === null) return `'${portText ?? ''}' is not a port; write a number from 1 to 65535`
  if (host.toLowerCase() === 'localhost') {
    return defaults.host === null || defaults.host.toLowerCase() === 'localhost'
      ? { kind: 'unix', path: defaults.socket }
      : { kind: 'inet', host: defaults.host, port }
  }
  return isIPv6(host) || hostName.test(host) ? { kind: 'inet', host, port }
    : `'${host}' is not a host name; write unix:PATH, HOST or HOST:PORT`
}

/** One item of the list; a sentence if it is none. */
export const parseHost = (item: string, defaults: HostDefaults): Host | string => {
  if (item.startsWith('unix:')) {
    const path = item.slice('unix:'.length)
    if (path === 'localhost') return { kind: 'unix', path: defaults.socket }
    if (!path.startsWith('/')) return `'${item}' has no whole path; write one, such as unix:/run/mysqld/mysqld.sock`
    if (path.includes(':')) return `'${item}' has a colon, which a socket's path can't have here; write another path`
    return { kind: 'unix', path }
  }
  if (item.startsWith('/')) return `'${item}' looks like a socket; write unix:${item}`
  const text = item.startsWith('inet:') ? item.slice('inet:'.length) : item
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  if (bracketed?.[1] !== undefined) {
    if (!isIPv6(bracketed[1])) return `'${bracketed[1]}' is not an IPv6 address; write it without brackets`
    return inet(bracketed[1], bracketed[2] ?? null, defaults)
  }
  if (isIPv6(text)) return inet(text, null, defaults)
  const colon = text.lastIndexOf(':')
  return colon === -1 ? inet(text, null, defaults) : inet(text.slice(0, colon), text.slice(colon + 1), defaults)
}

/** The whole list, in its order; an empty one means `localhost`. */
export const parseHosts = (
  list: string, defaults: HostDefaults,
): { readonly hosts: readonly Host[], readonly problems: readonly string[] } => {
  const items = list.split(/[, \t\r\n]+/).filter(item => item !== '')
  const hosts: Host[] = []
  const problems: string[] = []
  for (const item of items.length === 0 ? ['localhost'] : items) {
    const host = parseHost(item, defaults)
    if (typeof host === 'string') problems.push(host)
    else hosts.push(host)
  }
  return { hosts, problems }
}
