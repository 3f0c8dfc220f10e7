/**
 * A listening socket: it accepts, and hands each client on. A unix socket is
 * bound under a name of its own, gets its mode and group, and only then is
 * renamed into place: no client ever meets a socket that it may not open, and a
 * new process takes the path over from a running one without a moment in which
 * nobody listens.
 */
import { chmodSync, chownSync, existsSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { dirname } from 'node:path'
import { endpointName } from '../config/endpoint.js'
import type { ListenAddress } from '../config/endpoint.js'

export type ListenerSettings = {
  readonly address: ListenAddress
  /** A socket that listens there already, handed over by the service manager; null: open one. */
  readonly fd: number | null
  /** Takes a client: a paused socket that allows half-open. */
  readonly onClient: (socket: Socket) => void
  /** A client could not be accepted, such as for want of a file descriptor; the others go on. */
  readonly onFault: (problem: string) => void
}

export type Listener = {
  readonly name: string
  /** Where clients reach it; with port 0 configured, the port that the system gave. */
  readonly address: ListenAddress
  /** Accepts nobody from now on; who was accepted stays. */
  close(): void
}

const listenOn = (server: Server, address: ListenAddress, fd: number | null): Promise<void> => new Promise((resolve, reject) => {
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

/** Listens, or rejects with the system's error (address in use, no such folder, no permission), and then nothing is left open. */
export const listen = async ({ address, fd, onClient, onFault }: ListenerSettings): Promise<Listener> => {
  // The system would say "permission denied", of a name that nobody knows.
  if (address.kind === 'unix' && !existsSync(dirname(address.path))) throw new Error(`there is no folder ${dirname(address.path)}`)
  // Paused: not a byte is read before somebody is there to answer.
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, onClient)
  await listenOn(server, address, fd)
  server.on('error', error => onFault(error.message))

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
    address: reached,
    close: () => {
      server.close()
      // The path may be another process's by now.
      if (address.kind === 'unix' && inode !== null && inodeOf(address.path) === inode) removeSocket(address.path)
    },
  }
}
