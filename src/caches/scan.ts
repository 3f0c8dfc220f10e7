/** Reads all the keys of a Redis that begin alike, without holding it up (SCAN). */
import type { Redis } from 'ioredis'
import { isCluster } from './redis_client.js'
import type { RedisClient } from './redis_client.js'

/** A value is null if it is gone meanwhile, or is no string. */
export type ScannedValues = readonly (readonly [key: string, value: Buffer | null])[]

const batch = 1_000

const valueOf = async (node: Redis, key: string): Promise<Buffer | null> => {
  try {
    return await node.getBuffer(key)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return null
    throw error
  }
}

/**
 * Keys that begin with `prefix` and that `isWanted` takes, with their values, in batches; in a cluster those of each
 * primary. Rejects with the server's error.
 */
export async function* scanValues(
  client: RedisClient, prefix: string, isWanted: (key: string) => boolean,
): AsyncGenerator<ScannedValues> {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`
  for (const node of isCluster(client) ? client.nodes('master') : [client]) {
    let cursor = '0'
    do {
      const [next, all] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', batch)
      const keys = all.filter(isWanted)
      if (keys.length > 0) {
        // A cluster answers for several keys at once only if they are in one slot.
        const values = isCluster(client)
          ? await Promise.all(keys.map(key => valueOf(node, key)))
          : await node.mgetBuffer(keys)
        yield keys.map((key, i) => [key, values[i] ?? null])
      }
      cursor = next
    } while (cursor !== '0')
  }
}
