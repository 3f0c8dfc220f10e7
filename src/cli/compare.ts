/**
 * `holdfast compare`: the tables' own answers beside those of the running
 * daemon, to see before a switch-over that they agree. The daemon's answer may be
 * as old as `fresh_for`, so a row that has just changed shows as a difference.
 */
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Config, MapConfig } from '../config/config.js'
import { problemsOf } from '../config/load.js'
import type { Endpoint } from '../config/endpoint.js'
import { keyIn } from '../lookup/maps.js'
import { compileSearch, completeValue } from '../lookup/search.js'
import type { Plan } from '../lookup/search.js'
import { applyRole } from '../lookup/role.js'
import { absent, found, worded } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import type { Opened } from '../tables/open.js'
import { askInOrder } from '../tables/source.js'
import { openMapSources } from '../daemon/open_sources.js'
import { cantRead } from '../runtime/hidden.js'
import { Failure, exitConfig, exitNoInput, exitTempfail, terminalLog } from './terminal.js'
import { configOf } from './daemon_at.js'
import { askDaemon } from './query.js'
import type { DaemonAnswer } from './query.js'

export type CompareOptions = { readonly config: string, readonly keys: string }

/** The time for one answer (ms); only a person waits for it. */
const timeoutMs = 10_000
/** Keys under way at a time; few, since MySQL serves the daemon meanwhile. */
const maxUnderWay = 4

/** What the tables say now: every step, past every cache. */
const askDirectly = async (opened: Opened, plan: Plan, asked: string): Promise<Outcome> => {
  const key = fold(asked)
  if (key === '') return absent
  for (const step of plan.steps(key, asked)) {
    const outcome = opened.kind === 'text' ? opened.lookup(step.key)
      : await askInOrder(opened.tables.map(({ source }) => source), step.key, timeoutMs)
    if (outcome.kind === 'found') return found(completeValue(step, outcome.value))
    if (outcome.kind === 'unavailable') return outcome
  }
  return absent
}

/** A daemon's answer in the words for an outcome. */
const answerText = (answer: DaemonAnswer): string => {
  switch (answer.kind) {
    case 'found': return `found: ${answer.value}`
    case 'absent': return 'absent'
    case 'unavailable': return `unavailable: ${answer.text.replace(/^temp: /, '')}`
    default: return answer satisfies never
  }
}

type Comparison = {
  readonly verdict: 'same' | 'differs' | 'not asked'
  /** The answers of the tables and of the daemon, in words. */
  readonly direct: string
  readonly daemon: string
}

/** The two answers for one key, in words. Values of a sensitive map are not shown. */
export const compareAnswers = (
  direct: Outcome, reply: DaemonAnswer, map: Pick<MapConfig, 'policy' | 'sensitive'>,
): Comparison => {
  const expected = direct.kind === 'absent' ? applyRole(direct, map.policy) : direct
  const texts = { direct: worded(expected), daemon: answerText(reply) }
  const shown = (text: string): string =>
    map.sensitive && text.startsWith('found: ') ? 'found (hidden: the map is sensitive)' : text
  const isSame = direct.kind !== 'unavailable' && texts.direct === texts.daemon
  return {
    verdict: isSame ? 'same' : direct.kind === 'unavailable' || reply.kind === 'unavailable' ? 'not asked' : 'differs',
    direct: shown(texts.direct), daemon: shown(texts.daemon),
  }
}

type Counts = { keys: number, found: number, differs: number, notAsked: number }

/** Compares the answers for each key, and gives `say` a line for each that differs. */
const compareAll = async (
  lines: AsyncIterable<string>, compareKey: (key: string) => Promise<Comparison>, say: (line: string) => void,
): Promise<Counts> => {
  const counts = { keys: 0, found: 0, differs: 0, notAsked: 0 }
  const one = async (key: string): Promise<void> => {
    const { verdict: result, direct, daemon } = await compareKey(key)
    counts.keys++
    if (direct.startsWith('found')) counts.found++
    if (result === 'same') return
    if (result === 'differs') counts.differs++
    else counts.notAsked++
    say(`${key}\t${direct}\t${daemon}\n`)
  }
  const underWay = new Set<Promise<void>>()
  for await (const line of lines) {
    const key = line.replace(/\r$/, '')
    if (key === '') continue
    const asking = one(key).finally(() => underWay.delete(asking))
    underWay.add(asking)
    if (underWay.size >= maxUnderWay) await Promise.race(underWay)
  }
  await Promise.all(underWay)
  return counts
}

/** The map and where the daemon answers for it. Throws Failure (78) if the configuration lacks either. */
const mapOf = ({ maps, listeners }: Config, name: string): { map: MapConfig, listener: Endpoint } => {
  const map = maps.find(candidate => candidate.name === name)
  if (map === undefined) {
    throw new Failure(exitConfig,
      `'${name}' is no map of the configuration; name one of ${maps.map(each => each.name).join(', ')}`)
  }
  const listener = listeners.find(({ protocol }) => protocol === 'socketmap')
  if (listener === undefined) {
    throw new Failure(exitConfig, 'the configuration has no socketmap listener; add one under `listen:`')
  }
  return { map, listener: listener.address }
}

/** The keys, one a line. Throws Failure (66) if they can't be read. */
async function* linesOf(keys: string, process: NodeJS.Process): AsyncGenerator<string> {
  try {
    yield* keys === '-' ? createInterface({ input: process.stdin }) : (await open(keys)).readLines()
  } catch (error) {
    throw new Failure(exitNoInput, `the keys ${cantRead(error, '', 'a file with one key a line')}`)
  }
}

/** The tables of `map` as they are now. Throws Failure (78) if they can't be opened. */
const openSource = (config: Config, map: MapConfig, process: NodeJS.Process): { source: Opened, close: () => void } => {
  const opened = openMapSources({ ...config, maps: [map] }, terminalLog('error', process))
  if (opened.faults.size > 0) {
    throw new Failure(exitConfig, problemsOf(opened.faults).map(({ place, text }) => `${place}: ${text}`).join('\n'))
  }
  return { source: opened.sources.of(map.name), close: () => opened.sources.close() }
}

/**
 * Prints the keys whose answers differ. Exit code: 0 none, 1 some, 75 none but some could not be asked. Throws Failure:
 * 66 if the keys can't be read, 78 if the configuration is wrong.
 */
export const compare = async (name: string, options: CompareOptions, process: NodeJS.Process): Promise<number> => {
  const config = await configOf(options, process.env)
  const { map, listener } = mapOf(config, name)
  const plan = compileSearch(map.search, config.search, map.smtputf8)
  const { source, close } = openSource(config, map, process)
  const compareKey = async (key: string): Promise<Comparison> => {
    const [direct, reply] = await Promise.all([
      askDirectly(source, plan, keyIn({ config: map }, key)), askDaemon(listener, name, key, timeoutMs),
    ])
    return compareAnswers(direct, reply, map)
  }
  try {
    const { keys, found: foundKeys, differs, notAsked } =
      await compareAll(linesOf(options.keys, process), compareKey, line => process.stdout.write(line))
    process.stderr.write(`holdfast compare: ${name}: ${keys} keys, ${foundKeys} found in the tables, `
      + `${differs} with different answers, ${notAsked} could not be asked\n`)
    if (keys > 0 && foundKeys === 0) {
      process.stderr.write('holdfast compare: no key was found, so this says little: are they keys of this map?\n')
    }
    return differs > 0 ? 1 : notAsked > 0 ? exitTempfail : 0
  } finally {
    close()
  }
}
