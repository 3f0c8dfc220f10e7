/** The CPU time and memory of processes, as the kernel counts them: proc(5). */
import { readFileSync, readdirSync } from 'node:fs'

/** USER_HZ, the unit of the times in /proc: 100 a second on every Linux. */
const ticksPerSecond = 100

/** `pid` and all processes that descend from it: a daemon and what it started. */
export const processTree = (pid: number): readonly number[] => {
  const pids = [pid]
  for (const parent of pids) {
    for (const thread of readdirSync(`/proc/${parent}/task`)) {
      pids.push(...readFileSync(`/proc/${parent}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number))
    }
  }
  return pids
}

/** The sum of two neighbouring times (utime and stime, or cutime and cstime) of a process, in seconds. */
const secondsOf = (pid: number, first: 14 | 16): number => {
  // The second field is the command's name in brackets, which may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')
  return (Number(fields[first - 3]) + Number(fields[first - 2])) / ticksPerSecond
}

/** CPU seconds of these processes so far, user and system, all threads. */
export const cpuSeconds = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + secondsOf(pid, 14), 0)

/**
 * CPU seconds of a process and all its descendants, including those that have
 * exited: for a server such as master(8), whose children come and go.
 */
export const familySeconds = (pid: number): number => {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
    return secondsOf(pid, 14) + secondsOf(pid, 16) + children.reduce((sum, child) => sum + familySeconds(child), 0)
  } catch (error) {
    // The process has exited meanwhile: from now on its time is part of its parent's.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return 0
    throw error
  }
}

/** Resident memory of these processes, in bytes. */
export const residentBytes = (pids: readonly number[]): number => {
  let kilobytes = 0
  for (const pid of pids) {
    kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  }
  return kilobytes * 1024
}
