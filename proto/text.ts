/**
 * Text on the wire: keys, and the reason in an error reply, which Postfix writes to the mail log.
 *
 * A key is text, whatever its bytes: one that isn't part of UTF-8 stands as a lone surrogate, U+DC80 to U+DCFF, so that
 * two different keys never become one text.
 */

/** Postfix logs 200 characters of a reason. */
const maxReasonBytes = 200

/**
 * A reason on one line of printable ASCII, at most 200 bytes: it may quote an error of MySQL, or the name of a map
 * that a peer made up. A `?` stands for each code unit that is not printable ASCII.
 */
export const printableReason = (text: string): string =>
  text.slice(0, maxReasonBytes).replace(/[^\x20-\x7e]/g, '?')

const strayByte = /[\udc80-\udcff]/u
const strayOffset = 0xdc00

/** A byte by itself. */
export const strayOf = (byte: number): string => String.fromCharCode(strayOffset + byte)

/** The text of `buffer[start..end)`. */
export const decodeKey = (buffer: Buffer, start: number, end: number): string => {
  const text = buffer.toString('utf8', start, end)
  // The decoder puts U+FFFD for what it can't read; only a key that really has one comes back the same.
  if (!text.includes('\ufffd') || Buffer.from(text, 'utf8').equals(buffer.subarray(start, end))) return text
  let decoded = ''
  for (let at = start; at < end;) {
    const byte = buffer[at] ?? 0
    const length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    const letter = buffer.toString('utf8', at, Math.min(at + length, end))
    const isLetter = Buffer.from(letter, 'utf8').equals(buffer.subarray(at, at + length))
    decoded += isLetter ? letter : strayOf(byte)
    at += isLetter ? length : 1
  }
  return decoded
}

/** The bytes of a key, or of a part of one. */
export const encodeKey = (text: string): Buffer => {
  if (!strayByte.test(text)) return Buffer.from(text, 'utf8')
  return Buffer.concat(text.split(/([\udc80-\udcff])/u).map((piece, index) =>
    index % 2 === 0 ? Buffer.from(piece, 'utf8') : Buffer.of(piece.charCodeAt(0) - strayOffset)))
}
