/**
 * Brings what was known before into memory: the evidence by which an absence is judged, and the answers for an
 * outage. In this order:
 *
 * 1. What the configuration before this one knew; a reload takes it over as it opens the maps (daemon/open_map.ts).
 * 2. This node's own files: the snapshot with its records and doubts (snapshots.ts), which says by which definition the
 *    files are, and the copies (copies.ts). The snapshot also says what was forgotten, so it comes before what other
 *    nodes know.
 * 3. From Redis the flushes (caches/flush_channel.ts) and the doubts (share_doubts.ts) of all nodes, without which
 *    nothing there is fresh; and then all records, those under the name that a map had before, too.
 * 4. Only then is the first new copy of a table taken: held against nothing, an emptied table would be accepted.
 *
 * Redis may come late: it is tried until it has been read once. Until then a table of which nothing is known is
 * not believed (trust/table_trust.ts), and no copy outweighs what Redis may have.
 */
import { clockSkewMs } from '../caches/entry.js'
import type { Statement } from '../caches/entry.js'
import type { Known } from '../lookup/known.js'
import type { MysqlMap } from '../lookup/maps.js'
import type { Log } from '../log.js'
import { messageOf } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import type { Copies } from './copies.js'

/** A map whose answers may be in Redis. */
type StoredMap = Pick<MysqlMap, 'name' | 'identity' | 'redis' | 'memory' | 'lookup'>

export type EvidenceParts = {
  readonly maps: readonly StoredMap[]
  readonly copies: Pick<Copies, 'readFiles' | 'start'>
  /** Reads the snapshot. */
  readonly recall: () => Promise<void>
  /** Resolves when the flushes and doubts in Redis are known, or Redis has failed once. */
  readonly redisTried: Promise<unknown>
  readonly clock: Clock
  readonly log: Log
}

export type Evidence = {
  /** Resolves when this node's files have been read. */
  readonly own: Promise<void>
  /** Resolves when Redis has been read, too, or has failed once. */
  readonly all: Promise<void>
  close(): void
}

/** A Redis that could not be read is tried again after this (ms). */
const retryMs = 2_000

export const bringEvidence = ({ maps, copies, recall, redisTried, clock, log }: EvidenceParts): Evidence => {
  let isClosed = false
  let cancel = (): void => undefined
  const readRedis = async (): Promise<void> => {
    if (!await preload(maps, log, () => clock.now()) && !isClosed) cancel = clock.after(retryMs, () => void readRedis())
  }
  const own = recall().then(() => copies.readFiles())
  const all = own.then(() => redisTried).then(readRedis)
  void all.then(() => copies.start())
  return {
    own, all,
    close: () => {
      isClosed = true
      cancel()
    },
  }
}

/**
 * Brings what Redis knows of each map into memory, once, as far as there is room; false if some of it could not be
 * read. Never rejects.
 */
export const preload = async (maps: readonly StoredMap[], log: Log, now = Date.now): Promise<boolean> => {
  let formerNames: ReadonlyMap<string, readonly string[]> | null = null
  for (const { name, identity, redis, memory, lookup: { known } } of maps) {
    if (redis === null || !redis.isUsable()) continue
    if (known.isRedisRead) {
      redis.noteName(identity)
      continue
    }
    try {
      formerNames ??= await redis.formerNames(maps.map(map => map.identity))
      for (const former of formerNames.get(name) ?? []) {
        for await (const rows of redis.all({ ...identity, redisName: former }, () => true)) {
          for (const [key, theirs] of rows) takeOver(known, key, theirs, now())
        }
      }
      for await (const rows of redis.all(identity, () => memory.hasRoom())) {
        // Somebody asked for the key when it was verified; since then, nobody knows.
        for (const [key, theirs] of rows) if (memory.hasRoom()) known.adopt(key, theirs, theirs.verifiedAt)
        if (!memory.hasRoom()) break
      }
      known.isRedisRead = true
      redis.noteName(identity)
      log.debug(`map ${name}: ${memory.size().found} answers known after Redis was read`)
    } catch (error) {
      log.repeated('preload', `map ${name}: not all of its answers in Redis could be read ahead: ${messageOf(error)}`)
    }
  }
  return maps.every(({ lookup: { known } }) => known.isRedisRead)
}

/**
 * Takes over what Redis has under the name that a map had before: as stale, since flushes of that name are not known,
 * and under its own name, where a key that is gone is deleted.
 */
const takeOver = (known: Known, key: string, theirs: Statement, now: number): void => {
  const stale = { ...theirs, verifiedAt: Math.min(theirs.verifiedAt, now - known.lifetimes.freshForMs - clockSkewMs) }
  if (known.memory.hasRoom()) known.adopt(key, stale, theirs.verifiedAt, false)
  if (theirs.isForeign !== true) known.share(key, stale, true)
}
