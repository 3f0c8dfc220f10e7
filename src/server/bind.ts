/** Opens the socket of a listener, or takes it over from the service manager. */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { ListenAddress } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { backlog, listenOnUnixSocket, socketFile } from './unix_socket.js'
import type { Lost } from './unix_socket.js'

export type BoundSocket = {
  /** Where clients reach it; with port 0 in the configuration, the port that the system gave. */
  readonly address: ListenAddress
  /** Hands over each client, a paused socket that allows half-open; first those that have come already. */
  serve(onClient: (socket: Socket) => void): void
  /** Why clients don't find it any more; null: they do. */
  lost(): Lost | null
  /** Makes a unix socket that is not there anew. Rejects as `bind` does; one that systemd made only systemd can. */
  renew(): Promise<void>
  /** Accepts nobody from now on; who was accepted stays. */
  close(): void
}

type Where = { readonly fd: number } | { readonly host: string, readonly port: number }

const listen = (server: Server, where: Where): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where, backlog }, () => {
      server.off('error', reject)
      resolve()
    })
  })

/**
 * Listens on `address`, or on the descriptor `fd`, which does so already. Rejects with the system's error (address in
 * use, no permission), or as listenOnUnixSocket does; nothing is left open then. `onFault` is called when a client
 * could not be accepted, such as for want of a file descriptor; the others go on.
 */
export const bind = async (
  address: ListenAddress, fd: number | null, onFault: (problem: string) => void,
): Promise<BoundSocket> => {
  const early: Socket[] = []
  let onClient = (socket: Socket): void => void early.push(socket)
  const open = async (): Promise<Omit<BoundSocket, 'serve' | 'renew'>> => {
    // Paused: not a byte is read before the client is served.
    const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true })
    server.on('connection', socket => onClient(socket))
    if (fd === null && address.kind === 'unix') {
      const { lost, remove } = await listenOnUnixSocket(server, address)
      server.on('error', error => onFault(messageOf(error)))
      return {
        address, lost,
        close: () => {
          server.close()
          remove()
        },
      }
    }
    await listen(server, fd !== null ? { fd } : address.kind === 'inet' ? address : { host: '', port: 0 })
    server.on('error', error => onFault(messageOf(error)))
    const given = server.address()
    const bound = address.kind === 'inet' && fd === null && typeof given === 'object' && given !== null
      ? { ...address, port: given.port } : address
    const file = address.kind === 'unix' ? socketFile(address) : null
    return { address: bound, close: () => server.close(), lost: () => file?.lost() ?? null }
  }
  let current = await open()
  return {
    address: current.address,
    lost: () => current.lost(),
    renew: async () => {
      if (fd !== null) throw new Error('only systemd can make it anew, by systemctl restart holdfast.socket holdfast')
      const former = current
      current = await open()
      former.close()
    },
    serve: then => {
      onClient = then
      for (const socket of early.splice(0)) onClient(socket)
    },
    close: () => {
      current.close()
      for (const socket of early.splice(0)) socket.destroy()
    },
  }
}
