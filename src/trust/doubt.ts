/**
 * Doubt in one table on one server: whether it is believed when it says absent.
 * A doubt begins with a cause and ends when the keys that were known before it
 * are back, but for 2 %, and their number no longer changes from one check to
 * the next: a restore brings the busy users first, or the alphabet. Pure.
 */

/** What began a doubt, with words for people. */
export const doubtCauses = {
  /** More known keys are missing than `max_shrink` allows. */
  'shrunk': 'too many known keys are missing from the table',
  /** A new copy of the table has lost more keys of the last one than `max_shrink` allows. */
  'copy-shrunk': 'a new copy of the table has lost too many keys',
  /** DROP and CREATE, as in a restore; or ALTER, and then it ends at once. */
  'recreated': 'the table was created anew',
} as const

export type DoubtCause = keyof typeof doubtCauses

export type Doubt = {
  readonly cause: DoubtCause
  /** Epoch ms. */
  readonly since: number
  /** Keys that were known when it began; the doubt ends when they are back. */
  readonly keys: readonly string[]
  /** How many of them the last check missed; null before the first check. */
  readonly missing: number | null
}

/** So many keys at most are asked for to end a doubt. */
export const maxDoubtKeys = 250
/** The share of them that may stay away: rows that were deleted meanwhile. */
const mayStayAway = 0.02
/** It takes so many missing keys to begin a doubt: one is a deletion. */
const minMissing = 2

/**
 * Whether `missing` of `asked` known keys are too many to be deletions. `maxShrink` is a share; 1 switches the guard
 * off.
 */
export const isShrunk = (missing: number, asked: number, maxShrink: number): boolean =>
  maxShrink < 1 && missing >= minMissing && missing > asked * maxShrink

/** So many of the last shrinks are remembered: a day of copies. */
export const keptLosses = 96
/** What has happened so often in that time is usual. */
const usualTimes = 3
/** However a table varies, it is doubted when more than this share of its keys is gone. */
const mostUsual = 0.5

/**
 * The share of known keys that may be gone from a table before it is doubted, if its last copies had shrunk by
 * `losses`: twice what is usual, where that is more than `maxShrink`, but half of them at most.
 */
export const allowedShrink = (maxShrink: number, losses: readonly number[]): number =>
  Math.max(maxShrink, Math.min(mostUsual, 2 * (losses.toSorted((a, b) => b - a)[usualTimes - 1] ?? 0)))

/** The doubt after a check that missed so many of its keys; null if it ends with it. */
export const recheck = (doubt: Doubt, missing: number): Doubt | null => {
  const areBack = missing <= doubt.keys.length * mayStayAway
  const isSettled = doubt.missing !== null && missing >= doubt.missing
  return areBack && (isSettled || missing === 0) ? null : { ...doubt, missing }
}

/** Whether a value from outside this process is a doubt. */
export const isDoubt = (value: unknown): value is Doubt => {
  if (typeof value !== 'object' || value === null) return false
  const { cause, since, keys, missing } = value as Readonly<Record<string, unknown>>
  return typeof cause === 'string' && cause in doubtCauses && typeof since === 'number'
    && (missing === null || typeof missing === 'number')
    && Array.isArray(keys) && keys.length <= maxDoubtKeys && keys.every(key => typeof key === 'string')
}
