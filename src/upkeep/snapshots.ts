/** What the maps know, to and from the snapshot file of a node without Redis. */
import { readSnapshot, writeSnapshot } from '../caches/snapshot.js'
import type { SnapshotEntry } from '../caches/snapshot.js'
import type { Maps, MysqlMap, ServedMap } from '../lookup/maps.js'
import type { Log } from '../log.js'
import { messageOf } from '../log.js'

/** Maps that grant rights or hold secrets leave nothing on the disk. */
const isRemembered = (map: ServedMap): map is MysqlMap => map.kind === 'mysql' && !map.config.sensitive

const entriesOf = function* (maps: Maps): Generator<SnapshotEntry> {
  for (const map of maps.values()) {
    if (!isRemembered(map)) continue
    // Most recently used first in memory: last here, so that it is again when it is recalled.
    for (const [key, record, askedAt] of [...map.lookup.known()].reverse()) yield [map.name, key, record, askedAt]
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
        if (map !== undefined && isRemembered(map) && map.lookup.recall(key, record, askedAt)) recalled++
      }
      log.info(`snapshot: ${recalled} of ${snapshot.entries.length} answers recalled from ${path}`)
      return
    }
    default: snapshot satisfies never
  }
}
