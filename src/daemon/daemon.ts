/**
 * The running daemon as others see it: listeners that stay, HTTP, and what
 * answers behind them (serving.ts). Parts close
 * in the opposite order of their opening.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config, ListenerConfig } from '../config/config.js'
import type { Events } from '../admin/events.js'
import type { Actions } from '../admin/actions.js'
import type { HealthServer, Shown } from '../admin/http.js'
import { createHistory, stepMs } from '../admin/history.js'
import type { Status } from '../admin/status.js'
import type { Log } from '../log.js'
import { listen } from '../server/listener.js'
import type { Listener } from '../server/listener.js'
import type { Inherited } from '../server/inherited.js'
import type { Answering } from './serving.js'
import { listenerKey } from './serving.js'
import { version } from '../runtime/package.js'
import type { WatchedSources } from './watched.js'

/** Who waits for a start has so long (ms) to be answered before HTTP comes. */
const clientsFirstMs = 50

export type Daemon = {
  /** Where clients reach it, as Postfix would name it: `socketmap:unix:/run/...`. */
  addresses(): readonly string[]
  healthUrl(): string | null
  /**
   * Takes another configuration over: connections stay, addresses that are new
   * open, those that are gone close, and every map changes at the same moment.
   * Rejects if a new address can't be had; then all is as it was, and the
   * sources given are closed.
   */
  reload(config: Config, sources: WatchedSources): Promise<void>
  /** Answers what was asked, then closes everything. */
  close(): Promise<void>
}

type Slot = { readonly key: string, readonly protocol: ListenerConfig['protocol'], readonly listener: Listener }

/** An HTTP server and the address that it was opened for. */
type Web = { readonly name: string, readonly server: Pick<HealthServer, 'close'> & { readonly url?: string } }

/** Listens for `answering`. Rejects if an address can't be had, having closed what was open. */
export const startDaemon = async (given: Config, answering: Answering, log: Log, events: Events, inherited: Inherited): Promise<Daemon> => {
  const startedAt = Date.now()
  let config = given
  let slots: readonly Slot[] = []
  let health: Web | null = null
  let admin: Web | null = null
  let isStopping = false
  /** Resolves when who answers knows all listeners: a client of a new one may come while a reload is under way. */
  let admitted = Promise.resolve()
  const history = createHistory()

  const open = async (wanted: ListenerConfig): Promise<Slot> => {
    const key = listenerKey(wanted)
    const { protocol, address } = wanted
    const listener = await listen({
      address, fd: inherited.take(address),
      onClient: socket => void admitted.then(() => answering.accept(key, socket)),
      onFault: problem => log.repeated(`fault ${protocol}`, `${protocol}: ${problem}`),
    })
    return { key, protocol, listener }
  }

  const status = (): Status => {
    const { listeners, ...rest } = answering.figures()
    return {
      version, role: config.file.role, ready: !isStopping, now: Date.now(), startedAt,
      listeners: slots.map(({ key, protocol, listener }) => {
        const { connections = 0, refused = 0 } = listeners.find(each => each.key === key) ?? {}
        return { address: listener.name, protocol, connections, refused }
      }),
      ...rest,
    }
  }

  const shown: Shown = { status, history, events }
  const actions: Actions = {
    maps: () => config.maps.map(({ name }) => name),
    explain: (address, map) => answering.explain(address, map),
    trust: map => answering.trust(map),
    flush: (map, key) => answering.flush(map, key),
    rows: map => answering.rows(map),
    take: (map, rows, madeAt) => answering.take(map, rows, madeAt),
    warm: map => answering.warm(map),
  }

  /** Listeners and HTTP of `target`, those of now where they fit; rejects having closed what it opened. */
  const openOutside = async (target: Config): Promise<{ slots: Slot[], health: Web | null, admin: Web | null }> => {
    const free = [...slots]
    const next: Slot[] = []
    const opened: Slot[] = []
    const openedWeb: Web[] = []
    try {
      for (const wanted of target.listeners) {
        const kept = free.findIndex(({ key }) => key === listenerKey(wanted))
        const slot = free[kept] ?? await open(wanted)
        if (kept === -1) opened.push(slot)
        else free.splice(kept, 1)
        next.push(slot)
      }
      const { health: address, admin: path } = target
      // Clients first: to read what HTTP takes holds everything up for a tenth of a second.
      if (slots.length === 0 && (address ?? path) !== null) await sleep(clientsFirstMs)
      const nextHealth = address === null ? null : await keep(health, JSON.stringify(address), async () =>
        (await import('../admin/http.js')).serveHealth(address, shown, { token: () => config.adminToken, actions }))
      if (nextHealth !== null && nextHealth !== health) openedWeb.push(nextHealth)
      const nextAdmin = path === null ? null : await keep(admin, path, async () => {
        const { reportOf } = await import('../admin/http.js')
        return (await import('../admin/actions.js')).serveAdmin(path, () => reportOf(shown), actions)
      })
      return { slots: next, health: nextHealth, admin: nextAdmin }
    } catch (error) {
      await Promise.all(openedWeb.map(({ server }) => server.close()))
      for (const { listener } of opened) listener.close()
      throw error
    }
  }

  try {
    ;({ slots, health, admin } = await openOutside(config))
  } catch (error) {
    // Another daemon may be there, and the snapshot its.
    await answering.close({ isKept: false })
    throw error
  }
  const sampling = setInterval(() => history.sample(status()), stepMs).unref()

  return {
    addresses: () => slots.map(({ protocol, listener: { name } }) =>
      protocol === 'socketmap' ? `socketmap:${name}` : `tcp:${name.slice('inet:'.length)}`),
    healthUrl: () => health?.server.url ?? null,
    reload: async (nextConfig, nextSources) => {
      let admit = (): void => undefined
      admitted = new Promise(resolve => { admit = resolve })
      let outside
      try {
        outside = await openOutside(nextConfig)
      } catch (error) {
        admit()
        nextSources.close()
        throw error
      }
      const [oldSlots, oldWeb] = [slots, [health, admin]]
      config = nextConfig
      ;({ slots, health, admin } = outside)
      for (const slot of oldSlots) if (!slots.includes(slot)) slot.listener.close()
      const reloaded = answering.reload(nextConfig, nextSources)
      admit()
      await reloaded
      for (const web of oldWeb) if (web !== null && web !== health && web !== admin) await web.server.close()
    },
    close: async () => {
      isStopping = true
      clearInterval(sampling)
      for (const { listener } of slots) listener.close()
      await answering.close({ isKept: true })
      await health?.server.close()
      await admin?.server.close()
    },
  }
}

const keep = async (now: Web | null, name: string, open: () => Promise<Web['server']>): Promise<Web> =>
  now?.name === name ? now : { name, server: await open() }
