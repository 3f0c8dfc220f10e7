/**
 * `npm run drill`: real servers break behind a real Postfix. Exit code 1 if a
 * recipient that exists was refused.
 */
import { Command } from 'commander'
import { clusters, clusterText } from './clusters.js'
import type { ClusterReport } from './clusters.js'
import { mxText, runMxDrill } from './mx.js'
import { heading, misses, phaseText } from './report.js'
import { phases } from './phases.js'
import { runDrill } from './run.js'
import { peers } from './stage.js'

/** Durations in ms. The long drill shows that libmysqlclient waits for a minute or more. */
const long = { durationMs: 15_000, patienceMs: 75_000 }
const quick = { durationMs: 2_500, patienceMs: 5_000 }

type Options = { readonly json?: true, readonly quick?: true, readonly mx?: true, readonly clusters?: true, readonly phase?: string }

const options = new Command('drill')
  .description('Breaks MariaDB, Redis and Holdfast under a Postfix on Holdfast and under the same Postfix on mysql:, proxy:mysql: and memcache:.')
  .option('--quick', 'a few phases, in less than a minute')
  .option('--phase <NAME>', 'one phase alone')
  .option('--mx', 'the other drill: a sender, three primary MX and a fallback, whose databases die')
  .option('--clusters', 'another drill: a replica pair, HAProxy and a Galera cluster (Debian\'s haproxy, galera-4, rsync) behind `hosts`; --phase pair, haproxy or galera')
  .option('--json', 'one JSON value at the end, nothing else')
  .parse()
  .opts<Options>()

const isJson = options.json === true
const say = (text: string): void => { if (!isJson) console.log(text) }

/** Prints the last lines of a drill, and sets the exit code to 1 if it failed. */
const conclude = (result: unknown, missed: readonly string[], isUnsafe: boolean): void => {
  if (isJson) console.log(JSON.stringify({ phases: result, missed }, null, 2))
  else console.log(missed.length === 0 ? 'all goals met' : `missed:\n${missed.map(line => `  ${line}`).join('\n')}`)
  process.exitCode = isUnsafe ? 1 : 0
}

if (options.mx === true) {
  const reports = await runMxDrill(report => say(mxText(report)))
  conclude(reports, reports.flatMap(({ phase, missed }) => missed.length === 0 ? [] : [`${phase}: ${missed.length} recipients fared unlike expected`]), reports.some(({ evidence }) => evidence.length > 0))
} else if (options.clusters === true) {
  const reports: ClusterReport[] = []
  for (const [name, run] of Object.entries(clusters)) {
    if (options.phase !== undefined && options.phase !== name) continue
    const report = await run()
    reports.push(report)
    say(clusterText(report))
  }
  const wrong = reports.flatMap(report => report.wrong)
  conclude(reports, wrong, wrong.length > 0)
} else {
  const chosen = phases.filter(({ name, quick }) =>
    options.phase !== undefined ? name === options.phase : options.quick !== true || quick === true)
  if (chosen.length === 0) throw new Error(`no such phase; there are: ${phases.map(({ name }) => name).join(', ')}`)
  say(heading)
  const reports = await runDrill(peers, chosen, options.quick === true ? quick : long, report => say(phaseText(report)))
  const missed = misses(reports)
  conclude(reports, missed.map(({ text }) => text), missed.some(({ kind }) => kind === 'unsafe'))
}
