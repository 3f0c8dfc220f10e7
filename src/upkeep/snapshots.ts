/** What the maps know, to and from the snapshot file of a node without Redis. */
import { decodeRecord, encodeRecord } from '../caches/entry.js'
import { readSnapshot, writeSnapshot } from '../caches/snapshot.js'
import type { SnapshotEntry } from '../caches/snapshot.js'
import type { Maps, MysqlMap, ServedMap } from '../lookup/maps.js'
import type { Log } from '../log.js'
import type { Known } from '../lookup/known.js'
import { messageOf } from '../log.js'

/** What may still bridge an outage at `now` (epoch ms), as records by cache key, with when each was last asked for. */
export const recordsOf = function* ({ memory, identity }: Known, now: number): Generator<readonly [key: string, record: string, askedAt: number]> {
  for (const [key, entry] of memory.known()) {
    if (now < entry.expiredAt) yield [key, encodeRecord(entry, identity.definition), entry.askedAt]
  }
}

/**
 * Takes such a record back into memory, as stale: flushes from before the restart are not known any more. False if it
 * is of no use: expired, older than ours, or of another definition.
 */
export const recall = (known: Known, key: string, record: string, askedAt: number): boolean => {
  const decoded = decodeRecord(record, known.identity.definition)
  return typeof decoded !== 'string' && known.adopt(key, decoded, askedAt, false)
}

/** Stands for a map's doubts in place of a key: nobody can ask for an empty one. */
const doubtsKey = ''

/** Maps that grant rights or hold secrets leave nothing on the disk. */
const isRemembered = (map: ServedMap): map is MysqlMap => map.kind === 'mysql' && !map.config.sensitive

const entriesOf = function* (maps: Maps): Generator<SnapshotEntry> {
  for (const map of maps.values()) {
    if (!isRemembered(map)) continue
    yield [map.name, doubtsKey, map.trust.encode(), 0]
    // Most recently used first in memory: last here, so that it is again when it is recalled.
    for (const [key, record, askedAt] of [...recordsOf(map.lookup.known, Date.now())].reverse()) yield [map.name, key, record, askedAt]
  }
}

/** Writes what the maps know to the file `path`; a failure is logged, and the old file stays. */
export const saveSnapshot = async (path: string, maps: Maps, log: Log): Promise<void> => {
  try {
    const count = await writeSnapshot(path, entriesOf(maps))
    log.debug(`snapshot: ${count} answers written to ${path}`)
  } catch (error) {
    log.repeated('snapshot', `snapshot: ${path} can't be written: ${messageOf(error)}`)
  }
}

/** Brings what `path` holds back into the maps that it still fits; a damaged file is logged and left alone. */
export const recallSnapshot = async (path: string, maps: Maps, log: Log): Promise<void> => {
  const snapshot = await readSnapshot(path)
  switch (snapshot.kind) {
    case 'none':
      return
    case 'damaged':
      log.warn(`snapshot: ${path} is not used: ${snapshot.problem}; it will be written anew`)
      return
    case 'read': {
      let recalled = 0
      for (const [name, key, record, askedAt] of snapshot.entries) {
        const map = maps.get(name)
        if (map === undefined || !isRemembered(map)) continue
        if (key === doubtsKey) map.trust.decode(record)
        else if (recall(map.lookup.known, key, record, askedAt)) recalled++
      }
      log.info(`snapshot: ${recalled} of ${snapshot.entries.length} answers recalled from ${path}`)
      return
    }
    default: snapshot satisfies never
  }
}
