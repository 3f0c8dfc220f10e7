/**
 * Makes up the writes that Redis missed: while it rested after a fault, was down, or took no writes, and when it has
 * lost what it held. What was learned meanwhile would be in this process alone, and neither a node that joins nor this
 * one after kill -9 would know it.
 */
import { isForeign } from '../caches/entry.js'
import { learnedAt } from '../caches/redis.js'
import type { RedisAnswers } from '../caches/redis.js'
import type { MapLookup } from '../lookup/lookup.js'
import type { MysqlMap } from '../lookup/maps.js'
import type { Clock } from '../runtime/clock.js'

export type MissedWritesParts = {
  readonly maps: readonly (Pick<MysqlMap, 'redis' | 'memory'> & { readonly lookup: Pick<MapLookup, 'known'> })[]
  readonly redis: Pick<RedisAnswers, 'takeMissed' | 'miss'>
  readonly clock: Clock
}

/** Whether writes were missed is looked at so often (ms). */
const lookEveryMs = 5_000
/** So many keys are looked at in a row, and then it waits so long (ms): some 4,000 writes a second at most. */
const perBatch = 200
const restMs = 50

/** The function that it gives ends it; what is not made up by then is missed still. */
export const makeUpWrites = ({ maps, redis, clock }: MissedWritesParts): (() => void) => {
  let isClosed = false
  let cancel = (): void => undefined
  /** What is being made up was learned since then (epoch ms); Infinity: nothing is. */
  let missedSince = Infinity
  /** Writes what was learned since then (epoch ms). What Redis doesn't take now is missed again. */
  const writeAll = function* (since: number): Generator<void> {
    for (const { redis: ofMap, memory, lookup: { known } } of maps) {
      if (ofMap === null) continue
      for (const key of memory.keysToSave()) {
        const saved = memory.toSave(key)
        const isMissed = saved?.isKept === true && !isForeign(saved.entry) && learnedAt(saved.entry) >= since
        if (isMissed) known.share(key, saved.entry, true)
        yield
      }
    }
  }
  const goOn = (writing: Generator<void>): void => {
    for (let done = 0; done < perBatch; done++) {
      if (writing.next().done !== true) continue
      missedSince = Infinity
      return plan(lookEveryMs, look)
    }
    plan(restMs, () => goOn(writing))
  }
  const look = (): void => {
    const since = redis.takeMissed()
    missedSince = since ?? Infinity
    if (since === null) plan(lookEveryMs, look)
    else goOn(writeAll(since))
  }
  const plan = (ms: number, run: () => void): void => {
    if (!isClosed) cancel = clock.after(ms, run)
  }
  plan(lookEveryMs, look)
  return () => {
    isClosed = true
    cancel()
    redis.miss(missedSince)
  }
}
