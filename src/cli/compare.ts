/**
 * `holdfast compare MAP`: the answers of the tables themselves beside those of
 * the running daemon, before a switch-over is trusted to it. What the daemon
 * knows may be as old as `fresh_for`, so a row changed just now shows as a
 * difference until then.
 */
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Config, MapConfig } from '../config/config.js'
import { loadConfig } from '../config/load.js'
import type { Endpoint } from '../config/endpoint.js'
import { createLog, messageOf } from '../log.js'
import { compileSearch, completeValue } from '../lookup/search.js'
import type { Plan } from '../lookup/search.js'
import { verdict } from '../lookup/role.js'
import { absent, found, readable, unavailable } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import type { Opened } from '../tables/open.js'
import { sourcesOf } from '../daemon/watched.js'
import { exitTempfail, query } from './query.js'
import type { QueryResult } from './query.js'

export type CompareOptions = { readonly config: string, readonly keys: string }

/** sysexits(3). */
const exitNoInput = 66
const exitConfig = 78

/** Nobody waits for these but a person. */
const budgetMs = 10_000
/** As many keys at a time: a running daemon's MySQL has other things to do. */
const atATime = 4

/** What the table says now, by all the steps and past every cache. */
const askDirectly = async (opened: Opened, plan: Plan, asked: string): Promise<Outcome> => {
  const key = fold(asked)
  if (key === '') return absent
  for (const step of plan.steps(key, asked)) {
    const outcome = await (opened.kind === 'text' ? opened.lookup(step.key) : opened.source.lookup(step.key, budgetMs))
    if (outcome.kind === 'found') return found(completeValue(step, outcome.value))
    if (outcome.kind === 'unavailable') return outcome
  }
  return absent
}

const answerOf = ({ exitCode, stdout, stderr }: QueryResult): string => {
  switch (exitCode) {
    case 0: return `found ${stdout.replace(/\n$/, '')}`
    case 1: return 'absent'
    case exitTempfail: return `unavailable: ${stderr.replace(/^holdfast query: (?:temp: )?/, '').trim()}`
    default: return exitCode satisfies never
  }
}

const textOf = (outcome: Outcome): string => {
  switch (outcome.kind) {
    case 'found': return `found ${readable(outcome.value)}`
    case 'absent': return 'absent'
    case 'unavailable': return `unavailable: ${outcome.reason}: ${outcome.detail}`
    default: return outcome satisfies never
  }
}

export type Comparison = { readonly verdict: 'same' | 'differs' | 'not asked', readonly direct: string, readonly daemon: string }

/** The two answers for one key, in words. Values of a sensitive map are not shown. */
export const compareAnswers = (direct: Outcome, reply: QueryResult, map: Pick<MapConfig, 'policy' | 'sensitive'>): Comparison => {
  const expected = direct.kind === 'absent' ? verdict(direct, map.policy) : direct
  const texts = { direct: textOf(expected), daemon: answerOf(reply) }
  const shown = (text: string): string => map.sensitive && text.startsWith('found ') ? 'found (hidden: the map is sensitive)' : text
  const isSame = direct.kind !== 'unavailable' && texts.direct === texts.daemon
  return {
    verdict: isSame ? 'same' : direct.kind === 'unavailable' || reply.exitCode === exitTempfail ? 'not asked' : 'differs',
    direct: shown(texts.direct), daemon: shown(texts.daemon),
  }
}

type Counts = { keys: number, differs: number, notAsked: number }

/** Reads keys, one a line, and says which answers differ. */
const compareAll = async (
  lines: AsyncIterable<string>, compareKey: (key: string) => Promise<Comparison>, say: (line: string) => void,
): Promise<Counts> => {
  const counts = { keys: 0, differs: 0, notAsked: 0 }
  const one = async (key: string): Promise<void> => {
    const { verdict: said, direct, daemon } = await compareKey(key)
    counts.keys++
    if (said === 'same') return
    if (said === 'differs') counts.differs++
    else counts.notAsked++
    say(`${key}\t${direct}\t${daemon}\n`)
  }
  const underWay = new Set<Promise<void>>()
  for await (const line of lines) {
    const key = line.replace(/\r$/, '')
    if (key === '') continue
    const asking = one(key).finally(() => underWay.delete(asking))
    underWay.add(asking)
    if (underWay.size >= atATime) await Promise.race(underWay)
  }
  await Promise.all(underWay)
  return counts
}

const mapOf = (config: Config, name: string): { map: MapConfig, listener: Endpoint } | string => {
  const map = config.maps.find(candidate => candidate.name === name)
  if (map === undefined) return `there is no map '${name}'; known maps: ${config.maps.map(known => known.name).join(', ')}`
  const listener = config.listeners.find(({ protocol }) => protocol === 'socketmap')
  return listener === undefined ? 'there is no socketmap listener' : { map, listener: listener.address }
}

/** Exit code: 0 the same answers, 1 differences, 75 when some key could not be asked (and the others are the same), 66 and 78 for keys or a configuration that can't be read. */
export const compare = async (name: string, options: CompareOptions, process: NodeJS.Process): Promise<number> => {
  const complain = (text: string): void => {
    process.stderr.write(`holdfast compare: ${text}\n`)
  }
  const loaded = loadConfig(options.config, process.env)
  const chosen = loaded.ok ? mapOf(loaded.config, name) : `${options.config} has problems (see \`holdfast check\`)`
  if (!loaded.ok || typeof chosen === 'string') {
    complain(typeof chosen === 'string' ? chosen : options.config)
    return exitConfig
  }
  const { map, listener } = chosen
  const log = createLog({ level: 'error', format: 'text', journal: false }, line => process.stderr.write(line), Date.now)
  const opened = sourcesOf({ ...loaded.config, maps: [map] }, log)
  if (!opened.ok) {
    for (const { place, text } of opened.problems) complain(`${place}: ${text}`)
    return exitConfig
  }
  const { sources } = opened
  const plan = compileSearch(map.search, loaded.config.search)
  const source = sources.of(name)
  const compareKey = async (key: string): Promise<Comparison> => {
    const [direct, reply] = await Promise.all([
      askDirectly(source, plan, key).catch((error: unknown) => unavailable('internal-error', String(error))), query(listener, name, key, budgetMs),
    ])
    return compareAnswers(direct, reply, map)
  }
  try {
    const lines = options.keys === '-' ? createInterface({ input: process.stdin }) : (await open(options.keys)).readLines()
    const counts = await compareAll(lines, compareKey, line => process.stdout.write(line))
    complain(`${name}: ${counts.keys} keys, ${counts.differs} with different answers, ${counts.notAsked} could not be asked`)
    return counts.differs > 0 ? 1 : counts.notAsked > 0 ? exitTempfail : 0
  } catch (error) {
    complain(`the keys can't be read: ${messageOf(error)}`)
    return exitNoInput
  } finally {
    sources.close()
  }
}
