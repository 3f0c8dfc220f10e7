/**
 * Listens on a unix socket that has its mode and group from its first moment.
 *
 * The socket is bound under a temporary name, gets its mode and group, and is
 * then renamed: no client ever meets a socket that it may not open, and a new
 * process takes the path over from a running one without a gap.
 */
import { chmodSync, chownSync, existsSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { dirname } from 'node:path'

export type UnixSocket = {
  readonly path: string
  readonly mode: number
  /** null: the group of this process. */
  readonly gid: number | null
}

/** A deep backlog: after a restart all of Postfix's processes connect at once. */
export const backlog = 1_024

/**
 * Has `server` listen. Resolves with a function that removes the socket, unless another process has taken the path
 * over. Rejects with the system's error, or if the folder is missing or another kind of file is there; `server` is
 * closed then.
 */
export const listenOnUnixSocket = async (server: Server, { path, mode, gid }: UnixSocket): Promise<() => void> => {
  // The system would say "permission denied", of a name that nobody knows.
  if (!existsSync(dirname(path))) throw new Error(`there is no folder ${dirname(path)}`)
  const temporary = `${path}.${process.pid.toString(36)}`
  removeSocket(temporary)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path: temporary, backlog }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  try {
    chmodSync(temporary, mode)
    if (gid !== null) chownSync(temporary, -1, gid)
    const there = lstatSync(path, { throwIfNoEntry: false })
    if (there !== undefined && !there.isSocket()) throw new Error(`${path} exists and is not a socket`)
    renameSync(temporary, path)
  } catch (error) {
    server.close()
    removeSocket(temporary)
    throw error
  }
  const inode = inodeOf(path)
  return () => {
    if (inode !== null && inodeOf(path) === inode) removeSocket(path)
  }
}

/** Removes a socket. Anything else at that path stays, so that bind(2) fails and says so. */
const removeSocket = (path: string): void => {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path)
  } catch {
    // Nothing is there.
  }
}

const inodeOf = (path: string): number | null => {
  try {
    return lstatSync(path).ino
  } catch {
    return null
  }
}
