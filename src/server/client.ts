/**
 * One client: bytes in, requests to the lookup, replies out in the order of
 * the requests, exactly one for each. Postfix sends a request and waits for
 * its reply; a client that pipelines is served all the same, within bounds.
 */
import type { Socket } from 'node:net'
import type { Outcome } from '../outcome.js'
import { unavailable } from '../outcome.js'
import type { Dialect, RequestDecoder, Requests } from './dialect.js'
import { ignore, receive } from './receive.js'
import type { Taker } from './receive.js'

/** What answers the requests for one map. */
export type Route = {
  /** `key` is null if its bytes aren't UTF-8. */
  answer(key: string | null): Outcome | Promise<Outcome>
  /** Each outcome on its way out, as the client gets it, and how long it was waited for (ms); null: it was there at once. */
  onReply(outcome: Outcome, waitedMs: number | null): void
}

export type ConnectionHooks = {
  /** Of a map by name; null where the protocol has no names. Called once for each request. */
  readonly route: (map: string | null) => Route
  /** The peer sent what can't be read; the connection closes. */
  readonly onFault: (problem: string) => void
  /** A lookup threw: a bug. The client gets a temporary error. */
  readonly onBug: (error: unknown) => void
}

/** Requests of one client under way at once; then its socket is not read until one is answered. */
const maxPipelined = 64
/** Replies that a client hasn't read (bytes); then its socket is not read until it has. */
const maxUnreadBytes = 262_144
/** A client has so long (ms) for the rest of half a request, or to read its replies when too many wait. */
export const patienceMs = 30_000

/** Its socket hands it chunks, its decoder the requests in them. */
export class Connection implements Requests, Taker {
  readonly #socket: Socket
  readonly #dialect: Dialect
  readonly #hooks: ConnectionHooks
  readonly #patienceMs: number
  /** Has half a request; null between two requests, where anybody's will do. */
  #decoder: RequestDecoder | null = null
  /** Replies not yet written, in order, with null for a request that is still being looked up; null if there are none. */
  #waiting: (string | null)[] | null = null
  /** Index in the whole sequence of requests of the first in #waiting. */
  #firstWaiting = 0
  #out = ''
  #stopping = false
  /** Requests so far: shows that a client which always leaves half a request behind is getting on all the same. */
  #requestCount = 0
  /** What that was when it was last looked whether the client is idle; none at first. */
  #countBefore = -1
  /** Runs while the client owes us something: the rest of a request, reading its replies, or closing after we did. */
  #owed: NodeJS.Timeout | null = null

  constructor(socket: Socket, dialect: Dialect, hooks: ConnectionHooks, patience = patienceMs) {
    this.#socket = socket
    this.#dialect = dialect
    this.#hooks = hooks
    this.#patienceMs = patience
    socket.setNoDelay(true)
    // Replies are byte strings.
    socket.setDefaultEncoding('latin1')
    receive(socket, this)
    socket.on('drain', () => this.#resume())
    // No more requests will come; those that have come are answered. For that the socket has to allow half-open.
    socket.on('end', () => this.drain())
    // The peer is gone: nothing to do for it. 'close' follows.
    socket.on('error', () => undefined)
    socket.on('close', () => this.#clearOwed())
  }

  /** Answers what was asked, then closes; an idle connection closes at once. */
  drain(): void {
    this.#stopping = true
    if (this.#waiting === null) this.#end()
  }

  /** Closes if no request has come since this was last called, and none is under way. */
  closeIfIdle(): void {
    if (this.#requestCount === this.#countBefore && this.#waiting === null) this.drain()
    this.#countBefore = this.#requestCount
  }

  destroy(): void {
    this.#socket.destroy()
  }

  take(chunk: Buffer): void {
    // Too late: we have said goodbye. The client finds that out and asks again on a new connection.
    if (this.#socket.writableEnded) return
    const before = this.#requestCount
    const decoder = this.#decoder ?? this.#dialect.takeDecoder()
    const fault = decoder.push(chunk, this)
    if (fault !== null || decoder.pending) this.#decoder = decoder
    else {
      this.#decoder = null
      this.#dialect.giveBack(decoder)
    }
    if (this.#requestCount !== before) this.#clearOwed()
    if (fault !== null) {
      this.#hooks.onFault(fault.problem)
      if (fault.reply !== null) this.#due(fault.reply)
      this.#stopping = true
      ignore(this.#socket)
    }
    this.#flush()
  }

  lookup(map: string | null, key: string | null): void {
    this.#requestCount++
    const route = this.#hooks.route(map)
    let outcome: Outcome | Promise<Outcome>
    try {
      outcome = route.answer(key)
    } catch (error) {
      outcome = this.#bug(error)
    }
    if (outcome instanceof Promise) {
      const index = this.#firstWaiting + (this.#waiting?.length ?? 0)
      // Mostly there is one; what is pushed to an empty array gets room for seventeen.
      if (this.#waiting === null) this.#waiting = [null]
      else this.#waiting.push(null)
      const since = performance.now()
      void outcome.then(settled => this.#settle(index, route, settled, since))
    } else {
      this.#due(this.#encode(route, outcome, null))
    }
  }

  reply(reply: string): void {
    this.#requestCount++
    this.#due(reply)
  }

  #due(reply: string): void {
    if (this.#waiting === null) this.#out += reply
    else this.#waiting.push(reply)
  }

  #settle(index: number, route: Route, outcome: Outcome, since: number): void {
    if (this.#waiting === null) return
    this.#waiting[index - this.#firstWaiting] = this.#encode(route, outcome, performance.now() - since)
    if (this.#socket.destroyed) return
    this.#flush()
    this.#resume()
  }

  #encode(route: Route, outcome: Outcome, waitedMs: number | null): string {
    if (outcome.kind === 'found') {
      const reply = this.#dialect.reply(outcome)
      if (reply !== null) {
        route.onReply(outcome, waitedMs)
        return reply
      }
    }
    const error = outcome.kind === 'found' ? unavailable('bad-value', this.#dialect.limits) : outcome
    route.onReply(error, waitedMs)
    return this.#dialect.reply(error)
  }

  #bug(error: unknown): Outcome {
    this.#hooks.onBug(error)
    return unavailable('internal-error', 'internal error, see the log')
  }

  /** Writes all replies that are due, in one write. */
  #flush(): void {
    if (this.#waiting !== null) this.#collect(this.#waiting)
    // Nearly always the kernel takes a reply at once, and then there is nothing unread.
    let isTaken = false
    if (this.#out !== '') {
      const out = this.#out
      this.#out = ''
      isTaken = this.#socket.write(out)
    }
    if (this.#stopping && this.#waiting === null) {
      this.#end()
      return
    }
    const unread = !isTaken && this.#socket.writableLength > maxUnreadBytes
    if (unread || this.#isFull()) this.#socket.pause()
    if (unread || this.#decoder !== null) this.#owed ??= setTimeout(this.#onPatienceOver, this.#patienceMs).unref()
    else if (this.#owed !== null) this.#clearOwed()
  }

  /** Takes the replies that are due from the head of those that wait. */
  #collect(waiting: (string | null)[]): void {
    let due = 0
    for (const reply of waiting) {
      if (reply === null) break
      this.#out += reply
      due++
    }
    this.#firstWaiting += due
    if (due === waiting.length) this.#waiting = null
    else if (due > 0) waiting.splice(0, due)
  }

  #isFull(): boolean {
    return this.#waiting !== null && this.#waiting.length >= maxPipelined
  }

  #end(): void {
    if (this.#socket.writableEnded) return
    this.#socket.end()
    this.#clearOwed()
    this.#owed = setTimeout(() => this.#socket.destroy(), this.#patienceMs).unref()
  }

  #resume(): void {
    if (this.#socket.writableEnded) return
    if (!this.#isFull() && this.#socket.writableLength <= maxUnreadBytes && this.#socket.isPaused()) {
      this.#socket.resume()
      if (this.#decoder === null) this.#clearOwed()
    }
  }

  readonly #onPatienceOver = (): void => {
    const unread = this.#socket.writableLength > maxUnreadBytes
    this.#hooks.onFault(`${unread ? 'replies not read' : 'half a request, and nothing more'} for ${this.#patienceMs} ms`)
    this.#socket.destroy()
  }

  #clearOwed(): void {
    if (this.#owed !== null) clearTimeout(this.#owed)
    this.#owed = null
  }
}
