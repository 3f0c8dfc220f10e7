/**
 * `npm run differential`: runs scenario after scenario, until one differs or the time is
 * up. `--minutes 30`, `--seed N` (the first one; by default made of the time),
 * `--sessions 12`, `--on` (continue after a difference), `--one` (that seed alone),
 * `--shrink 120` (the longest time to look for a smaller scenario, in seconds).
 * Prints the smallest part of a scenario that still differs. Exit code 1: some differ.
 */
import { parseArgs } from 'node:util'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startStage } from './pair.js'
import type { Difference } from './pair.js'
import { makeScenario } from './scenario.js'
import { shrink } from './shrink.js'
import type { Smallest } from './shrink.js'

const { values } = parseArgs({ options: {
  minutes: { type: 'string', default: '30' }, seed: { type: 'string' }, sessions: { type: 'string', default: '12' },
  shrink: { type: 'string', default: '120' },
  on: { type: 'boolean', default: false }, one: { type: 'boolean', default: false },
} })

const text = ({ what, before, after }: Difference): string =>
  [`  ${what}`, ...before.map(line => `    - ${line}`), ...after.map(line => `    + ${line}`)].join('\n')

const maxWarnings = 8

/** The warnings that only one of the two Postfix logged: they may explain a difference. */
const onlyIn = (before: readonly string[], after: readonly string[]): Pick<Difference, 'before' | 'after'> => ({
  before: before.filter(each => !after.includes(each)).slice(0, maxWarnings),
  after: after.filter(each => !before.includes(each)).slice(0, maxWarnings),
})

const report = ({ scenario, differences }: Smallest): string => {
  const { main, overrides, rows, sessions } = scenario
  const settings = (of: Readonly<Record<string, string>>): readonly string[] =>
    Object.entries(of).map(([name, value]) => `  ${name} = ${value}`)
  return [
    'main.cf:', ...settings(main),
    ...Object.entries(overrides).flatMap(([service, own]) => settings(own).map(line => `  ${service}:${line}`)),
    'rows:', ...rows.map(({ table, key, value }) => `  ${table} ${JSON.stringify(key)} ${JSON.stringify(value)}`),
    'sessions:', ...sessions.flatMap(({ helo, xclient, steps, isLocal }) =>
      [
        isLocal === true ? '  sendmail' : `  EHLO ${helo}; XCLIENT ${xclient ?? 'none'}`,
        ...steps.map(({ verb, text }) => `    ${verb} ${JSON.stringify(text)}`),
      ]),
    ...differences.map(text),
  ].join('\n')
}

const until = performance.now() + Number(values.minutes) * 60_000
const first = values.seed === undefined ? Math.floor(Date.now() / 1000) : Number(values.seed)
const stage = await startStage()
const counts = { scenarios: 0, recipients: 0, different: 0, notMoved: 0 }
let seed = first
for (; performance.now() < until; seed++) {
  const folder = freshFolder()
  const scenario = makeScenario(seed, folder, stage.login, Number(values.sessions))
  const compared = await stage.run(scenario)
  if (compared.kind === 'not moved') {
    counts.notMoved++
    console.log(`seed ${seed}: not moved: ${compared.said.trim().split('\n').at(-1) ?? ''}`)
  } else {
    counts.scenarios++
    counts.recipients += compared.recipients
    if (compared.differences.length > 0) {
      counts.different++
      console.log(`seed ${seed}: differs\n${compared.differences.slice(0, 6).map(text).join('\n')}`)
      const { before, after } = compared
      const warnings = { what: 'warnings', ...onlyIn(before.warnings, after.warnings) }
      console.log(text({ session: null, ...warnings }))
      const found = { scenario, differences: compared.differences }
      const shrinkUntil = performance.now() + Number(values.shrink) * 1_000
      if (values.shrink !== '0') console.log(report(await shrink(stage, found, shrinkUntil)))
    } else console.log(`seed ${seed}: the same for ${compared.recipients} recipients`)
  }
  removeFolder(folder)
  if (values.one || (counts.different > 0 && !values.on)) break
}
await stage.stop()
console.log(`seeds ${first} to ${seed}: ${counts.scenarios} scenarios, ${counts.recipients} recipients, `
  + `${counts.different} differ, ${counts.notMoved} had nothing to move`)
process.exitCode = counts.different > 0 ? 1 : 0
