/**
 * Tells systemd how the service is: sd_notify(3), and the watchdog. Node has
 * no datagram sockets in the file system, so systemd-notify(1) sends the
 * words; the unit needs NotifyAccess=all. Without NOTIFY_SOCKET in the
 * environment nothing is told to anybody.
 */
import { execFile } from 'node:child_process'

export type Notifier = {
  ready(): Promise<void>
  reloading(): Promise<void>
  stopping(): Promise<void>
}

/** `onProblem` hears in one line why systemd could not be told. */
export const createNotifier = (environment: NodeJS.ProcessEnv, onProblem: (text: string) => void): Notifier => {
  if (environment['NOTIFY_SOCKET'] === undefined) {
    const nobody = (): Promise<void> => Promise.resolve()
    return { ready: nobody, reloading: nobody, stopping: nobody }
  }
  const tell = (...words: string[]): Promise<void> => new Promise(resolve => {
    execFile('systemd-notify', words, { timeout: 10_000 }, error => {
      if (error !== null) onProblem(`systemd-notify: ${error.message.split('\n', 1)[0] ?? ''}`)
      resolve()
    })
  })
  const watchdogMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1_000
  let watchdog: NodeJS.Timeout | null = null
  return {
    ready: () => {
      // Half the time, as sd_watchdog_enabled(3) advises. A process that turns sends it; nothing else is judged.
      if (watchdogMs > 0) watchdog ??= setInterval(() => void tell('WATCHDOG=1'), watchdogMs / 2).unref()
      return tell('--ready')
    },
    reloading: () => tell('RELOADING=1'),
    stopping: () => {
      if (watchdog !== null) clearInterval(watchdog)
      return tell('STOPPING=1')
    },
  }
}
