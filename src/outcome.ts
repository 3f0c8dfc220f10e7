/**
 * The one answer type of the pipeline, from the table to the wire. Types and
 * constants, nothing else. Only the dialects in server/ turn an Outcome into
 * protocol words.
 */

import { encodeKey } from '../proto/text.js'

declare const bytes: unique symbol

/**
 * A value as Postfix will read it: each UTF-16 code unit holds one byte
 * (latin1), so that whatever a table holds passes through unchanged and costs
 * one byte a character. Keys are ordinary strings; values never are.
 */
export type ByteString = string & { readonly [bytes]: true }

/** The bytes of `text`, a key or a part of one, as a ByteString. */
export const byteString = (text: string): ByteString => encodeKey(text).toString('latin1') as ByteString

/** The readable text of a ByteString (UTF-8; bytes that aren't become U+FFFD). For people, never for the wire. */
export const readable = (value: ByteString): string =>
  /^[\x00-\x7f]*$/.test(value) ? value : Buffer.from(value, 'latin1').toString('utf8')

/** Why an answer could not be had. Each is a temporary error to Postfix; labels of metrics, so the set is closed. */
export const reasons = [
  /** No answer within the deadline. Look at the table's server: slow, hung or cut off. */
  'timeout',
  /** The server can't be reached, or the connection was lost. */
  'source-down',
  /**
   * The server refuses to serve us (log-in failed, too many connections, a limit of the account), or this node can't
   * get through to it (a certificate, its name, a file). Other nodes may well be served.
   */
  'source-refused',
  /** The breaker is open: the server failed lately, so it was not asked. */
  'breaker-open',
  /**
   * The server answered this one query with an error (syntax, missing table, 1242). The map's definition or its table
   * is at fault.
   */
  'query-error',
  /** More work waiting for the server than this node will queue. */
  'overloaded',
  /** The answer exists but can't be sent: empty, with a NUL, too long, or over expansion_limit. */
  'bad-value',
  /** The server said "no such row", and is not believed: its canary or too many known keys are missing, or it lags. */
  'distrusted',
  /** Postfix asked for a map that the configuration doesn't name. */
  'unknown-map',
  /** `unknown: defer`: the table said absent, and the operator wants that as a temporary error. */
  'unknown-deferred',
  /** The daemon is stopping. */
  'draining',
  /** A bug in Holdfast; the log has the stack. */
  'internal-error',
] as const
export type Reason = typeof reasons[number]

export type Found = {
  readonly kind: 'found'
  readonly value: ByteString
  readonly age: 'fresh' | 'stale'
}
export type Absent = { readonly kind: 'absent' }
/**
 * `detail` is one printable line for the mail log; it never holds a key, a value or a password. `outMs`: for how long
 * (ms) all servers that could have been asked have been out, if they are, and were tried lately.
 */
export type Unavailable = {
  readonly kind: 'unavailable', readonly reason: Reason, readonly detail: string, readonly outMs?: number
}
export type Outcome = Found | Absent | Unavailable

export const absent: Absent = Object.freeze({ kind: 'absent' })
/**
 * Absent although the table can't be asked: it was when last asked, or a copy lacks the key. An object of its own, so
 * that `===` tells it from `absent`: it is counted apart.
 */
export const absentInOutage: Absent = Object.freeze({ kind: 'absent' })
export const found = (value: ByteString, age: 'fresh' | 'stale' = 'fresh'): Found => ({ kind: 'found', value, age })
export const unavailable = (reason: Reason, detail: string): Unavailable => ({ kind: 'unavailable', reason, detail })

/** Whether the server could not be asked: another one, or the same one later, may well have the answer. */
export const isOutage = (reason: Reason): boolean => {
  switch (reason) {
    case 'timeout': case 'source-down': case 'source-refused': case 'breaker-open': return true
    case 'query-error': case 'overloaded': case 'bad-value': case 'distrusted': case 'unknown-map':
    case 'unknown-deferred': case 'draining': case 'internal-error': return false
    default: return reason satisfies never
  }
}

/** An outcome in words, with its value. For people, never for the wire. */
export const worded = (outcome: Outcome): string => {
  switch (outcome.kind) {
    case 'found': return `${outcome.age === 'stale' ? 'stale ' : ''}found: ${readable(outcome.value)}`
    case 'absent': return 'absent'
    case 'unavailable': return `unavailable: ${outcome.reason}: ${outcome.detail}`
    default: return outcome satisfies never
  }
}
