/** The last changes of state, for the status page: what the log was told, but not its warnings about traffic. */
import type { Log } from '../log.js'

export type Event = {
  /** Epoch ms. */
  readonly at: number
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

const kept = 50

export type Events = {
  /** Newest first. */
  list(): readonly Event[]
  /** A log that also remembers here what it is told once. */
  recording(log: Log): Log
}

export const createEvents = (now: () => number): Events => {
  const events: Event[] = []
  const add = (level: Event['level'], text: string): void => {
    events.unshift({ at: now(), level, text })
    events.length = Math.min(events.length, kept)
  }
  return {
    list: () => events,
    recording: log => ({
      ...log,
      // It can change; the spread has it as it was.
      get isDebug() {
        return log.isDebug
      },
      info: (text, fields) => {
        add('info', text)
        log.info(text, fields)
      },
      warn: (text, fields) => {
        add('warn', text)
        log.warn(text, fields)
      },
      error: (text, fields) => {
        add('error', text)
        log.error(text, fields)
      },
    }),
  }
}
