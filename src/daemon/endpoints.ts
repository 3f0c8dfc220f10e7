/**
 * Listeners, and HTTP for people and supervisors. A reload keeps those whose address stays. How many clients each may
 * have, so that descriptors are left for MySQL and Redis.
 */
import { readFileSync } from 'node:fs'
import type { Administered } from '../admin/actions.js'
import type { Shown } from '../admin/summary.js'
import type { Config, ListenerConfig } from '../config/config.js'
import type { Log } from '../log.js'
import type { Listener, ListenerSettings } from '../server/listener.js'

/** A listener under the protocol and address of its configuration. */
export type NamedListener = { readonly name: string, readonly listener: Listener }

/** An HTTP server under the address of its configuration. */
export type NamedServer = { readonly name: string, readonly url?: string, close(): Promise<void> }

export type HttpServers = { readonly health: NamedServer | null, readonly admin: NamedServer | null }

/** How many clients the listeners and HTTP servers of a configuration may have, each of them. */
export type ClientLimits = {
  readonly clients: number
  /** So many clients beyond these get a temporary error at a time. */
  readonly turnedAway: number
  readonly http: number
  /** How many descriptors are kept for everything else, where the limit takes `max_connections` down; else null. */
  readonly kept: number | null
}

const maxHttp = 64
const maxTurnedAway = 64
/** Redis and its subscriber, of a cluster too; files, the event loop, a socket of each listener. */
const otherDescriptors = 48

/** The descriptors that this process may have open (proc(5)); Infinity if there is no limit. */
export const openFilesLimit = (): number =>
  Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity)

/** How many clients there may be, where the process may have so many descriptors and talks to so many MySQL servers. */
export const clientLimits = (
  { file, listeners, health, admin }: Config, servers: number, descriptors: number,
): ClientLimits => {
  const http = Math.min(maxHttp, Math.floor(descriptors / 8))
  const httpServers = [health, admin].filter(each => each !== null).length
  const kept = Math.min(otherDescriptors, Math.floor(descriptors / 2)) + servers * file.connections + httpServers * http
  const forEach = Math.max(2, Math.floor((descriptors - kept) / listeners.length))
  const turnedAway = Math.min(maxTurnedAway, Math.floor(forEach / 4))
  const clients = Math.max(1, Math.min(file.max_connections, forEach - turnedAway))
  return { clients, turnedAway, http, kept: clients < file.max_connections ? kept : null }
}

export const settingsOf = (listener: ListenerConfig, { clients, turnedAway }: ClientLimits): ListenerSettings => ({
  map: listener.protocol === 'tcp_table' ? listener.map : null,
  maxConnections: clients, maxTurnedAway: turnedAway, allowed: listener.allowed,
})

/**
 * The listeners in the order of the configuration; it opens those that `current` lacks. If it rejects, it has closed
 * these.
 */
export const openListeners = async (
  { listeners }: Config, current: readonly NamedListener[], open: (listener: ListenerConfig) => Promise<Listener>,
): Promise<readonly NamedListener[]> => {
  const free = [...current]
  const next: NamedListener[] = []
  try {
    for (const wanted of listeners) {
      const name = JSON.stringify([wanted.protocol, wanted.address])
      const kept = free.findIndex(each => each.name === name)
      next.push(...kept === -1 ? [{ name, listener: await open(wanted) }] : free.splice(kept, 1))
    }
  } catch (error) {
    closeOthers(next, current)
    throw error
  }
  return next
}

/** Closes the listeners that are not in `kept`, and cuts their clients off. */
export const closeOthers = (listeners: readonly NamedListener[], kept: readonly NamedListener[]): void => {
  for (const each of listeners) if (!kept.includes(each)) void each.listener.close(0)
}

/**
 * The HTTP servers of a configuration; it opens those that `current` lacks. If it rejects, it has closed these.
 */
export const openHttp = async (
  { health: address, admin: path }: Config, current: HttpServers, maxClients: number,
  shown: Shown, administered: () => Administered, log: Log,
): Promise<HttpServers> => {
  const name = JSON.stringify(address)
  const health = address === null ? null : current.health?.name === name ? current.health
    : { name, ...await (await import('../admin/http.js')).serveHealth(address, maxClients, shown, administered, log) }
  try {
    if (path === null) return { health, admin: null }
    if (current.admin?.name === path) return { health, admin: current.admin }
    const { serveAdmin } = await import('../admin/admin_socket.js')
    const admin = { name: path, ...await serveAdmin(path, maxClients, shown, administered, log) }
    return { health, admin }
  } catch (error) {
    if (health !== current.health) await health?.close()
    throw error
  }
}
