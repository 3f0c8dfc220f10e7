/** The last changes of state, for the status page: what the log says once, without its repeated warnings. */
import type { Log } from '../log.js'

export type Event = {
  /** Epoch ms. */
  readonly at: number
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

const maxEvents = 50

export type Events = {
  /** Newest first. */
  list(): readonly Event[]
  /** The same log, but what it says once is also an event. */
  recording(log: Log): Log
}

export const createEvents = (now: () => number): Events => {
  const events: Event[] = []
  const add = (level: Event['level'], text: string): void => {
    events.unshift({ at: now(), level, text })
    events.length = Math.min(events.length, maxEvents)
  }
  return {
    list: () => events,
    recording: log => ({
      ...log,
      // The spread would keep the level of now.
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
