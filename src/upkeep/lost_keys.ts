/**
 * The keys that a table has lost from one copy to the next. A copy is the table's word about every key at once, and
 * one statement denies nobody: what the last copy has and the new one lacks is kept in memory as found, contradicted
 * when the new copy was taken. The next statement, so much later (`confirm_for`), ends it: of the table, when somebody
 * asks, or of another copy. There are as many as memory has room for.
 */
import type { Copy } from '../caches/copy.js'
import type { Entry } from '../caches/entry.js'
import { contradict, entryOfCopied, giverOf } from '../lookup/known_evidence.js'
import type { MysqlMap } from '../lookup/maps.js'
import { inSlices } from '../runtime/slices.js'

export type LostKeysParts = {
  readonly map: Pick<MysqlMap, 'lookup' | 'trust'>
  /** The table's number. */
  readonly index: number
  readonly last: Copy
  readonly next: Copy
  /** The keys that it returned for the last copy. */
  readonly before: readonly string[]
  readonly now: () => number
}

/** Contradicts what `next` lacks, before it takes the place of `last`; gives the keys that are still kept as found. */
export const contradictLost = async (
  { map: { lookup: { known }, trust }, index, last, next, before, now }: LostKeysParts,
): Promise<readonly string[]> => {
  const { memory, absence } = known
  if (absence.isBelievedAtOnce) return []
  const table = trust.tables[index]
  /** What is known of a key that is gone, unless somebody has asked for it since. */
  const knownRow = (key: string): Entry | null => {
    const held = memory.peekFound(key)
    if (held !== undefined) return held.verifiedAt < next.takenAt && held.table === index ? held : null
    const answer = last.answer(key)
    if (answer.kind !== 'found' || !memory.hasRoom()) return null
    const { takenAt: at, server, isForeign } = last
    return entryOfCopied(known, { outcome: answer, at, table: index, server, isForeign }, now())
  }
  const lost: string[] = []
  /** A second statement comes at most `window` times `confirm_for` after the first. */
  const look = (key: string, window?: number): void => {
    const row = next.answer(key).kind === 'absent' ? knownRow(key) : null
    if (row === null) return
    const giver = giverOf(known, row)
    const served = contradict(known, key, row, {
      askedAt: next.takenAt, now: now(), evidenceSince: () => table?.evidenceSince ?? 0,
      firstSince: table?.doubtChangedAt ?? 0,
      mayNotConfirm: (giver !== null && giver !== next.server) || trust.doubts.length > 0,
    }, window)
    if (served === null) known.forget(key)
    else lost.push(key)
  }
  // The last copy lacked these, too, and nobody has found one since.
  await inSlices(before, key => { if (memory.peekFound(key) !== undefined) look(key, Infinity) })
  await inSlices(last.listKeys(), key => look(key))
  return lost
}
