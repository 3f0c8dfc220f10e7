/**
 * `holdfast status`, `explain`, `trust`, `flush`, `export` and `import`: asks a
 * running daemon by HTTP, on its admin socket or, for the status, where its health is.
 */
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'
import type { Endpoint } from '../config/endpoint.js'
import type { Explained } from '../admin/actions.js'
import type { Report } from '../admin/http.js'

const timeoutMs = 15_000

/** Sends a request; resolves with the reply once its head is there. Rejects with the system's error, or a sentence if nobody answers. */
const send = (address: Endpoint, path: string, body: unknown): Promise<IncomingMessage> => new Promise((resolve, reject) => {
  const sent = request({
    ...address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port },
    path, method: body === undefined ? 'GET' : 'POST', timeout: timeoutMs,
    ...body === undefined ? {} : { headers: { 'content-type': 'application/json' } },
  }, resolve)
  sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)))
  sent.on('error', reject)
  sent.end(body === undefined ? undefined : JSON.stringify(body))
})

const dataOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('what answers there is not holdfast')
  }
}

/** The whole reply as data. Rejects with a sentence for people if it is an error. */
const whole = async (reply: IncomingMessage): Promise<unknown> => {
  let text = ''
  for await (const chunk of reply.setEncoding('utf8')) text += String(chunk)
  const value = dataOf(text)
  if (reply.statusCode === 200) return value
  throw new Error(typeof value === 'object' && value !== null && 'error' in value ? String(value.error) : `it answers ${reply.statusCode ?? ''}`)
}

/** The reply as data. Rejects with a sentence for people if there is none, or if it is an error. */
export const call = async (address: Endpoint, path: string, body?: Readonly<Record<string, unknown>>): Promise<unknown> =>
  whole(await send(address, path, body))

/** The lines of the reply, as data, as they come. Rejects as `call` does. */
export const callLines = async (address: Endpoint, path: string, body: Readonly<Record<string, unknown>>): Promise<AsyncIterable<unknown>> => {
  const reply = await send(address, path, body)
  if (reply.statusCode !== 200) await whole(reply)
  return (async function* () {
    for await (const line of createInterface(reply)) yield dataOf(line)
  })()
}

/** A span of time in its largest units. */
export const span = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h ${Math.floor(seconds % 3_600 / 60)} min`
  return `${Math.floor(seconds / 86_400)} days`
}

type Paint = (format: 'green' | 'yellow' | 'red' | 'dim' | 'bold', text: string) => string

/** Colours for a terminal, unless NO_COLOR is set; plain text otherwise. */
export const painter = (isTerminal: boolean): Paint => (format, text) => isTerminal && process.env['NO_COLOR'] === undefined ? styleText(format, text) : text

const table = (rows: readonly (readonly string[])[]): string => {
  const widths = rows.reduce<number[]>((wide, row) => row.map((cell, index) => Math.max(wide[index] ?? 0, cell.length)), [])
  return rows.map(row => `  ${row.map((cell, index) => index === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[index] ?? 0)).join('  ')}\n`).join('')
}

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

/** The walks of an address through the maps, as text. */
export const showExplained = (explained: readonly Explained[], now: number, paint: Paint): string =>
  explained.map(({ map, search, asked, steps, answer }) => [
    `${paint('bold', map)} (${search}), asked for ${asked}\n`,
    ...steps.map(({ key, memory, redis, table: said }) => {
      const known = [['memory', memory] as const, ['redis', redis] as const].flatMap(([where, entry]) => entry === null ? []
        : [`    ${where}: ${entry.answer} ${paint('dim', `(${entry.age === '' ? '' : `${entry.age}, `}verified ${span(now - entry.verifiedAt)} ago)`)}\n`])
      return `  ${key}\n${known.join('')}    table: ${said}\n`
    }),
    `  -> ${paint(answer.startsWith('unavailable') ? 'red' : answer.startsWith('stale') ? 'yellow' : 'green', answer)}\n`,
  ].join('')).join('\n')
