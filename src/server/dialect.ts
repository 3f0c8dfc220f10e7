/**
 * What a connection needs of a protocol. A dialect is the only place where an
 * Outcome meets wire words. Replies are byte strings (latin1), ready to write.
 */
import type { Absent, ByteString, Found, Unavailable } from '../outcome.js'

/** What comes out of a client's bytes, in order; each call makes exactly one reply. */
export type Requests = {
  /** `map` is null where the protocol has no map names; `key` is null if its bytes aren't UTF-8. */
  lookup(map: string | null, key: string | null): void
  /** A request whose reply needs no lookup. */
  reply(reply: string): void
}

export type Fault = {
  /** One printable line for the log: what was wrong with the bytes. Never a key. */
  readonly problem: string
  /** The last reply before the connection is closed; null where the framing doesn't allow one. */
  readonly reply: string | null
}

export type RequestDecoder = {
  /** Takes a chunk. A fault is final: the connection is to be closed. */
  push(chunk: Buffer, requests: Requests): Fault | null
  /** True while half a request is held. */
  readonly pending: boolean
}

export type Dialect = {
  readonly protocol: 'socketmap' | 'tcp_table'
  /** A decoder that holds nothing. */
  takeDecoder(): RequestDecoder
  /** For the next one who takes a decoder: one that is not pending, and has found no fault. */
  giveBack(decoder: RequestDecoder): void
  /** One whole reply; null for a found value that the protocol can't carry. A value is never cut. */
  reply(outcome: Found): string | null
  reply(outcome: Absent | Unavailable): string
  /** Why a value can't be carried, for the log and the temporary error that the client gets in its place. */
  readonly limits: string
}

/** Between two requests a decoder holds nothing, and a thousand clients can do with the same. */
export const sharedDecoders = (create: () => RequestDecoder): Pick<Dialect, 'takeDecoder' | 'giveBack'> => {
  let idle: RequestDecoder | null = null
  return {
    takeDecoder: () => {
      const decoder = idle ?? create()
      idle = null
      return decoder
    },
    giveBack: decoder => {
      idle = decoder
    },
  }
}

/** How a protocol words its replies. */
type Words = {
  readonly fits: (value: ByteString) => boolean
  readonly okReply: (value: ByteString) => string
  readonly notFoundReply: string
  readonly tempReply: (why: string) => string
}

/** The replies of a dialect with these words. */
export const replyIn = ({ fits, okReply, notFoundReply, tempReply }: Words): Dialect['reply'] => {
  function reply(outcome: Found): string | null
  function reply(outcome: Absent | Unavailable): string
  function reply(outcome: Found | Absent | Unavailable): string | null {
    switch (outcome.kind) {
      case 'found':
        if (outcome.repliedBy === reply) return outcome.reply
        if (!fits(outcome.value)) return null
        outcome.reply = okReply(outcome.value)
        outcome.repliedBy = reply
        return outcome.reply
      case 'absent': return notFoundReply
      case 'unavailable': return tempReply(`${outcome.reason}: ${outcome.detail}`)
      default: return outcome satisfies never
    }
  }
  return reply
}
