/** The last hour of each map in steps of a minute, for the charts of the status page. Plain numbers; a daemon's own memory, gone with it. */
import type { Status } from './status.js'

/** What happened in one step. */
export type HistoryStep = {
  /** End of the step, epoch ms. */
  readonly at: number
  readonly lookups: number
  /** Answered from memory or Redis. */
  readonly hits: number
  readonly stale: number
  readonly unavailable: number
}

export const stepMs = 60_000
const steps = 60

type Totals = Omit<HistoryStep, 'at'>

const sum = (numbers: readonly (number | undefined)[]): number => numbers.reduce<number>((total, each) => total + (each ?? 0), 0)

const totalsOf = (status: Status, map: string): Totals => {
  const answers = status.answers.filter(each => each.map === map)
  const origins = status.maps.find(each => each.name === map)?.cached?.origins
  const unavailable = sum(answers.flatMap(each => Object.values(each.unavailable)))
  const lookups = sum(answers.map(each => each.fresh + each.stale + each.absent)) + unavailable
  return { lookups, hits: origins === undefined ? lookups : origins.memory + origins.redis, stale: sum(answers.map(each => each.stale)), unavailable }
}

export type History = {
  /** Closes a step; to be called every `stepMs`. */
  sample(status: Status): void
  /** Oldest first, by map; the last one is the step under way. */
  steps(status: Status): Readonly<Record<string, readonly HistoryStep[]>>
}

export const createHistory = (): History => {
  const past = new Map<string, HistoryStep[]>()
  let before = new Map<string, Totals>()
  const since = (status: Status, map: string): HistoryStep => {
    const totals = totalsOf(status, map)
    const earlier = before.get(map)
    // Counters start anew when a map's definition changes.
    const grown = (name: keyof Totals): number => Math.max(0, totals[name] - Math.min(earlier?.[name] ?? 0, totals[name]))
    return { at: status.now, lookups: grown('lookups'), hits: grown('hits'), stale: grown('stale'), unavailable: grown('unavailable') }
  }
  return {
    sample: status => {
      for (const { name } of status.maps) past.set(name, [...past.get(name) ?? [], since(status, name)].slice(-steps))
      before = new Map(status.maps.map(({ name }) => [name, totalsOf(status, name)]))
      for (const name of past.keys()) if (!before.has(name)) past.delete(name)
    },
    steps: status => Object.fromEntries(status.maps.map(({ name }) => [name, [...past.get(name) ?? [], since(status, name)].slice(-steps)])),
  }
}
