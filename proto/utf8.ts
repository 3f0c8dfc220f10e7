/**
 * Keys as text. Bytes that aren't UTF-8 must not become text by replacement:
 * two different keys would then be one.
 */

/** `buffer[start..end)` as text, or null unless it is UTF-8. */
export const decodeUtf8 = (buffer: Buffer, start: number, end: number): string | null => {
  const text = buffer.toString('utf8', start, end)
  // The decoder puts U+FFFD for what it can't read; only a key that really has one comes back the same.
  if (!text.includes('\ufffd')) return text
  return Buffer.from(text, 'utf8').equals(buffer.subarray(start, end)) ? text : null
}
