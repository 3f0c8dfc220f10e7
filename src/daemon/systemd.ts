/**
 * The service manager: the messages to it (sd_notify(3), the watchdog), and the listening sockets that it hands over
 * (sd_listen_fds(3)). These outlive a restart, so that no client is refused meanwhile.
 *
 * Node has no datagram sockets in the file system, so systemd-notify(1) sends the words; the unit needs
 * NotifyAccess=all. Without NOTIFY_SOCKET in the environment nobody is told anything.
 */
import { execFile } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { replaceFile } from '../runtime/replace_file.js'

/**
 * The file that says what came of the last reload, a line for each problem: sd_notify(3) has no word for a reload that
 * failed. It is in the unit's RuntimeDirectory; null if there is none.
 */
export const verdictFile = (environment: NodeJS.ProcessEnv): string | null => {
  const folder = environment['RUNTIME_DIRECTORY']?.split(':', 1)[0] ?? ''
  return folder === '' ? null : join(folder, 'reload')
}

/** `onProblem` gets one line that says why systemd could not be told. */
export const createNotifier = (environment: NodeJS.ProcessEnv, onProblem: (text: string) => void) => {
  const tell = (...words: string[]): Promise<void> => new Promise(resolve => {
    if (environment['NOTIFY_SOCKET'] === undefined) return resolve()
    execFile('systemd-notify', words, { timeout: 10_000 }, error => {
      if (error !== null) onProblem(`systemd-notify: ${error.message.split('\n', 1)[0] ?? ''}`)
      resolve()
    })
  })
  const verdict = verdictFile(environment)
  const watchdogMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1_000
  let watchdog: NodeJS.Timeout | null = null
  return {
    ready: (): Promise<void> => {
      // Half the time, as sd_watchdog_enabled(3) advises. A process that turns sends it; nothing else is judged.
      if (watchdogMs > 0) watchdog ??= setInterval(() => void tell('WATCHDOG=1'), watchdogMs / 2).unref()
      return tell('--ready')
    },
    reloading: () => tell('RELOADING=1'),
    /** A reload is over; `problems` say what of the configuration is not in force. */
    reloaded: async (problems: readonly string[]): Promise<void> => {
      try {
        const text = problems.map(problem => `${problem}\n`).join('')
        if (verdict !== null) await replaceFile(verdict, append => append(text))
      } catch (error) {
        onProblem(`what came of the reload can't be written: ${messageOf(error)}`)
      }
      await tell('--ready')
    },
    stopping: (): Promise<void> => {
      if (watchdog !== null) clearInterval(watchdog)
      return tell('STOPPING=1')
    },
  }
}

/** sd_listen_fds(3): the first descriptor handed over. */
const firstFd = 3

export type Inherited = {
  /** The descriptor for an address; each is given once. Null if there is none. */
  take(address: Endpoint): number | null
  /** The addresses of those that no listener took. */
  left(): readonly string[]
  /**
   * Closes the clients that wait there, and those that come meanwhile: nobody will serve them, and the service manager,
   * which keeps the sockets, would let them wait. Resolves soon; never rejects.
   */
  turnAway(): Promise<void>
}

/** Postfix asks once more when its connection is closed: that one is to be closed, too (ms). */
const turnAwayForMs = 200

// Linux says in /proc what address a descriptor listens on.
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
    turnAway: async () => {
      if (fds.size === 0) return
      const servers = [...fds.values()].map(fd =>
        createServer(client => client.destroy()).on('error', () => undefined).listen({ fd }))
      await sleep(turnAwayForMs)
      for (const server of servers) server.close()
    },
  }
}
