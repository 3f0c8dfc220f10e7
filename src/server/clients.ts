/** The clients of one listener: how many there may be and who, and their end. */
import type { BlockList, Socket } from 'node:net'
import { unavailable } from '../outcome.js'
import { Connection } from './client.js'
import type { ConnectionHooks } from './client.js'
import type { Dialect } from './dialect.js'

/** What may change while the clients stay. */
export type Limits = {
  /** More clients than this get a temporary error and are closed. */
  readonly maxConnections: number
  /** TCP peers that may connect; null: all, for a listener that only this machine reaches. */
  readonly allowed: BlockList | null
}

/** So many clients beyond the limit are told why (overloaded); more are closed unheard. */
const refusedAtOnce = 64
/** A client that asks nothing for one to two of these (ms) is closed: Postfix's own leave sooner, and come again. */
const idleMs = 3_600_000
/** A client that is to be turned away has so long (ms) to ask for it. */
const refusalMs = 5_000

export type Clients = {
  /** Serves a client: a paused socket that allows half-open. */
  accept(socket: Socket): void
  connections(): number
  /** Clients turned away since the start. */
  refused(): number
  /** Other limits from now on; who is connected stays. */
  limit(limits: Limits): void
  /** Lets each client have the answers it waits for, then closes; destroys what is left after `graceMs`. Resolves when none is left. */
  drain(graceMs: number): Promise<void>
}

const isAllowed = (allowed: BlockList, { remoteAddress, remoteFamily }: Socket): boolean =>
  remoteAddress !== undefined && allowed.check(remoteAddress, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4')

export const createClients = (dialect: Dialect, given: Limits, hooks: ConnectionHooks): Clients => {
  let limits = given
  const connections = new Set<Connection>()
  const turnedAway = new Set<Connection>()
  let refused = 0
  let onLeft: () => void = () => undefined

  // One timer for all: a client's requests cost no more for it.
  const idling = setInterval(() => {
    for (const connection of connections) connection.closeIfIdle()
  }, idleMs).unref()

  const serve = (socket: Socket, among: Set<Connection>, itsHooks: ConnectionHooks): Connection => {
    const connection = new Connection(socket, dialect, itsHooks)
    among.add(connection)
    socket.on('close', () => {
      among.delete(connection)
      onLeft()
    })
    socket.resume()
    return connection
  }
  const turnAway = (socket: Socket): void => {
    refused++
    hooks.onFault(`more than ${limits.maxConnections} clients: max_connections`)
    if (turnedAway.size >= refusedAtOnce) {
      socket.destroy()
      return
    }
    // A temporary error for what it asks, and the end: Postfix would try a connection without an answer again at once.
    const connection = serve(socket, turnedAway, {
      ...hooks,
      route: map => ({
        answer: () => unavailable('overloaded', 'too many connections'),
        onReply: (outcome, waitedMs) => {
          hooks.route(map).onReply(outcome, waitedMs)
          setImmediate(() => connection.drain())
        },
      }),
    })
    socket.setTimeout(refusalMs, () => socket.destroy())
  }

  return {
    accept: socket => {
      if (limits.allowed !== null && !isAllowed(limits.allowed, socket)) {
        refused++
        hooks.onFault('a peer outside the networks that `allow` names')
        socket.destroy()
      } else if (connections.size >= limits.maxConnections) turnAway(socket)
      else serve(socket, connections, hooks)
    },
    connections: () => connections.size,
    refused: () => refused,
    limit: next => {
      limits = next
    },
    drain: graceMs => new Promise(resolve => {
      clearInterval(idling)
      const force = setTimeout(() => {
        for (const connection of [...connections, ...turnedAway]) connection.destroy()
      }, graceMs)
      onLeft = () => {
        if (connections.size + turnedAway.size > 0) return
        clearTimeout(force)
        resolve()
      }
      // The second is after the kernel was asked once more what has come: that is answered too.
      setImmediate(() => setImmediate(() => {
        for (const connection of [...connections, ...turnedAway]) connection.drain()
        onLeft()
      }))
    }),
  }
}
