/** Opens the socket of a listener, or takes it over from the service manager. */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { ListenAddress } from '../config/endpoint.js'
import { backlog, listenOnUnixSocket } from './unix_socket.js'

export type BoundSocket = {
  /** Where clients reach it; with port 0 in the configuration, the port that the system gave. */
  readonly address: ListenAddress
  /** Hands over each client, a paused socket that allows half-open; first those that have come already. */
  serve(onClient: (socket: Socket) => void): void
  /** Accepts nobody from now on; who was accepted stays. */
  close(): void
}

const listen = (server: Server, where: { fd: number } | { host: string, port: number }): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where, backlog }, () => {
      server.off('error', reject)
      resolve()
    })
  })

/**
 * Listens on `address`, or on the descriptor `fd`, which does so already. Rejects with the system's error (address in
 * use, no such folder, no permission); nothing is left open then. `onFault` is told when a client could not be
 * accepted, such as for want of a file descriptor; the others go on.
 */
export const bind = async (
  address: ListenAddress, fd: number | null, onFault: (problem: string) => void,
): Promise<BoundSocket> => {
  // Paused: not a byte is read before the client is served.
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true })
  const early: Socket[] = []
  const hold = (socket: Socket): void => void early.push(socket)
  server.on('connection', hold)
  let remove = (): void => undefined
  let bound = address
  if (fd !== null) await listen(server, { fd })
  else if (address.kind === 'unix') remove = await listenOnUnixSocket(server, address)
  else {
    await listen(server, { host: address.host, port: address.port })
    const given = server.address()
    if (typeof given === 'object' && given !== null) bound = { ...address, port: given.port }
  }
  server.on('error', error => onFault(error.message))
  return {
    address: bound,
    serve: onClient => {
      server.off('connection', hold).on('connection', onClient)
      for (const socket of early.splice(0)) onClient(socket)
    },
    close: () => {
      server.close()
      remove()
      for (const socket of early.splice(0)) socket.destroy()
    },
  }
}
