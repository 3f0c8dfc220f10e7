/**
 * `holdfast check`: checks the configuration, each server, and that Postfix can ask the daemon; with --outage, which
 * mail would pass if MySQL went away.
 */
import { maxReplyBytes } from '../../proto/socketmap.js'
import { whyNoCopy } from '../admin/outage_verdict.js'
import type { OutageFacts } from '../admin/outage_verdict.js'
import { exposureFindings } from '../check/access.js'
import { likelyStops, stopsOf } from '../check/itinerary.js'
import { outageLines, askedOfSenders } from '../check/outage_mail.js'
import { askingOf, checkPostfix } from '../check/postfix.js'
import { loadConfig, problemsOf } from '../config/load.js'
import type { Config, MapConfig } from '../config/config.js'
import { durationText } from '../config/units.js'
import { messageOf } from '../log.js'
import type { Problem } from '../log.js'
import { readable } from '../outcome.js'
import type { ByteString } from '../outcome.js'
import { findListing } from '../upkeep/load_table.js'
import { reportOfDaemon } from './daemon_at.js'
import { counted, exitConfig, exitTempfail, painter, span, table, terminalLog } from './terminal.js'
import { openMapSources } from '../daemon/open_sources.js'
import type { Sources } from '../tables/open.js'
import { longAnswersSql, orderedListing } from '../tables/ordered_listing.js'

/** A table is looked through for so long (ms). */
const longAnswersBudgetMs = 10_000

export type CheckOptions = { readonly configDir: string, readonly outage?: true }

/**
 * Prints what it finds. Exit code: 0, 78 if the configuration of Holdfast or of Postfix is wrong, 75 if a server can't
 * be used now.
 */
export const check = async (
  fileName: string, { configDir, outage }: CheckOptions, process: NodeJS.Process,
): Promise<number> => {
  const say = (kind: string, { place, text }: Problem): void => {
    process.stdout.write(`${kind}: ${place}: ${text}\n`)
  }
  const loaded = loadConfig(fileName, process.env)
  if (!loaded.ok) {
    for (const problem of loaded.problems) say('error', problem)
    return exitConfig
  }
  const { config } = loaded
  const { node: { role, why, others } } = config
  if (others !== null) say('note', { place: fileName, text: `role ${role}: ${why}` })
  for (const { level, ...problem } of exposureFindings(config)) say(level, problem)
  for (const problem of problemsOf(config.faults)) say('error', problem)
  const checked = await checkTables(config, say, process)
  const tables = config.faults.size > 0 ? 'wrong' : checked
  const isPostfixRight = await checkPostfixOf(config, configDir, say)
  if (outage === true && tables !== 'wrong') process.stdout.write(await outageText(config, configDir, process))
  if (tables === 'wrong' || !isPostfixRight) return exitConfig
  if (tables === 'down') return exitTempfail
  process.stdout.write(`ok: ${fileName}: ${counted(config.maps.length, 'map')}\n`)
  return 0
}

type Say = (kind: string, problem: Problem) => void

const checkTables = async (config: Config, say: Say, process: NodeJS.Process): Promise<'right' | 'wrong' | 'down'> => {
  // No warnings of the log: the problems are printed below.
  const opened = openMapSources(config, terminalLog('error', process))
  for (const warning of opened.warnings) say('warning', warning)
  for (const problem of problemsOf(opened.faults)) say('error', problem)
  const { problems, warnings } = await opened.sources.check()
  for (const warning of warnings) say('warning', warning)
  for (const problem of problems) say('error', problem)
  if (problems.length === 0) {
    const { sources } = opened
    for (const warning of await checkLists(config, sources)) say('warning', warning)
    for (const warning of await longAnswers(config, sources)) say('warning', warning)
  }
  opened.sources.close()
  return opened.faults.size > 0 ? 'wrong' : problems.length > 0 ? 'down' : 'right'
}

/** The maps whose tables should be loaded ahead of demand, and can't be. */
const checkLists = async ({ maps }: Config, sources: Sources): Promise<readonly Problem[]> => {
  const problems: Problem[] = []
  for (const { name, place, warm } of maps) {
    if (!sources.has(name)) continue
    const opened = sources.of(name)
    const table = opened.kind === 'mysql' ? opened.tables[0] : undefined
    if (warm === null || table === undefined) continue
    const listing = await findListing(table, warm)
    if (typeof listing === 'string') {
      problems.push({ place, text: `warm: the keys of map ${name} can't be listed, so they are not loaded: ${listing}; `
          + 'name a query that gives keys and answers, or remove this' })
    }
  }
  return problems
}

/** Keys, as far as tables can be listed, whose answers Postfix reads from a mysql: table and from no socketmap. */
const longAnswers = async ({ maps }: Config, sources: Sources): Promise<readonly Problem[]> => {
  const problems = await Promise.all(maps.filter(({ name }) => sources.has(name)).map(async ({ name, place }) => {
    const opened = sources.of(name)
    const tables = opened.kind === 'mysql' ? opened.tables : []
    const found = await Promise.all(tables.map(async ({ definition: { listing }, database }) => {
      const ordered = typeof listing === 'string' ? listing : orderedListing(listing)
      if (typeof ordered === 'string') return []
      const sql = longAnswersSql(ordered, maxReplyBytes - 'OK '.length)
      const answer = await database.ask({ texts: [sql] }, [], longAnswersBudgetMs)
      return answer.kind === 'unavailable' ? [] : (answer.rows ?? []).map(([key]) => readable(key ?? '' as ByteString))
    }))
    const keys = found.flat()
    return keys.length === 0 ? [] : [{
      place, text: `map ${name}: the answer for ${keys.join(', ')} is longer than ${maxReplyBytes} bytes, and Postfix `
        + 'reads no longer one from a socketmap: its mail is deferred. Split that list, or leave the table to Postfix',
    }]
  }))
  return problems.flat()
}

/** Whether Postfix has no errors where it asks Holdfast. */
const checkPostfixOf = async (config: Config, configDir: string, say: Say): Promise<boolean> => {
  try {
    const findings = await checkPostfix(configDir, config) ?? []
    for (const { level, ...problem } of findings) say(level, problem)
    return !findings.some(({ level }) => level === 'error')
  } catch (error) {
    say('warning', { place: configDir, text: `Postfix's side is not checked: ${messageOf(error)}` })
    return true
  }
}

/** What is known of a map's copies: why it has none ('' if it has them), and how to say that it has them. */
type CopyFacts = { readonly whyNone: string, readonly text: string }

/** The copies that the running daemon has, by map; null if it can't be asked. */
const copiesOfDaemon = async (config: Config): Promise<ReadonlyMap<string, CopyFacts> | null> => {
  const report = await reportOfDaemon(config)
  if (report === null) return null
  const { maps, now } = report
  return new Map(maps.map(({ name, copies }) => {
    const rows = copies.reduce((sum, copy) => sum + copy.rows, 0)
    const oldest = Math.min(...copies.map(({ takenAt }) => takenAt ?? now))
    return [name, { whyNone: whyNoCopy(copies), text: `${rows} rows, ${span(now - oldest)} old` }]
  }))
}

/** The copies that a daemon would take of the tables that can be listed, by map; those of text tables are left out. */
const copiesToBe = (config: Config, process: NodeJS.Process): ReadonlyMap<string, CopyFacts> => {
  const opened = openMapSources(config, terminalLog('error', process))
  const copies = new Map(config.maps.flatMap(({ name }) => {
    if (!opened.sources.has(name)) return []
    const source = opened.sources.of(name)
    if (source.kind === 'text') return []
    const obstacle = source.tables.map(({ definition: { listing } }) => listing).find(each => typeof each === 'string')
    const whyNone = obstacle === undefined ? '' : `the table has no copy (${obstacle})`
    return [[name, { whyNone, text: 'will be taken' }] as const]
  }))
  opened.sources.close()
  return copies
}

/** What a fallback does with the recipients of these maps. */
const rejectsLine = ([first, ...more]: readonly MapConfig[]): readonly string[] => first === undefined ? [] : [
  `  outage: reject: once MySQL has been out for ${durationText(first.policy.outageAfterMs)}, a recipient that was `
    + `never found is refused, not deferred, by map ${[first, ...more].map(({ name }) => name).join(', ')}\n`,
]

/** Which mail would pass without MySQL, and for each map what decides it. */
const outageText = async (config: Config, configDir: string, process: NodeJS.Process): Promise<string> => {
  const paint = painter(process)
  const daemons = await copiesOfDaemon(config)
  const planned = copiesToBe(config, process)
  const copyOf = (name: string): CopyFacts | null =>
    planned.has(name) ? daemons?.get(name) ?? planned.get(name) ?? null : null
  const factsOf = (name: string): OutageFacts | null => {
    const [map, copy] = [config.maps.find(each => each.name === name), copyOf(name)]
    if (map === undefined || copy === null) return null
    return { absence: map.absence, staleForMs: map.lifetimes.staleForMs, whyNoCopy: copy.whyNone }
  }
  const asking = await askingOf(configDir, config).catch(() => null)
  const stops = asking === null || asking.uses.length === 0 ? likelyStops(config.maps) : stopsOf(asking.uses)
  const lines = outageLines(stops, factsOf, asking === null ? [] : askedOfSenders(asking.postfix))
  const rows = config.maps.map(({ name, absence: { does, inOutage } }) => {
    const copy = copyOf(name)
    return [name, does, inOutage, copy === null ? 'a text table' : copy.whyNone === '' ? copy.text : copy.whyNone]
  })
  return [
    `\n${paint('bold', 'If MySQL went away now, mail')}\n`,
    ...lines.map(({ mail, obstacles }) => obstacles.length === 0 ? `  ${mail}: ${paint('green', 'accepted')}\n`
      : `  ${mail}: ${paint('red', 'deferred')} by\n${obstacles.map(each => `    ${each}\n`).join('')}`),
    ...rejectsLine(config.maps.filter(({ name, policy }) => policy.outage === 'reject' && copyOf(name) !== null)),
    `\n${paint('bold', 'Maps')}\n`, table([['', 'absence', 'in_outage', 'copy'], ...rows]),
    ...daemons === null ? ['  (No daemon answers: the copies are those that it would take.)\n'] : [], '\n',
  ].join('')
}
