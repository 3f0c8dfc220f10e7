/**
 * A listening socket and its clients. A unix socket is bound under a name of
 * its own, gets its mode and group, and only then is renamed into place: no
 * client ever meets a socket that it may not open, and a new process takes
 * the path over from a running one without a moment in which nobody listens.
 */
import { chmodSync, chownSync, existsSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import type { BlockList, Server, Socket } from 'node:net'
import { dirname } from 'node:path'
import { endpointName } from '../endpoint.js'
import type { Endpoint } from '../endpoint.js'
import { Connection } from './connection.js'
import type { ConnectionHooks } from './connection.js'
import type { Dialect } from './dialect.js'
import { unavailable } from '../outcome.js'

/** A unix socket with the permissions that it gets, or a host and port. */
export type Address = Endpoint & ({ readonly kind: 'unix', readonly mode: number, readonly gid: number | null } | { readonly kind: 'inet' })

/** What may change while the listener stays. */
export type Limits = {
  /** More clients than this get a temporary error and are closed. */
  readonly maxConnections: number
  /** TCP peers that may connect; null: all, for a listener that only this machine reaches. */
  readonly allowed: BlockList | null
}

export type ListenerSettings = {
  readonly address: Address
  readonly dialect: Dialect
  readonly limits: Limits
  /** A socket that listens there already, handed over by the service manager; null: open one. */
  readonly fd: number | null
}

/** So many clients beyond the limit are told why (overloaded); more are closed unheard. */
const refusedAtOnce = 64
/** A client that is to be turned away has so long (ms) to ask for it. */
const refusalMs = 5_000

export type Listener = {
  readonly name: string
  readonly protocol: Dialect['protocol']
  /** Where clients reach it; with port 0 configured, the port that the system gave. */
  readonly address: Address
  connections(): number
  /** Clients turned away since the start. */
  refused(): number
  /** Other limits from now on; who is connected stays. */
  limit(limits: Limits): void
  /** Stops accepting, lets each client have the answers it waits for, then closes; destroys what is left after `graceMs`. */
  close(graceMs: number): Promise<void>
}

const listenOn = (server: Server, address: Address, fd: number | null): Promise<void> => new Promise((resolve, reject) => {
  server.once('error', reject)
  const listening = (): void => {
    server.off('error', reject)
    resolve()
  }
  // A deep backlog: after a restart all of Postfix's processes connect at once.
  if (fd !== null) server.listen({ fd, backlog: 1_024 }, listening)
  else if (address.kind === 'inet') server.listen({ host: address.host, port: address.port, backlog: 1_024 }, listening)
  else {
    const bindPath = bindPathOf(address.path)
    removeSocket(bindPath)
    server.listen({ path: bindPath, backlog: 1_024 }, listening)
  }
})

const bindPathOf = (path: string): string => `${path}.${process.pid.toString(36)}`

/** Removes a socket; anything else at that path is left alone, so that bind fails and says so. */
const removeSocket = (path: string): void => {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path)
  } catch {
    // Nothing there.
  }
}

const inodeOf = (path: string): number | null => {
  try {
    return lstatSync(path).ino
  } catch {
    return null
  }
}

const isAllowed = (allowed: BlockList, { remoteAddress, remoteFamily }: Socket): boolean =>
  remoteAddress !== undefined && allowed.check(remoteAddress, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4')

/** Listens, or rejects with the system's error (address in use, no such folder, no permission), and then nothing is left open. */
export const listen = async (settings: ListenerSettings, hooks: ConnectionHooks): Promise<Listener> => {
  const { address, dialect, fd } = settings
  let { limits } = settings
  // The system would say "permission denied", of a name that nobody knows.
  if (address.kind === 'unix' && !existsSync(dirname(address.path))) throw new Error(`there is no folder ${dirname(address.path)}`)
  const connections = new Set<Connection>()
  const turnedAway = new Set<Connection>()
  let refused = 0

  const turnAway = (socket: Socket): void => {
    refused++
    hooks.onFault(`more than ${limits.maxConnections} clients: max_connections`)
    if (turnedAway.size >= refusedAtOnce) {
      socket.destroy()
      return
    }
    // A temporary error for what it asks, and the end: Postfix would try a connection without an answer again at once.
    const connection = new Connection(socket, dialect, {
      ...hooks,
      route: map => ({
        answer: () => unavailable('overloaded', 'too many connections'),
        onReply: outcome => {
          hooks.route(map).onReply(outcome)
          setImmediate(() => connection.drain())
        },
      }),
    })
    turnedAway.add(connection)
    socket.setTimeout(refusalMs, () => socket.destroy())
    socket.on('close', () => turnedAway.delete(connection))
  }
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket: Socket) => {
    if (limits.allowed !== null && !isAllowed(limits.allowed, socket)) {
      refused++
      hooks.onFault('a peer outside the networks that `allow` names')
      socket.destroy()
      return
    }
    if (connections.size >= limits.maxConnections) {
      turnAway(socket)
      return
    }
    const connection = new Connection(socket, dialect, hooks)
    connections.add(connection)
    socket.on('close', () => connections.delete(connection))
  })
  await listenOn(server, address, fd)
  // A connection that could not be accepted, such as for want of a file descriptor: the others go on.
  server.on('error', error => hooks.onFault(error.message))

  let inode: number | null = null
  let reached = address
  if (address.kind === 'unix' && fd === null) {
    const bindPath = bindPathOf(address.path)
    try {
      chmodSync(bindPath, address.mode)
      if (address.gid !== null) chownSync(bindPath, -1, address.gid)
      const there = lstatSync(address.path, { throwIfNoEntry: false })
      if (there !== undefined && !there.isSocket()) throw new Error(`${address.path} exists and is not a socket`)
      renameSync(bindPath, address.path)
    } catch (error) {
      server.close()
      removeSocket(bindPath)
      throw error
    }
    inode = inodeOf(address.path)
  } else if (address.kind === 'inet') {
    const bound = server.address()
    if (typeof bound === 'object' && bound !== null) reached = { ...address, port: bound.port }
  }

  return {
    name: endpointName(reached),
    protocol: dialect.protocol,
    address: reached,
    connections: () => connections.size,
    refused: () => refused,
    limit: next => {
      limits = next
    },
    close: graceMs => new Promise(resolve => {
      const force = setTimeout(() => {
        for (const connection of [...connections, ...turnedAway]) connection.destroy()
      }, graceMs)
      server.close(() => {
        clearTimeout(force)
        resolve()
      })
      // The path may be another process's by now.
      if (address.kind === 'unix' && inode !== null && inodeOf(address.path) === inode) removeSocket(address.path)
      // The second is after the kernel was asked once more what has come: that is answered too.
      setImmediate(() => setImmediate(() => {
        for (const connection of [...connections, ...turnedAway]) connection.drain()
      }))
    }),
  }
}
