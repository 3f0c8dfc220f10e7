/** `holdfast status`: what the daemon says of itself, as text or as JSON. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Report } from '../admin/report.js'
import type { Endpoint } from '../config/endpoint.js'
import { call } from './call.js'
import { statusAt } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure } from './exit.js'
import { painter, span, table } from './terminal.js'
import type { Paint } from './terminal.js'

export type StatusOptions = DaemonOptions & { readonly watch?: true, readonly json?: true }

const watchMs = 2_000
const clearScreen = '\x1b[H\x1b[2J'

/** The same as the status page, as text. */
export const showStatus = (report: Report, paint: Paint): string => {
  const { summary, now } = report
  const since = `for ${span(now - summary.since)}`
  const head = {
    well: paint('green', `Mail is safe. All is well, ${since}.`),
    ill: paint('yellow', `Mail is safe. Ill, ${since}:`),
    stopping: paint('red', 'Stopping.'),
  }[summary.state]
  const total = (name: string, field: 'lookups' | 'hits' | 'stale' | 'unavailable'): number =>
    (report.history[name] ?? []).reduce((sum, step) => sum + step[field], 0)
  const maps = report.maps.map(({ name, cached }) => {
    const lookups = total(name, 'lookups')
    return [
      name, String(lookups), lookups === 0 ? '-' : `${Math.floor(Math.min(1, total(name, 'hits') / lookups) * 100)}%`,
      String(total(name, 'stale')), String(total(name, 'unavailable')), cached === null ? '-' : String(cached.memory.found),
    ]
  })
  const parts = [
    ...report.servers.map(({ server, state, since: from, busy, connections }) => [`mysql ${server}`, state, span(now - from), `${busy}/${connections} busy`]),
    ...report.maps.flatMap(({ name, warm }) => warm === null ? [] : [[
      `warm ${name}`, warm.loadedAt === null ? 'not yet' : 'loaded', warm.loadedAt === null ? '-' : span(now - warm.loadedAt),
      warm.state === 'loading' ? `loading, ${warm.rows} rows` : warm.problem === '' ? '' : `failed: ${warm.problem}`,
    ]]),
    ...report.redis === null ? [] : [['redis', report.redis.state, span(now - report.redis.since), `${report.redis.hits} hits`]],
    ...report.listeners.map(({ address, connections }) => [address, 'listening', span(now - report.startedAt), `${connections} clients`]),
  ]
  return [
    `${head}\n`,
    ...summary.ill.map(({ part, what, since: from }) => `  ${paint('bold', part)}: ${what}, for ${span(now - from)}\n`),
    `\n${paint('bold', 'Maps, the last hour')}\n`, table([['', 'lookups', 'cached', 'saved', 'deferred', 'known'], ...maps]),
    `\n${paint('bold', 'Parts')}\n`, table(parts),
    ...report.events.length === 0 ? [] : [`\n${paint('bold', 'Last events')}\n`],
    ...report.events.slice(0, 5).map(({ at, level, text }) =>
      `  ${paint('dim', new Date(at).toISOString().slice(0, 19))} ${level === 'info' ? text : paint(level === 'warn' ? 'yellow' : 'red', text)}\n`),
    `\n${paint('dim', `holdfast ${report.version}, ${report.role}, up for ${span(now - report.startedAt)}`)}\n`,
  ].join('')
}

const statusText = async (address: Endpoint, { json }: StatusOptions, process: NodeJS.Process): Promise<string> => {
  const report = await call(address, '/status')
  return json === true ? `${JSON.stringify(report, null, 2)}\n` : showStatus(report as Report, painter(process))
}

/** Prints the status; with `watch` every two seconds, until a signal ends it. Throws Failure if the daemon can't be asked. */
export const status = async (options: StatusOptions, process: NodeJS.Process): Promise<number> => {
  const address = await statusAt(options, process.env)
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
