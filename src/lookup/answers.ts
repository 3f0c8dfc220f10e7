/**
 * The answers that can be given without asking a table: from fresh entries in
 * memory, and, where the table can't be asked, from whatever is at hand: stale
 * entries, copies, and what an absence in this map does to mail.
 */
import { isFresh, isKnownAbsent, unexpiredFound } from '../caches/entry.js'
import type { Entry } from '../caches/entry.js'
import { absent, absentInOutage, found } from '../outcome.js'
import type { Absent, Found, Reason } from '../outcome.js'
import { failureRecheckMs } from './known.js'
import type { Known } from './known.js'
import { cacheKeysOf, complete, foldedWholeKey, wholeKey } from './search.js'
import type { Walk } from './search.js'

/** An answer from memory; `dueEntry` is a fresh entry that is to be renewed behind the reply. */
export type MemoryAnswer = { readonly outcome: Found | Absent, readonly dueEntry: Entry | null }

/**
 * What memory can answer alone: each step fresh up to a hit, a fresh whole answer, or a stale one that is not to be
 * asked again yet.
 */
export const answerFromMemory = (known: Known, walk: Walk, now: number): MemoryAnswer | null => {
  const steps = answerOfSteps(known, walk, now)
  if (typeof steps === 'object') return { outcome: steps, dueEntry: null }
  // What was put together from rows that memory has lost is evidence, too.
  if (steps === 'absent' && !hasWhole(known, walk)) return { outcome: absent, dueEntry: null }
  const key = wholeKey(walk)
  const whole = known.memory.peek(key)
  known.noteUse(key, whole, now)
  if (whole?.outcome.kind === 'found' && isFresh(whole, now) && !known.isFlushedSince(walk, whole.verifiedAt)) {
    return { outcome: whole.outcome, dueEntry: now >= whole.askAgainAt ? whole : null }
  }
  // A key of it was flushed since it was contradicted, so that it is asked again at once.
  const isNamed = whole !== undefined && whole.contradictedAt !== 0 && whole.contradictedAt <= known.namedAt(walk)
  const isWaiting = steps === 'paused' || (whole !== undefined && !isNamed && isPaused(whole, now))
  const standIn = isWaiting ? answerInOutage(known, walk, now) : null
  return standIn === null ? null : { outcome: standIn, dueEntry: null }
}

/** What fresh steps come to; else whether the first that is not fresh is paused, or is to be asked. */
const answerOfSteps = (known: Known, walk: Walk, now: number): Found | 'absent' | 'paused' | 'to ask' => {
  let verifiedAt = Infinity
  for (let index = 0, key: string | undefined = walk.key; key !== undefined; key = walk.steps[++index]?.key) {
    const entry = known.memory.peek(key)
    known.noteUse(key, entry, now)
    if (entry === undefined || !isFresh(entry, now)) {
      return entry !== undefined && isPaused(entry, now) ? 'paused' : 'to ask'
    }
    verifiedAt = Math.min(verifiedAt, entry.verifiedAt)
    if (entry.outcome.kind === 'found') return known.completeWalk(walk, index, entry.outcome, verifiedAt)
  }
  return 'absent'
}

/** Whether there is a found answer for the whole walk, in either spelling, however old. */
const hasWhole = ({ memory }: Known, walk: Walk): boolean => walk.steps.length > 1
  && [wholeKey(walk), foldedWholeKey(walk.key)].some(key => memory.peekFound(key) !== undefined)

/** A stale entry that is not to be asked again yet: its table failed, or contradicted it. */
const isPaused = (entry: Entry, now: number): boolean => now < entry.askAgainAt

/**
 * The answer that may stand in while the tables can't be asked, which `reason` says why; null if there is none.
 */
export const answerInOutage = (
  known: Known, walk: Walk, now: number, reason: Reason = 'source-down',
): Found | Absent | null => foundAtHand(known, walk, now)?.answer
  ?? (isAbsentInOutage(known, walk, now, absencesFor(reason)) ? absentInOutage : null)

/**
 * Which absences may stand in. none: the row may be there, but can't be sent. known: a query that is wrong, or a flood
 * of lookups, opens no access list, so only those that MySQL stated, or a copy. any: what `in_outage` says, too.
 */
export const absencesFor = (reason: Reason): 'none' | 'known' | 'any' => {
  switch (reason) {
    case 'timeout': case 'source-down': case 'source-refused': case 'breaker-open': case 'distrusted': return 'any'
    case 'query-error': case 'overloaded': return 'known'
    case 'bad-value': case 'internal-error': case 'unknown-map': case 'unknown-deferred': case 'draining': return 'none'
    default: return reason satisfies never
  }
}

/** The table could not be asked: what is known for this walk will do until the failure recheck timer has run. */
export const pause = ({ memory }: Known, walk: Walk, now: number): void => {
  for (const key of cacheKeysOf(walk)) {
    const entry = memory.get(key)
    // A fresh entry that is due for its refresh later stays due then.
    if (entry === undefined || (isFresh(entry, now) && now < entry.askAgainAt)) continue
    entry.askAgainAt = now + failureRecheckMs
  }
}

/** A found answer, fresh or stale; `at` (epoch ms): when it was verified, or when the copy that has it was taken. */
export type FoundAtHand = { readonly answer: Found, readonly from: 'memory' | 'copy', readonly at: number }

/** The found answer at hand for a walk; null if there is none. Asks nobody. */
export const foundAtHand = (known: Known, walk: Walk, now: number): FoundAtHand | null => {
  const { memory } = known
  const fromMemory = (entry: Entry | undefined, toAnswer: (row: Found) => Found): FoundAtHand | null => {
    const row = unexpiredFound(entry, now)
    return entry === undefined || row === null ? null : { answer: toAnswer(row), from: 'memory', at: entry.verifiedAt }
  }
  for (const step of walk.steps) {
    const entry = memory.get(step.key)
    if (entry?.outcome.kind === 'absent' && isFresh(entry, now)) continue
    const row = fromMemory(entry, value => complete(value, step))
    if (row !== null) return row
    const copied = known.copiedUnlessGone(step.key, entry)
    if (copied === null) break
    const { outcome, at } = copied
    if (outcome.kind === 'found') return { answer: complete(found(outcome.value, 'stale'), step), from: 'copy', at }
  }
  return fromMemory(memory.peekFound(wholeKey(walk)), value => value)
    // An answer with its extension in another case is better than none.
    ?? fromMemory(memory.peekFound(foldedWholeKey(walk.key)), ({ value }) => found(value, 'stale'))
}

/**
 * Whether absent may be the answer in an outage: by what is known of the key, and by what an absence does to mail.
 */
const isAbsentInOutage = (
  known: Known, walk: Walk, now: number, absences: ReturnType<typeof absencesFor>,
): boolean => {
  const { does } = known.absence
  if (absences === 'none') return false
  const inOutage = absences === 'any' ? known.absence.inOutage : 'defer'
  switch (does) {
    case 'refuses': return wasAbsent(known, walk, now) && known.isKnownElsewhere(walk.key)
    case 'reroutes': case 'passes':
      return wasAbsent(known, walk, now) || inOutage === 'pass'
        || (inOutage === 'pass-strangers' && !known.isKnownAsOurs(walk.key))
    case 'weakens': return walk.steps.every(step => known.copied(step.key)?.outcome.kind === 'absent')
    default: return does satisfies never
  }
}

/** Whether every step was absent when it was last asked, or a copy lacks it. */
const wasAbsent = (known: Known, { steps }: Walk, now: number): boolean => steps.every(({ key }) =>
  isKnownAbsent(known.memory.get(key), now) || known.copied(key)?.outcome.kind === 'absent')

/** Whether what other maps know of the key or its domain decides if it may be absent in an outage. */
export const dependsOnOtherMaps = (known: Known, walk: Walk, now: number): boolean => {
  if (foundAtHand(known, walk, now) !== null) return false
  const { does, inOutage } = known.absence
  return does === 'refuses' ? wasAbsent(known, walk, now) && !known.isKnownElsewhere(walk.key)
    : inOutage === 'pass-strangers' && !wasAbsent(known, walk, now) && !known.isKnownAsOurs(walk.key)
}
