/** Brings into memory what Redis knows of keys, in one trip for all of them. */
import { isFresh } from '../caches/entry.js'
import type { Statement } from '../caches/entry.js'
import type { Known } from './known.js'
import type { Walk } from './search.js'
import { wholeKey } from './search.js'

const keysOf = (walk: Walk): readonly string[] => [...walk.steps.map(step => step.key), wholeKey(walk)]

/** Reads what Redis knows of all steps of a walk; true if any of it was of use. */
export const readRedis = (known: Known, walk: Walk, now: number): Promise<boolean> =>
  readKeys(known, keysOf(walk), now)

/** The same for cache keys, of which those that are fresh in memory at `now` (epoch ms) are left out. */
export const readKeys = async (known: Known, keys: readonly string[], now: number): Promise<boolean> => {
  const wanted = keys.filter(key => {
    const entry = known.memory.get(key)
    return entry === undefined || !isFresh(entry, now)
  })
  const reading = wanted.length === 0 ? null : known.redis?.read(known.identity, wanted) ?? null
  return reading === null ? false : adoptAll(known, wanted, await reading)
}

/** The same from a Redis that rests after a fault, for a walk that nothing else can answer, within `budgetMs`. */
export const readRedisPatiently = async (known: Known, walk: Walk, budgetMs: number): Promise<boolean> => {
  if (known.redis?.isUsable() !== false || budgetMs <= 0) return false
  const keys = keysOf(walk)
  const reading = known.redis.readPatiently(known.identity, keys, budgetMs)
  return reading === null ? false : adoptAll(known, keys, await reading)
}

/** Adopts the statements about `keys`, which come in the same order; true if anything was of use. */
const adoptAll = (known: Known, keys: readonly string[], statements: readonly (Statement | null)[]): boolean => {
  let isOfUse = false
  for (const [index, theirs] of statements.entries()) {
    const key = keys[index]
    if (theirs !== null && key !== undefined && known.adopt(key, theirs)) isOfUse = true
  }
  return isOfUse
}
