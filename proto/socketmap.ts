/**
 * The socketmap protocol: what is inside the netstrings. A request is
 * `map SP key`, a reply a word in capitals, a space and data; see
 * socketmap_table(5). Replies are made whole, netstring included, as byte
 * strings: write them as latin1.
 *
 * Postfix splits a reply at its first space and reads any unknown word as
 * "try again". Old releases take `OK` without the space for "not found", and
 * sendmail crashes on it, so `OK` always comes with a value.
 */
import { encodeNetstring } from './netstring.js'
import { decodeKey, printableReason } from './text.js'

export type SocketmapRequest = { readonly map: string, readonly key: string }

/** Why a payload is no request. The framing still holds: a reply may be sent. */
export type SocketmapRequestError =
  /** Nothing separates a map from a key. */
  | 'no-space'

/**
 * The longest payload of a reply, with its `OK `, that every Postfix reads. A longer one puts the connection out of
 * step.
 */
export const maxReplyBytes = 100_000

const ok = 'OK '

const space = 0x20

/**
 * The request in `payload[start..end)`, cut at the first space. The key is all
 * that follows, with whatever spaces it has, and may be empty, as may the map.
 */
export const parseRequest = (
  payload: Buffer,
  start: number,
  end: number,
): SocketmapRequest | SocketmapRequestError => {
  const cut = payload.indexOf(space, start)
  if (cut < 0 || cut >= end) return 'no-space'
  return { map: decodeKey(payload, start, cut), key: decodeKey(payload, cut + 1, end) }
}

/**
 * Whether `value` can be sent: not empty (a configuration error to Postfix),
 * without NUL (which would cut it), and within `maxReplyBytes`.
 */
export const fits = (value: string): boolean =>
  value.length > 0 && value.length <= maxReplyBytes - ok.length && !value.includes('\0')

/** Found. `value` is a byte string that `fits`. */
export const okReply = (value: string): string => encodeNetstring(ok + value)

/** Absent. The space is part of the word. */
export const notFoundReply = '9:NOTFOUND ,'

/** A temporary error: Postfix tries again later. `reason` reaches the mail log. */
export const tempReply = (reason: string): string => encodeNetstring(`TEMP ${printableReason(reason)}`)

/**
 * A permanent error, which Postfix takes for a mistake in its configuration and
 * reports to the postmaster. Only for a request that no retry will mend.
 */
export const permReply = (reason: string): string => encodeNetstring(`PERM ${printableReason(reason)}`)
