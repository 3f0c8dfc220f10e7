/** `holdfast trust`, `flush`, `warm` and `forget`: have the running daemon do something. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from '../config/endpoint.js'
import type { Report } from '../admin/summary.js'
import { adminAt, call } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure, exitTempfail, figure } from './terminal.js'

/**
 * Sends the daemon a command, such as `/flush` with a map and a key, and prints what it did. Throws Failure if the
 * daemon can't be asked, or refuses.
 */
export const act = async (
  path: string, body: Readonly<Record<string, string | undefined>>, options: DaemonOptions, process: NodeJS.Process,
): Promise<number> => {
  const { done } = await call(await adminAt(options, process.env), path, body) as { done: string }
  process.stdout.write(`${done}\n`)
  return 0
}

/** The time between two questions to the daemon, and between two lines where a line can't be rewritten. */
const askMs = 500
const lineMs = 10_000

/** Resolves with a sentence for the end. Throws Failure if the table is not loaded. */
const loadAndShow = async (
  address: Endpoint, map: string, output: Pick<NodeJS.WriteStream, 'write' | 'isTTY'>,
): Promise<string> => {
  await call(address, '/warm', { map })
  let printedAt = performance.now()
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
        return `${end}${map}: ${figure(keys)} keys of ${figure(rows)} rows loaded\n`
      case 'elsewhere':
        return `${end}${map}: another node that shares the Redis is loading it\n`
      case 'waiting': case 'loading': {
        const seconds = Math.max(1, now - (since ?? now)) / 1_000
        const line = state === 'waiting' ? `${map}: waiting for another load`
          : `${map}: ${figure(rows)} rows, ${figure(Math.round(rows / seconds))} rows/s`
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
