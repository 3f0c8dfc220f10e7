/**
 * /metrics for Prometheus. All values are read when it asks, from counters
 * that the parts keep anyway: a lookup pays nothing for them. Labels are maps,
 * servers, listeners and closed sets of words, never a key.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { Tally } from '../server/tally.js'
import type { Status } from './status.js'
import { summarize } from './summary.js'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [Labels, number]

const answersOf = ({ fresh, stale, absent, unavailable }: Tally): readonly (readonly [outcome: string, reason: string, count: number])[] => [
  ['fresh', '', fresh], ['stale', '', stale], ['absent', '', absent],
  ...Object.entries(unavailable).map(([reason, count]) => ['unavailable', reason, count] as const),
]

const totalOf = (answers: Tally): number => answersOf(answers).reduce((sum, [, , count]) => sum + count, 0)

/** Lookups that memory answered at once count into the first bucket: they are not timed. */
class WaitHistogram extends Histogram<'map'> {
  readonly #read: () => readonly Tally[]
  readonly #name: string
  readonly #help: string

  constructor(name: string, help: string, registry: Registry, read: () => readonly Tally[]) {
    super({ name, help, labelNames: ['map'], registers: [registry] })
    this.#read = read
    this.#name = name
    this.#help = help
  }

  /** What the registry asks for its text form; `get` goes by it too. */
  getForPromString() {
    const values: { metricName: string, labels: Record<string, string | number>, value: number }[] = []
    const name = this.#name
    const byMap = new Map<string, Tally[]>()
    for (const answers of this.#read()) byMap.set(answers.map, [...byMap.get(answers.map) ?? [], answers])
    for (const [map, several] of byMap) {
      const waited = several.flatMap(({ waits }) => waits.counts).reduce((sum, count) => sum + count, 0)
      const count = Math.max(waited, several.reduce((sum, answers) => sum + totalOf(answers), 0))
      let cumulated = count - waited
      for (const [index, boundMs] of (several[0]?.waits.boundsMs ?? []).entries()) {
        cumulated += several.reduce((sum, { waits }) => sum + (waits.counts[index] ?? 0), 0)
        values.push({ metricName: `${name}_bucket`, labels: { map, le: boundMs / 1_000 }, value: cumulated })
      }
      values.push({ metricName: `${name}_bucket`, labels: { map, le: '+Inf' }, value: count })
      values.push({ metricName: `${name}_sum`, labels: { map }, value: several.reduce((sum, { waits }) => sum + waits.sumMs, 0) / 1_000 })
      values.push({ metricName: `${name}_count`, labels: { map }, value: count })
    }
    return { name, help: this.#help, type: 'histogram', aggregator: 'sum', values }
  }
}

export type Metrics = {
  readonly contentType: string
  /** The whole page. */
  render(): Promise<string>
}

/** Metrics of what `status` gives at the moment of asking. */
export const createMetrics = (status: () => Status): Metrics => {
  const registry = new Registry()

  let current: Status | null = null
  const read = <Read>(of: (status: Status) => readonly Read[]): readonly Read[] => current === null ? [] : of(current)
  const counter = (name: string, help: string, labelNames: readonly string[], samples: (status: Status) => readonly Sample[]): void => {
    new Counter({
      name, help, labelNames, registers: [registry],
      collect() {
        this.reset()
        for (const [labels, value] of read(samples)) this.inc(labels, value)
      },
    })
  }
  const gauge = (name: string, help: string, labelNames: readonly string[], samples: (status: Status) => readonly Sample[]): void => {
    new Gauge({
      name, help, labelNames, registers: [registry],
      collect() {
        this.reset()
        for (const [labels, value] of read(samples)) this.set(labels, value)
      },
    })
  }
  const cached = (read: (map: string, parts: NonNullable<Status['maps'][number]['cached']>) => readonly Sample[]) => (given: Status): Sample[] =>
    given.maps.flatMap(({ name, cached: parts }) => parts === null ? [] : [...read(name, parts)])

  gauge('holdfast_build_info', 'Always 1; the version and the node\'s role as labels.', ['version', 'role', 'node'],
    ({ version, role }) => [[{ version, role, node: process.version }, 1]])
  gauge('holdfast_ready', '1 while the node answers, 0 while it stops.', [], ({ ready }) => [[{}, ready ? 1 : 0]])
  gauge('holdfast_degraded_parts', 'Parts that do not work now; /status says which.', [],
    given => [[{}, summarize(given).degraded.length]])
  gauge('holdfast_config_loaded_timestamp_seconds', 'When the configuration in force was read.', [],
    ({ configuredAt }) => [[{}, configuredAt / 1_000]])

  counter('holdfast_lookups_total', 'Tally given, by map, protocol, outcome (fresh, stale, absent, unavailable) and, if unavailable, reason.',
    ['map', 'protocol', 'outcome', 'reason'],
    ({ answers }) => answers.flatMap(each => answersOf(each)
      .map(([outcome, reason, count]): Sample => [{ map: each.map, protocol: each.protocol, outcome, reason }, count])))
  counter('holdfast_saved_total', 'Lookups answered with a stale value that would have deferred mail.', ['map'],
    ({ answers }) => answers.map(({ map, stale }) => [{ map }, stale]))
  new WaitHistogram('holdfast_lookup_duration_seconds',
    'Time from request to answer. What memory answers at once is counted in the first bucket, untimed.', registry, () => read(({ answers }) => answers))

  counter('holdfast_answers_from_total', 'Where found and absent answers came from: memory, redis, or the table itself.', ['map', 'origin'],
    cached((map, { origins }) => [
      [{ map, origin: 'memory' }, origins.memory], [{ map, origin: 'redis' }, origins.redis],
      [{ map, origin: 'table' }, origins.table],
    ]))
  counter('holdfast_table_queries_total', 'Questions to the tables (search steps; a lookup may take several).', ['map'],
    cached((map, { origins }) => [[{ map }, origins.queries]]))
  gauge('holdfast_lookups_in_flight', 'Lookups waiting for Redis or a table.', ['map'], cached((map, { inFlight }) => [[{ map }, inFlight]]))
  gauge('holdfast_memory_entries', 'Tally held in memory.', ['map', 'kind'],
    cached((map, { memory }) => [[{ map, kind: 'found' }, memory.found], [{ map, kind: 'absent' }, memory.absent]]))
  gauge('holdfast_memory_found_bytes', 'Memory taken by found answers, as counted against the limit.', ['map'],
    cached((map, { memory }) => [[{ map }, memory.foundBytes]]))
  gauge('holdfast_guard_trusted', '1 while the table is believed when it says absent, 0 while it is not.', ['map'],
    cached((map, { doubts }) => [[{ map }, doubts.length === 0 ? 1 : 0]]))
  gauge('holdfast_guard_gone_keys', 'Known keys that the table lacks, while it is in doubt.', ['map'],
    cached((map, { doubts }) => [[{ map }, Math.max(0, ...doubts.map(({ missing }) => missing ?? 0))]]))
  gauge('holdfast_copy_rows', 'Rows in the copies of a map\'s tables, which answer in an outage.', ['map'],
    ({ maps }) => maps.map(({ name, copies }) => [{ map: name }, copies.reduce((sum, { rows }) => sum + rows, 0)]))
  gauge('holdfast_copy_timestamp_seconds', 'When the oldest copy of a map\'s tables was taken; 0: a table has none.', ['map'],
    ({ maps }) => maps.flatMap(({ name, source, copies }) =>
      source === 'text' ? [] : [[{ map: name }, Math.min(...copies.map(({ takenAt }) => (takenAt ?? 0) / 1_000))]]))
  gauge('holdfast_canary_missing', '1 while the canary of this map is missing.', ['map'],
    ({ canaries }) => canaries.map(({ map, missing }) => [{ map }, missing ? 1 : 0]))

  const warmed = (read: (warm: NonNullable<Status['maps'][number]['warm']>) => number) => (given: Status): Sample[] =>
    given.maps.flatMap(({ name, warm }): Sample[] => warm === null ? [] : [[{ map: name }, read(warm)]])
  gauge('holdfast_warm_last_success_timestamp_seconds', 'The whole table was last loaded ahead of demand as of then, by whichever node; 0: not yet.', ['map'],
    warmed(({ loadedAt }) => (loadedAt ?? 0) / 1_000))
  counter('holdfast_warm_rows_total', 'Rows that this node read to load tables ahead of demand.', ['map'], warmed(({ totalRows }) => totalRows))
  counter('holdfast_warm_failures_total', 'Loads that this node could not do or not finish; each is tried again.', ['map'], warmed(({ failures }) => failures))

  gauge('holdfast_breaker_state', '1 for the state that the breaker of a MySQL server is in.', ['server', 'state'],
    ({ servers }) => servers.flatMap(({ server, state }) =>
      ['closed', 'open', 'half-open'].map((each): Sample => [{ server, state: each }, each === state ? 1 : 0])))
  counter('holdfast_breaker_opened_total', 'How often the breaker of a MySQL server opened.', ['server'],
    ({ servers }) => servers.map(({ server, opened }) => [{ server }, opened]))
  gauge('holdfast_mysql_connections', 'Connections to a MySQL server.', ['server', 'state'],
    ({ servers }) => servers.flatMap(({ server, connections, busy }): Sample[] => [
      [{ server, state: 'busy' }, busy], [{ server, state: 'idle' }, Math.max(0, connections - busy)]]))
  gauge('holdfast_mysql_waiting', 'Questions that wait for a connection.', ['server'],
    ({ servers }) => servers.map(({ server, waiting }) => [{ server }, waiting]))

  gauge('holdfast_redis_state', '1 for the state that Redis is in; used only while ready.', ['state'],
    ({ redis }) => redis === null ? [] : ['connecting', 'ready', 'resting', 'down'].map(state => [{ state }, state === redis.state ? 1 : 0]))
  counter('holdfast_redis_reads_total', 'Keys read from Redis.', ['result'],
    ({ redis }) => redis === null ? [] : [[{ result: 'hit' }, redis.hits], [{ result: 'miss' }, redis.misses]])
  counter('holdfast_redis_faults_total', 'Commands and records that were of no use, by reason; each is a miss.', ['reason'],
    ({ redis }) => redis === null ? [] : Object.entries(redis.faults).map(([reason, count]) => [{ reason }, count]))

  gauge('holdfast_connections', 'Clients connected.', ['listener', 'protocol'],
    ({ listeners }) => listeners.map(({ address, protocol, connections }) => [{ listener: address, protocol }, connections]))
  counter('holdfast_connections_refused_total', 'Clients turned away: more than max_connections, or a peer that `allow` doesn\'t name.',
    ['listener', 'protocol'],
    ({ listeners }) => listeners.map(({ address, protocol, refused }) => [{ listener: address, protocol }, refused]))
  // Looks at the event loop so often (ms). By itself it would a hundred times a second, most of what an idle daemon does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 })

  return {
    contentType: registry.contentType,
    render: async () => {
      // One look at the daemon for each scrape, so that the figures agree with each other.
      current = status()
      return registry.metrics()
    },
  }
}
