/**
 * npm run bench -- [--smoke] [--json] [--seconds N] [--rounds N] [--chart FILE.svg]
 *   [--loads known,new --ways 'mysql:;Holdfast' --distances 0,1 --warmup RECIPIENTS]
 *   [misses | distance | mail [MESSAGES] | peers | start | growth | soak [MINUTES] | warm [ROWS]]
 *
 * Starts its own servers on this machine. See NOTES.md.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runDistance } from './distance.js'
import { runGrowth } from './growth.js'
import { loads, runMail } from './mail.js'
import type { MailExtent } from './mail.js'
import { mailChart } from './mail_chart.js'
import { ways } from './mail_stage.js'
import { runPeers } from './peers.js'
import { preparePrograms } from './programs.js'
import { heading, line, ratioLine, ratios } from './report.js'
import { runSoak } from './soak.js'
import { runStart } from './start.js'
import { runMisses, runSuite } from './suite.js'
import type { Extent, Row } from './suite.js'
import { runWarm } from './warm.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '7' },
    chart: { type: 'string' },
    // The following options are for `mail` only.
    loads: { type: 'string' },
    ways: { type: 'string' },
    distances: { type: 'string' },
    warmup: { type: 'string', default: '2000' },
  },
})

const full: Extent = {
  transports: ['unix', 'inet', 'tcp_table'],
  connections: [1, 16, 256, 1_000],
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  warmupSeconds: 0.3,
  entries: 100_000,
}
/** Takes seconds and only shows that everything works; its figures mean nothing. */
const smoke: Extent = { ...full, connections: [4], rounds: 1, seconds: 0.1, warmupSeconds: 0.1, entries: 500 }

const say = (text: string): void => {
  if (!values.json) process.stdout.write(`${text}\n`)
}

const programs = await preparePrograms()
say(`load generator in ${programs.generator.language}`)

const suite = async (extent: Extent, runCases: typeof runSuite): Promise<unknown> => {
  const rows: Row[] = []
  say(heading)
  await runCases(programs, extent, row => {
    rows.push(row)
    say(line(row))
  })
  const compared = ratios(rows)
  say('')
  for (const ratio of compared) say(ratioLine(ratio))
  return { rows, ratios: compared }
}

const mail = async (extent: MailExtent): Promise<unknown> => {
  const result = await runMail(extent, say)
  if (values.chart !== undefined) writeFileSync(values.chart, mailChart(result.rows))
  return result
}

const chosen = <Name extends string>(all: readonly Name[], names: readonly string[] = all): readonly Name[] =>
  names.map(name => {
    const known = all.find(each => each === name)
    if (known === undefined) throw new Error(`there is no ${name}, but ${all.join(', ')}`)
    return known
  })

/** The times of a round trip to MySQL (ms). */
const distancesOf = (usual: string): readonly number[] => (values.distances ?? usual).split(',').map(Number)

const [command, amount] = positionals
const run = (): Promise<unknown> => {
  switch (command) {
    case undefined: return suite(values.smoke ? smoke : full, runSuite)
    case 'misses': return suite(values.smoke ? smoke : full, runMisses)
    case 'distance': return runDistance(programs, { ...full, distancesMs: distancesOf('0,1,20,180') }, say)
    case 'mail': return mail(values.smoke
      ? { messages: 20, rounds: 1, distancesMs: [0], loads: ['known'], ways, warmup: 20 }
      : {
        messages: Number(amount ?? 1_000), rounds: full.rounds, warmup: Number(values.warmup),
        distancesMs: distancesOf('0,1,5'),
        loads: chosen(loads, values.loads?.split(',')), ways: chosen(ways, values.ways?.split(';')),
      })
    case 'peers': return runPeers(say)
    case 'start': return runStart(full.rounds, say)
    case 'growth': return runGrowth(programs, full.seconds, say)
    case 'soak': return runSoak(programs, Number(amount ?? 10), say)
    case 'warm': return runWarm(programs, Number(amount ?? 1_000_000), full.seconds, say)
    default: throw new Error(`there is no bench ${command}`)
  }
}
const result = await run()
if (values.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
