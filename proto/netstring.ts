/**
 * Netstrings, as cr.yp.to/proto/netstrings.txt defines them: decimal length,
 * `:`, that many bytes, `,`. Decodes a stream cut anywhere; encodes byte strings.
 * Knows nothing of what a payload says.
 *
 * Postfix's own reader takes leading zeros and an empty length. This one is as
 * strict as the definition, since no client of ours writes them.
 */

/** Why a stream stopped being netstrings. There is no way back: where the next one starts is unknown. */
export type NetstringError =
  /** Something else than a digit or the `:` after it, no digit at all, or a leading zero. */
  | 'bad-length'
  /** The length is over the limit. Known before a byte of the payload is read. */
  | 'too-long'
  /** The byte after the payload is not `,`. */
  | 'missing-comma'

/** Takes the payload `buffer[start..end)`: a view, true only during the call. */
export type OnPayload = (buffer: Buffer, start: number, end: number) => void

const zero = 0x30
const nine = 0x39
const colon = 0x3a
const comma = 0x2c
const noDigits = -1

/**
 * A decoder for one stream. A payload that lies whole in a chunk is handed out
 * as a view of it. One that is cut is collected in a buffer of the length it
 * declared, and only a length within the limit gets that far; a length that is
 * cut is kept as a number. So a stream holds `maxBytes` and a comma at most.
 */
export class NetstringDecoder {
  readonly #maxBytes: number
  /** The length as far as it has been read. */
  #length = noDigits
  /** Payload and comma being collected; null while the length is being read. */
  #held: Buffer | null = null
  #filled = 0
  #error: NetstringError | null = null

  /** `maxBytes`: the longest payload accepted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether a netstring has begun and not ended, so that the peer owes us the rest. */
  get pending(): boolean {
    return this.#length !== noDigits && this.#error === null
  }

  /** Bytes of memory set aside for a payload that was cut. */
  get heldBytes(): number {
    return this.#held === null ? 0 : this.#held.length
  }

  /**
   * Takes the next chunk and calls `onPayload` for each payload it completes,
   * in order. Returns null, or what is wrong with the stream: the payloads
   * before the fault have been delivered, and later calls return the same.
   */
  push(chunk: Buffer, onPayload: OnPayload): NetstringError | null {
    if (this.#error !== null) return this.#error
    const size = chunk.length
    let at = 0
    while (at < size) {
      if (this.#held !== null) {
        at += this.#collect(this.#held, chunk, at, onPayload)
      } else {
        const byte = chunk[at++]
        if (byte !== colon) {
          this.#digit(byte)
        } else if (this.#length === noDigits) {
          this.#error = 'bad-length'
        } else {
          const end = at + this.#length
          if (end >= size) {
            this.#held = Buffer.allocUnsafe(this.#length + 1)
            this.#filled = 0
          } else if (chunk[end] !== comma) {
            this.#error = 'missing-comma'
          } else {
            this.#length = noDigits
            onPayload(chunk, at, end)
            at = end + 1
          }
        }
      }
      if (this.#error !== null) return this.#error
    }
    return null
  }

  #digit(byte: number | undefined): void {
    // A digit after a zero makes that one a leading zero.
    if (byte === undefined || byte < zero || byte > nine || this.#length === 0) {
      this.#error = 'bad-length'
      return
    }
    const before = this.#length === noDigits ? 0 : this.#length
    const length = before * 10 + byte - zero
    if (length > this.#maxBytes) this.#error = 'too-long'
    else this.#length = length
  }

  /** Copies what `held` still lacks, and delivers it when it is whole. Returns the number of bytes taken. */
  #collect(held: Buffer, chunk: Buffer, from: number, onPayload: OnPayload): number {
    const taken = chunk.copy(held, this.#filled, from)
    this.#filled += taken
    if (this.#filled === held.length) {
      const length = held.length - 1
      this.#held = null
      this.#length = noDigits
      if (held[length] === comma) onPayload(held, 0, length)
      else this.#error = 'missing-comma'
    }
    return taken
  }
}

/**
 * The netstring of `payload`, both as byte strings: one code unit, one byte.
 * For a socket write it as latin1.
 */
export const encodeNetstring = (payload: string): string => `${payload.length}:${payload},`
