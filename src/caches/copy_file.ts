/**
 * A copy of a table in a file, so that a restart in an outage has it. Each piece
 * is preceded by its length (4 bytes, big endian); a length of 0 and the SHA-256
 * of all before it end the file. Pieces are small: neither writing nor reading
 * holds up the event loop, whatever the size of the table.
 */
import { createHash } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { replaceFile } from '../runtime/replace_file.js'

/** A piece is at most about 256 kB, but for one long row. */
const maxPieceBytes = 64 * 1_048_576
const digestBytes = 32

const lengthOf = (bytes: number): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes)
  return length
}

/** Writes `pieces` to `path`, for this account alone. Rejects with the system's error; then the old file is as it was. */
export const writeCopyFile = async (path: string, pieces: Iterable<Buffer>): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await replaceFile(path, async append => {
    const hash = createHash('sha256')
    for (const piece of pieces) {
      for (const bytes of [lengthOf(piece.length), piece]) {
        hash.update(bytes)
        await append(bytes)
      }
    }
    hash.update(lengthOf(0))
    await append(Buffer.concat([lengthOf(0), hash.digest()]))
  })
}

/** The pieces that were written to `path`; a text says why they can't be used, null: there is no such file. Never rejects. */
export const readCopyFile = async (path: string): Promise<readonly Buffer[] | string | null> => {
  let file
  try {
    file = await open(path, 'r')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    return code === 'ENOENT' ? null : `can't be read: ${code}`
  }
  try {
    const hash = createHash('sha256')
    const pieces: Buffer[] = []
    for (;;) {
      const length = await read(file, 4)
      if (length === null) return damaged
      hash.update(length)
      const size = length.readUInt32BE()
      if (size === 0) return (await read(file, digestBytes))?.equals(hash.digest()) === true ? pieces : damaged
      const piece = size > maxPieceBytes ? null : await read(file, size)
      if (piece === null) return damaged
      hash.update(piece)
      pieces.push(piece)
    }
  } catch (error) {
    return error instanceof Error ? error.message : 'unknown error'
  } finally {
    await file.close().catch(() => undefined)
  }
}

const damaged = 'it is damaged: cut short or changed'

type File = Awaited<ReturnType<typeof open>>

/** The next `size` bytes; null if there are fewer. */
const read = async (file: File, size: number): Promise<Buffer | null> => {
  const buffer = Buffer.allocUnsafeSlow(size)
  let at = 0
  while (at < size) {
    const { bytesRead } = await file.read(buffer, at, size - at)
    if (bytesRead === 0) return null
    at += bytesRead
  }
  return buffer
}
