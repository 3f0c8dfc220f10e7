/**
 * The shares of several processes as one: counts are summed, and of a state the
 * worst counts, since when it has been so anywhere. What a part is, each process
 * knows for itself: its own breaker, its own Redis connection, its own memory.
 */
import type { Answers, MapStatus, RedisStatus, ServerReport, Share, Status, WarmStatus } from './status.js'

type Merged = Pick<Share, 'configuredAt' | 'listeners' | 'redis' | 'servers' | 'canaries' | 'maps' | 'answers'> & Pick<Status, 'processes'>

const sum = <Item>(items: readonly Item[], of: (item: Item) => number): number => items.reduce((total, item) => total + of(item), 0)

/** Items that are of one kind, in the order of the first of each; each kind has one at least. */
const grouped = <Item>(items: readonly Item[], keyOf: (item: Item) => string): readonly (readonly [Item, ...Item[]])[] => {
  const groups = new Map<string, [Item, ...Item[]]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return [...groups.values()]
}

/** The one that is worst off: `rank` is highest, and of those alike it has been so longest. */
const worst = <Item extends { readonly since: number }>([first, ...others]: readonly [Item, ...Item[]], rank: (item: Item) => number): Item =>
  others.reduce((so, item) => rank(item) > rank(so) || (rank(item) === rank(so) && item.since < so.since) ? item : so, first)

const sumOfCounts = (counts: readonly Readonly<Partial<Record<string, number>>>[]): Record<string, number> => {
  const total: Record<string, number> = {}
  for (const each of counts) for (const [name, count = 0] of Object.entries(each)) total[name] = (total[name] ?? 0) + count
  return total
}

const mergeServers = (same: readonly [ServerReport, ...ServerReport[]]): ServerReport => ({
  ...worst(same, ({ state }) => ['closed', 'half-open', 'open'].indexOf(state)),
  connections: sum(same, each => each.connections),
  busy: sum(same, each => each.busy),
  limit: sum(same, each => each.limit),
  waiting: sum(same, each => each.waiting),
  opened: sum(same, each => each.opened),
})

const mergeRedis = (same: readonly RedisStatus[]): RedisStatus | null => {
  const [first, ...others] = same
  if (first === undefined) return null
  return {
    ...worst([first, ...others], ({ state }) => ['ready', 'connecting', 'resting', 'down'].indexOf(state)),
    hits: sum(same, each => each.hits),
    misses: sum(same, each => each.misses),
    faults: sumOfCounts(same.map(each => each.faults)),
  }
}

/** The process that is at it says how far it is; of those at rest, the one that did it last. */
const mergeWarm = (same: readonly WarmStatus[]): WarmStatus | null => {
  const rank = ({ state, startedAt }: WarmStatus): number => ['elsewhere', 'idle', 'waiting', 'loading'].indexOf(state) * 1e15 + (startedAt ?? 0)
  const [first] = same.toSorted((a, b) => rank(b) - rank(a))
  if (first === undefined) return null
  const loaded = same.flatMap(({ loadedAt }) => loadedAt === null ? [] : [loadedAt])
  return {
    ...first,
    loadedAt: loaded.length === 0 ? null : Math.max(...loaded),
    totalRows: sum(same, each => each.totalRows),
    failures: sum(same, each => each.failures),
    problem: same.find(({ problem }) => problem !== '')?.problem ?? '',
  }
}

const mergeMaps = (same: readonly [MapStatus, ...MapStatus[]]): MapStatus => {
  const [first, ...others] = same.flatMap(({ cached }) => cached === null ? [] : [cached])
  if (first === undefined) return same[0]
  const all = [first, ...others]
  return {
    ...same[0],
    warm: mergeWarm(same.flatMap(({ warm }) => warm === null ? [] : [warm])),
    cached: {
      ...first,
      origins: {
        memory: sum(all, each => each.origins.memory), redis: sum(all, each => each.origins.redis),
        load: sum(all, each => each.origins.load), table: sum(all, each => each.origins.table), queries: sum(all, each => each.origins.queries),
      },
      memory: {
        found: sum(all, each => each.memory.found), foundBytes: sum(all, each => each.memory.foundBytes), absent: sum(all, each => each.memory.absent),
      },
      inFlight: sum(all, each => each.inFlight),
      guard: worst([first.guard, ...others.map(({ guard }) => guard)], ({ trusted }) => trusted ? 0 : 1),
    },
  }
}

const mergeAnswers = (same: readonly [Answers, ...Answers[]]): Answers => ({
  ...same[0],
  fresh: sum(same, each => each.fresh),
  stale: sum(same, each => each.stale),
  absent: sum(same, each => each.absent),
  unavailable: sumOfCounts(same.map(each => each.unavailable)),
  waits: {
    boundsMs: same[0].waits.boundsMs,
    counts: same[0].waits.counts.map((_, index) => sum(same, each => each.waits.counts[index] ?? 0)),
    sumMs: sum(same, each => each.waits.sumMs),
  },
})

/** One share for all of the node. Without any, nothing is known. */
export const mergeShares = (shares: readonly Share[]): Merged => ({
  configuredAt: Math.min(...shares.map(each => each.configuredAt)),
  listeners: grouped(shares.flatMap(each => each.listeners), each => each.key).map(same => ({
    key: same[0].key, connections: sum(same, each => each.connections), refused: sum(same, each => each.refused),
  })),
  redis: mergeRedis(shares.flatMap(({ redis }) => redis === null ? [] : [redis])),
  servers: grouped(shares.flatMap(each => each.servers), each => each.server).map(mergeServers),
  canaries: grouped(shares.flatMap(each => each.canaries), each => each.map).map(same => worst(same, ({ missing }) => missing ? 1 : 0)),
  maps: grouped(shares.flatMap(each => each.maps), each => each.name).map(mergeMaps),
  answers: grouped(shares.flatMap(each => each.answers), each => `${each.protocol} ${each.map}`).map(mergeAnswers),
  processes: shares.map(each => each.process),
})
