/** How a map's answers stand in Redis: under which keys, and as which bytes. Pure. */
import { encodeRecord } from './entry.js'
import type { Statement } from './entry.js'
import { definitionFor } from './map_identity.js'
import type { MapIdentity, NamedTables } from './map_identity.js'
import { isDerived } from './memory.js'

// A byte that stands by itself in a key (proto/text.ts) is no text: here it is a letter of Unicode's private use, which
// no key of the same map has.
const strayBytes = /[\udc80-\udcff]/gu
const privateUses = /[\u{10ff80}-\u{10ffff}]/gu
const toStorable = (key: string): string =>
  key.replace(strayBytes, unit => String.fromCodePoint(0x10ff00 + unit.charCodeAt(0) - 0xdc00))
/** A map's key from what stands behind the map's name in Redis. */
export const fromStorable = (key: string): string =>
  key.replace(privateUses, letter => String.fromCharCode(0xdc00 + (letter.codePointAt(0) ?? 0) - 0x10ff00))

/** The places for the whole answers of a map. */
const wholePlaces = 65_536

const placeOf = (key: string): number => {
  let hash = 0x811c_9dc5
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x0100_0193)
  return (hash ^ (hash >>> 16)) & (wholePlaces - 1)
}

/** What a map is called in Redis. */
export const redisNameOf = ({ name, redisName = name }: Pick<MapIdentity, 'name' | 'redisName'>): string => redisName

/** The key in Redis under which the answer for `key` of `map` stands; another whole answer may stand there. */
export const redisKey = (keyPrefix: string, map: Pick<MapIdentity, 'name' | 'redisName'>, key: string): string =>
  `${keyPrefix}${redisNameOf(map)}:${isDerived(key) ? `\0${placeOf(key)}` : toStorable(key)}`

/** The hash with a field for each name, and definition, of a map that Redis has answers of, and its servers. */
export const namesKey = (keyPrefix: string): string => `${keyPrefix}names of maps`
/** The field of a map in a hash of all maps. */
export const fieldOf = (map: NamedTables): string => `${redisNameOf(map)} ${map.definition}`

/** What stands there: the record; before that of a whole answer, its own key. */
export const storedOf = (map: MapIdentity, key: string, kept: Statement): Buffer => {
  const record = Buffer.from(encodeRecord(kept, definitionFor(map, key)), 'latin1')
  return isDerived(key) ? Buffer.concat([Buffer.from(`${toStorable(key)}\n`), record]) : record
}

/** The key and the record that stand under a key in Redis; null: a whole answer without its key. */
export const readStored = (key: string, bytes: Buffer): { readonly key: string, readonly record: string } | null => {
  if (!isDerived(key)) return { key, record: bytes.toString('latin1') }
  const end = bytes.indexOf('\n')
  if (end === -1) return null
  return { key: fromStorable(bytes.toString('utf8', 0, end)), record: bytes.toString('latin1', end + 1) }
}
