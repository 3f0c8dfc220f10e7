/**
 * Listening sockets that the service manager opened for us (sd_listen_fds(3)):
 * they outlive a restart, so that no client is refused meanwhile. Each is
 * matched with the configured listener of its address by what Linux says in
 * /proc about it.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import type { Endpoint } from '../config/endpoint.js'

/** sd_listen_fds(3): the first descriptor handed over. */
const firstFd = 3

export type Inherited = {
  /** The descriptor for an address; each is given once. Null if there is none. */
  take(address: Endpoint): number | null
  /** The addresses of those that nobody took. */
  left(): readonly string[]
}

const inodeOf = (fd: number): string => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? ''

/** The rows of a table in /proc/self/net, cut at blanks. */
const rows = (table: string): readonly (readonly string[])[] => {
  try {
    return readFileSync(`/proc/self/net/${table}`, 'utf8').split('\n').slice(1).map(line => line.trim().split(/\s+/))
  } catch {
    // A kernel without IPv6 has no tcp6.
    return []
  }
}

/** `unix:PATH`, or `inet:PORT`: which of the host's addresses it is bound to is the socket unit's business. */
const nameOf = (fd: number): string => {
  const inode = inodeOf(fd)
  // proc(5): Num RefCount Protocol Flags Type St Inode Path
  const path = rows('unix').find(row => row[6] === inode)?.[7]
  if (path !== undefined) return `unix:${path}`
  for (const table of ['tcp', 'tcp6']) {
    const local = rows(table).find(row => row[9] === inode)?.[1]
    if (local !== undefined) return `inet:${parseInt(local.slice(local.indexOf(':') + 1), 16)}`
  }
  return `descriptor ${fd}`
}

/** What LISTEN_FDS and LISTEN_PID in the environment say was handed to process `pid`. */
export const inheritedSockets = (environment: NodeJS.ProcessEnv, pid: number): Inherited => {
  const fds = new Map<string, number>()
  if (environment['LISTEN_PID'] === String(pid)) {
    const count = Number(environment['LISTEN_FDS'] ?? 0)
    for (let fd = firstFd; fd < firstFd + count; fd++) fds.set(nameOf(fd), fd)
  }
  return {
    take: address => {
      const name = address.kind === 'unix' ? `unix:${address.path}` : `inet:${address.port}`
      const fd = fds.get(name)
      fds.delete(name)
      return fd ?? null
    },
    left: () => [...fds.keys()],
  }
}
