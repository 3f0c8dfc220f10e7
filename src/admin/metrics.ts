/**
 * /metrics for Prometheus. All values are read when it asks, so a lookup pays
 * nothing for them. Labels are maps, servers, listeners and words from fixed
 * sets, never a key.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { FleetStatus } from '../fleet/announcer.js'
import { findingKinds, fleetStates } from '../fleet/fleet_status.js'
import { reasons } from '../outcome.js'
import type { Tally } from '../server/tally.js'
import type { CachedStatus, Status, WarmStatus } from './status.js'
import { summarize } from './summary.js'

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

type Metric = {
  readonly type: typeof Counter | typeof Gauge
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  readonly samples: (status: Status) => readonly Sample[]
}

type Define = (name: string, help: string, labels: readonly string[], samples: Metric['samples']) => Metric

const counter: Define = (name, help, labels, samples) => ({ type: Counter, name, help, labels, samples })
const gauge: Define = (name, help, labels, samples) => ({ type: Gauge, name, help, labels, samples })

/** 1 for the state that something is in, 0 for the others. */
const inState = <State extends string>(
  state: State, states: readonly State[], labels: Sample[0] = {},
): readonly Sample[] => states.map(each => [{ ...labels, state: each }, each === state ? 1 : 0])

const ofNode: readonly Metric[] = [
  gauge('holdfast_build_info', 'Always 1; what runs here, as labels.', ['version', 'node', 'role', 'nodejs'],
    ({ version, node, role }) => [[{ version, node, role, nodejs: process.version }, 1]]),
  gauge('holdfast_state', '1 for the state of this node: /status says what is wrong, and which mail is affected.',
    ['state'], status => inState(summarize(status).state, ['well', 'degraded', 'deferring', 'stopping'])),
  gauge('holdfast_ready', '1 while clients reach the node, 0 while it stops or a socket is gone.', [],
    ({ ready }) => [[{}, ready ? 1 : 0]]),
  gauge('holdfast_degraded_parts', 'Parts that do not work now; /status says which.', [],
    status => [[{}, summarize(status).degraded.length]]),
  gauge('holdfast_config_last_reload_success_timestamp_seconds', 'When the configuration in force was read.', [],
    ({ configuredAt }) => [[{}, configuredAt / 1_000]]),
]

const ofListeners: readonly Metric[] = [
  gauge('holdfast_connections', 'Clients connected.', ['listener', 'protocol'],
    ({ listeners }) => listeners.map(({ address: listener, protocol, connections }) =>
      [{ listener, protocol }, connections])),
  counter('holdfast_connections_refused_total',
    'Clients turned away: more than max_connections, or a peer that `allow` doesn\'t name.', ['listener', 'protocol'],
    ({ listeners }) => listeners.map(({ address: listener, protocol, refused }) => [{ listener, protocol }, refused])),
]

type Answered = readonly [outcome: string, reason: string, count: number]

/** Each series is there from the start, so that Prometheus sees the first increase of each. */
const answeredIn = ({ map, fresh, stale, absent, unavailable }: Tally): readonly Answered[] => [
  ...map === '' ? [] : [['fresh', '', fresh], ['stale', '', stale], ['absent', '', absent]] as const,
  ...reasons.filter(reason => (reason === 'unknown-map') === (map === '') || reason in unavailable)
    .map((reason): Answered => ['unavailable', reason, unavailable[reason] ?? 0]),
]

const savedIn = ({ answers, maps }: Status, map: string): number =>
  answers.reduce((sum, tally) => tally.map === map ? sum + tally.stale : sum, 0)
  + (maps.find(({ name }) => name === map)?.cached?.origins.savedAbsences ?? 0)

const ofAnswers: readonly Metric[] = [
  counter('holdfast_lookups_total',
    'Answers given, by map, protocol, outcome (fresh, stale, absent, unavailable) and, if unavailable, reason.',
    ['map', 'protocol', 'outcome', 'reason'],
    ({ answers }) => answers.flatMap(tally => answeredIn(tally).map(([outcome, reason, count]): Sample =>
      [{ map: tally.map, protocol: tally.protocol, outcome, reason }, count]))),
  counter('holdfast_saved_total', 'Lookups answered by what was known, stale or in a copy, instead of deferring mail.',
    ['map'], status => [...new Set(status.answers.map(({ map }) => map))].map(map => [{ map }, savedIn(status, map)])),
]

/** Samples of each map that is cached. */
const cached = (samples: (map: string, cached: CachedStatus) => readonly Sample[]): Metric['samples'] =>
  ({ maps }) => maps.flatMap(map => map.cached === null ? [] : samples(map.name, map.cached))

const ofMaps: readonly Metric[] = [
  counter('holdfast_answers_total',
    'Where found and absent answers came from: memory, redis, or the table itself.', ['map', 'origin'],
    cached((map, { origins: { memory, redis, table } }) =>
      Object.entries({ memory, redis, table }).map(([origin, count]) => [{ map, origin }, count]))),
  counter('holdfast_table_queries_total', 'Questions to the tables (search steps; a lookup may take several).', ['map'],
    cached((map, { origins }) => [[{ map }, origins.queries]])),
  gauge('holdfast_lookups_in_flight', 'Lookups waiting for Redis or a table.', ['map'],
    cached((map, { inFlight }) => [[{ map }, inFlight]])),
  gauge('holdfast_memory_entries', 'Answers held in memory.', ['map', 'kind'],
    cached((map, { memory }) => [[{ map, kind: 'found' }, memory.found], [{ map, kind: 'absent' }, memory.absent]])),
  gauge('holdfast_memory_bytes', 'Memory taken by found answers, as counted against the limit.', ['map'],
    cached((map, { memory }) => [[{ map }, memory.foundBytes]])),
  gauge('holdfast_map_failing', '1 while the map\'s tables can\'t be asked, or are not believed.', ['map'],
    cached((map, { trouble }) => [[{ map }, trouble === null ? 0 : 1]])),
  gauge('holdfast_map_in_doubt', '1 while a table of the map is not believed when it says absent.', ['map'],
    cached((map, { doubts }) => [[{ map }, doubts.length === 0 ? 0 : 1]])),
  gauge('holdfast_map_missing_keys', 'Known keys that the table lacks, while it is in doubt.', ['map'],
    cached((map, { doubts }) => [[{ map }, Math.max(0, ...doubts.map(({ missing }) => missing ?? 0))]])),
  gauge('holdfast_doubt_start_timestamp_seconds',
    'Since when a table on a server is in doubt, and what began it; no series without a doubt.',
    ['map', 'server', 'cause'],
    cached((map, { doubts }) => doubts.map(({ server, cause, since }) => [{ map, server, cause }, since / 1_000]))),
  gauge('holdfast_copy_rows', 'Rows in the copies of a map\'s tables, which answer in an outage.', ['map'],
    ({ maps }) => maps.map(({ name, copies }) => [{ map: name }, copies.reduce((sum, { rows }) => sum + rows, 0)])),
  gauge('holdfast_copy_timestamp_seconds',
    'When the oldest copy of a map\'s tables was taken; 0: a table has none.', ['map'],
    ({ maps }) => maps.flatMap(({ name, source, copies }) =>
      source === 'text' ? [] : [[{ map: name }, Math.min(...copies.map(({ takenAt }) => (takenAt ?? 0) / 1_000))]])),
  gauge('holdfast_map_faults', 'Faults of a map\'s definition; /status says which.', ['map'],
    ({ maps, faults }) => [...new Set([...maps.map(({ name }) => name), ...faults.map(({ map }) => map)])].map(map =>
      [{ map }, faults.find(each => each.map === map)?.problems.length ?? 0])),
  gauge('holdfast_canary_missing', '1 while the canary of this map is missing.', ['map'],
    ({ canaries }) => canaries.map(({ map, missing }) => [{ map }, missing ? 1 : 0])),
]

/** A sample of each map whose table is loaded ahead of demand. */
const warmed = (value: (warm: WarmStatus) => number): Metric['samples'] =>
  ({ maps }) => maps.flatMap(({ name, warm }): Sample[] => warm === null ? [] : [[{ map: name }, value(warm)]])

const ofLoads: readonly Metric[] = [
  gauge('holdfast_warm_last_success_timestamp_seconds',
    'The whole table was last loaded ahead of demand as of then, by whichever node; 0: not yet.', ['map'],
    warmed(({ loadedAt }) => (loadedAt ?? 0) / 1_000)),
  counter('holdfast_warm_rows_total', 'Rows that this node read to load tables ahead of demand.', ['map'],
    warmed(({ totalRows }) => totalRows)),
  counter('holdfast_warm_failures_total',
    'Loads that this node could not do or not finish; each is tried again.', ['map'],
    warmed(({ failures }) => failures)),
]

const ofServers: readonly Metric[] = [
  gauge('holdfast_breaker_state', '1 for the state that the breaker of a MySQL server is in.', ['server', 'state'],
    ({ servers }) => servers.flatMap(({ server, state }) =>
      inState(state, ['closed', 'open', 'half-open'], { server }))),
  counter('holdfast_breaker_opened_total', 'How often the breaker of a MySQL server opened.', ['server'],
    ({ servers }) => servers.map(({ server, opened }) => [{ server }, opened])),
  gauge('holdfast_mysql_connections', 'Connections to a MySQL server.', ['server', 'state'],
    ({ servers }) => servers.flatMap(({ server, connections, busy }): Sample[] => [
      [{ server, state: 'busy' }, busy], [{ server, state: 'idle' }, Math.max(0, connections - busy)],
    ])),
  gauge('holdfast_mysql_waiting', 'Questions that wait for a connection.', ['server'],
    ({ servers }) => servers.map(({ server, waiting }) => [{ server }, waiting])),
]

const ofRedis: readonly Metric[] = [
  gauge('holdfast_redis_state', '1 for the state that Redis is in; it is used only while ready.', ['state'],
    ({ redis }) => redis === null ? [] : inState(redis.state, ['connecting', 'ready', 'resting', 'down'])),
  counter('holdfast_redis_reads_total', 'Keys read from Redis.', ['result'],
    ({ redis }) => redis === null ? [] : [[{ result: 'hit' }, redis.hits], [{ result: 'miss' }, redis.misses]]),
  counter('holdfast_redis_faults_total',
    'Commands and records that were of no use, by reason; each is a miss.', ['reason'],
    ({ redis }) => redis === null ? [] : Object.entries(redis.faults).map(([reason, count]) => [{ reason }, count])),
]

/** A reading that is older (ms) says nothing about the nodes now. */
const oldFleetMs = 60_000

/** Nothing while the other nodes can't be known. */
const ofPresentFleet = (samples: (fleet: FleetStatus) => readonly Sample[]): Metric['samples'] =>
  ({ fleet, now }) => fleet === null || now - fleet.readAt > oldFleetMs ? [] : samples(fleet)

const ofFleet: readonly Metric[] = [
  gauge('holdfast_fleet_nodes',
    'Nodes that share this Redis, by role and state; gone: silent for a minute; unseen: named, and silent for a week.',
    ['role', 'state'], ofPresentFleet(({ nodes }) => ['primary', 'fallback'].flatMap(role => fleetStates.map(state =>
      [{ role, state }, nodes.filter(node => node.role === role && node.state === state).length] as const)))),
  gauge('holdfast_fleet_definitions',
    'Different sets of definitions among the nodes that are there; 0: the nodes are not known.', [],
    ofPresentFleet(({ definitions }) => [[{}, definitions]])),
  gauge('holdfast_fleet_findings', 'What does not fit together among the nodes; `holdfast status --fleet` says it.',
    ['kind'], ofPresentFleet(({ findings }) => findingKinds.map(kind =>
      [{ kind }, findings.filter(finding => finding.kind === kind).length]))),
  gauge('holdfast_mx_domains', 'Domains by the state of their MX records, as of the last check; with mx_every.',
    ['state'], ({ mx }) => mx === null ? [] : Object.entries(mx.domains).map(([state, count]) => [{ state }, count])),
]

const metrics = [...ofFleet, ...ofNode, ...ofAnswers, ...ofMaps, ...ofLoads, ...ofServers, ...ofRedis, ...ofListeners]

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

/** How long lookups took, by map. Those that memory answered at once are not timed, and count into the first bucket. */
class WaitHistogram extends Histogram<'map'> {
  readonly #name: string
  readonly #help: string
  readonly #read: () => readonly Tally[]

  constructor(name: string, help: string, registry: Registry, read: () => readonly Tally[]) {
    super({ name, help, labelNames: ['map'], registers: [registry] })
    this.#name = name
    this.#help = help
    this.#read = read
  }

  /** What the registry asks for its text form; `get` goes by it too. */
  getForPromString() {
    const byMap = new Map<string, Tally[]>()
    for (const tally of this.#read()) byMap.set(tally.map, [...byMap.get(tally.map) ?? [], tally])
    const values = [...byMap].flatMap(([map, tallies]) => this.#valuesOf(map, tallies))
    return { name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values }
  }

  /** The buckets, sum and count of one map, by all protocols. */
  #valuesOf(map: string, tallies: readonly Tally[]) {
    const waited = sum(tallies.flatMap(({ waits }) => waits.counts))
    const count = Math.max(waited, sum(tallies.flatMap(answeredIn).map(([, , answers]) => answers)))
    let cumulated = count - waited
    const buckets = (tallies[0]?.waits.boundsMs ?? []).map((boundMs, index) => {
      cumulated += sum(tallies.map(({ waits }) => waits.counts[index] ?? 0))
      return { metricName: `${this.#name}_bucket`, labels: { map, le: boundMs / 1_000 }, value: cumulated }
    })
    return [
      ...buckets,
      { metricName: `${this.#name}_bucket`, labels: { map, le: '+Inf' }, value: count },
      { metricName: `${this.#name}_sum`, labels: { map }, value: sum(tallies.map(({ waits }) => waits.sumMs)) / 1_000 },
      { metricName: `${this.#name}_count`, labels: { map }, value: count },
    ]
  }
}

/** Of the two dozen metrics that prom-client has of every process, those that say something about this one. */
const usefulOfNode: ReadonlySet<string> = new Set([
  'process_cpu_seconds_total', 'process_start_time_seconds', 'process_resident_memory_bytes', 'process_open_fds',
  'process_max_fds', 'nodejs_heap_size_used_bytes', 'nodejs_eventloop_lag_min_seconds',
  'nodejs_eventloop_lag_p99_seconds',
])

/** Has the registry read a metric when it is asked for it. */
const register = (registry: Registry, metric: Metric, read: () => Status | null): void => {
  const { type: Type, name, help, labels, samples } = metric
  const registered: Counter | Gauge = new Type({
    name, help, labelNames: labels, registers: [registry],
    collect: () => {
      registered.reset()
      const status = read()
      if (status !== null) for (const [each, value] of samples(status)) registered.inc(each, value)
    },
  })
}

/** The page with the metrics of what `status` gives when it is rendered. */
export const createMetrics = (status: () => Status) => {
  const registry = new Registry()
  let current: Status | null = null
  for (const metric of metrics) register(registry, metric, () => current)
  new WaitHistogram('holdfast_lookup_duration_seconds',
    'Time from request to answer. What memory answers at once is counted in the first bucket, untimed.',
    registry, () => current?.answers ?? [])
  // How often (ms) the event loop is looked at. A hundred times a second, the default, is most of what an idle daemon
  // does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 })
  for (const { name } of registry.getMetricsAsArray()) {
    if (!name.startsWith('holdfast_') && !usefulOfNode.has(name)) registry.removeSingleMetric(name)
  }
  return {
    contentType: registry.contentType,
    render: (): Promise<string> => {
      // One look at the daemon for each page, so that the figures agree with each other.
      current = status()
      return registry.metrics()
    },
  }
}
