/**
 * Listens on a unix socket that has its mode and group from its first moment.
 *
 * The socket is bound under a temporary name, gets its mode and group, and is then renamed: no client ever meets a
 * socket that it may not open. A socket that a process left behind is replaced; one at which somebody answers is not.
 */
import { chmodSync, chownSync, existsSync, lstatSync, readFileSync, renameSync, statSync, unlinkSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { connect } from 'node:net'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import { groupName } from '../config/endpoint.js'

export type UnixSocket = {
  readonly path: string
  readonly mode: number
  /** null: the group of this process. */
  readonly gid: number | null
}

/** The file of a socket that this process made. */
export type SocketFile = {
  /** Whether it is still at its path: somebody may remove or replace it. */
  readonly isThere: () => boolean
  /** Removes it, if it is still there. */
  readonly remove: () => void
}

/** A deep backlog: after a restart all of Postfix's processes connect at once. */
export const backlog = 1_024

/**
 * Has `server` listen. Rejects if the folder is missing or closed to this process, another kind of file is there, or a
 * process answers there; then nothing is changed.
 */
export const listenOnUnixSocket = async (server: Server, { path, mode, gid }: UnixSocket): Promise<SocketFile> => {
  // The system would say "permission denied", of a name that nobody knows.
  if (!existsSync(dirname(path))) throw new Error(`there is no folder ${dirname(path)}: make it`)
  const there = look(path)
  if (there !== undefined && !there.isSocket()) throw new Error(`${path} exists and is not a socket: remove it`)
  if (there !== undefined && await isAnswered(path)) {
    throw new Error(`${path}: another process answers there${ownerOf(path)}; stop that one first`)
  }
  const temporary = `${path}.${process.pid.toString(36)}`
  removeSocket(temporary)
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(isDenied(error) ? new Error(closedFolder(dirname(path))) : error))
    server.listen({ path: temporary, backlog }, resolve)
  })
  server.removeAllListeners('error')
  try {
    chmodSync(temporary, mode)
    if (gid !== null) chownSync(temporary, -1, gid)
    renameSync(temporary, path)
  } catch (error) {
    server.close()
    removeSocket(temporary)
    throw error
  }
  const made = identityOf(path)
  const isThere = (): boolean => made !== null && identityOf(path) === made
  return {
    isThere,
    remove: () => {
      if (isThere()) removeSocket(path)
    },
  }
}

/** What is at a path. Throws if this process may not look. */
const look = (path: string): Stats | undefined => {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw error instanceof Error && isDenied(error) ? new Error(closedFolder(dirname(path))) : error
  }
}

/** Device and inode of what is at a path; null if nothing is. */
export const identityOf = (path: string): string | null => {
  const there = lstatSync(path, { throwIfNoEntry: false })
  return there === undefined ? null : `${there.dev}:${there.ino}`
}

const isDenied = (error: Error): boolean => 'code' in error && ['EACCES', 'EPERM', 'EROFS'].includes(String(error.code))

/** Whether a process listens there. Who can't find out must not take it. */
const isAnswered = (path: string): Promise<boolean> => new Promise(resolve => {
  const socket = connect({ path })
  socket.once('connect', () => {
    socket.destroy()
    resolve(true)
  }).once('error', error => resolve(!('code' in error && ['ECONNREFUSED', 'ENOENT'].includes(String(error.code)))))
})

/** The process that bound a socket as this one does, by the name in proc_net(5): ` (holdfast, process 123)`. */
const ownerOf = (path: string): string => {
  const names = readFileSync('/proc/self/net/unix', 'utf8').split('\n').map(line => line.split(/\s+/)[7] ?? '')
  for (const name of names.filter(each => each.startsWith(`${path}.`))) {
    try {
      const pid = parseInt(name.slice(path.length + 1), 36)
      return ` (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}, process ${pid})`
    } catch {
      // Another one may be alive.
    }
  }
  return ''
}

/** Why no socket can be made in a folder, and what to do. */
const closedFolder = (folder: string): string => {
  const { uid, gid, mode } = statSync(folder)
  const [self, group] = [process.geteuid?.() ?? 0, groupName(gid)]
  return `this process (user ${self}) may not make a socket in ${folder}, which has owner ${uid}, group ${group} `
    + `and mode ${(mode & 0o7777).toString(8)}: chown ${self} ${folder} && chmod 750 ${folder}`
}

/** Removes a socket. Anything else at that path stays, so that bind(2) fails and says so. */
const removeSocket = (path: string): void => {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path)
}
