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
/** So many keys are looked at in a row, and then lookups have so long (ms). */
const perLook = 1_000
const lookMs = 5
/** A found answer is re-verified after this share of `stale_for`: a day of a week. */
const verifyShare = 1 / 7

/** An answer that was verified longer ago (ms) is due. */
const verifyAfterMs = ({ lifetimes: { freshForMs, staleForMs } }: Known): number =>
  Math.max(freshForMs, staleForMs * verifyShare)

/** Whether the found answer of that cache key is due, and was asked for in the last `rememberForMs`. */
export const isDue = (known: Known, cacheKey: string, rememberForMs: number, now: number): boolean => {
  const entry = known.memory.peekFound(cacheKey)
  if (entry === undefined || hasSendersCase(cacheKey)) return false
  const { verifiedAt, askedAt } = entry
  return now - verifiedAt >= verifyAfterMs(known) && now - askedAt <= rememberForMs
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
    const { outcome } = await lookup.questions.ask(step.key, now, clock.elapsed() + deadlineMs)
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
      ? (await lookup.questions.ask(cacheKey, now, clock.elapsed() + deadlineMs)).outcome.kind !== 'unavailable'
      : await verifyWhole(parts, cacheKey, entry, steps)
  }
  for (const [each, askedAt] of askedAts) {
    const renewed = known.memory.peek(each)
    if (askedAt !== undefined && renewed !== undefined) renewed.askedAt = askedAt
  }
  return couldAsk
}

/** Takes one of the keys, by chance. */
const draw = (keys: string[], random: () => number): string | undefined => {
  const at = Math.floor(random() * keys.length)
  const key = keys[at]
  const last = keys.pop()
  if (last !== undefined && at < keys.length) keys[at] = last
  return key
}

/** Starts within a round; the function that it gives ends it. */
export const reverify = (parts: ReverifyParts, rememberForMs: number): (() => void) => {
  const { lookup, known, clock, random } = parts
  let isClosed = false
  let cancel = clock.after(roundMs * random(), () => look(known.memory.foundKeys(), []))
  const plan = (inMs: number, run: () => void): void => {
    if (!isClosed) cancel = clock.after(inMs, run)
  }
  const look = (keys: Generator<string>, due: string[]): void => {
    for (let looked = 0; looked < perLook; looked++) {
      const next = keys.next()
      if (next.done === true) return void step(due)
      if (isDue(known, next.value, rememberForMs, clock.now())) due.push(next.value)
    }
    plan(lookMs, () => look(keys, due))
  }
  const step = async (due: string[]): Promise<void> => {
    let couldAsk = true
    for (let done = 0; done < perStep && couldAsk && lookup.isIdle && !isClosed; done++) {
      const key = draw(due, random)
      if (key === undefined) break
      couldAsk = await verify(parts, key)
    }
    // If one can't be asked for now, none of the others can either.
    if (couldAsk && due.length > 0) plan(stepMs, () => void step(due))
    else plan(roundMs, () => look(known.memory.foundKeys(), []))
  }
  return () => {
    isClosed = true
    cancel()
  }
}
