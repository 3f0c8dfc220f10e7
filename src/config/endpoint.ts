/**
 * Addresses as Postfix writes them: `unix:PATH`, `inet:HOST:PORT`, `HOST:PORT`, IPv6 in brackets; and the groups that
 * a unix socket may belong to.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'

export type Endpoint =
  | { readonly kind: 'unix', readonly path: string }
  | { readonly kind: 'inet', readonly host: string, readonly port: number }

/** An endpoint to listen on: a unix socket gets this mode and group (null: the process's own). */
export type ListenAddress =
  | { readonly kind: 'unix', readonly path: string, readonly mode: number, readonly gid: number | null }
  | { readonly kind: 'inet', readonly host: string, readonly port: number }

/** The address as Postfix writes it. */
export const endpointName = (endpoint: Endpoint): string => {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  const { host, port } = endpoint
  return `inet:${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The address that `text` names, or what is wrong with it. */
export const parseEndpoint = (text: string): Endpoint | string => {
  if (text.startsWith('unix:')) {
    const path = text.slice(5)
    if (!path.startsWith('/')) return `'${text}' has no whole path; write one, such as unix:/run/holdfast/holdfast.sock`
    // sockaddr_un holds 107 bytes (unix(7)), and we first bind a name that is up to 9 bytes longer.
    const bytes = Buffer.byteLength(path)
    if (bytes <= 98) return { kind: 'unix', path }
    return `'${text}' has a path of ${bytes} bytes; that of a socket has at most 98: write a shorter one`
  }
  const match = /^(?:inet:)?(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined) return `'${text}' is no address; write unix:PATH, inet:HOST:PORT or HOST:PORT`
  if (port > 65_535) return `'${text}' has port ${port}; must be at most 65535`
  return { kind: 'inet', host, port }
}

/** Whether only this machine can connect to that host. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/** Whether it is ADDRESS or ADDRESS:PORT of a DNS server, IPv6 in brackets before a port. Node ends on a port 0. */
export const isDnsServer = (text: string): boolean => {
  if (isIP(text) !== 0) return true
  const match = /^(?:\[(.+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[3] ?? 53)
  return isIP(match?.[1] ?? match?.[2] ?? '') !== 0 && port > 0 && port <= 65_535
}

/** What is wrong with a text that is none. */
export const noDnsServer = (text: string): string => `'${text}' is no IP address; write ADDRESS or ADDRESS:PORT`

/** From group(5): Node has no getgrnam(3). */
type Group = { readonly name: string, readonly gid: number }

const groups = (): readonly Group[] => readFileSync('/etc/group', 'utf8').split('\n').flatMap(line => {
  const [name, , gid] = line.split(':')
  return name === undefined || gid === undefined ? [] : [{ name, gid: Number(gid) }]
})

/** The number of a group given by name or number; null if this machine has no such group. */
export const groupId = (group: string): number | null => {
  if (/^\d{1,10}$/.test(group)) return Number(group)
  return groups().find(({ name }) => name === group)?.gid ?? null
}

/** The name of a group for people: its number if it has none. */
export const groupName = (gid: number): string => groups().find(each => each.gid === gid)?.name ?? String(gid)
