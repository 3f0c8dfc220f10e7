/** `holdfast export` and `import`: the known rows of a map, to a text table and from one. */
import type { Statement } from '../caches/entry.js'
import { keyIn } from '../lookup/maps.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import { offerRow, rowKeys, rowValue } from '../lookup/known_rows.js'
import { isRowKey } from '../lookup/search.js'
import { messageOf } from '../log.js'
import type { ByteString } from '../outcome.js'
import { fold } from '../postfix/fold.js'

/** A row of a table. */
export type Row = readonly [key: string, value: ByteString]

export const isRow = (value: unknown): value is Row =>
  Array.isArray(value) && value.length === 2 && value.every(part => typeof part === 'string')

/** Rows that are handed over at a time. */
const batch = 1_000
/** A record in Redis has six digits for the length of its value. */
const maxValueBytes = 999_999

/** The map of that name if its rows may be exported and imported, else a sentence why not. */
export const cachedMap = (maps: Maps, name: string): MysqlMap | string => {
  const map = maps.get(name)
  if (map === undefined) return `there is no map '${name}'; there are ${[...maps.keys()].join(', ')}`
  if (map.kind === 'text') {
    const { source } = map.config
    return `${name} is a text table already: ${source.kind === 'text' ? source.path : ''}`
  }
  return map.config.sensitive ? `${name} is sensitive: its rows are never written to disk` : map
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

type Taken = { readonly kept: number, readonly known: number, readonly noRoom: number, readonly unfit: number }

/**
 * Imports rows that were right at `madeAt` (epoch ms). They count as verified
 * then, or half of `stale_for` ago if that is earlier: so they replace nothing
 * that is known, and are good for days. A sentence if they would be of no use.
 */
export const takeRows = async (map: MysqlMap, rows: readonly Row[], madeAt: number): Promise<Taken | string> => {
  const { name, config: { lifetimes: { staleForMs } }, lookup } = map
  if (staleForMs === 0) {
    return `${name}: stale_for is 0, so no stale answer bridges an outage in this map, and an imported row would be `
      + 'of no use'
  }
  const now = Date.now()
  const verifiedAt = Math.floor(Math.min(madeAt, now - staleForMs / 2))
  if (now >= verifiedAt + staleForMs) {
    return `${name}: the file is older than stale_for, so its rows have expired; if they are right, give it a new `
      + 'date (touch)'
  }
  const results = await Promise.all(rows.map(async ([key, value]) => {
    const isFit = key !== '' && !`${key}${value}`.includes('\0') && value !== '' && value.length <= maxValueBytes
    return isFit ? offerRow(lookup.known, fold(keyIn(map, key)), value, verifiedAt, Date.now) : 'unfit'
  }))
  const count = (kind: string): number => results.filter(result => result === kind).length
  return { kept: count('kept'), known: count('known'), noRoom: count('no room'), unfit: count('unfit') }
}
