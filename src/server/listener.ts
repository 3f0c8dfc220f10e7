/** One listener: its socket and its clients; how many there may be, and who. */
import type { BlockList, Socket } from 'node:net'
import { endpointName } from '../config/endpoint.js'
import type { ListenAddress } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { unavailable } from '../outcome.js'
import type { BoundSocket } from './bind.js'
import { Client } from './client.js'
import type { ClientContext } from './client.js'

/** What a reload may change; who is connected stays. */
export type ListenerSettings = {
  /** The map that is asked where the protocol has no map names; null where it has. */
  readonly map: string | null
  /** More clients than this get a temporary error and are closed. */
  readonly maxConnections: number
  /** So many of these get that error at a time; more are closed at once. */
  readonly maxTurnedAway: number
  /** TCP peers that may connect; null: everybody, where only this machine can. */
  readonly allowed: BlockList | null
}

export type ListenerStatus = {
  readonly address: string
  readonly protocol: 'socketmap' | 'tcp_table'
  readonly connections: number
  /** Clients turned away since the start. */
  readonly refused: number
  /** Why no client can reach it; null if clients can. */
  readonly problem: { readonly text: string, readonly since: number } | null
}

/** The share of the places that one address may hold, where other machines can connect. */
const addressShare = 0.75
/** The time (ms) that a client beyond the limit has for its request. */
const refusalMs = 5_000
/** A client that asks nothing for this time (ms), or up to twice as long, is closed. Postfix's own leave sooner. */
const idleMs = 3_600_000
/** How often (ms) a listener looks whether its socket is still there. */
const watchMs = 5_000

export class Listener {
  readonly #socket: BoundSocket
  readonly #context: ClientContext
  #settings: ListenerSettings
  readonly #clients = new Set<Client>()
  /** How many clients each address has; '' for unix sockets. */
  readonly #clientsByAddress = new Map<string, number>()
  /** Clients beyond the limit that are still to get the error. */
  readonly #turnedAway = new Set<Client>()
  #refused = 0
  #onClosed = (): void => undefined
  /** One for all clients, and one for the socket. */
  readonly #timers: readonly NodeJS.Timeout[]
  #problem: ListenerStatus['problem'] = null

  constructor(socket: BoundSocket, context: Omit<ClientContext, 'map'>, settings: ListenerSettings) {
    this.#socket = socket
    this.#context = { ...context, map: settings.map }
    this.#settings = settings
    this.#timers = [
      setInterval(() => {
        for (const client of this.#clients) client.closeIfIdle()
      }, idleMs).unref(),
      setInterval(() => void this.#watch(), watchMs).unref(),
    ]
  }

  /** Serves clients from now on; those that have come already wait for it. */
  start(): void {
    this.#socket.serve(socket => this.#accept(socket))
  }

  configure(settings: ListenerSettings): void {
    this.#settings = settings
    this.#context.map = settings.map
  }

  /** Where clients reach it. */
  get address(): ListenAddress {
    return this.#socket.address
  }

  get status(): ListenerStatus {
    return {
      address: endpointName(this.address), protocol: this.#context.dialect.protocol,
      connections: this.#clients.size, refused: this.#refused, problem: this.#problem,
    }
  }

  /**
   * Accepts nobody from now on. Each client gets the answers that it waits for, and is closed then; after `graceMs`
   * those that are left are cut off. Resolves when none is left.
   */
  close(graceMs: number): Promise<void> {
    this.#socket.close()
    for (const timer of this.#timers) clearInterval(timer)
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#forEachClient(client => client.destroy()), graceMs)
      this.#onClosed = () => {
        if (this.#clients.size + this.#turnedAway.size > 0) return
        clearTimeout(timer)
        resolve()
      }
      // Two turns of the event loop: what the kernel has received by now is read and answered too.
      setImmediate(() => setImmediate(() => {
        this.#forEachClient(client => client.leave())
        this.#onClosed()
      }))
    })
  }

  /** Makes the socket anew if it is gone, or says why clients can't reach it. */
  async #watch(): Promise<void> {
    const { log } = this.#context
    const name = endpointName(this.address)
    const lost = this.#socket.lost()
    if (lost === null) {
      if (this.#problem !== null) log.info(`${name}: clients reach it again`)
      this.#problem = null
      return
    }
    try {
      if (lost !== 'gone') throw new Error(lost.why)
      await this.#socket.renew()
      this.#problem = null
      log.warn(`${name}: the socket was removed or replaced; Holdfast made it anew, and clients reach it again`)
    } catch (error) {
      const why = `${lost === 'gone' ? 'the socket was removed or replaced: ' : ''}${messageOf(error)}`
      this.#problem = { text: `no client can reach it, ${why}`, since: this.#problem?.since ?? Date.now() }
      log.repeated(`unreachable ${name}`, `${name}: no client can reach it, ${why}`)
    }
  }

  #forEachClient(act: (client: Client) => void): void {
    for (const client of [...this.#clients, ...this.#turnedAway]) act(client)
  }

  #accept(socket: Socket): void {
    const { allowed, maxConnections, maxTurnedAway } = this.#settings
    if (allowed !== null && !isAllowed(allowed, socket)) {
      this.#refuse('a peer outside the networks that `allow` names')
      socket.destroy()
      return
    }
    const address = socket.remoteAddress ?? ''
    const most = allowed === null ? maxConnections : Math.max(1, Math.floor(maxConnections * addressShare))
    const isFull = this.#clients.size >= maxConnections
    if (!isFull && (this.#clientsByAddress.get(address) ?? 0) < most) {
      this.#count(address, 1)
      socket.on('close', () => this.#count(address, -1))
      this.#serve(socket, this.#clients, this.#context)
      return
    }
    this.#refuse(isFull ? `more than ${maxConnections} clients: max_connections`
      : `more than ${most} clients from one address, which may hold three quarters of max_connections`)
    if (this.#turnedAway.size < maxTurnedAway) this.#turnAway(socket)
    else socket.destroy()
  }

  #count(address: string, change: number): void {
    const count = (this.#clientsByAddress.get(address) ?? 0) + change
    if (count === 0) this.#clientsByAddress.delete(address)
    else this.#clientsByAddress.set(address, count)
  }

  #serve(socket: Socket, clients: Set<Client>, context: ClientContext): Client {
    const client = new Client(socket, context)
    clients.add(client)
    socket.on('close', () => {
      clients.delete(client)
      this.#onClosed()
    })
    socket.resume()
    return client
  }

  /** Answers one request with a temporary error: a connection without an answer Postfix would try again at once. */
  #turnAway(socket: Socket): void {
    const lookup = () => {
      setImmediate(() => client.finish())
      return unavailable('overloaded', 'too many connections')
    }
    const client = this.#serve(socket, this.#turnedAway, { ...this.#context, maps: { lookup } })
    socket.setTimeout(refusalMs, () => socket.destroy())
  }

  #refuse(why: string): void {
    const { dialect: { protocol }, log } = this.#context
    this.#refused++
    log.repeated(`refused ${protocol}`, `${protocol}: closing a connection: ${why}`)
  }
}

const isAllowed = (allowed: BlockList, { remoteAddress, remoteFamily }: Socket): boolean =>
  remoteAddress !== undefined && allowed.check(remoteAddress, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4')
