/** Replaces a file in one step, so that it is always whole: the new one is written beside it, synced and renamed. */
import { open, rename, rm, unlink } from 'node:fs/promises'

/** Appends to the new file. Rejects with the system's error. */
export type Append = (bytes: string | Buffer) => Promise<void>

/**
 * Puts the file that `write` writes in the place of `path`; only this account may read it. Resolves with what `write`
 * gives. Rejects with the system's error, or `write`'s; then the old file is as it was.
 */
export const replaceFile = async <Result>(
  path: string, write: (append: Append) => Promise<Result>,
): Promise<Result> => {
  const temporary = `${path}.new`
  // What a process left there that was killed, or somebody else put there, is not written into.
  await rm(temporary, { force: true })
  const file = await open(temporary, 'wx', 0o600)
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
