/** What a client needs of a protocol: its requests as values, its replies as bytes. */
import type { ByteString, Outcome } from '../outcome.js'

/** What a client sent. */
export type Request =
  /** `map` is null where the protocol has no map names; `key` is null if its bytes aren't UTF-8. */
  | { readonly kind: 'lookup', readonly map: string | null, readonly key: string | null }
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
  /** Why a value doesn't fit, for the log and for the temporary error that the client gets instead. */
  readonly limits: string
  /** The whole reply as a byte string: write it as latin1. A found value must fit. */
  reply(outcome: Outcome): string
}
