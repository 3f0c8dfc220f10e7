/** `holdfast explain`: has the daemon look an address up in its maps, and prints each step. */
import type { Explained, ExplainedStep } from '../admin/explain.js'
import { adminAt, call } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { painter, span } from './terminal.js'
import type { Paint } from './terminal.js'

export type ExplainOptions = DaemonOptions & { readonly map?: string, readonly json?: true }

const entryText = (where: string, entry: NonNullable<ExplainedStep['memory']>, now: number, paint: Paint): string => {
  const age = entry.age === '' ? '' : `${entry.age}, `
  return `    ${where}: ${entry.answer} ${paint('dim', `(${age}verified ${span(now - entry.verifiedAt)} ago)`)}\n`
}

const stepText = ({ key, memory, redis, table }: ExplainedStep, now: number, paint: Paint): string => [
  `  ${key}\n`,
  ...memory === null ? [] : [entryText('memory', memory, now, paint)],
  ...redis === null ? [] : [entryText('redis', redis, now, paint)],
  `    table: ${table}\n`,
].join('')

const colorOf = (answer: string): 'red' | 'yellow' | 'green' =>
  answer.startsWith('unavailable') ? 'red' : answer.startsWith('stale') ? 'yellow' : 'green'

/** The steps of a lookup in each map, as text. */
const explainedText = (explained: readonly Explained[], now: number, paint: Paint): string =>
  explained.map(({ map, search, asked, steps, answer }) => [
    `${paint('bold', map)} (${search}), asked for ${asked}\n`,
    ...steps.map(step => stepText(step, now, paint)),
    `  -> ${paint(colorOf(answer), answer)}\n`,
  ].join('')).join('\n')

/** Prints the steps of a lookup in each map, or in one. Throws Failure if the daemon can't be asked, or refuses. */
export const explain = async (address: string, options: ExplainOptions, process: NodeJS.Process): Promise<number> => {
  const { map, json } = options
  const admin = await adminAt(options, process.env)
  const explained = await call(admin, '/explain', { address, ...map === undefined ? {} : { map } })
  process.stdout.write(json === true ? `${JSON.stringify(explained, null, 2)}\n`
    : explainedText(explained as Explained[], Date.now(), painter(process)))
  return 0
}
