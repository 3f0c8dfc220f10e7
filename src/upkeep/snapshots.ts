/**
 * What the maps know, in a file: a restart in the middle of an outage still knows it, and kill -9 loses at most half a
 * minute of it, but no doubt, and no domain of ours. The file is written as a whole now and then; in between, what
 * changed is appended.
 *
 * The first piece names the format, and the maps with their definitions. Each other one is a JSON array of entries: the
 * map, the key, the record (caches/entry.ts; '' if the key was forgotten), when
 * somebody last asked for the key (epoch ms), and whether it outlives an outage.
 * The last entry for a key counts.
 */
import { rename, unlink } from 'node:fs/promises'
import { decodeRecord, encodeRecord, foreignDefinition, isForeign, recordHead } from '../caches/entry.js'
import { definitionFor, formersOf } from '../caches/map_identity.js'
import type { NamedTables } from '../caches/map_identity.js'
import { appendPieces, readPieces, writePieces } from '../caches/piece_file.js'
import type { PieceEnd } from '../caches/piece_file.js'
import type { Known } from '../lookup/known.js'
import type { Maps, MysqlMap, ServedMap } from '../lookup/maps.js'
import type { Log } from '../log.js'
import { messageOf } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import { asideNow, asidesOf, keptOf } from './asides.js'

type SavedEntry = readonly [map: string, key: string, record: string, askedAt: number, isKept: boolean]

/** What changed is appended so often (ms). */
const saveEveryMs = 30_000
/** The whole file is written so often (ms) if anything was appended, */
const wholeEveryMs = 3_600_000
/** and once so many bytes more than it had at first were appended. */
const spareBytes = 4 * 1_048_576
/** It takes about a millisecond to make a piece of so many entries; lookups are answered in between. */
const perPiece = 200
/** The key of the entry with a map's doubts: nobody can ask for an empty key. */
const doubtsKey = ''
const format = ['holdfast snapshot', 3]

const headOf = (maps: readonly MysqlMap[]): Buffer =>
  Buffer.from(JSON.stringify([
    ...format, maps.map(({ identity: { name, definition, hosts } }) => [name, definition, hosts]),
  ]))

/** The maps of which a snapshot with that first piece has entries; null: it names none. Throws for another format. */
const mapsIn = (head: Buffer): readonly NamedTables[] | null => {
  const [title, version, maps] = JSON.parse(head.toString('utf8')) as readonly unknown[]
  if (title !== format[0] || version !== format[1]) throw new Error('it is not a snapshot of this version')
  return !Array.isArray(maps) ? null : maps.flatMap((each: unknown) => {
    const [name, definition, hosts] = Array.isArray(each) ? each as readonly unknown[] : []
    if (typeof name !== 'string' || typeof definition !== 'string') return []
    return { name, definition, ...typeof hosts === 'string' ? { hosts } : {} }
  })
}

/** Maps that grant rights or hold secrets leave nothing on the disk. */
const isSaved = (map: ServedMap): map is MysqlMap => map.kind === 'mysql' && !map.config.sensitive

/** In an outage an absence stands in for itself there, if it does not refuse mail. */
const savesAbsences = ({ config: { absence: { does } } }: MysqlMap): boolean => does === 'passes' || does === 'reroutes'

/** The entry to save for a key of a map; '' for one that is not there any more. */
export const entryFor = ({ memory, identity }: Known, key: string): SavedEntry => {
  const saved = memory.toSave(key)
  if (saved === null) return [identity.name, key, '', 0, false]
  const definition = isForeign(saved.entry) ? foreignDefinition : definitionFor(identity, key)
  return [identity.name, key, encodeRecord(saved.entry, definition), saved.entry.askedAt, saved.isKept]
}

/**
 * Takes such an entry back: whether it was of use, or of none, or does not fit the map's definition; then it is
 * evidence at most. `places`: of the tables that there were when it was saved.
 */
export const recallEntry = (
  known: Known, [, key, record, askedAt, isKept]: SavedEntry, places: readonly number[] = [],
): 'used' | 'unused' | 'foreign' => {
  if (record === '') known.recall(key, null, 0, false)
  const decoded = record === '' ? 'invalid' : decodeRecord(record, definitionFor(known.identity, key))
  if (decoded === 'other-definition') return 'foreign'
  if (decoded === 'invalid') return 'unused'
  if (decoded.isForeign !== true) return known.recall(key, decoded, askedAt, isKept) ? 'used' : 'unused'
  known.recall(key, { ...decoded, table: places[decoded.table] ?? -1 }, askedAt, isKept)
  return record.startsWith(recordHead(foreignDefinition)) ? 'used' : 'foreign'
}

const doubtsOf = ({ name, trust }: MysqlMap): SavedEntry => [name, doubtsKey, trust.encode(), 0, true]

/** Pieces made of the entries for these keys when it is their turn. */
const piecesOf = function* ({ lookup: { known } }: MysqlMap, keys: Iterable<string>): Generator<Buffer> {
  let entries: SavedEntry[] = []
  for (const key of keys) {
    entries.push(entryFor(known, key))
    if (entries.length < perPiece) continue
    yield Buffer.from(JSON.stringify(entries))
    entries = []
  }
  if (entries.length > 0) yield Buffer.from(JSON.stringify(entries))
}

const wholeOf = function* (maps: readonly MysqlMap[]): Generator<Buffer> {
  yield headOf(maps)
  for (const map of maps) {
    yield Buffer.from(JSON.stringify([doubtsOf(map)]))
    yield* piecesOf(map, map.memory.keysToSave())
  }
}

/** The file, if there is to be one, and the maps of a configuration. */
export type Saved = { readonly path: string | null, readonly maps: Maps }

export type SnapshotParts = {
  /** Of the configuration in force. */
  readonly current: () => Saved
  readonly log: Log
  readonly clock: Clock
}

type SnapshotFile = { readonly path: string, readonly size: number, readonly at: number, end: PieceEnd }

/** Saves what the maps know while it is open. */
export class Snapshots {
  readonly #parts: SnapshotParts
  #cancel: () => void = () => undefined
  #isClosed = false
  /** Saves come one after the other, and after what is recalled. */
  #saving: Promise<void> = Promise.resolve()
  /** The save that has not begun yet. */
  #next: Promise<void> | null = null
  /** The file as it was last written as a whole, and where it ends now; null: it is to be written as a whole. */
  #file: SnapshotFile | null = null
  /** Why the last save failed, and since when saves fail (epoch ms); null: it did not. */
  problem: { readonly text: string, readonly since: number } | null = null
  /** The doubts as they were last saved, by map. */
  readonly #doubts = new Map<string, string>()
  /** Where the file is kept aside when it is next written as a whole; null: all of it is of use. */
  #keptAs: string | null = null
  /** The files aside of which all is of use now, or nothing any more: they go then. */
  #useless: readonly string[] = []

  constructor(parts: SnapshotParts) {
    this.#parts = parts
    this.#plan()
  }

  /**
   * Brings back what the last process saved. What does not fit the configuration may fit the next one, when its
   * mistake is mended: that file is kept aside for a week, and read again. Never rejects.
   */
  recall(into: Saved): Promise<void> {
    return this.#saving = this.#saving.then(() => this.#recall(into))
  }

  /**
   * Brings what is kept aside back into the maps of these names, whose definitions a reload has mended. Never rejects.
   */
  recallKept({ path, maps }: Saved, names: ReadonlySet<string>): Promise<void> {
    return this.#saving = this.#saving.then(async () => {
      if (path === null || names.size === 0) return
      const { log, clock } = this.#parts
      for (const aside of keptOf(await asidesOf(path), clock.now())) await recallSnapshot(aside.path, maps, log, names)
      if (this.#keptAs !== null) await recallSnapshot(path, maps, log, names)
    })
  }

  /** A reload has taken maps away, or edited them: keeps their answers aside, too, as a start by that file would. */
  keepAside(path: string | null): void {
    if (path !== null) this.#keptAs ??= asideNow(path, this.#parts.clock.now())
  }

  async #recall({ path, maps }: Saved): Promise<void> {
    if (path === null) return
    const { log, clock } = this.#parts
    const asides = await asidesOf(path)
    const useful: string[] = []
    for (const aside of keptOf(asides, clock.now())) {
      if ((await recallSnapshot(aside.path, maps, log)).foreign > 0) useful.push(aside.path)
    }
    this.#useless = asides.flatMap(aside => useful.includes(aside.path) ? [] : aside.path)
    const { foreign } = await recallSnapshot(path, maps, log)
    if (foreign === 0) return
    this.#keptAs = asideNow(path, clock.now())
    log.warn(`snapshot: ${foreign} answers don't fit the configuration; ${this.#keptAs} keeps them for a week`)
  }

  /** Saves what changed since the last time, also for those who ask before it begins. Never rejects. */
  save(): Promise<void> {
    return this.#next ??= this.#saving = this.#saving.then(() => {
      this.#next = null
      return this.#save()
    })
  }

  /** Saves everything for the last time. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancel()
    await this.#saving
    this.#file = null
    await this.#save()
  }

  #plan(): void {
    this.#cancel = this.#parts.clock.after(saveEveryMs, () => {
      void this.save().then(() => {
        if (!this.#isClosed) this.#plan()
      })
    })
  }

  async #save(): Promise<void> {
    const { log, clock } = this.#parts
    const { path, maps } = this.#parts.current()
    if (path === null) {
      this.problem = null
      return
    }
    const saved = [...maps.values()].filter(isSaved)
    const changes = saved.map(map => map.memory.takeChanges(savesAbsences(map)))
    try {
      const file = this.#isWholeDue(path) || changes.includes(null) ? null : this.#file
      if (file === null) await this.#saveWhole(path, saved)
      else await this.#append(file, saved, changes)
      this.problem = null
    } catch (error) {
      this.#file = null
      const why = messageOf(error)
      this.problem = { text: `${path} can't be written: ${why}`, since: this.problem?.since ?? clock.now() }
      log.repeated('snapshot', `snapshot: ${path} can't be written: ${why}`)
    }
  }

  #isWholeDue(path: string): boolean {
    if (this.#file?.path !== path) return true
    const { size, at, end } = this.#file
    return end.size > 2 * size + spareBytes || (end.size > size && this.#parts.clock.now() - at >= wholeEveryMs)
  }

  async #saveWhole(path: string, maps: readonly MysqlMap[]): Promise<void> {
    this.#doubts.clear()
    for (const { name, trust } of maps) this.#doubts.set(name, trust.encode())
    // Somebody may have removed it.
    if (this.#keptAs !== null) await rename(path, this.#keptAs).catch(unlessGone)
    this.#keptAs = null
    const end = await writePieces(path, wholeOf(maps))
    // Until now they may have been the only ones to have some of it.
    for (const aside of this.#useless) await unlink(aside).catch(() => undefined)
    this.#useless = []
    this.#file = { path, size: end.size, at: this.#parts.clock.now(), end }
    this.#parts.log.debug(`snapshot: ${path} written, ${end.size} bytes`)
  }

  async #append(
    file: SnapshotFile, maps: readonly MysqlMap[], changes: readonly (ReadonlySet<string> | null)[],
  ): Promise<void> {
    const doubts = this.#doubts
    const pieces = function* (): Generator<Buffer> {
      for (const [index, map] of maps.entries()) {
        const [, , text] = doubtsOf(map)
        if (doubts.get(map.name) !== text) {
          doubts.set(map.name, text)
          yield Buffer.from(JSON.stringify([doubtsOf(map)]))
        }
        yield* piecesOf(map, changes[index] ?? [])
      }
    }
    file.end = await appendPieces(file.path, file.end, pieces())
  }
}

const unlessGone = (error: unknown): void => {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
}

const isEntry = (value: unknown): value is SavedEntry => {
  if (!Array.isArray(value) || value.length !== 5) return false
  const [map, key, record, askedAt, isKept] = value as readonly unknown[]
  return typeof map === 'string' && typeof key === 'string' && typeof record === 'string'
    && typeof askedAt === 'number' && typeof isKept === 'boolean'
}

const entriesIn = (piece: Buffer): readonly SavedEntry[] => {
  const value: unknown = JSON.parse(piece.toString('utf8'))
  return Array.isArray(value) ? value.filter(isEntry) : []
}

/** The maps by the names of those that they go on with; as they are where nobody knows which maps there were. */
const byFormer = (maps: Maps, before: readonly NamedTables[] | null): Maps => {
  if (before === null) return maps
  const identities = [...maps.values()].filter(isSaved).map(({ identity }) => identity)
  return new Map([...formersOf(identities, before)].flatMap(([name, former]) => {
    const map = maps.get(name)
    return map === undefined ? [] : [[former.name, map] as const]
  }))
}

/**
 * Brings what a snapshot holds back into the maps that it still fits, or those of these names; tells how much of it
 * didn't fit. Never rejects.
 */
export const recallSnapshot = async (
  path: string, maps: Maps, log: Log, names: Pick<ReadonlySet<string>, 'has'> = maps,
): Promise<{ readonly foreign: number }> => {
  const counts = { used: 0, unused: 0, foreign: 0, pieces: 0 }
  let mapsByFormer: Maps = maps
  const fault = await readPieces(path, piece => {
    if (counts.pieces === 0) mapsByFormer = byFormer(maps, mapsIn(piece))
    for (const entry of counts.pieces === 0 ? [] : entriesIn(piece)) {
      const [name, key, record] = entry
      const map = mapsByFormer.get(name)
      if (map !== undefined && !names.has(map.name)) continue
      if (map === undefined || !isSaved(map)) counts.foreign++
      else if (key === doubtsKey) map.trust.saved = { name, places: map.trust.decode(record) }
      else counts[recallEntry(map.lookup.known, entry, map.trust.saved.places)]++
    }
    counts.pieces++
  }).catch(messageOf)
  const problem = fault === null && counts.pieces === 0 ? 'it is empty' : fault
  if (problem !== null && problem !== 'none') {
    for (const map of maps.values()) if (isSaved(map) && names.has(map.name)) map.lookup.known.isWhole = false
    log.warn(`snapshot: ${path}: ${problem}; what comes before that is used`)
  }
  if (problem !== 'none') log.info(`snapshot: ${counts.used} answers recalled from ${path}`)
  return counts
}
