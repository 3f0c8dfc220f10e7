/** `holdfast trust`, `flush`, `warm` and `forget`: have the running daemon do something. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from '../config/endpoint.js'
import type { Report } from '../admin/summary.js'
import { adminAt, call } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure, exitTempfail } from './terminal.js'

/** Sends the daemon a command and prints what it did. Throws Failure if the daemon can't be asked, or refuses. */
const command = async (
  path: string, body: Readonly<Record<string, string>>, options: DaemonOptions, process: NodeJS.Process,
): Promise<number> => {
  const reply = await call(await adminAt(options, process.env), path, body)
  process.stdout.write(typeof reply === 'object' && reply !== null && 'done' in reply ? `${String(reply.done)}\n` : '')
  return 0
}

/** Has the daemon believe a table whose known keys are gone. Throws Failure. */
export const trust = (map: string, options: DaemonOptions, process: NodeJS.Process): Promise<number> =>
  command('/trust', { map }, options, process)

/**
 * Has answers looked up again, on every node. `key`: an address, a domain, or `@DOMAIN` for all of a domain; undefined:
 * the whole map. Throws Failure.
 */
export const flush = (
  map: string, key: string | undefined, options: DaemonOptions, process: NodeJS.Process,
): Promise<number> => command('/flush', { map, ...key === undefined ? {} : { key } }, options, process)

/** Has all nodes forget one that is out of service. Throws Failure. */
export const forget = (node: string, options: DaemonOptions, process: NodeJS.Process): Promise<number> =>
  command('/forget', { node: node.toLowerCase().replace(/\.$/, '') }, options, process)

/** The time between two questions to the daemon, and between two lines where a line can't be rewritten. */
const askMs = 500
const lineMs = 10_000

const shown = (count: number): string => count.toLocaleString('en')

/** Resolves with a sentence for the end. Throws Failure if the table is not loaded. */
const loadAndShow = async (
  address: Endpoint, map: string, output: Pick<NodeJS.WriteStream, 'write' | 'isTTY'>,
): Promise<string> => {
  await call(address, '/warm', { map })
  const startedAt = performance.now()
  let printedAt = startedAt
  for (;;) {
    const { maps, now } = await call(address, '/status') as Report
    const status = maps.find(({ name }) => name === map)?.warm
    if (status === undefined || status === null) {
      throw new Failure(exitTempfail, `${map} is not loaded any more: the configuration has changed`)
    }
    const { state, rows, keys, startedAt: since, problem } = status
    const end = output.isTTY ? '\r\x1b[K' : ''
    switch (state) {
      case 'idle':
        if (problem !== '') throw new Failure(exitTempfail, `${map}: not loaded: ${problem}; the caches are as before`)
        return `${end}${map}: ${shown(keys)} keys of ${shown(rows)} rows loaded\n`
      case 'elsewhere':
        return `${end}${map}: another node that shares the Redis is loading it\n`
      case 'waiting': case 'loading': {
        const seconds = Math.max(1, now - (since ?? now)) / 1_000
        const line = state === 'waiting' ? `${map}: waiting for another load`
          : `${map}: ${shown(rows)} rows, ${shown(Math.round(rows / seconds))} rows/s`
        if (output.isTTY) output.write(`${end}${line}`)
        else if (performance.now() - printedAt >= lineMs) {
          printedAt = performance.now()
          output.write(`${line}\n`)
        }
        break
      }
      default: state satisfies never
    }
    await sleep(askMs)
  }
}

/** Throws Failure if the table is not loaded, or the daemon can't be asked. */
export const warm = async (map: string, options: DaemonOptions, process: NodeJS.Process): Promise<number> => {
  process.stdout.write(await loadAndShow(await adminAt(options, process.env), map, process.stdout))
  return 0
}
