/**
 * One client: bytes in, lookups, replies out in the order of the requests, exactly one for each. Postfix sends a
 * request and waits for its reply; a client that sends several at once is served too, as far as there is room for
 * what it leaves unread.
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
import type { ReplyRoom } from './reply_room.js'
import type { Tallies } from './tally.js'

/** What the clients of one listener have in common. */
export type ClientContext = {
  readonly dialect: Dialect
  /** The map that is asked where the protocol has no map names; null where it has. A reload may change it. */
  map: string | null
  readonly maps: Pick<CurrentMaps, 'lookup'>
  readonly tallies: Pick<Tallies, 'note'>
  readonly log: Log
  /** The room that all clients share. */
  readonly room: ReplyRoom
}

/** Replies that one client may wait for. */
const maxWaiting = 64
/** The size (bytes) of the replies that one client may wait for or leave unread, beyond the first one. */
const maxOwedBytes = 1_048_576
/** Requests are decoded from so many bytes at a time, so that few of them wait for room. */
const sliceBytes = 1_024
/** The time (ms) that a client has for the rest of a request, for reading its replies, and for closing after we did. */
const defaultPatienceMs = 30_000

const nothing = Buffer.alloc(0)

/** `text` is null while the lookup is under way: until then the longest reply counts. */
type DueReply = { text: string | null }

export class Client implements ChunkReader {
  readonly #socket: Socket
  readonly #context: ClientContext
  readonly #decoder: RequestDecoder
  readonly #patienceMs: number
  /** What has come and is not yet decoded. */
  #undecoded: Buffer = nothing
  /** Requests that are decoded; those from `#next` on are not yet handled. */
  #requests: readonly Request[] = []
  #next = 0
  /** Replies that are not yet written, in the order of the requests, and their size (bytes). */
  readonly #replies: DueReply[] = []
  #replyBytes = 0
  /** What it takes of the room that all clients share (bytes). */
  #owedBytes = 0
  /** True once no more requests are expected: the connection ends after the last reply. */
  #isEnding = false
  /** Whether we wait for the client's own end: it may still be sending, and a reset would cost it the last reply. */
  #lingers = true
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
    socket.on('drain', () => this.proceed())
    socket.on('end', () => this.finish())
    // 'close' follows, and nobody is left to answer.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#stopWaiting()
      context.room.leave(this)
      this.#account(0)
    })
  }

  /** Answers what was asked, then closes and waits for the client's end; an idle connection closes at once. */
  finish(): void {
    this.#isEnding = true
    if (this.#isAnswered()) this.#end()
  }

  /** The same, without waiting for the client's end. */
  leave(): void {
    this.#lingers = false
    if (this.#socket.writableEnded) this.#socket.destroySoon()
    else this.finish()
  }

  /** Closes the connection if no request has come since the last call, and no reply is due. */
  closeIfIdle(): void {
    if (!this.#hasAsked && this.#isAnswered()) this.finish()
    this.#hasAsked = false
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Takes what the socket has received. */
  take(chunk: Buffer): void {
    // Too late: the client will see the end, and ask again on a new connection.
    if (this.#socket.writableEnded) return
    this.#undecoded = this.#undecoded.length === 0 ? chunk : Buffer.concat([this.#undecoded, chunk])
    this.proceed()
  }

  /** Handles what has come, as far as there is room for the replies, and writes those that are due. */
  proceed(): void {
    if (this.#socket.writableEnded || this.#socket.destroyed) return
    let hasHandled = false
    do {
      while (this.#hasRoom()) {
        const request = this.#nextRequest()
        if (request === undefined) break
        this.#handle(request)
        hasHandled = true
      }
      this.#write()
      // What the system has taken at once leaves room for more.
    } while (this.#hasMore() && this.#hasRoom())
    if (hasHandled) this.#stopWaiting()
    this.#readOn()
  }

  #nextRequest(): Request | undefined {
    while (this.#next === this.#requests.length && this.#undecoded.length > 0) {
      const slice = this.#undecoded.length <= sliceBytes ? this.#undecoded : this.#undecoded.subarray(0, sliceBytes)
      this.#undecoded = this.#undecoded === slice ? nothing : this.#undecoded.subarray(sliceBytes)
      this.#requests = this.#decoder.push(slice)
      this.#next = 0
    }
    return this.#requests[this.#next] === undefined ? undefined : this.#requests[this.#next++]
  }

  #handle(request: Request): void {
    this.#hasAsked = true
    switch (request.kind) {
      case 'lookup': return this.#lookUp(this.#context.map ?? request.map ?? '', request.key)
      case 'answered': return this.#owe(request.reply)
      case 'fault': return this.#refuse(request)
      default: request satisfies never
    }
  }

  #lookUp(map: string, key: string): void {
    const outcome = this.#ask(map, key)
    if (!(outcome instanceof Promise)) return this.#owe(this.#replyTo(map, key, outcome, null))
    const { maxReplyBytes } = this.#context.dialect
    const reply: DueReply = { text: null }
    this.#replies.push(reply)
    this.#replyBytes += maxReplyBytes
    const since = performance.now()
    const settle = (settled: Outcome): void => {
      reply.text = this.#replyTo(map, key, settled, performance.now() - since)
      this.#replyBytes += reply.text.length - maxReplyBytes
      this.proceed()
    }
    outcome.then(settle, (error: unknown) => settle(this.#bug(error)))
  }

  #owe(text: string): void {
    this.#replies.push({ text })
    this.#replyBytes += text.length
  }

  #ask(map: string, key: string): Outcome | Promise<Outcome> {
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
  #replyTo(map: string, key: string, outcome: Outcome, waitedMs: number | null): string {
    const { dialect, tallies } = this.#context
    const isSent = outcome.kind !== 'found' || dialect.fits(outcome.value)
    const sent = isSent ? outcome : unavailable('bad-value', dialect.limits)
    tallies.note(map, key, sent, waitedMs)
    return dialect.reply(sent)
  }

  #refuse({ problem, reply }: ProtocolFault): void {
    this.#logFault(problem)
    if (reply !== null) this.#owe(reply)
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
    this.#replyBytes -= text.length
    if (text !== '') this.#socket.write(text, 'latin1')
    this.#account(this.#owed())
  }

  #account(owedBytes: number): void {
    if (owedBytes === this.#owedBytes) return
    this.#context.room.take(owedBytes - this.#owedBytes)
    this.#owedBytes = owedBytes
  }

  /** Reads the socket if there is room for the replies; else it waits for the client, or for other clients. */
  #readOn(): void {
    if (this.#isEnding && this.#isAnswered()) return this.#end()
    const isFull = !this.#hasRoom()
    if (isFull && !this.#isOwnFault()) this.#context.room.wait(this)
    if (isFull) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
    if (this.#unread() > 0 || (this.#decoder.pending && !isFull)) this.#wait()
    else this.#stopWaiting()
  }

  #hasMore(): boolean {
    return this.#next < this.#requests.length || this.#undecoded.length > 0
  }

  /** Whether everything that was asked is answered. */
  #isAnswered(): boolean {
    return this.#replies.length === 0 && !this.#hasMore()
  }

  /** Whether one more request may be handled: always, if the client has read all replies. */
  #hasRoom(): boolean {
    const owed = this.#owed()
    const { dialect, room } = this.#context
    return owed === 0 || (!this.#isOwnFault() && room.has(owed - this.#owedBytes + dialect.maxReplyBytes))
  }

  /** Whether the client itself waits for too much, or leaves too much unread. */
  #isOwnFault(): boolean {
    const { maxReplyBytes } = this.#context.dialect
    return this.#replies.length >= maxWaiting || this.#owed() + maxReplyBytes > maxOwedBytes
  }

  /** The size (bytes) of the replies that it waits for or leaves unread. */
  #owed(): number {
    return this.#replyBytes + this.#unread()
  }

  /** Bytes that it leaves unread; a rest of some kilobytes, of which 'drain' would not tell us, is none. */
  #unread(): number {
    return this.#socket.writableNeedDrain ? this.#socket.writableLength : 0
  }

  #end(): void {
    if (this.#socket.writableEnded) return
    this.#socket.end()
    this.#stopWaiting()
    if (!this.#lingers) {
      this.#socket.destroySoon()
      return
    }
    // Whatever else it sends is thrown away, up to its own end.
    this.#socket.resume()
    this.#patience = setTimeout(() => this.#socket.destroy(), this.#patienceMs).unref()
  }

  #wait(): void {
    this.#patience ??= setTimeout(() => {
      const problem = this.#unread() > 0 ? 'replies not read' : 'incomplete request, no data'
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
