/**
 * What the memory caches know, in a file: for a node without Redis, so that a
 * restart during an outage forgets nothing. Written beside its place, synced
 * and renamed, so that there is always a whole one; a checksum on its last
 * line shows one that isn't. Each line between is a JSON array of map, key,
 * record (entry.ts), each byte of it one code unit, and when the key was last
 * asked for (epoch ms). Files of the first form lack that: it is when they were read.
 */
import { createHash } from 'node:crypto'
import { open, readFile, rename, unlink } from 'node:fs/promises'

export type SnapshotEntry = readonly [map: string, key: string, record: string, askedAt: number]

const firstLine = 'holdfast snapshot 2\n'
const firstLines = ['holdfast snapshot 1\n', firstLine]
/** So much text is gathered before it is written (bytes), so that lookups get their turn in between. */
const chunkBytes = 262_144

const digestOf = (hash: ReturnType<typeof createHash>): string => `sha256 ${hash.digest('hex')}\n`

/** Writes `entries` to `path`; gives their number. Rejects with the system's error; then the old file is as it was. */
export const writeSnapshot = async (path: string, entries: Iterable<SnapshotEntry>): Promise<number> => {
  const temporary = `${path}.new-${process.pid}`
  // It holds addresses: nobody else's business.
  const file = await open(temporary, 'w', 0o600)
  try {
    const hash = createHash('sha256')
    let text = firstLine
    let count = 0
    const flush = async (): Promise<void> => {
      hash.update(text)
      await file.writeFile(text)
      text = ''
    }
    for (const entry of entries) {
      text += `${JSON.stringify(entry)}\n`
      count++
      if (text.length >= chunkBytes) await flush()
    }
    await flush()
    await file.writeFile(digestOf(hash))
    await file.sync()
    await file.close()
    await rename(temporary, path)
    return count
  } catch (error) {
    await file.close().catch(() => undefined)
    await unlink(temporary).catch(() => undefined)
    throw error
  }
}

export type Snapshot =
  | { readonly kind: 'read', readonly entries: readonly SnapshotEntry[] }
  | { readonly kind: 'none' }
  /** There is a file, but it must not be used; `problem` says why. */
  | { readonly kind: 'damaged', readonly problem: string }

const entryOf = (line: unknown): SnapshotEntry | null => {
  if (!Array.isArray(line) || line.length > 4) return null
  const parts: readonly unknown[] = line
  const [map, key, record, askedAt = Date.now()] = parts
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
    return code === 'ENOENT' ? { kind: 'none' } : { kind: 'damaged', problem: `can't be read: ${code}` }
  }
  if (!firstLines.some(line => text.startsWith(line))) return { kind: 'damaged', problem: 'does not begin as a snapshot does' }
  const lastLine = text.lastIndexOf('\n', text.length - 2) + 1
  const body = text.slice(0, lastLine)
  if (text.slice(lastLine) !== digestOf(createHash('sha256').update(body))) {
    return { kind: 'damaged', problem: 'its checksum is wrong: cut short or changed' }
  }
  const entries: SnapshotEntry[] = []
  for (const line of body.slice(firstLine.length).split('\n')) {
    if (line === '') continue
    const entry = entryOf(JSON.parse(line))
    if (entry === null) return { kind: 'damaged', problem: 'a line is not what this version writes' }
    entries.push(entry)
  }
  return { kind: 'read', entries }
}
