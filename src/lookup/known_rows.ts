/** The rows of a table that are known, one by one: read for an export, and offered by an import. */
import { isFresh, longContradicted, statement, unexpiredFound } from '../caches/entry.js'
import type { Statement } from '../caches/entry.js'
import type { ByteString } from '../outcome.js'
import { found } from '../outcome.js'
import type { Known } from './known.js'
import { isRowKey } from './search.js'

/** The keys of the rows that memory knows: those of steps, not of whole answers. */
export const rowKeys = ({ memory }: Known): string[] => {
  const keys: string[] = []
  for (const [key, { outcome }] of memory.known()) if (outcome.kind === 'found' && isRowKey(key)) keys.push(key)
  return keys
}

/**
 * The value of a row that memory knows, or Redis if its record is newer; null if it may not bridge an outage at `now`
 * (epoch ms).
 */
export const rowValue = (known: Known, key: string, inRedis: Statement | null, now: number): ByteString | null => {
  const ours = known.memory.peek(key)
  const isTheirs = inRedis !== null && inRedis.isForeign !== true
    && (ours === undefined || ours.verifiedAt < inRedis.verifiedAt)
  return unexpiredFound(isTheirs ? known.entryOf(inRedis, true, now) : ours, now)?.value ?? null
}

/**
 * Keeps a row that somebody says the table has, as if the table had given it at `verifiedAt` (epoch ms): stale from
 * the start, so that the table is asked first. It never replaces a known answer, here or in Redis, nor pushes one out
 * of memory. `now` is epoch ms.
 */
export const offerRow = async (
  known: Known, key: string, value: ByteString, verifiedAt: number, now: () => number,
): Promise<'kept' | 'known' | 'no room'> => {
  const { memory, redis, identity } = known
  const [inRedis = null] = await redis?.read(identity, [key]) ?? []
  const at = now()
  const ours = memory.peek(key)
  if (rowValue(known, key, inRedis, at) !== null || (ours !== undefined && isFresh(ours, at))) return 'known'
  // Nobody but the table can say that it has the row.
  const offered = { ...statement(found(value), verifiedAt), contradictedAt: longContradicted }
  const entry = known.entryOf(offered, false, at)
  const isShared = redis?.isUsable() === true
  if (isShared) redis.offer(identity, key, offered, entry.expiredAt - at)
  if (memory.hasRoom()) known.put(key, entry)
  else if (!isShared) return 'no room'
  return 'kept'
}
