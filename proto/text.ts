/**
 * Text on the wire: keys in UTF-8, and the reason in an error reply, which Postfix writes to the mail log.
 */

/** Postfix logs 200 characters of a reason. */
const maxReasonBytes = 200

/**
 * A reason on one line of printable ASCII, at most 200 bytes: it may quote an error of MySQL, or the name of a map
 * that a peer made up. A `?` stands for each code unit that is not printable ASCII.
 */
export const printableReason = (text: string): string =>
  text.slice(0, maxReasonBytes).replace(/[^\x20-\x7e]/g, '?')

/**
 * `buffer[start..end)` as text, or null unless it is UTF-8: bytes that are not must not become text by replacement,
 * since two different keys would then be one.
 */
export const decodeUtf8 = (buffer: Buffer, start: number, end: number): string | null => {
  const text = buffer.toString('utf8', start, end)
  // The decoder puts U+FFFD for what it can't read; only a key that really has one comes back the same.
  if (!text.includes('\ufffd')) return text
  return Buffer.from(text, 'utf8').equals(buffer.subarray(start, end)) ? text : null
}
