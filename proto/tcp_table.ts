/**
 * The tcp_table(5) protocol: lines in both directions, ended by LF. A request
 * is `get SP key`, a reply a three-digit code, a space and text; key and text
 * are %XX-coded. Replies are made whole as byte strings: write them as latin1.
 *
 * Of a code Postfix reads the first digit only: 5 is "not found", so no error
 * of ours may begin with it. It decodes the text of every reply, and a `%` that
 * starts no code spoils the reply.
 */
import { decodeKey, printableReason } from './text.js'

/** Postfix sends no other request than `get`. `put` is in the protocol, to be refused. */
export type TcpRequest = { readonly kind: 'get', readonly key: string } | { readonly kind: 'put' }

/** Why a line is no request. Where the next line starts is known: a reply may be sent. */
export type TcpRequestError =
  /** Neither `get` nor `put`, or no space after it. */
  | 'bad-request'
  /** A byte that had to be coded, or a `%` without two hexadecimal digits. */
  | 'bad-coding'

/** The one fault a stream of lines can have: no LF within the limit. */
export type LineError = 'too-long'

/** Takes the line `buffer[start..end)`, without its end: a view, true only during the call. */
export type OnLine = (buffer: Buffer, start: number, end: number) => void

/** The longest line of a reply, newline included: Postfix reads no more. */
export const maxLineBytes = 4096

/** The longest line of a request: a key of 10,000 bytes, each of them coded, between `get ` and CR LF. */
export const maxRequestBytes = 4 + 3 * 10_000 + 2

const lf = 0x0a
const cr = 0x0d
const space = 0x20
const percent = 0x25
const tilde = 0x7e

/**
 * A decoder for one stream of lines. A line that lies whole in a chunk is
 * handed out as a view of it; one that is cut is collected, `maxBytes` at most. A
 * CR before the LF is dropped: people's terminals send it, Postfix codes a CR
 * that is part of a key.
 */
export class LineDecoder {
  readonly #maxBytes: number
  /** The line being collected; null between two lines. */
  #held: Buffer | null = null
  #filled = 0
  #error: LineError | null = null

  /** `maxBytes`: the longest line accepted, its end included. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether a line has begun and not ended, so that the peer owes us the rest. */
  get pending(): boolean {
    return this.#held !== null
  }

  /** Bytes of memory set aside for a line that was cut. */
  get heldBytes(): number {
    return this.#held === null ? 0 : this.#held.length
  }

  /**
   * Takes the next chunk and calls `onLine` for each line it completes, in
   * order. Returns null, or what is wrong with the stream: the lines before
   * the fault have been delivered, and later calls return the same.
   */
  push(chunk: Buffer, onLine: OnLine): LineError | null {
    if (this.#error !== null) return this.#error
    let at = 0
    while (at < chunk.length) {
      const end = chunk.indexOf(lf, at)
      const lineBytes = this.#filled + (end < 0 ? chunk.length : end + 1) - at
      // A line as long as the limit must have ended by now.
      if (lineBytes > this.#maxBytes || (end < 0 && lineBytes === this.#maxBytes)) {
        this.#error = 'too-long'
        this.#release()
        return this.#error
      }
      if (end >= 0 && this.#held === null) {
        deliver(chunk, at, end, onLine)
      } else {
        const held = this.#held ??= Buffer.allocUnsafe(this.#maxBytes)
        chunk.copy(held, this.#filled, at, end < 0 ? chunk.length : end)
        if (end < 0) {
          this.#filled = lineBytes
          return null
        }
        this.#release()
        deliver(held, 0, lineBytes - 1, onLine)
      }
      at = end + 1
    }
    return null
  }

  #release(): void {
    this.#held = null
    this.#filled = 0
  }
}

const deliver = (buffer: Buffer, start: number, end: number, onLine: OnLine): void =>
  onLine(buffer, start, end > start && buffer[end - 1] === cr ? end - 1 : end)

/**
 * The request in the line `line[start..end)`. `get` and one space, then the key,
 * which may be empty; what follows a `put` is not read.
 */
export const parseRequest = (line: Buffer, start: number, end: number): TcpRequest | TcpRequestError => {
  if (startsWith(line, start, end, 'put ')) return { kind: 'put' }
  if (!startsWith(line, start, end, 'get ')) return 'bad-request'
  const keyStart = start + 4
  let coded = false
  for (let at = keyStart; at < end; at++) {
    const byte = line[at] ?? 0
    if (byte <= space || byte > tilde) return 'bad-coding'
    if (byte === percent) coded = true
  }
  if (!coded) return { kind: 'get', key: line.toString('latin1', keyStart, end) }
  const bytes = decodeHex(line, keyStart, end)
  if (bytes === null) return 'bad-coding'
  return { kind: 'get', key: decodeKey(bytes, 0, bytes.length) }
}

const startsWith = (line: Buffer, start: number, end: number, word: string): boolean => {
  if (end - start < word.length) return false
  for (let at = 0; at < word.length; at++) if (line[start + at] !== word.charCodeAt(at)) return false
  return true
}

/** The bytes that `text[start..end)` codes, or null if a `%` has not two hexadecimal digits (of any case) after it. */
const decodeHex = (text: Buffer, start: number, end: number): Buffer | null => {
  const bytes = Buffer.allocUnsafe(end - start)
  let size = 0
  for (let at = start; at < end; at++) {
    let byte = text[at] ?? 0
    if (byte === percent) {
      const high = at + 2 < end ? hexDigit(text[at + 1] ?? 0) : -1
      const low = at + 2 < end ? hexDigit(text[at + 2] ?? 0) : -1
      if (high < 0 || low < 0) return null
      byte = high * 16 + low
      at += 2
    }
    bytes[size++] = byte
  }
  return bytes.subarray(0, size)
}

const hexDigit = (byte: number): number => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  // Upper and lower case differ in one bit.
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1
}

/** Whether a byte of a value can't go as it is: the `%`, white space, and all that is not printable ASCII. */
const needsCoding = (byte: number): boolean => byte <= space || byte > tilde || byte === percent

const codedBytes = (value: string): number => {
  let size = value.length
  for (let at = 0; at < value.length; at++) if (needsCoding(value.charCodeAt(at))) size += 2
  return size
}

/** `value` %XX-coded, both as byte strings. */
export const encodeHex = (value: string): string => {
  if (codedBytes(value) === value.length) return value
  let coded = ''
  for (let at = 0; at < value.length; at++) {
    const byte = value.charCodeAt(at)
    coded += needsCoding(byte)
      ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
      : value.charAt(at)
  }
  return coded
}

/**
 * Whether `value` can be sent: not empty (a configuration error to Postfix),
 * without NUL (which would cut it), and coded within `maxLineBytes`.
 */
export const fits = (value: string): boolean =>
  value.length > 0 && codedBytes(value) <= maxLineBytes - '200 \n'.length && !value.includes('\0')

/** Found. `value` is a byte string that `fits`. */
export const okReply = (value: string): string => `200 ${encodeHex(value)}\n`

/** Absent. */
export const notFoundReply = '500 absent\n'

/** The refusal of `put`. Its 5 says "rejected" there, and never answers a `get`. */
export const putReply = '500 put is not served\n'

/** A temporary error: Postfix hangs up and tries again later. */
export const tempReply = (reason: string): string => `400 ${printableReason(reason).replaceAll('%', '%25')}\n`
