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
  /** It has been heard of since. */
  readonly add: (key: string) => void
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
    add: key => filter.add(key),
  }
}
