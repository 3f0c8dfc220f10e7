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
import { messageOf } from '../log.js'

export type UnixSocket = {
  readonly path: string
  readonly mode: number
  /** null: the group of this process. */
  readonly gid: number | null
}

/**
 * Somebody removed or replaced a socket; or it has other rights, or this process may not look: why, and what to do.
 */
export type Lost = 'gone' | { readonly why: string }

/** The file of a socket that this process listens on. */
export type SocketFile = {
  /** null: it is still at its path. */
  readonly lost: () => Lost | null
  /** Removes it, if it is still there and this process may. */
  readonly remove: () => void
}

/** A deep backlog: after a restart all of Postfix's processes connect at once. */
export const backlog = 1_024

/**
 * Has `server` listen. Rejects if the folder is missing or closed to this process, another kind of file is there, or a
 * process answers there; then nothing is changed.
 */
export const listenOnUnixSocket = async (server: Server, socket: UnixSocket): Promise<SocketFile> => {
  const { path, mode, gid } = socket
  // The system would say "permission denied", of a name that nobody knows.
  if (!existsSync(dirname(path))) throw new Error(`there is no folder ${dirname(path)}: make it`)
  const there = look(socket)
  if (there !== undefined && !there.isSocket()) throw new Error(`${path} exists and is not a socket: remove it`)
  if (there !== undefined && await isAnswered(path)) {
    throw new Error(`${path}: another process answers there${ownerOf(path)}; stop that one first`)
  }
  const temporary = `${path}.${process.pid.toString(36)}`
  removeSocket(temporary)
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(isDenied(error) ? new Error(closedFolder(socket, 'make a socket in')) : error))
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
  return socketFile(socket)
}

/** The file of a socket, as it is now or, if this process may not look yet, when it first may. */
export const socketFile = (socket: UnixSocket): SocketFile => {
  let made: Stats | undefined
  const lost = (): Lost | null => {
    let there: Stats | undefined
    try {
      there = look(socket, 'look into')
    } catch (error) {
      return { why: messageOf(error) }
    }
    made ??= there
    if (there === undefined || made === undefined || there.dev !== made.dev || there.ino !== made.ino) return 'gone'
    // As after chown -R of the queue folder.
    return there.gid === made.gid && there.mode === made.mode ? null : { why: otherRights(socket.path, there, made) }
  }
  lost()
  return {
    lost,
    remove: () => {
      try {
        if (lost() === null) removeSocket(socket.path)
      } catch {
        // The next process replaces it.
      }
    },
  }
}

/** What is at a socket's path. Throws if this process may not look; `deed` is what it would do. */
const look = (socket: UnixSocket, deed = 'make a socket in'): Stats | undefined => {
  try {
    return lstatSync(socket.path, { throwIfNoEntry: false })
  } catch (error) {
    throw error instanceof Error && isDenied(error) ? new Error(closedFolder(socket, deed)) : error
  }
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

/** Why a socket's folder is closed to this process, and what to do. */
const closedFolder = ({ path, gid: client }: UnixSocket, deed: string): string => {
  const folder = dirname(path)
  const self = process.geteuid?.() ?? 0
  // The rights of a folder above it may be the reason; then nothing is known of this one.
  const stats = statsOf(folder)
  if (stats === null) return `this process (user ${self}) may not go through all folders above ${path}: open them to it`
  const { uid, gid } = stats
  const owner = `${self}${client === null ? '' : `:${groupName(client)}`}`
  return `this process (user ${self}) may not ${deed} ${folder}, which has owner ${uid}, group ${groupName(gid)} `
    + `and mode ${modeText(stats)}: chown ${owner} ${folder} && chmod 750 ${folder}`
}

const modeText = ({ mode }: Stats): string => (mode & 0o7777).toString(8)

const otherRights = (path: string, now: Stats, made: Stats): string => {
  const [group, before] = [groupName(now.gid), groupName(made.gid)]
  return `it has group ${group} and mode ${modeText(now)} now, and had ${before} and ${modeText(made)}: `
    + `chgrp ${before} ${path} && chmod ${modeText(made)} ${path}`
}

const statsOf = (folder: string): Stats | null => {
  try {
    return statSync(folder)
  } catch {
    return null
  }
}

/** Removes a socket. Anything else at that path stays, so that bind(2) fails and says so. */
const removeSocket = (path: string): void => {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path)
}
