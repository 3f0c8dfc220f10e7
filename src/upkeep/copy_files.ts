/**
 * The files of the copies. The name of a file has the map's, the table's place in it, and the id of what was listed: so
 * no file takes another one's place when maps are renamed or edited, and of those of one table the newest counts. A
 * file is read for each table that is defined as its own was, on the same servers, whatever the map is called by now.
 * Else for one on other servers, or as evidence for the one that stands in its place, as far as the snapshot has not
 * said that this map was another one. What no table has any use for is kept for a week, as the snapshot keeps what
 * doesn't fit: that may be a mistake.
 */
import { readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { listedBy, readCopy } from '../caches/copy.js'
import type { Copy } from '../caches/copy.js'
import { listedId, readHead } from '../caches/copy_head.js'
import type { Head } from '../caches/copy_head.js'
import { readPieces } from '../caches/piece_file.js'
import { messageOf } from '../log.js'
import type { MysqlMap } from '../lookup/maps.js'
import { keepAsideMs } from './asides.js'

export const copyFile = (folder: string, map: string, index: number, { id }: Pick<Copy, 'id'>): string =>
  join(folder, `${encodeURIComponent(map)}.${index}.${id}`)

type CopyFile = {
  readonly path: string
  /** The map's name when it was written, and the table's place then. */
  readonly name: string
  readonly index: number
  /** null: it is damaged. */
  readonly head: Pick<Head, 'definition' | 'hosts' | 'takenAt'> | null
  readonly pieces: readonly Buffer[]
  /** Why there is no more of it; null: that is all. */
  readonly problem: string | null
}

type Place = { readonly map: MysqlMap, readonly table: number }
/** A table that can be listed, and what its copies are known by. */
type ListedPlace = Place & { readonly listed: Pick<Head, 'definition' | 'hosts'> }

/** Files of an earlier version have no id. */
const placeIn = (file: string): Pick<CopyFile, 'name' | 'index'> | null => {
  const [, name, index] = /^(.+?)\.(\d{1,3})(?:\.[0-9a-f]{16})?$/.exec(file) ?? []
  try {
    return name === undefined ? null : { name: decodeURIComponent(name), index: Number(index) }
  } catch {
    return null
  }
}

/**
 * Reads the files, where a table has no copy yet. Tells what is wrong with one by its map. Never rejects. `now`: epoch
 * ms.
 */
export const readCopyFiles = async (
  folder: string, maps: readonly MysqlMap[], now: number, onProblem: (map: string, problem: string) => void,
): Promise<void> => {
  const names = await readdir(folder).catch((error: unknown) => {
    // Else there are none yet.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
      for (const { name, lookup: { known } } of maps) {
        known.isWhole = false
        onProblem(name, `the files of copies can't be read: ${messageOf(error)}`)
      }
    }
    return []
  })
  const files = (await Promise.all(names.map(name => readFile(folder, name)))).filter(file => file !== null)
    // One from the future comes last: the clock was set back, and the other one of its table may be newer.
    .sort((a, b) => Number(takenAt(a) > now) - Number(takenAt(b) > now) || takenAt(b) - takenAt(a))
  const listed = listedPlaces(maps)
  const left: CopyFile[] = []
  for (const file of files) {
    const places = listed.filter(place => isDefinedAs(place, file) && place.listed.hosts === file.head?.hosts)
    const isPut = await Promise.all(places.map(place => put(file, place, onProblem)))
    if (!isPut.includes(true) && !places.some(({ map }) => map.name === file.name)) left.push(file)
  }
  for (const file of left) {
    const place = placeElsewhere(listed, file) ?? formerPlace(maps, file)
    if (place !== null) await put(file, place, onProblem)
  }
  await removeUseless(files, maps)
}

const readFile = async (folder: string, file: string): Promise<CopyFile | null> => {
  const place = placeIn(file)
  if (place === null) return null
  const path = join(folder, file)
  const pieces: Buffer[] = []
  const problem = await readPieces(path, piece => { pieces.push(piece) })
  return { ...place, path, pieces, problem, head: readHead(pieces[0]) }
}

const takenAt = ({ head }: CopyFile): number => head?.takenAt ?? -Infinity

const listedPlaces = (maps: readonly MysqlMap[]): readonly ListedPlace[] =>
  maps.flatMap(map => map.tables.flatMap(({ definition }, table) => {
    const { listing } = definition
    return typeof listing === 'string' ? [] : { map, table, listed: listedBy(definition, listing) }
  }))

/** Whether a table is defined as that of the file was, on whatever servers. */
const isDefinedAs = ({ listed }: ListedPlace, { head }: CopyFile): boolean => listed.definition === head?.definition

/** The table on other servers that is defined as that of the file was, by the name of its map first; null: none is. */
const placeElsewhere = (listed: readonly ListedPlace[], file: CopyFile): Place | null => {
  const places = listed.filter(place => isDefinedAs(place, file) && place.listed.hosts !== file.head?.hosts)
  const own = places.filter(({ map }) => map.name === file.name)
  const renamed = places.find(({ map, table }) =>
    (map.trust.saved.name ?? file.name) === file.name && map.copies.of(table) === null)
  // Two tables of one map may be defined alike.
  return own.find(({ table }) => table === file.index) ?? own[0] ?? renamed ?? null
}

/** The table that stands in for that of the file, by the name of its map; null: none does. */
const formerPlace = (maps: readonly MysqlMap[], { name, index }: CopyFile): Place | null => {
  const map = maps.find(({ name: now, trust: { saved } }) => (saved.name ?? now) === name)
  const table = map?.trust.saved.places[index] ?? index
  return map?.tables[table] === undefined ? null : { map, table }
}

/**
 * Removes what is no copy that a table has, or an older one of it, if it was written a week before the newest file: not
 * after a week in which this node was off. Not what is damaged.
 */
const removeUseless = async (files: readonly CopyFile[], maps: readonly MysqlMap[]): Promise<void> => {
  const used = new Set(maps.flatMap(({ copies, tables }) => tables.map((_, table) => copies.evidence(table)?.id)))
  const writtenAt = await Promise.all(files.map(({ path }) => stat(path).then(({ mtimeMs }) => mtimeMs, () => 0)))
  const newestAt = Math.min(Date.now(), Math.max(...writtenAt))
  // The newest comes first.
  for (const [index, { path, head, pieces }] of files.entries()) {
    if ((head !== null && used.delete(listedId(head))) || pieces.length === 0) continue
    if (newestAt - (writtenAt[index] ?? newestAt) > keepAsideMs) await unlink(path).catch(() => undefined)
  }
}

/** Gives a table that has no copy what the file has; whether it could. */
const put = async (
  { pieces, problem }: CopyFile, { map, table }: Place, onProblem: (map: string, problem: string) => void,
): Promise<boolean> => {
  const { tables, copies, lookup: { known } } = map
  const definition = tables[table]?.definition
  if (definition === undefined || copies.of(table) !== null) return false
  const copy = problem ?? await readCopy(definition, definition.listing, pieces)
  if (typeof copy === 'string') {
    known.isWhole = false
    onProblem(map.name, `the file of its copy is not used: ${copy}`)
    return false
  }
  if (copy.isForeign !== true) copies.put(table, copy)
  else {
    known.isWhole = false
    copies.putForeign(table, copy)
  }
  return true
}
