/** `holdfast status`: prints the state of the daemon, as text or as JSON. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Report } from '../admin/summary.js'
import type { Endpoint } from '../config/endpoint.js'
import type { FleetNode } from '../fleet/fleet_status.js'
import { call, statusAt } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure, counted, painter, span, table } from './terminal.js'
import type { Paint } from './terminal.js'

export type StatusOptions = DaemonOptions & {
  readonly watch?: true, readonly json?: true, readonly fleet?: true
}

const watchMs = 2_000
const clearScreen = '\x1b[H\x1b[2J'

const headline = ({ summary: { state, sentence, since }, now }: Report, paint: Paint): string => {
  const color = state === 'well' ? 'green' : state === 'degraded' ? 'yellow' : 'red'
  return `${paint(color, sentence)} ${paint('dim', `(for ${span(now - since)})`)}`
}

/** A row for each map: its lookups of the last hour, and what memory holds. */
const mapRows = ({ maps, history }: Report): readonly (readonly string[])[] => maps.map(({ name, cached }) => {
  const total = (field: 'lookups' | 'hits' | 'stale' | 'unavailable'): number =>
    (history[name] ?? []).reduce((sum, step) => sum + step[field], 0)
  const lookups = total('lookups')
  return [
    name, String(lookups), lookups === 0 ? '-' : `${Math.floor(Math.min(1, total('hits') / lookups) * 100)}%`,
    String(total('stale')), String(total('unavailable')), cached === null ? '-' : String(cached.memory.found),
  ]
})

/** A row for each server, each table that is loaded ahead of demand, Redis and each listener. */
const partRows = ({ servers, maps, redis, mx, listeners, now, startedAt }: Report): readonly (readonly string[])[] => [
  ...servers.map(({ server, state, since, busy, connections }) =>
    // The breaker's words mislead: `closed` is well.
    [`mysql ${server}`, state === 'closed' ? 'answers' : 'fails', span(now - since),
      `${busy} of ${counted(connections, 'connection')} busy`]),
  ...maps.flatMap(({ name, warm }) => warm === null ? [] : [[
    `warm ${name}`, warm.loadedAt === null ? 'not yet' : 'loaded',
    warm.loadedAt === null ? '-' : span(now - warm.loadedAt),
    warm.state === 'loading' ? `loading, ${warm.rows} rows` : warm.problem === '' ? '' : `failed: ${warm.problem}`,
  ]]),
  ...redis === null ? [] : [['redis', redis.state, span(now - redis.since), counted(redis.hits, 'hit')]],
  ...mx === null ? [] : [[
    'mx', 'checked', span(now - mx.checkedAt),
    `${mx.domains.right} of ${Object.values(mx.domains).reduce((sum, count) => sum + count, 0)} domains right`,
  ]],
  ...listeners.map(({ address, connections }) =>
    [address, 'listening', span(now - startedAt), counted(connections, 'client')]),
]

const eventLine = ({ at, level, text }: Report['events'][number], paint: Paint): string => {
  const color = level === 'info' ? null : level === 'warn' ? 'yellow' : 'red'
  return `  ${paint('dim', new Date(at).toISOString().slice(0, 19))} ${color === null ? text : paint(color, text)}\n`
}

/** What the status page shows, as text. */
const reportText = (report: Report, paint: Paint): string => {
  const { summary, events, now, startedAt, version, node, role } = report
  return [
    `${headline(report, paint)}\n`,
    ...summary.degraded.map(({ part, what, since }) =>
      `  ${paint('bold', part)} (for ${span(now - since)}): ${what}\n`),
    `\n${paint('bold', 'Maps, the last hour')}\n`,
    table([['', 'lookups', 'cached', 'saved', 'deferred', 'known'], ...mapRows(report)]),
    `\n${paint('bold', 'Parts')}\n`, table(partRows(report)),
    ...events.length === 0 ? [] : [`\n${paint('bold', 'Last events')}\n`],
    ...events.slice(0, 5).map(event => eventLine(event, paint)),
    `\n${paint('dim', `holdfast ${version} on ${node}, ${role}, up for ${span(now - startedAt)}`)}\n`,
  ].join('')
}

const serversText = (servers: FleetNode['servers']): string => {
  const down = servers.filter(({ state }) => state !== 'closed').map(({ server }) => server)
  return servers.length === 0 ? '-' : down.length === 0 ? 'answers' : `does not see ${down.join(', ')}`
}

/** The nodes that share the Redis, and what doesn't fit together among them. */
const fleetText = ({ fleet, now, node, role, summary }: Report, paint: Paint): string => {
  if (fleet === null) {
    return `${node} (${role}, ${summary.state}) has no \`redis:\` to share with other nodes, so it knows only itself.\n`
  }
  const rows = fleet.nodes.map(({ name, role, state, since, servers, redis, doubts, version }) => [
    name, role, state, since === null ? '-' : span(now - since),
    // What it saw before it went says nothing now.
    ...state === 'gone' || state === 'unseen' ? ['-', '-', '-']
      : [serversText(servers), redis, doubts.join(', ') || '-'],
    version || '-',
  ])
  return [
    ...fleet.problem === '' ? [] : [paint('yellow', `Redis can't be asked for the nodes now (${fleet.problem})`),
      `${fleet.readAt === 0 ? '' : `; this is from ${span(now - fleet.readAt)} ago`}.\n`],
    table([['', 'role', 'state', 'since', 'MySQL', 'Redis', 'in doubt', 'version'], ...rows]),
    ...fleet.findings.map(({ text }) => `${paint('yellow', text)}\n`),
    ...fleet.problem === '' && fleet.findings.length === 0
      ? [`${fleet.nodes.length} nodes; those that are there have the same definitions.\n`] : [],
  ].join('')
}

const statusText = async (
  address: Endpoint, { json, fleet }: StatusOptions, process: NodeJS.Process,
): Promise<string> => {
  const report = await call(address, '/status') as Report
  if (json === true) return `${JSON.stringify(fleet === true ? report.fleet : report, null, 2)}\n`
  return fleet === true ? fleetText(report, painter(process)) : reportText(report, painter(process))
}

/** With `watch`, prints until a signal ends it, every two seconds. Throws Failure if the daemon can't be asked. */
export const status = async (options: StatusOptions, process: NodeJS.Process): Promise<number> => {
  const address = await statusAt(options, process)
  if (options.watch !== true) {
    process.stdout.write(await statusText(address, options, process))
    return 0
  }
  for (;;) {
    try {
      process.stdout.write(`${process.stdout.isTTY ? clearScreen : ''}${await statusText(address, options, process)}`)
    } catch (error) {
      // The daemon may be restarting: go on watching.
      if (!(error instanceof Failure)) throw error
      process.stderr.write(`holdfast status: ${error.message}\n`)
    }
    await sleep(watchMs)
  }
}
