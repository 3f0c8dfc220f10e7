/**
 * The snapshot: a file with what the memory caches know, so that a node without
 * Redis still knows it after a restart in the middle of an outage.
 *
 * The first line names the format, the last one is a checksum. Each line between
 * is a JSON array of the map, the key, the record (entry.ts; each of its bytes is
 * one code unit), and when somebody last asked for the key (epoch ms).
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { replaceFile } from '../runtime/replace_file.js'

export type SnapshotEntry = readonly [map: string, key: string, record: string, askedAt: number]

const firstLine = 'holdfast snapshot 2\n'
/** Text is written when there is so much of it (bytes); lookups are answered in between. */
const chunkBytes = 262_144

const lastLineOf = (hash: ReturnType<typeof createHash>): string => `sha256 ${hash.digest('hex')}\n`

/** Writes `entries` to `path`; resolves with their number. Rejects with the system's error; then the old file is as it was. */
export const writeSnapshot = (path: string, entries: Iterable<SnapshotEntry>): Promise<number> =>
  replaceFile(path, async append => {
    const hash = createHash('sha256')
    let text = firstLine
    let count = 0
    const flush = async (): Promise<void> => {
      hash.update(text)
      await append(text)
      text = ''
    }
    for (const entry of entries) {
      text += `${JSON.stringify(entry)}\n`
      count++
      if (text.length >= chunkBytes) await flush()
    }
    await flush()
    await append(lastLineOf(hash))
    return count
  })

export type Snapshot =
  | { readonly kind: 'read', readonly entries: readonly SnapshotEntry[] }
  | { readonly kind: 'none' }
  /** There is a file, but it must not be used; `problem` says why. */
  | { readonly kind: 'damaged', readonly problem: string }

const damaged = (problem: string): Snapshot => ({ kind: 'damaged', problem })

const entryOf = (line: unknown): SnapshotEntry | null => {
  if (!Array.isArray(line) || line.length !== 4) return null
  const [map, key, record, askedAt] = line as readonly unknown[]
  return typeof map === 'string' && typeof key === 'string' && typeof record === 'string' && typeof askedAt === 'number'
    ? [map, key, record, askedAt] : null
}

/** Reads the snapshot at `path`, all or nothing. Never rejects. */
export const readSnapshot = async (path: string): Promise<Snapshot> => {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    return code === 'ENOENT' ? { kind: 'none' } : damaged(`can't be read: ${code}`)
  }
  if (!text.startsWith(firstLine)) return damaged('it does not begin as a snapshot of this version does')
  const lastLine = text.lastIndexOf('\n', text.length - 2) + 1
  const body = text.slice(0, lastLine)
  if (text.slice(lastLine) !== lastLineOf(createHash('sha256').update(body))) {
    return damaged('its checksum is wrong: it was cut short or changed')
  }
  const entries: SnapshotEntry[] = []
  for (const line of body.slice(firstLine.length).split('\n')) {
    if (line === '') continue
    const entry = entryOf(JSON.parse(line))
    if (entry === null) return damaged('a line is not what this version writes')
    entries.push(entry)
  }
  return { kind: 'read', entries }
}
