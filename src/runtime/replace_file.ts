/** Replaces a file in one step, so that there is always a whole one: it is written beside its place, synced and renamed. */
import { open, rename, unlink } from 'node:fs/promises'

/** Appends to the new file. Rejects with the system's error. */
export type Append = (bytes: string | Buffer) => Promise<void>

/**
 * Has `write` write the new file, which only this account may read, and puts it in the place of `path`. Resolves with
 * what `write` gives. Rejects with the system's error, or `write`'s; then the old file is as it was.
 */
export const replaceFile = async <Result>(path: string, write: (append: Append) => Promise<Result>): Promise<Result> => {
  const temporary = `${path}.new-${process.pid}`
  const file = await open(temporary, 'w', 0o600)
  try {
    const result = await write(bytes => file.writeFile(bytes))
    await file.sync()
    await file.close()
    await rename(temporary, path)
    return result
  } catch (error) {
    await file.close().catch(() => undefined)
    await unlink(temporary).catch(() => undefined)
    throw error
  }
}
