/**
 * What is known as found, against a server that says absent: one statement ends nothing. The row, or the answer that
 * was put together from rows, is served on as stale, the contradiction is noted in it, and a second statement so much
 * later (`confirm_for`) ends it. Two that are farther apart may be of two gaps, with the row there in between.
 *
 * A row that another definition of the map found is never served: its value may have another form. Nor is one that is
 * older than `stale_for`. It is evidence all the same: the absence of its key is deferred until it is confirmed, and it
 * is among the known keys by which the table is judged. So an edit of a query that makes most keys absent begins a
 * doubt, as a table does that lost them.
 */
import { isEvidence, isForeign, longContradicted, statement, unexpiredFound } from '../caches/entry.js'
import type { Entry } from '../caches/entry.js'
import type { Copied } from '../caches/map_copies.js'
import { unavailable } from '../outcome.js'
import type { Found, Unavailable } from '../outcome.js'
import type { Known } from './known.js'
import { cacheKeysOf, foldedWholeKey, isRowKey, wholeKey } from './search.js'
import type { Walk } from './search.js'

/** An absence that a server stated, and by what it is judged. */
export type Objection = {
  /** When it was asked (epoch ms). */
  readonly askedAt: number
  /** What a table (-1: any) gave before that time (epoch ms) is no evidence any more. */
  readonly evidenceSince: (table: number) => number
  /** A contradiction from before (epoch ms) counts no more: a doubt has begun or ended since. */
  readonly firstSince: number
  /** A table is in doubt on some server, or the question is from before a flush. */
  readonly mayNotConfirm: boolean
  /** Epoch ms. */
  readonly now: number
}

/** A second statement comes at most so many times `confirm_for` after the first. */
const confirmWindow = 2

/**
 * The known row of a step's key that an absence would contradict, from memory, from `before` or from a copy;
 * undefined: there is none.
 */
export const evidenceOf = (known: Known, key: string, before: Entry | undefined, now: number): Entry | undefined =>
  known.memory.peekFound(key) ?? before ?? entryOfCopy(known, key, now)

/** The entry for a row that only a copy knows, as found when the copy was taken; undefined if it lacks the key. */
const entryOfCopy = (known: Known, key: string, now: number): Entry | undefined => {
  const copied = known.copiedRow(key)
  return copied === null ? undefined : entryOfCopied(known, copied, now)
}

/** The entry for what a copy has, as the table's word of when it was taken: stale. */
export const entryOfCopied = (known: Known, { outcome, at, table, server, isForeign }: Copied, now: number): Entry => {
  const row = statement(outcome, at, table, server)
  return known.entryOf(isForeign === true ? { ...row, isForeign } : row, false, now)
}

/**
 * Up to `count` random keys that are known as found in a table of this map, verified after `since` (epoch ms): in turns
 * from its copy, which has the whole table, and from memory, which has what was found since. What was found before and
 * is not in the copy was gone when that was taken: rows that come and go are no evidence for ever.
 */
export const sampleOf = (
  known: Known, table: number, count: number, since: number, random = Math.random,
): readonly string[] => {
  const { copies, memory } = known
  const copied = (copies.evidence(table, since)?.sampleKeys(count) ?? []).filter(key => known.copiedRow(key) !== null)
  const fromCopy = Math.min(copied.length, Math.ceil(count / 2))
  // An absence draws one.
  if (fromCopy === count) return copied
  // A copy that was held against nothing says nothing of what came to light since.
  const isJudged = (copies.of(table)?.witnesses ?? 0) > 0
  const isInCopy = (key: string, { verifiedAt }: Entry): boolean => {
    const inCopies = isJudged ? known.copied(key) : null
    return inCopies === null || inCopies.table === table || inCopies.at < verifiedAt
  }
  const held = memory.sample(table, count - fromCopy, (entry, key) =>
    entry.verifiedAt > since && isEvidence(entry) && isInCopy(key, entry), random)
  const inTurns = Array.from({ length: count }, (_, index) => [copied[index], held[index]]).flat()
  return [...new Set(inTurns.filter(key => key !== undefined))].slice(0, count)
}

/** Whether a found answer for the walk is known, however old, or found by another definition. */
export const hasRow = (known: Known, walk: Walk): boolean =>
  cacheKeysOf(walk).some(key =>
    known.memory.peekFound(key) !== undefined || (isRowKey(key) && known.copiedRow(key) !== null))

/**
 * The server whose word it takes to end a row: the one that gave it, for another one may never have had it. null:
 * any server's will do.
 */
export const giverOf = ({ absence }: Known, row: Entry): string | null => {
  const { server, contradictedAt } = row
  const isDoubtful = absence.isBelievedAtOnce || contradictedAt === longContradicted || isForeign(row)
  return server === '' || isDoubtful ? null : server
}

/**
 * What a server says to be absent, though it is known: null if that is to be believed; else the found answer that it
 * contradicts, which is served on, or why that can't be: it is too old, or another definition's. It is believed once a
 * second statement says so, `confirmForMs` later, and at once if the row is from before `evidenceSince` of its table;
 * never while a table is in doubt on some server.
 */
export const contradict = (
  known: Known, key: string, entry: Entry, { askedAt, evidenceSince, firstSince, mayNotConfirm, now }: Objection,
  window = confirmWindow,
): Found | Unavailable | null => {
  const { absence, confirmForMs } = known
  if (!isEvidence(entry)) return null
  if (absence.isBelievedAtOnce || entry.verifiedAt <= evidenceSince(entry.table)) return null
  const { contradictedAt } = entry
  const sinceFirstMs = askedAt - contradictedAt
  // One from the future: the clock was set back.
  const isFirst = contradictedAt !== longContradicted
    && (contradictedAt <= firstSince || sinceFirstMs < 0 || sinceFirstMs > window * confirmForMs)
  if (!isFirst && sinceFirstMs >= confirmForMs && !mayNotConfirm) return null
  noteContradiction(known, key, entry, isFirst ? askedAt : contradictedAt, now)
  return unexpiredFound(entry, now) ?? foundBefore
}

/**
 * Notes in a known row (or a whole answer) when a server first said that it is absent (epoch ms): it is not fresh any
 * more. So long (`confirmForMs`) after that it takes another statement.
 */
const noteContradiction = (known: Known, key: string, entry: Entry, contradictedAt: number, now: number): void => {
  if (entry.contradictedAt !== contradictedAt) {
    entry.contradictedAt = contradictedAt
    entry.staleAt = Math.min(entry.staleAt, now)
    if (known.memory.peek(key) === entry) known.memory.touch(key)
    else if (isForeign(entry)) known.memory.set(key, entry)
    else known.put(key, entry)
    if (!isForeign(entry)) known.share(key, entry)
  }
  entry.askAgainAt = entry.contradictedAt + known.confirmForMs
}

const foundBefore =
  unavailable('distrusted', 'the map had this key before: it takes a second answer to believe that it is gone')

/**
 * Every step of a walk that began at `startedAt` (epoch ms) is absent, or contradicted: the same for what was put
 * together from its steps before, whose rows memory may have lost. Gives it as long as it is served on, why it is not
 * to be denied yet, or null.
 */
export const contradictWhole = (
  known: Known, walk: Walk, startedAt: number, objection: Objection,
): Found | Unavailable | null => {
  const { askedAt, now } = objection
  let served: Found | Unavailable | null = null
  for (const key of new Set([wholeKey(walk), foldedWholeKey(walk.key)])) {
    const entry = known.memory.peekFound(key)
    if (entry === undefined) continue
    // A person or the table said of one of its keys that it changed: one statement is enough.
    const namedAt = known.namedAt(walk)
    const isNamed = entry.verifiedAt < namedAt && namedAt <= startedAt
    const answer = known.isNewerThan(key, askedAt) ? unexpiredFound(entry, now)
      // Nobody asks for it by itself, so that the second statement comes when it comes.
      : isNamed ? null : contradict(known, key, entry, objection, Infinity)
    if (answer === null) known.forget(key)
    served ??= answer
  }
  return served
}
