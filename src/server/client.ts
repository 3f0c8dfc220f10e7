/**
 * One client: bytes in, lookups, replies out in the order of the requests,
 * exactly one for each. Postfix sends a request and waits for its reply; a
 * client that sends several at once is served too, within bounds.
 */
import type { Socket } from 'node:net'
import { bugOf } from '../log.js'
import type { Log } from '../log.js'
import type { CurrentMaps } from '../lookup/maps.js'
import { unavailable } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import { receive } from '../runtime/receive.js'
import type { ChunkReader } from '../runtime/receive.js'
import type { Dialect, ProtocolFault, Request, RequestDecoder } from './dialect.js'
import type { Tallies } from './tally.js'

/** What the clients of one listener have in common. */
export type ClientContext = {
  readonly dialect: Dialect
  /** The map that is asked where the protocol has no map names; null where it has. A reload may change it. */
  map: string | null
  readonly maps: Pick<CurrentMaps, 'lookup'>
  readonly tallies: Pick<Tallies, 'note'>
  readonly log: Log
}

/** Replies that one client may wait for; then its socket is not read until one has come. */
const maxWaiting = 64
/** Replies (bytes) that a client may leave unread; then its socket is not read until it has read them. */
const maxUnreadBytes = 262_144
/** The time (ms) that a client has for the rest of a request, for reading its replies, and for closing after we did. */
const defaultPatienceMs = 30_000

/** `text` is null while the lookup is under way. */
type DueReply = { text: string | null }

export class Client implements ChunkReader {
  readonly #socket: Socket
  readonly #context: ClientContext
  readonly #decoder: RequestDecoder
  readonly #patienceMs: number
  /** Replies that are not yet written, in the order of the requests. */
  readonly #replies: DueReply[] = []
  /** True once no more requests are expected: the connection ends after the last reply. */
  #isEnding = false
  /** Whether a request has come since closeIfIdle() last looked. */
  #hasAsked = true
  /** Runs while we wait for the client: for the rest of a request, for reading, or for closing. */
  #patience: NodeJS.Timeout | null = null

  /** Serves `socket`, which must allow half-open. */
  constructor(socket: Socket, context: ClientContext, patienceMs = defaultPatienceMs) {
    this.#socket = socket
    this.#context = context
    this.#decoder = context.dialect.createDecoder()
    this.#patienceMs = patienceMs
    receive(socket, this)
    socket.on('drain', () => this.#resume())
    socket.on('end', () => this.drain())
    // 'close' follows; there is nobody left to tell.
    socket.on('error', () => undefined)
    socket.on('close', () => this.#stopWaiting())
  }

  /** Answers what was asked, then closes; an idle connection closes at once. */
  drain(): void {
    this.#isEnding = true
    if (this.#replies.length === 0) this.#end()
  }

  /** Closes the connection if no request has come since the last call, and no reply is due. */
  closeIfIdle(): void {
    if (!this.#hasAsked && this.#replies.length === 0) this.drain()
    this.#hasAsked = false
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Takes what the socket has received. */
  take(chunk: Buffer): void {
    // Too late: the client will see the end, and ask again on a new connection.
    if (this.#socket.writableEnded) return
    const requests = this.#decoder.push(chunk)
    for (const request of requests) this.#handle(request)
    if (requests.length > 0) this.#stopWaiting()
    this.#write()
  }

  #handle(request: Request): void {
    this.#hasAsked = true
    switch (request.kind) {
      case 'lookup': return this.#lookUp(this.#context.map ?? request.map ?? '', request.key)
      case 'answered': return void this.#replies.push({ text: request.reply })
      case 'fault': return this.#refuse(request)
      default: request satisfies never
    }
  }

  #lookUp(map: string, key: string | null): void {
    const outcome = this.#ask(map, key)
    if (!(outcome instanceof Promise)) {
      this.#replies.push({ text: this.#replyTo(map, key, outcome, null) })
      return
    }
    const reply: DueReply = { text: null }
    this.#replies.push(reply)
    const since = performance.now()
    const settle = (settled: Outcome): void => {
      reply.text = this.#replyTo(map, key, settled, performance.now() - since)
      if (this.#socket.destroyed) return
      this.#write()
      this.#resume()
    }
    outcome.then(settle, (error: unknown) => settle(this.#bug(error)))
  }

  #ask(map: string, key: string | null): Outcome | Promise<Outcome> {
    try {
      return this.#context.maps.lookup(map, key)
    } catch (error) {
      return this.#bug(error)
    }
  }

  #bug(error: unknown): Outcome {
    this.#context.log.error(bugOf(error))
    return unavailable('internal-error', 'internal error, see the log')
  }

  /** The reply for an outcome, which is counted here and logged. */
  #replyTo(map: string, key: string | null, outcome: Outcome, waitedMs: number | null): string {
    const { dialect, tallies } = this.#context
    const isSent = outcome.kind !== 'found' || dialect.fits(outcome.value)
    const sent = isSent ? outcome : unavailable('bad-value', dialect.limits)
    tallies.note(map, key, sent, waitedMs)
    return dialect.reply(sent)
  }

  #refuse({ problem, reply }: ProtocolFault): void {
    this.#logFault(problem)
    if (reply !== null) this.#replies.push({ text: reply })
    this.#isEnding = true
  }

  /** Writes all replies that are due, in one write. */
  #write(): void {
    let text = ''
    let due = 0
    for (const reply of this.#replies) {
      if (reply.text === null) break
      text += reply.text
      due++
    }
    this.#replies.splice(0, due)
    if (text !== '') this.#socket.write(text, 'latin1')
    if (this.#isEnding && this.#replies.length === 0) {
      this.#end()
      return
    }
    if (this.#isFull()) this.#socket.pause()
    if (this.#decoder.pending || this.#isUnread()) this.#wait()
    else this.#stopWaiting()
  }

  /** Reads on, if the client may send more. */
  #resume(): void {
    if (this.#socket.writableEnded || this.#isFull() || !this.#socket.isPaused()) return
    this.#socket.resume()
    if (!this.#decoder.pending) this.#stopWaiting()
  }

  #isFull(): boolean {
    return this.#replies.length >= maxWaiting || this.#isUnread()
  }

  #isUnread(): boolean {
    return this.#socket.writableLength > maxUnreadBytes
  }

  #end(): void {
    if (this.#socket.writableEnded) return
    this.#socket.end()
    // Whatever else it sends is thrown away, up to its own end.
    this.#socket.resume()
    this.#stopWaiting()
    this.#patience = setTimeout(() => this.#socket.destroy(), this.#patienceMs).unref()
  }

  #wait(): void {
    this.#patience ??= setTimeout(() => {
      const problem = this.#isUnread() ? 'replies not read' : 'incomplete request, no data'
      this.#logFault(`${problem} for ${this.#patienceMs / 1_000} s`)
      this.#socket.destroy()
    }, this.#patienceMs).unref()
  }

  #stopWaiting(): void {
    if (this.#patience !== null) clearTimeout(this.#patience)
    this.#patience = null
  }

  #logFault(problem: string): void {
    const { dialect: { protocol }, log } = this.#context
    log.repeated(`fault ${protocol}`, `${protocol}: closing a connection: ${problem}`)
  }
}
