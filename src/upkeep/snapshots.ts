/**
 * What the maps know, to and from the snapshot of a node without Redis: a file,
 * and where several processes answer one more for each (`PATH.1`, `PATH.2`...).
 */
import { readdirSync, unlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { readSnapshot, writeSnapshot } from '../caches/snapshot.js'
import type { SnapshotEntry } from '../caches/snapshot.js'
import type { ServedMap } from '../daemon/generation.js'
import type { Log } from '../log.js'
import type { Part } from '../daemon/serving.js'
import { messageOf } from '../log.js'

type Maps = ReadonlyMap<string, ServedMap>

/** Maps that grant rights or hold secrets leave nothing on the disk. */
const isRemembered = (map: ServedMap): map is Extract<ServedMap, { kind: 'mysql' }> => map.kind === 'mysql' && !map.config.sensitive

const entriesOf = function* (maps: Maps): Generator<SnapshotEntry> {
  for (const map of maps.values()) {
    if (!isRemembered(map)) continue
    // Most recently used first in memory: last here, so that it is again when it is recalled.
    for (const [key, record, askedAt] of [...map.lookup.known()].reverse()) yield [map.name, key, record, askedAt]
  }
}

/** The files of a snapshot that are there, each with its process's number. */
const partsOf = (path: string): readonly { readonly file: string, readonly index: number }[] => {
  const name = basename(path)
  try {
    return readdirSync(dirname(path)).flatMap(each => {
      if (each === name) return [{ file: path, index: 0 }]
      const index = each.startsWith(`${name}.`) ? /^[1-9]\d{0,3}$/.exec(each.slice(name.length + 1))?.[0] : undefined
      return index === undefined ? [] : [{ file: join(dirname(path), each), index: Number(index) }]
    })
  } catch {
    // No such folder: nothing was ever written there.
    return []
  }
}

/** Writes what this process knows to its file of the snapshot `path`; a failure is logged, and the old file stays. */
export const saveSnapshot = async (path: string, part: Part, maps: Maps, log: Log): Promise<void> => {
  const file = part.index === 0 ? path : `${path}.${part.index}`
  try {
    const count = await writeSnapshot(file, entriesOf(maps))
    log.debug(`snapshot: ${count} answers written to ${file}`)
    // Of processes that there were before: what they knew was recalled by all.
    if (part.index === 0) for (const { file: left, index } of partsOf(path)) if (index >= part.of) unlinkSync(left)
  } catch (error) {
    log.repeated('snapshot', `snapshot: ${file} can't be written: ${messageOf(error)}`)
  }
}

/** Brings what the files of the snapshot `path` hold back into the maps that it still fits. */
export const recallSnapshots = async (path: string, maps: Maps, log: Log): Promise<void> => {
  for (const { file } of partsOf(path)) await recallSnapshot(file, maps, log)
}

/** Brings what `path` holds back into the maps that it still fits; a damaged file is logged and left alone. */
const recallSnapshot = async (path: string, maps: Maps, log: Log): Promise<void> => {
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
