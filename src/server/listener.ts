/**
 * A listening socket and its clients. A unix socket is bound under a name of
 * its own, gets its mode and group, and only then is renamed into place: no
 * client ever meets a socket that it may not open, and a new process takes
 * the path over from a running one without a moment in which nobody listens.
 */
import { chmodSync, chownSync, existsSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { dirname } from 'node:path'
import { endpointName } from '../endpoint.js'
import type { Endpoint } from '../endpoint.js'
import { Connection } from './connection.js'
import type { ConnectionHooks } from './connection.js'
import type { Dialect } from './dialect.js'

/** A unix socket with the permissions that it gets, or a host and port. */
export type Address = Endpoint & ({ readonly kind: 'unix', readonly mode: number, readonly gid: number | null } | { readonly kind: 'inet' })

export type ListenerSettings = {
  readonly address: Address
  readonly dialect: Dialect
  readonly maxConnections: number
}

export type Listener = {
  readonly name: string
  readonly protocol: Dialect['protocol']
  /** Where clients reach it; with port 0 configured, the port that the system gave. */
  readonly address: Address
  connections(): number
  /** Stops accepting, lets each client have the answers it waits for, then closes; destroys what is left after `graceMs`. */
  close(graceMs: number): Promise<void>
}

const listenOn = (server: Server, address: Address): Promise<void> => new Promise((resolve, reject) => {
  server.once('error', reject)
  const listening = (): void => {
    server.off('error', reject)
    resolve()
  }
  // A deep backlog: after a restart all of Postfix's processes connect at once.
  if (address.kind === 'inet') server.listen({ host: address.host, port: address.port, backlog: 1_024 }, listening)
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

/** Listens, or rejects with the system's error (address in use, no such folder, no permission), and then nothing is left open. */
export const listen = async (settings: ListenerSettings, hooks: ConnectionHooks): Promise<Listener> => {
  const { address, dialect, maxConnections } = settings
  // The system would say "permission denied", of a name that nobody knows.
  if (address.kind === 'unix' && !existsSync(dirname(address.path))) throw new Error(`there is no folder ${dirname(address.path)}`)
  const connections = new Set<Connection>()
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket: Socket) => {
    const connection = new Connection(socket, dialect, hooks)
    connections.add(connection)
    socket.on('close', () => connections.delete(connection))
  })
  server.maxConnections = maxConnections
  server.on('drop', () => hooks.onFault(`there are ${maxConnections} already`))
  await listenOn(server, address)
  // A connection that could not be accepted, such as for want of a file descriptor: the others go on.
  server.on('error', error => hooks.onFault(error.message))

  let inode: number | null = null
  let reached = address
  if (address.kind === 'unix') {
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
  } else {
    const bound = server.address()
    if (typeof bound === 'object' && bound !== null) reached = { ...address, port: bound.port }
  }

  return {
    name: endpointName(reached),
    protocol: dialect.protocol,
    address: reached,
    connections: () => connections.size,
    close: graceMs => new Promise(resolve => {
      const force = setTimeout(() => {
        for (const connection of connections) connection.destroy()
      }, graceMs)
      server.close(() => {
        clearTimeout(force)
        resolve()
      })
      // The path may be another process's by now.
      if (address.kind === 'unix' && inode !== null && inodeOf(address.path) === inode) removeSocket(address.path)
      for (const connection of connections) connection.drain()
    }),
  }
}
