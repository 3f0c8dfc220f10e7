/** What processes have used, from the kernel's own accounts: proc(5). */
import { readFileSync, readdirSync } from 'node:fs'

/** USER_HZ, the unit of the times in /proc: 100 a second on every Linux. */
const ticksPerSecond = 100

/** `pid` and all that descend from it: a daemon and what it started. */
export const processTree = (pid: number): readonly number[] => {
  const pids = [pid]
  for (const parent of pids) {
    for (const thread of readdirSync(`/proc/${parent}/task`)) {
      pids.push(...readFileSync(`/proc/${parent}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number))
    }
  }
  return pids
}

/** CPU seconds of these processes so far, user and system, all threads. */
export const cpuSeconds = (pids: readonly number[]): number => {
  let ticks = 0
  for (const pid of pids) {
    // The second field is the command's name in brackets, which may hold anything; the 14th and 15th are the times.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / ticksPerSecond
}

/** Resident memory of these processes, in bytes. */
export const residentBytes = (pids: readonly number[]): number => {
  let kilobytes = 0
  for (const pid of pids) {
    kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  }
  return kilobytes * 1024
}
