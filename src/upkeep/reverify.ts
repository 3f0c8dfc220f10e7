/**
 * Keys that were asked for within `rememberForMs` are verified again in the
 * background, though nobody asks: so that when an outage comes, the time for
 * which they may bridge it counts from a recent check.
 *
 * A few a second, in an order of chance, so that nodes that share a Redis find
 * there what another one has just verified. It gives way to lookups, and ends its
 * round when the table can't be asked or isn't believed. It takes nothing away: a
 * table that was emptied overnight must not empty the cache.
 *
 * Bugs: over a restart a node with Redis forgets which keys were asked for; they
 * are remembered from the next time on. A plus address whose extension has
 * capitals is left out.
 */
import type { Clock } from '../runtime/clock.js'
import type { MapLookup } from '../lookup/lookup.js'

/** What has to be verified is looked for so often (ms). */
const roundMs = 600_000
const stepMs = 1_000
const perStep = 10

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
export const remember = (
  lookup: Pick<MapLookup, 'due' | 'verify' | 'isIdle'>, rememberForMs: number, clock: Clock, random: () => number,
): (() => void) => {
  let isClosed = false
  let due: string[] = []
  let cancel = clock.after(roundMs * random(), () => void round())
  const round = async (): Promise<void> => {
    due = shuffle(lookup.due(rememberForMs), random)
    await step()
  }
  const step = async (): Promise<void> => {
    for (const key of lookup.isIdle ? due.splice(-perStep) : []) {
      if (isClosed) return
      if (await lookup.verify(key)) continue
      // Not now, and none of the others either.
      due = []
      break
    }
    if (!isClosed) cancel = due.length > 0 ? clock.after(stepMs, () => void step()) : clock.after(roundMs, () => void round())
  }
  return () => {
    isClosed = true
    cancel()
  }
}
