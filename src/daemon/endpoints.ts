/** Listeners, and HTTP for people and supervisors. A reload keeps those whose address stays. */
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

export const settingsOf = (listener: ListenerConfig, { file }: Config): ListenerSettings => ({
  map: listener.protocol === 'tcp_table' ? listener.map : null,
  maxConnections: file.max_connections, allowed: listener.allowed,
})

/** The listeners in the order of the configuration; it opens those that `current` lacks. Rejects having closed these. */
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

/** The HTTP servers of a configuration; it opens those that `current` lacks. Rejects having closed these. */
export const openHttp = async (
  { health: address, admin: path }: Config, current: HttpServers,
  shown: Shown, administered: () => Administered, log: Log,
): Promise<HttpServers> => {
  const name = JSON.stringify(address)
  const health = address === null ? null : current.health?.name === name ? current.health
    : { name, ...await (await import('../admin/http.js')).serveHealth(address, shown, administered, log) }
  try {
    const admin = path === null ? null : current.admin?.name === path ? current.admin
      : { name: path, ...await (await import('../admin/admin_socket.js')).serveAdmin(path, shown, administered, log) }
    return { health, admin }
  } catch (error) {
    if (health !== current.health) await health?.close()
    throw error
  }
}
