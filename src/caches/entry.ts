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

/** What a server said about one key: what caches keep, and what travels between them. */
export type Statement = {
  readonly outcome: Found | Absent
  /** When the table itself gave this answer (epoch ms). */
  readonly verifiedAt: number
  /** Which of the map's tables has the row; -1 for an answer that is no row: an absence, or a whole answer. */
  readonly table: number
  /** The identity of the server that gave the row; '' if nobody knows, or it is no row. */
  readonly server: string
  /** For a found answer: when a server first said absent since then (epoch ms); 0 if none did. */
  readonly contradictedAt: number
  /** A row that another definition of the map found: evidence that there is such a key, and never an answer. */
  readonly isForeign?: true
}

export type Entry = {
  readonly outcome: Found | Absent
  readonly verifiedAt: number
  readonly table: number
  readonly server: string
  contradictedAt: number
  /** First moment at which the entry is no longer fresh (epoch ms); sooner if it is flushed. */
  staleAt: number
  /** First moment at which the entry must not be used at all (epoch ms). */
  readonly expiredAt: number
  /**
   * Not before this time (epoch ms) is the table asked again: refresh-ahead, or the failure recheck timer (RFC 8767).
   */
  askAgainAt: number
  /** When somebody last asked for it (epoch ms), to the minute. */
  askedAt: number
  /** Its key's place in a list of keys (memory.ts); -1 for none. */
  slot: number
}

/**
 * `contradictedAt` of a found answer that one more statement is enough to end: its key was flushed, or it is only said
 * to be a row.
 */
export const longContradicted = 1

/** The row that `table` on `server` gave at `verifiedAt` (epoch ms), or the absence of one. */
export const statement = (outcome: Found | Absent, verifiedAt: number, table = -1, server = ''): Statement => {
  const isRow = outcome.kind === 'found'
  return { outcome, verifiedAt, table: isRow ? table : -1, server: isRow ? server : '', contradictedAt: 0 }
}

/** `expiredAt` of a row that another definition of the map found. */
const foreignExpiredAt = -1

/** Whether another definition of the map found the row: it is evidence, and never an answer. */
export const isForeign = ({ expiredAt }: Entry): boolean => expiredAt === foreignExpiredAt

/** A clock of another node may run ahead of ours by this much (ms) before its entries stop counting as fresh. */
export const clockSkewMs = 5_000
/** Lifetimes end up to this share early, so that entries loaded together don't all turn stale together. */
const jitter = 0.1
/** A fresh found entry that is asked for in this last share of its lifetime is refreshed in the background. */
const refreshShare = 0.2

/**
 * The entry for a statement. One that claims to come from the future (a clock was set back, or another node's runs
 * ahead) is stale from the start, and so is one that a server has contradicted: both must be verified. `random` is
 * in [0, 1).
 */
export const makeEntry = (
  { outcome, verifiedAt, table, server, contradictedAt, isForeign }: Statement, lifetimes: Lifetimes, now: number,
  random: number,
): Entry => {
  if (isForeign === true) return {
    outcome, verifiedAt, table, server, contradictedAt, staleAt: 0, expiredAt: foreignExpiredAt, askAgainAt: 0,
    askedAt: now, slot: -1,
  }
  const lifetimeMs = outcome.kind === 'found' ? lifetimes.freshForMs : lifetimes.absentForMs
  const isDoubtful = verifiedAt > now + clockSkewMs || contradictedAt !== 0
  const freshForMs = isDoubtful ? 0 : lifetimeMs * (1 - jitter * random)
  const staleAt = Math.min(verifiedAt, now) + freshForMs
  return {
    outcome, verifiedAt, table, server, contradictedAt, staleAt,
    expiredAt: Math.max(staleAt, Math.min(verifiedAt, now) + lifetimes.staleForMs),
    askAgainAt: outcome.kind === 'found' ? staleAt - freshForMs * refreshShare : staleAt,
    askedAt: now,
    slot: -1,
  }
}

/**
 * Fresh at `now` (epoch ms): as good as the table's own word. Also false when the clock went back behind its
 * verification.
 */
export const isFresh = (entry: Entry, now: number): boolean =>
  now < entry.staleAt && entry.verifiedAt <= now + clockSkewMs

/** The answer of a found entry that is not expired at `now`, fresh or stale: it may bridge an outage. Else null. */
export const unexpiredFound = (entry: Entry | undefined, now: number): Found | null => {
  if (entry === undefined || entry.outcome.kind !== 'found' || now >= entry.expiredAt) return null
  return isFresh(entry, now) ? entry.outcome : found(entry.outcome.value, 'stale')
}

/**
 * Whether a found answer speaks against an absence: even one that is expired, or another definition's, and must not be
 * given any more. What is too old for that, too, is for the table's trust to say.
 */
export const isEvidence = (entry: Entry | undefined): entry is Entry & { readonly outcome: Found } =>
  entry?.outcome.kind === 'found'

/** An absent entry, fresh or stale, that is not expired at `now`; where an absence may stand in. */
export const isKnownAbsent = (entry: Entry | undefined, now: number): boolean =>
  entry?.outcome.kind === 'absent' && now < entry.expiredAt

/** Stands for the definition in a record of what another one found, where nobody knows which. */
export const foreignDefinition = '0'.repeat(16)

/** How each record of a definition begins; the time at which it was verified follows. */
export const recordHead = (definition: string): string => `3 ${definition} `

/**
 * A statement as bytes for Redis and the snapshot: `3 DEFINITION VERIFIED TABLE CONTRADICTED SERVER LENGTH:value`,
 * or `3 DEFINITION VERIFIED -` for absent; TABLE is `w` for a whole answer, SERVER `-` for one that nobody knows. The
 * leading digit is the format's version; the length shows a record that was cut short.
 */
export const encodeRecord = (
  { outcome, verifiedAt, table, server, contradictedAt }: Statement, definition: string,
): ByteString =>
  `${recordHead(definition)}${verifiedAt} ${outcome.kind === 'absent' ? '-'
    : `${table < 0 ? 'w' : table} ${contradictedAt} ${server === '' ? '-' : server} `
      + `${outcome.value.length}:${outcome.value}`}` as ByteString

/** One string for each server: a million entries name the same few. */
const serverNames = new Map<string, string>([['-', '']])
const maxServerNames = 100

const nameOf = (server: string): string => {
  const known = serverNames.get(server)
  if (known !== undefined) return known
  // A copy: what a pattern matches keeps the whole record in memory.
  const name = Buffer.from(server, 'latin1').toString('latin1')
  if (serverNames.size < maxServerNames) serverNames.set(name, name)
  return name
}

const recordPattern = /^3 ([0-9a-f]{16}) (\d{1,15}) (?:(w|\d{1,3}) (\d{1,15}) (\S{1,400}) (\d{1,6}):([^\0]+)|-)$/s

/**
 * Reads what encodeRecord wrote. What another definition of the map found is marked as that; 'other-definition': its
 * absences. 'invalid' for anything else that isn't ours, such as a record cut short, one of an older format or another
 * program's value. All of these are misses.
 */
export const decodeRecord = (record: string, definition: string): Statement | 'other-definition' | 'invalid' => {
  const match = recordPattern.exec(record)
  if (match === null) return 'invalid'
  const [, writtenBy, verifiedAt, table, contradictedAt, server, length, value] = match
  if (value !== undefined && value.length !== Number(length)) return 'invalid'
  const isOurs = writtenBy === definition
  if (value === undefined) return isOurs ? statement(absent, Number(verifiedAt)) : 'other-definition'
  return {
    outcome: found(value as ByteString), verifiedAt: Number(verifiedAt),
    table: table === 'w' ? -1 : Number(table), server: nameOf(server ?? '-'), contradictedAt: Number(contradictedAt),
    ...isOurs ? {} : { isForeign: true },
  }
}
