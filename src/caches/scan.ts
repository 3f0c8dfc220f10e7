/** Goes through the keys of a Redis without stopping it (SCAN). */
import { Cluster } from 'ioredis'
import type { Client } from './client.js'

const batch = 1_000

/** All keys that begin with `prefix`, in batches; in a cluster those of each primary. Rejects with the server's error. */
export async function* scanKeys(client: Client, prefix: string): AsyncGenerator<readonly string[]> {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`
  for (const node of client instanceof Cluster ? client.nodes('master') : [client]) {
    let cursor = '0'
    do {
      const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', batch)
      if (keys.length > 0) yield keys
      cursor = next
    } while (cursor !== '0')
  }
}
