/** The replies of one Postfix in one phase. */
import { kinds } from './recipients.js'
import type { Kind } from './recipients.js'

/** unanswered: no reply while the client waited, or the connection was lost. */
export type Result = 'accepted' | 'deferred' | 'rejected' | 'unanswered'

export type Tally = {
  readonly results: Readonly<Record<Kind, Record<Result, number>>>
  /** The time of each RCPT (seconds); for one without a reply, how long the client waited. */
  readonly seconds: number[]
  /** Each existing recipient that got a 5xx, with the reply. */
  readonly falseRejects: string[]
  /** Messages with accepted recipients, counted by the reply to the message itself. */
  readonly messages: Record<Result, number>
}

const noResults = (): Record<Result, number> => ({ accepted: 0, deferred: 0, rejected: 0, unanswered: 0 })

export const newTally = (): Tally => ({
  results: { known: noResults(), rare: noResults(), new: noResults(), unknown: noResults() },
  seconds: [], falseRejects: [], messages: noResults(),
})

/** What an SMTP reply code (RFC 5321, 4.2.1) means for the recipient or message. */
export const resultOf = (code: number): Result => {
  if (code >= 200 && code < 300) return 'accepted'
  return code >= 500 && code < 600 ? 'rejected' : 'deferred'
}

/** All but the unknown recipients exist, whatever the tables have lost: the operator meant them to. */
export const exists = (kind: Kind): boolean => kind !== 'unknown'

export type Summary = {
  /** How many of these recipients were accepted (percent); null if the client asked for none. */
  readonly accepted: Readonly<Record<Kind, number | null>>
  readonly asked: number
  readonly deferred: number
  readonly rejected: number
  readonly unanswered: number
  readonly falseRejects: number
  readonly messages: Readonly<Record<Result, number>>
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** The value that `share` of the values don't exceed; 0 if there are none. */
const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0

export const summarize = (tally: Tally): Summary => {
  const total = (result: Result): number => kinds.reduce((sum, kind) => sum + tally.results[kind][result], 0)
  const askedOf = (kind: Kind): number => Object.values(tally.results[kind]).reduce((sum, count) => sum + count, 0)
  const share = (kind: Kind): number | null => askedOf(kind) === 0 ? null : 100 * tally.results[kind].accepted / askedOf(kind)
  const sorted = [...tally.seconds].sort((a, b) => a - b)
  return {
    accepted: { known: share('known'), rare: share('rare'), new: share('new'), unknown: share('unknown') },
    asked: kinds.reduce((sum, kind) => sum + askedOf(kind), 0),
    deferred: total('deferred'), rejected: total('rejected'), unanswered: total('unanswered'),
    falseRejects: tally.falseRejects.length,
    messages: tally.messages,
    p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: quantile(sorted, 1),
  }
}
