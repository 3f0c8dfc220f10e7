/** What the status page, `holdfast status` and /status show: the daemon at one moment. */
import type { Event, Events } from './events.js'
import type { History, HistoryStep } from './history.js'
import type { Status } from './status.js'
import { summarize } from './summary.js'
import type { Summary } from './summary.js'

/** Where a report comes from. */
export type Shown = {
  readonly status: () => Status
  readonly history: History
  readonly events: Events
}

export type Report = Status & {
  readonly summary: Summary
  /** By map. */
  readonly history: Readonly<Record<string, readonly HistoryStep[]>>
  readonly events: readonly Event[]
}

export const reportOf = ({ status, history, events }: Shown): Report => {
  const now = status()
  return { summary: summarize(now), ...now, history: history.steps(now), events: events.list() }
}
