/** `holdfast explain`: walks an address through the maps, in the daemon, and prints each step. */
import type { Explained } from '../admin/explain.js'
import { call } from './call.js'
import { adminAt } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { painter, span } from './terminal.js'
import type { Paint } from './terminal.js'

export type ExplainOptions = DaemonOptions & { readonly map?: string, readonly json?: true }

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

/** Prints what the daemon says of `address` in each map, or in one. Throws Failure if it can't be asked, or refuses. */
export const explain = async (address: string, options: ExplainOptions, process: NodeJS.Process): Promise<number> => {
  const { map, json } = options
  const explained = await call(await adminAt(options, process.env), '/explain', { address, ...map === undefined ? {} : { map } })
  process.stdout.write(json === true ? `${JSON.stringify(explained, null, 2)}\n` : showExplained(explained as Explained[], Date.now(), painter(process)))
  return 0
}
