/**
 * The files of the copies, one for each table, by the map's name and the table's place in it. A file is read for the
 * table by whose definition it was written, on the same servers, whatever the name of the map is by now. Else for that
 * on other servers, as far as the snapshot has not said that this map was another one. Where there is no such table it
 * is evidence for the map of its name; where there is no such map either, it is kept for a week, as the snapshot keeps
 * what doesn't fit: that may be a mistake.
 */
import { readdir, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { copyFits, readCopy } from '../caches/copy.js'
import { readPieces } from '../caches/piece_file.js'
import { messageOf } from '../log.js'
import type { MysqlMap } from '../lookup/maps.js'
import { keepAsideMs } from './snapshots.js'

export const copyFile = (folder: string, map: string, index: number): string =>
  join(folder, `${encodeURIComponent(map)}.${index}`)

type CopyFile = {
  readonly path: string
  /** The map's name when it was written or moved, and the table's place then. */
  readonly name: string
  readonly index: number
  readonly pieces: readonly Buffer[]
  /** Why there is no more of it; null: that is all. */
  readonly problem: string | null
}

type Place = { readonly map: MysqlMap, readonly table: number }

/** Of a file that has stepped aside; kill -9 may leave it there. */
const movedSuffix = '.moved'

const placeIn = (file: string): Pick<CopyFile, 'name' | 'index'> | null => {
  const [, name, index] = /^(.+)\.(\d{1,3})(?:\.moved)?$/.exec(file) ?? []
  try {
    return name === undefined ? null : { name: decodeURIComponent(name), index: Number(index) }
  } catch {
    return null
  }
}

/** Whose file it may be, in turn; two tables of one map may be defined alike. */
const inTurn: readonly ((table: Record<'hasName' | 'hasServers' | 'hasPlace', boolean>) => boolean)[] = [
  ({ hasName, hasServers, hasPlace }) => hasName && hasServers && hasPlace,
  ({ hasName, hasServers }) => hasName && hasServers,
  ({ hasServers }) => hasServers,
  ({ hasName, hasPlace }) => hasName && hasPlace,
  ({ hasName }) => hasName,
  () => true,
]

/** Reads the files, where a table has no copy yet. Tells what is wrong with one by its map. Never rejects. */
export const readCopyFiles = async (
  folder: string, maps: readonly MysqlMap[], onProblem: (map: string, problem: string) => void,
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
  const files = (await Promise.all(names.sort().map(name => readFile(folder, name)))).filter(file => file !== null)
  const left = new Set(files.map(file => ({ file, places: placesOf(maps, file) })))
  const moves: Move[] = []
  for (const isMeant of inTurn) {
    for (const each of left) {
      const { file, places } = each
      const place = places.find(({ map, table, fit }) =>
        isMeant({ hasName: map.name === file.name, hasServers: fit === 'servers', hasPlace: table === file.index })
          && (map.name === file.name || map.copies.of(table) === null))
      if (place === undefined) continue
      left.delete(each)
      await put(file, place, onProblem)
      if (place.map.name !== file.name || file.path.endsWith(movedSuffix)) moves.push({ file, place })
    }
  }
  for (const { file } of left) {
    const place = formerPlace(maps, file)
    if (place !== null) await put(file, place, onProblem)
    else await removeOld(file)
  }
  await moveFiles(folder, moves)
}

const readFile = async (folder: string, file: string): Promise<CopyFile | null> => {
  const place = placeIn(file)
  if (place === null) return null
  const path = join(folder, file)
  const pieces: Buffer[] = []
  const problem = await readPieces(path, piece => { pieces.push(piece) })
  return { ...place, path, pieces, problem }
}

type Move = { readonly file: CopyFile, readonly place: Place }

/**
 * For the next start, if no copy is taken before. All step aside first: where two maps took each other's name, the file
 * of one would else be put in the place of the other's, and that be lost.
 */
const moveFiles = async (folder: string, moves: readonly Move[]): Promise<void> => {
  const aside = ({ place: { map, table } }: Move): string => copyFile(folder, map.name, table) + movedSuffix
  for (const move of moves) await rename(move.file.path, aside(move)).catch(() => undefined)
  for (const move of moves) {
    await rename(aside(move), copyFile(folder, move.place.map.name, move.place.table)).catch(() => undefined)
  }
}

/** Removes a file that no table has any use for, unless it was written lately, or is no copy at all. */
const removeOld = async ({ path, pieces }: CopyFile): Promise<void> => {
  const writtenAt = await stat(path).then(({ mtimeMs }) => mtimeMs, () => Infinity)
  if (pieces.length > 0 && Date.now() - writtenAt > keepAsideMs) await unlink(path).catch(() => undefined)
}

/**
 * The tables that are defined as that of the file was, on the same servers or on others. A start moves the files before
 * the snapshot has the new names of the maps: after kill -9 the names in both say nothing of one another.
 */
const placesOf = (
  maps: readonly MysqlMap[], { name, pieces }: CopyFile,
): readonly (Place & { readonly fit: 'servers' | 'elsewhere' })[] =>
  maps.flatMap(map => map.tables.flatMap(({ definition }, table) => {
    const fit = copyFits(definition, definition.listing, pieces)
    const mayBeMeant = fit === 'servers' || (map.trust.saved.name ?? name) === name
    return fit === null || !mayBeMeant ? [] : { map, table, fit }
  }))

/** The table that stands in for that of the file, by the name of its map; null: none does. */
const formerPlace = (maps: readonly MysqlMap[], { name, index }: CopyFile): Place | null => {
  const map = maps.find(({ name: now, trust: { saved } }) => (saved.name ?? now) === name)
  const table = map?.trust.saved.places[index] ?? index
  return map?.tables[table] === undefined ? null : { map, table }
}

const put = async (
  { pieces, problem }: CopyFile, { map, table }: Place, onProblem: (map: string, problem: string) => void,
): Promise<void> => {
  const { tables, copies, lookup: { known } } = map
  const definition = tables[table]?.definition
  if (definition === undefined || copies.of(table) !== null) return
  const copy = problem ?? await readCopy(definition, definition.listing, pieces)
  if (typeof copy === 'string') {
    known.isWhole = false
    onProblem(map.name, `the file of its copy is not used: ${copy}`)
  } else if (copy.isForeign === true) {
    known.isWhole = false
    copies.putForeign(table, copy)
  } else copies.put(table, copy)
}
