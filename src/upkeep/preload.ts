/**
 * At the start, brings what Redis knows of a map into memory. A node that joins, or
 * restarts in an outage, then has all the evidence by which an absence is judged,
 * and knows which recipients the other maps take.
 */
import type { MysqlMap } from '../lookup/maps.js'
import type { Log } from '../log.js'
import { messageOf } from '../log.js'

/** Fills memories that are empty, as far as there is room. Never rejects. */
export const preload = async (
  maps: readonly Pick<MysqlMap, 'name' | 'identity' | 'redis' | 'memory' | 'lookup'>[], log: Log,
): Promise<void> => {
  for (const { name, identity, redis, memory, lookup: { known } } of maps) {
    if (redis === null || !redis.isUsable() || memory.size().found > 0) continue
    try {
      for await (const rows of redis.all(identity, () => memory.hasRoom())) {
        // Somebody asked for the key when it was verified; since then, nobody knows.
        for (const [key, told] of rows) if (memory.hasRoom()) known.adopt(key, told, told.verifiedAt)
        if (!memory.hasRoom()) break
      }
      log.debug(`map ${name}: ${memory.size().found} answers read from Redis`)
    } catch (error) {
      log.repeated('preload', `map ${name}: not all of its answers in Redis could be read ahead: ${messageOf(error)}`)
    }
  }
}
