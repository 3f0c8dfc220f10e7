/**
 * What is known of a table since all its keys were listed: which keys it lacked.
 * That it has a key is never known by this, only that it has not: what isn't
 * denied is asked for. An absence that is known in this way counts as verified when
 * the listing began, and is good for `absent_for` from then, as one that the
 * table stated to a lookup.
 */
import { clockSkewMs } from '../caches/entry.js'
import { filterOf } from '../caches/filter.js'

export type Listed = {
  /** When its absences count as verified (epoch ms): when the listing began, less what the clocks of nodes may differ by. */
  readonly verifiedAt: number
  /** How many keys there were. */
  readonly keys: number
  /** False if there was no row that a lookup of this folded key would find. */
  readonly mayHave: (key: string) => boolean
}

/**
 * The folded keys that were found lately, for at least the time that a list is of use: one that was begun before,
 * and may come in use only after, need not have them.
 */
export type Heard = {
  /** Found at `now` (epoch ms); it is kept for `keptMs`, and up to twice as long. */
  add(key: string, now: number, keptMs: number): void
  /** True also for one in a few hundred others, and for more of them the more keys there are: these are asked for. */
  has(key: string): boolean
}

/** Bytes for each of two spans of time: room for 350,000 keys at 12 bits. */
const heardBytes = 524_288

/** Nothing was found yet. A clock that is set back, and forward again, has it keep what it has for longer. */
export const createHeard = (): Heard => {
  const none = () => filterOf(new Uint8Array(heardBytes))
  let recent = none()
  let before = none()
  let begunAt = -Infinity
  return {
    add: (key, now, keptMs) => {
      if (now - begunAt >= keptMs) {
        before = recent
        recent = none()
        begunAt = now
      } else if (now < begunAt) begunAt = now
      recent.add(key)
    },
    has: key => recent.has(key) || before.has(key),
  }
}

/** Of other keys nothing is known: a collation may find them. Nor of those with a blank at the end, which counts in some and not in others. */
const isPlain = (key: string): boolean => {
  for (let at = 0; at < key.length; at++) {
    const unit = key.charCodeAt(at)
    if (unit < 0x20 || unit > 0x7e) return false
  }
  return key !== '' && !key.endsWith(' ')
}

/** The list of keys in these bits (filter.ts), which was begun at `startedAt` (epoch ms). */
export const listedAs = (startedAt: number, keys: number, bits: Uint8Array): Listed => {
  const filter = filterOf(bits)
  return {
    verifiedAt: startedAt - clockSkewMs,
    keys,
    mayHave: key => !isPlain(key) || filter.has(key),
  }
}
