/** `holdfast export`: the known rows of a map. */
import { unexpiredFound } from '../caches/entry.js'
import type { Statement } from '../caches/entry.js'
import type { Known } from '../lookup/known.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import { isRowKey } from '../lookup/search.js'
import { messageOf } from '../log.js'
import type { ByteString } from '../outcome.js'

/** A row of a table. */
export type Row = readonly [key: string, value: ByteString]

/** Rows that are handed over at a time. */
const batch = 1_000

/** The map of that name if its rows may be exported, else a sentence why not. */
export const cachedMap = (maps: Maps, name: string): MysqlMap | string => {
  const map = maps.get(name)
  if (map === undefined) return `there is no map '${name}'; there are ${[...maps.keys()].join(', ')}`
  if (map.kind === 'text') {
    const { source } = map.config
    return `${name} is a text table already: ${source.kind === 'text' ? source.path : ''}`
  }
  return map.config.sensitive ? `${name} is sensitive: its rows are never written to disk` : map
}

/** The keys of the rows that memory knows: those of steps, not of whole answers. */
const rowKeys = ({ memory }: Known): readonly string[] => [...memory.known()]
  .flatMap(([key, { outcome }]) => outcome.kind === 'found' && isRowKey(key) ? [key] : [])

/**
 * The value of a row that memory knows, or Redis if its record is newer; null if it may not bridge an outage at `now`
 * (epoch ms).
 */
const rowValue = (known: Known, key: string, inRedis: Statement | null, now: number): ByteString | null => {
  const ours = known.memory.peek(key)
  const isTheirs = inRedis !== null && inRedis.isForeign !== true
    && (ours === undefined || ours.verifiedAt < inRedis.verifiedAt)
  return unexpiredFound(isTheirs ? known.entryOf(inRedis, true, now) : ours, now)?.value ?? null
}

/**
 * All rows that may bridge an outage now, of memory and of Redis, in batches; of
 * each key the one that was verified last. Returns why some may be missing, or
 * null. It needs memory for the keys that memory knows, not for those of Redis.
 */
export async function* knownRows({ lookup, redis, identity }: MysqlMap): AsyncGenerator<readonly Row[], string | null> {
  let missing: string | null = null
  const own = new Set(rowKeys(lookup.known))
  const rowOf = (key: string, inRedis: Statement | null): readonly Row[] => {
    const value = rowValue(lookup.known, key, inRedis, Date.now())
    return value === null ? [] : [[key, value]]
  }
  try {
    for await (const shared of redis?.all(identity, isRowKey) ?? []) {
      yield shared.flatMap(([key, known]) => rowOf(key, known))
      for (const [key] of shared) own.delete(key)
    }
  } catch (error) {
    missing = `Redis could not be read to its end: ${messageOf(error)}`
  }
  const left = [...own]
  for (let at = 0; at < left.length; at += batch) yield left.slice(at, at + batch).flatMap(key => rowOf(key, null))
  return missing
}
