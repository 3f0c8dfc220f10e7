/**
 * Connects to a host: all addresses of its name are tried, each with the whole time, one more whenever one fails or
 * keeps silent for a moment, as in RFC 8305. (Node itself gives up each address after 250 ms.) The name is resolved
 * anew for each connection, once for all that wait for it, and the address that worked last comes first.
 */
import { lookup } from 'node:dns/promises'
import { connect, isIP, Socket } from 'node:net'
import { faultOf, timeoutFault } from './fault.js'
import type { Fault } from './fault.js'
import type { Host } from './hosts.js'
import { hiddenFromUs } from '../runtime/hidden.js'

/** After so long (ms) without an answer the next address is tried too. RFC 8305, section 5, proposes 250 ms. */
const nextAddressMs = 250

export class Dialer {
  readonly #host: Host
  #lastGood = ''
  /** The name's resolution under way: nothing can end it, and each one holds one of this process's few threads. */
  #resolution: Promise<readonly string[]> | null = null

  constructor(host: Host) {
    this.#host = host
  }

  /** A connected socket, or why there is none. What is under way ends with `signal`. */
  async dial(signal: AbortSignal): Promise<Socket | Fault> {
    const host = this.#host
    if (host.kind === 'unix') {
      const socket = await firstConnected([() => connect(host.path)], signal, connectFault)
      const why = socket instanceof Socket ? null : hiddenFromUs(host.path)
      return socket instanceof Socket || why === null ? socket : { ...socket, detail: `${socket.detail}; ${why}` }
    }
    try {
      const addresses = await orAborted(this.#addresses(host.host), signal)
      if (addresses === null) return { ...timeoutFault('connect'), detail: `${host.host} was not resolved in time` }
      const inOrder = [...addresses].sort((a, b) => Number(b === this.#lastGood) - Number(a === this.#lastGood))
      const socket = await firstConnected(inOrder.map(address =>
        () => connect({ host: address, port: host.port, noDelay: true, keepAlive: true })), signal,
      isIP(host.host) === 0 ? namedFault : connectFault)
      if (!(socket instanceof Socket)) return socket
      this.#lastGood = socket.remoteAddress ?? ''
      return socket
    } catch (error) {
      return faultOf(error, 'connect')
    }
  }

  #addresses(name: string): Promise<readonly string[]> {
    this.#resolution ??= lookup(name, { all: true, verbatim: true })
      .then(all => all.map(({ address }) => address))
      .finally(() => { this.#resolution = null })
    return this.#resolution
  }
}

/** What the promise gives, or null when `signal` comes first. */
const orAborted = <Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | null> =>
  new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(null)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })

const connectFault = (error: Error): Fault => faultOf(error, 'connect')

/** The same where the host has a name: which of its addresses failed. */
const namedFault = (error: Error): Fault => {
  const fault = connectFault(error)
  return 'address' in error ? { ...fault, detail: `${fault.detail} at ${String(error.address)}` } : fault
}

/** The first of these to connect; if none does, why the last one failed. The others are dropped. */
const firstConnected = (
  dials: readonly (() => Socket)[], signal: AbortSignal, faultFor: (error: Error) => Fault,
): Promise<Socket | Fault> =>
  new Promise(resolve => {
    const sockets = new Set<Socket>()
    const rest = [...dials]
    let timer: NodeJS.Timeout | undefined
    const settle = (result: Socket | Fault): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      rest.length = 0
      for (const socket of sockets) if (socket !== result) socket.destroy()
      sockets.clear()
      resolve(result)
    }
    const onAbort = (): void => settle(timeoutFault('connect'))
    const dialNext = (): void => {
      clearTimeout(timer)
      const socket = rest.shift()?.()
      if (socket === undefined) return
      sockets.add(socket)
      if (rest.length > 0) timer = setTimeout(dialNext, nextAddressMs)
      socket.once('connect', () => settle(socket))
      // Stays: an error event without a listener would end the process.
      socket.on('error', error => {
        sockets.delete(socket)
        if (rest.length > 0) dialNext()
        else if (sockets.size === 0) settle(faultFor(error))
      })
    }
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else dialNext()
  })
