/**
 * A file of pieces, for what outlives the process: copies and the snapshot. Each
 * piece is preceded by its length (4 bytes, big endian) and a checksum (16 bytes of
 * the SHA-256 of the checksum before it and the piece). Pieces are small, so neither
 * writing nor reading holds up the event loop, whatever the size of the file. It may
 * be appended to: a piece that was cut short by a crash ends the file, and what
 * stands before it counts.
 */
import { createHash } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { replaceFile } from '../runtime/replace_file.js'

/** A piece is at most about 256 kB, but for one long row. */
const maxPieceBytes = 64 * 1_048_576
const sumBytes = 16
const headBytes = 4 + sumBytes

/** Where a file ends: its size (bytes), and the checksum of its last piece. */
export type PieceEnd = { readonly size: number, readonly sum: Buffer }

const start: PieceEnd = { size: 0, sum: Buffer.alloc(sumBytes) }

const sumOf = (before: Buffer, piece: Buffer): Buffer =>
  createHash('sha256').update(before).update(piece).digest().subarray(0, sumBytes)

const appendTo = async (
  append: (bytes: Buffer) => Promise<void>, { size, sum }: PieceEnd, pieces: Iterable<Buffer>,
): Promise<PieceEnd> => {
  let end = { size, sum }
  for (const piece of pieces) {
    const next = sumOf(end.sum, piece)
    const head = Buffer.alloc(4)
    head.writeUInt32BE(piece.length)
    await append(Buffer.concat([head, next, piece]))
    end = { size: end.size + headBytes + piece.length, sum: next }
  }
  return end
}

/**
 * Writes a new file in the place of `path`, for this account alone; resolves with its end. `pieces` makes each piece
 * when it is its turn. Rejects with the system's error, or that of `pieces`; then the old file is as it was.
 */
export const writePieces = async (path: string, pieces: Iterable<Buffer>): Promise<PieceEnd> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  return replaceFile(path, append => appendTo(append, start, pieces))
}

/**
 * Appends to a file that ends at `end`; resolves with its new end. Rejects with the system's error, or if the file is
 * shorter: somebody has changed it.
 */
export const appendPieces = async (path: string, end: PieceEnd, pieces: Iterable<Buffer>): Promise<PieceEnd> => {
  const file = await open(path, 'r+')
  try {
    let at = end.size
    if ((await file.stat()).size < at) throw new Error('somebody has cut it short')
    const next = await appendTo(async bytes => {
      // Of a disk that is nearly full the last room is taken without an error: that comes with the next write.
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at)
        done += bytesWritten
        at += bytesWritten
      }
    }, end, pieces)
    await file.datasync()
    return next
  } finally {
    await file.close()
  }
}

/**
 * Hands over the pieces of a file, one after the other. Null if all are whole; `none` if there is no such file; else
 * why no more can be read. Never rejects, unless `onPiece` does.
 */
export const readPieces = async (path: string, onPiece: (piece: Buffer) => void): Promise<string | null> => {
  let file
  try {
    file = await open(path, 'r')
  } catch (error) {
    const problem = problemOf(error)
    return problem.endsWith('ENOENT') ? 'none' : problem
  }
  const readNext = (size: number): Promise<Buffer | string> => read(file, size).catch(problemOf)
  try {
    let { sum } = start
    for (;;) {
      const head = await readNext(headBytes)
      if (typeof head === 'string') return head
      if (head.length === 0) return null
      const size = head.length < headBytes ? Infinity : head.readUInt32BE()
      const piece = size > maxPieceBytes ? null : await readNext(size)
      if (typeof piece === 'string') return piece
      if (piece?.length !== size) return damaged
      sum = sumOf(sum, piece)
      if (!sum.equals(head.subarray(4))) return damaged
      onPiece(piece)
    }
  } finally {
    await file.close().catch(() => undefined)
  }
}

const problemOf = (error: unknown): string =>
  `can't be read: ${error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'}`

const damaged = 'it is damaged: cut short or changed'

/** The next `size` bytes, or as many as there are. */
const read = async (file: FileHandle, size: number): Promise<Buffer> => {
  const buffer = Buffer.allocUnsafeSlow(size)
  let at = 0
  while (at < size) {
    const { bytesRead } = await file.read(buffer, at, size - at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return buffer.subarray(0, at)
}
