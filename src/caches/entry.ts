/**
 * One cached answer and its times. Pure: no clock of its own, no I/O.
 *
 * The words are RFC 8767's: an entry is fresh until its lifetime ends, then
 * stale: usable only while the table can't be asked, up to the maximum stale
 * time. A stale absent entry is no knowledge by itself: it may stand in only
 * where another map knows better (trust/known_elsewhere.ts).
 */
import type { Lifetimes } from '../config/config.js'
import type { Absent, ByteString, Found } from '../outcome.js'
import { absent, found } from '../outcome.js'

export type Entry = {
  readonly outcome: Found | Absent
  /** When the table itself gave this answer (epoch ms). Travels with the entry through every cache. */
  readonly verifiedAt: number
  /** First moment at which the entry is no longer fresh (epoch ms); sooner if it is flushed. */
  staleAt: number
  /** First moment at which the entry must not be used at all (epoch ms). */
  readonly expiredAt: number
  /** Not before this time (epoch ms) is the table asked again: refresh-ahead for a fresh entry, the failure recheck timer of RFC 8767 for a stale one. */
  askAgainAt: number
  /** When somebody last asked for it (epoch ms), to the minute. */
  askedAt: number
}

/** A clock of another node may run ahead of ours by this much (ms) before its entries stop counting as fresh. */
export const clockSkewMs = 5_000
/** Lifetimes end up to this share early, so that entries loaded together don't all turn stale together. */
const jitter = 0.1
/** A fresh found entry that is asked for in this last share of its lifetime is refreshed in the background. */
const refreshShare = 0.2

/**
 * The entry for an answer that the table gave at `verifiedAt` (epoch ms).
 * An answer that claims to come from the future (a clock was set back, or
 * another node's runs ahead) is stale from the start: it must be verified.
 * `random` is in [0, 1).
 */
export const makeEntry = (
  outcome: Found | Absent, verifiedAt: number, lifetimes: Lifetimes, now: number, random: number,
): Entry => {
  const lifetimeMs = outcome.kind === 'found' ? lifetimes.freshForMs : lifetimes.absentForMs
  const freshForMs = verifiedAt > now + clockSkewMs ? 0 : lifetimeMs * (1 - jitter * random)
  const staleAt = Math.min(verifiedAt, now) + freshForMs
  return {
    outcome,
    verifiedAt,
    staleAt,
    expiredAt: Math.max(staleAt, Math.min(verifiedAt, now) + lifetimes.staleForMs),
    askAgainAt: outcome.kind === 'found' ? staleAt - freshForMs * refreshShare : staleAt,
    askedAt: now,
  }
}

/** Fresh at `now` (epoch ms): as good as the table's own word. Also false when the clock went back behind its verification. */
export const isFresh = (entry: Entry, now: number): boolean =>
  now < entry.staleAt && entry.verifiedAt <= now + clockSkewMs

/** A found answer that may still bridge an outage at `now`, fresh or stale; null if there is none. */
export const bridge = (entry: Entry | undefined, now: number): Found | null => {
  if (entry === undefined || entry.outcome.kind !== 'found' || now >= entry.expiredAt) return null
  return isFresh(entry, now) ? entry.outcome : found(entry.outcome.value, 'stale')
}

/** An absent entry, fresh or stale, that is not expired at `now`; for keys that are vouched for. */
export const isKnownAbsent = (entry: Entry | undefined, now: number): boolean =>
  entry?.outcome.kind === 'absent' && now < entry.expiredAt

/** How each record of a definition begins; the time at which it was verified follows. */
export const recordHead = (definition: string): string => `1 ${definition} `

/**
 * An entry as bytes for Redis and the snapshot: `1 DEFINITION VERIFIED LENGTH:value`,
 * or `1 DEFINITION VERIFIED -` for absent. The leading digit is the format's
 * version; the length shows a record that was cut short.
 */
export const encodeEntry = (outcome: Found | Absent, verifiedAt: number, definition: string): ByteString =>
  `${recordHead(definition)}${verifiedAt} ${outcome.kind === 'found' ? `${outcome.value.length}:${outcome.value}` : '-'}` as ByteString

export type Decoded = { readonly outcome: Found | Absent, readonly verifiedAt: number }

/**
 * Reads what encodeEntry wrote. 'other-definition' for an answer of another
 * version of the map; 'invalid' for anything else that isn't ours, such as a
 * record cut short or another program's value. Both are misses.
 */
export const decodeEntry = (record: string, definition: string): Decoded | 'other-definition' | 'invalid' => {
  const match = /^1 ([0-9a-f]{16}) (\d{1,15}) (?:(\d{1,6}):([^\0]+)|-)$/s.exec(record)
  if (match === null) return 'invalid'
  const [, writtenBy, verifiedAt, length, value] = match
  if (value !== undefined && value.length !== Number(length)) return 'invalid'
  if (writtenBy !== definition) return 'other-definition'
  return { outcome: value === undefined ? absent : found(value as ByteString), verifiedAt: Number(verifiedAt) }
}
