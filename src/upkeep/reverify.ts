/**
 * Re-verifies, in the background, found answers that somebody asked for within
 * `remember_for`: so that when an outage comes, the time for which they may
 * bridge it counts from a recent check.
 *
 * A few a second, in random order, so that nodes that share a Redis find there
 * what another one has just verified. It gives way to lookups, and ends its
 * round when the table can't be asked or isn't believed. A table that was emptied
 * overnight does not empty the cache: each absence is judged as any other.
 *
 * Bugs: a plus address whose extension has capitals is left out.
 */
import type { Entry } from '../caches/entry.js'
import type { Known } from '../lookup/known.js'
import type { MapLookup } from '../lookup/lookup.js'
import { readKeys } from '../lookup/read_redis.js'
import type { Plan, Step } from '../lookup/search.js'
import { complete, hasSendersCase, keyOfWhole } from '../lookup/search.js'
import type { Clock } from '../runtime/clock.js'

export type ReverifyParts = {
  readonly lookup: Pick<MapLookup, 'isIdle' | 'questions'>
  readonly known: Known
  readonly plan: Plan
  /** Of one question to the table. */
  readonly deadlineMs: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

/** What is due is looked for so often (ms). */
const roundMs = 600_000
const stepMs = 1_000
const perStep = 10
/** A found answer is re-verified after this share of `stale_for`: a day of a week. */
const verifyShare = 1 / 7

/** An answer that was verified longer ago (ms) is due. */
const verifyAfterMs = ({ lifetimes: { freshForMs, staleForMs } }: Known): number =>
  Math.max(freshForMs, staleForMs * verifyShare)

/** Cache keys of the found answers that are due and were asked for in the last `rememberForMs`. */
export const dueKeys = (known: Known, rememberForMs: number, now: number): string[] => {
  const keys: string[] = []
  for (const [cacheKey, { outcome, verifiedAt, askedAt, expiredAt }] of known.memory.known()) {
    const isDue = outcome.kind === 'found' && now - verifiedAt >= verifyAfterMs(known)
      && now - askedAt <= rememberForMs && now < expiredAt
    if (isDue && !hasSendersCase(cacheKey)) keys.push(cacheKey)
  }
  return keys
}

/**
 * A whole answer is verified if the steps still lead to the same: another one would rest on absences that nobody has
 * judged.
 */
const verifyWhole = async (
  { lookup, known, deadlineMs, clock }: ReverifyParts, cacheKey: string, entry: Entry, steps: readonly Step[],
): Promise<boolean> => {
  const now = clock.now()
  for (const step of steps) {
    const { outcome } = await lookup.questions.ask(step.key, now, now + deadlineMs)
    if (outcome.kind === 'absent') continue
    if (outcome.kind === 'unavailable') return false
    const whole = complete(outcome, step)
    const isSame = outcome.age === 'fresh' && entry.outcome.kind === 'found' && entry.outcome.value === whole.value
    if (isSame) known.keep(cacheKey, whole, now)
    return true
  }
  return true
}

/**
 * Re-verifies one answer: by a recent one in Redis, else by the table. It doesn't count as asking for it, and takes
 * nothing away. False if the table can't be asked now. Never rejects.
 */
export const verify = async (parts: ReverifyParts, cacheKey: string): Promise<boolean> => {
  const { lookup, known, plan, deadlineMs, clock } = parts
  const now = clock.now()
  const entry = known.memory.peekFound(cacheKey)
  if (entry === undefined) return true
  const key = keyOfWhole(cacheKey)
  const steps = key === null ? [] : plan.steps(key, key)
  const askedAts = [cacheKey, ...steps.map(step => step.key)]
    .map(each => [each, known.memory.peek(each)?.askedAt] as const)
  await readKeys(known, [cacheKey], now)
  let couldAsk = true
  if (now - (known.memory.peek(cacheKey)?.verifiedAt ?? now) >= verifyAfterMs(known)) {
    couldAsk = key === null
      ? (await lookup.questions.ask(cacheKey, now, now + deadlineMs)).outcome.kind !== 'unavailable'
      : await verifyWhole(parts, cacheKey, entry, steps)
  }
  for (const [each, askedAt] of askedAts) {
    const renewed = known.memory.peek(each)
    if (askedAt !== undefined && renewed !== undefined) renewed.askedAt = askedAt
  }
  return couldAsk
}

const shuffle = (keys: string[], random: () => number): string[] => {
  for (let last = keys.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    const swap = keys[last] ?? ''
    keys[last] = keys[other] ?? ''
    keys[other] = swap
  }
  return keys
}

/** Starts within a round; the function that it gives ends it. */
export const reverify = (parts: ReverifyParts, rememberForMs: number): (() => void) => {
  const { lookup, known, clock, random } = parts
  let isClosed = false
  let due: string[] = []
  let cancel = clock.after(roundMs * random(), () => void round())
  const round = async (): Promise<void> => {
    due = shuffle(dueKeys(known, rememberForMs, clock.now()), random)
    await step()
  }
  const step = async (): Promise<void> => {
    for (const key of lookup.isIdle ? due.splice(-perStep) : []) {
      if (isClosed) return
      if (await verify(parts, key)) continue
      // Not now, and none of the others either.
      due = []
      break
    }
    if (isClosed) return
    cancel = due.length > 0 ? clock.after(stepMs, () => void step()) : clock.after(roundMs, () => void round())
  }
  return () => {
    isClosed = true
    cancel()
  }
}
