/**
 * What a client needs of a protocol: its requests as values, its replies as bytes. And what the protocols have in
 * common: requests are taken out of frames (netstrings, lines), and an outcome becomes one of three replies.
 */
import type { ByteString, Outcome } from '../outcome.js'

/** What a client sent. */
export type Request =
  /** `map` is null where the protocol has no map names. */
  | { readonly kind: 'lookup', readonly map: string | null, readonly key: string }
  /** Its reply needs no lookup. */
  | { readonly kind: 'answered', readonly reply: string }
  | ProtocolFault

/**
 * Bytes that the protocol doesn't allow. It is the last request: the connection has to be closed. `problem` is one
 * printable line for the log, without a key; `reply` is null where the client would not know where it begins.
 */
export type ProtocolFault = { readonly kind: 'fault', readonly problem: string, readonly reply: string | null }

/** The decoder of one client. */
export type RequestDecoder = {
  /** Takes the next chunk; gives the requests that are complete now, in order, each of which gets one reply. */
  push(chunk: Buffer): readonly Request[]
  /** Whether half a request has come. */
  readonly pending: boolean
}

export type Dialect = {
  readonly protocol: 'socketmap' | 'tcp_table'
  createDecoder(): RequestDecoder
  /** Whether a found value can be sent; one that can't is never cut. */
  fits(value: ByteString): boolean
  /** The longest reply (bytes). */
  readonly maxReplyBytes: number
  /** Why a value doesn't fit, for the log and for the temporary error that the client gets instead. */
  readonly limits: string
  /** The whole reply as a byte string: write it as latin1. A found value must fit. */
  reply(outcome: Outcome): string
}

/** The replies of a protocol, as byte strings. */
type Replies = {
  readonly found: (value: ByteString) => string
  readonly absent: string
  /** `reason` reaches the mail log. */
  readonly temporary: (reason: string) => string
}

/** The `reply` of a dialect. */
export const replyBy = ({ found, absent, temporary }: Replies): Dialect['reply'] => outcome => {
  switch (outcome.kind) {
    case 'found': return found(outcome.value)
    case 'absent': return absent
    case 'unavailable': return temporary(`${outcome.reason}: ${outcome.detail}`)
    default: return outcome satisfies never
  }
}

/** Takes a frame, the bytes from `start` to `end`. */
type OnFrame = (buffer: Buffer, start: number, end: number) => void

/** Cuts a stream into frames; `push` gives what is wrong with it, once nothing more can be cut. */
type FrameDecoder<E> = {
  readonly pending: boolean
  push(chunk: Buffer, onFrame: OnFrame): E | null
}

/** From frames to requests, up to the first fault: what follows one means nothing. */
export class FramedRequests<E> implements RequestDecoder {
  readonly #frames: FrameDecoder<E>
  readonly #faultOf: (error: E) => ProtocolFault
  readonly #onFrame: OnFrame
  #requests: Request[] = []
  #hasFailed = false

  constructor(
    frames: FrameDecoder<E>,
    requestOf: (buffer: Buffer, start: number, end: number) => Request,
    faultOf: (error: E) => ProtocolFault,
  ) {
    this.#frames = frames
    this.#faultOf = faultOf
    this.#onFrame = (buffer, start, end) => this.#add(requestOf(buffer, start, end))
  }

  get pending(): boolean {
    return this.#frames.pending
  }

  push(chunk: Buffer): readonly Request[] {
    this.#requests = []
    if (this.#hasFailed) return this.#requests
    const error = this.#frames.push(chunk, this.#onFrame)
    if (error !== null) this.#add(this.#faultOf(error))
    return this.#requests
  }

  #add(request: Request): void {
    if (!this.#hasFailed) this.#requests.push(request)
    if (request.kind === 'fault') this.#hasFailed = true
  }
}
