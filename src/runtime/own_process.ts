/** Processes that the daemon starts for a part of its work: loaders. */
import { fork } from 'node:child_process'
import type { ChildProcess, ForkOptions } from 'node:child_process'

/** Starts one; the service manager's words stay with the daemon. Throws if the system has no room for it. */
export const forkOwn = (program: string, args: readonly string[] = [], options: ForkOptions = {}): ChildProcess =>
  fork(program, args, { ...options, env: { ...process.env, NOTIFY_SOCKET: undefined, LISTEN_FDS: undefined, LISTEN_PID: undefined } })

/** For such a process to call at its start: it ends when its daemon says so, or is gone. Signals to the whole service are the daemon's business. */
export const belongToDaemon = (): void => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.on('disconnect', () => process.exit(0))
}
