/** What has happened lately, for people; kept in memory only: the last hour of each map, and the last events. */
import type { Status } from './status.js'

/** What happened in one step. */
export type HistoryStep = {
  /** End of the step, epoch ms. */
  readonly at: number
  readonly lookups: number
  /** Answered from memory or Redis. */
  readonly hits: number
  /** Answered by what was known, since the table could not be asked. */
  readonly stale: number
  readonly unavailable: number
}

export const stepMs = 60_000
const maxSteps = 60

type Totals = Omit<HistoryStep, 'at'>

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

const totalsOf = ({ answers, maps }: Status, map: string): Totals => {
  const tallies = answers.filter(each => each.map === map)
  const origins = maps.find(({ name }) => name === map)?.cached?.origins
  const unavailable = sum(tallies.flatMap(tally => Object.values(tally.unavailable)))
  const lookups = sum(tallies.map(({ fresh, absent, stale }) => fresh + absent + stale)) + unavailable
  const stale = sum(tallies.map(tally => tally.stale)) + (origins?.savedAbsences ?? 0)
  return { lookups, hits: origins === undefined ? lookups : origins.memory + origins.redis, stale, unavailable }
}

/** What was counted since `before`. A map that a reload defined anew counts from 0 again. */
const increase = (now: Totals, before: Totals | undefined): Totals => {
  const of = (name: keyof Totals): number => now[name] - Math.min(before?.[name] ?? 0, now[name])
  return { lookups: of('lookups'), hits: of('hits'), stale: of('stale'), unavailable: of('unavailable') }
}

export type History = {
  /** Ends a step. Call it every `stepMs`. */
  sample(status: Status): void
  /** By map, oldest first; the last one is the step under way. */
  steps(status: Status): Readonly<Record<string, readonly HistoryStep[]>>
}

export const createHistory = (): History => {
  let past: ReadonlyMap<string, readonly HistoryStep[]> = new Map<string, readonly HistoryStep[]>()
  let before: ReadonlyMap<string, Totals> = new Map<string, Totals>()
  /** The steps of each map, with the one under way. */
  const stepsAt = (status: Status): readonly (readonly [map: string, steps: readonly HistoryStep[]])[] =>
    status.maps.map(({ name }) => {
      const step = { at: status.now, ...increase(totalsOf(status, name), before.get(name)) }
      return [name, [...past.get(name) ?? [], step].slice(-maxSteps)]
    })
  return {
    sample: status => {
      past = new Map(stepsAt(status))
      before = new Map(status.maps.map(({ name }) => [name, totalsOf(status, name)]))
    },
    steps: status => Object.fromEntries(stepsAt(status)),
  }
}

/** A change of state, which the log says once. */
export type Event = {
  /** Epoch ms. */
  readonly at: number
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

const maxEvents = 50
/** Good news of the first moments (ms) is no event: Redis is reached, copies are taken. */
const startMs = 10_000

export type Events = {
  /** Newest first. */
  list(): readonly Event[]
  /** Records what the log says. */
  readonly add: (level: Event['level'], text: string) => void
}

export const createEvents = (now: () => number): Events => {
  const events: Event[] = []
  const startedAt = now()
  return {
    list: () => events,
    add: (level, text) => {
      if (level === 'info' && now() - startedAt < startMs) return
      events.unshift({ at: now(), level, text })
      events.length = Math.min(events.length, maxEvents)
    },
  }
}
