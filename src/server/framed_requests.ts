/** From the frames of a protocol (netstrings, lines) to requests, up to the first fault: what follows one means nothing. */
import type { ProtocolFault, Request, RequestDecoder } from './dialect.js'

/** Takes a frame, the bytes from `start` to `end`. */
type OnFrame = (buffer: Buffer, start: number, end: number) => void

/** Cuts a stream into frames; `push` gives what is wrong with it, once nothing more can be cut. */
type FrameDecoder<E> = {
  readonly pending: boolean
  push(chunk: Buffer, onFrame: OnFrame): E | null
}

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
