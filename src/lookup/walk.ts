/**
 * One key on its way through the search steps of its map, and the cache keys
 * under which its answers are kept. Each step's answer has the step's key. An
 * answer found beyond the first step is also kept *whole*, under a key of its
 * own, so that the known answer of a catch-all or a plus address survives an
 * outage in which its steps are no longer all known. Pure.
 */
import type { Found } from '../outcome.js'
import { found } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import { completeValue } from './search.js'
import type { Plan, Step } from './search.js'

export type Walk = {
  /** The key as Postfix sent it. */
  readonly asked: string
  /** The folded key, which is the key of the first step. */
  readonly key: string
  readonly steps: readonly Step[]
}

/** The walk of a key as Postfix sent it. */
export const walkOf = (plan: Plan, asked: string, key = fold(asked)): Walk => ({ asked, key, steps: plan.steps(key, asked) })

/**
 * The cache key of a whole answer: the folded key, and whatever of the key as it was asked goes into the answer
 * (an extension keeps the sender's case). No key from Postfix holds a NUL, since its keys are C strings.
 */
export const wholeKey = ({ asked, key, steps }: Walk): string => {
  if (asked !== key) {
    for (const { extension, localpart } of steps) {
      const part = extension + localpart
      if (part !== '' && part !== fold(part)) return `${foldedWholeKey(key)}\0${part}`
    }
  }
  return foldedWholeKey(key)
}

/** The cache key of the whole answer in which nothing has the sender's case. */
export const foldedWholeKey = (key: string): string => `\0${key}`

/** The folded key of a whole answer's cache key; null for the cache key of a step. */
export const keyOfWhole = (cacheKey: string): string | null => isRowKey(cacheKey) ? null : cacheKey.split('\0', 2)[1] ?? ''

/** Whether a cache key is a step's, and so the key of a row. */
export const isRowKey = (cacheKey: string): boolean => cacheKey.charCodeAt(0) !== 0

/**
 * Whether the answer of this cache key depends on the case in which somebody sent an extension: nobody else can ask for
 * it.
 */
export const hasSendersCase = (cacheKey: string): boolean => cacheKey.includes('\0', 1)

/** A step's answer as Postfix would have completed it: the extension that the key lost goes back onto each address. */
export const complete = (outcome: Found, step: Step): Found =>
  step.extension === '' && step.localpart === '' ? outcome : found(completeValue(step, outcome.value), outcome.age)
