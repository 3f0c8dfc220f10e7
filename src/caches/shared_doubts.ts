/**
 * The doubts of each map in Redis, for the nodes that share it: one of them finds
 * out that a table has lost its rows, and none of them believes it. One hash with
 * a field for each map, whose text is trust/map_trust.ts's. What comes from Redis
 * may be anybody's: it can do no more than have absences doubted.
 */
import type { Client } from './redis_client.js'
import type { MapIdentity } from './redis.js'

/** Longer text is not read. */
const maxBytes = 1_000_000

// No map's name holds a blank, so this is the key of nobody's entry.
const hashKey = (keyPrefix: string): string => `${keyPrefix}doubts of maps`
const fieldOf = ({ name, definition }: MapIdentity): string => `${name} ${definition}`

/** Shares the doubts of a map. Rejects with what Redis says. */
export const writeDoubts = async (client: Client, keyPrefix: string, map: MapIdentity, text: string): Promise<void> => {
  await client.hset(hashKey(keyPrefix), fieldOf(map), text)
}

/** The shared doubts of these maps, in their order; null for each that has none. Rejects with what Redis says. */
export const readDoubts = async (client: Client, keyPrefix: string, maps: readonly MapIdentity[]): Promise<readonly (string | null)[]> => {
  if (maps.length === 0) return []
  const texts = await client.hmget(hashKey(keyPrefix), ...maps.map(fieldOf))
  return texts.map(text => text === null || text.length > maxBytes ? null : text)
}
