/**
 * A configuration file on disk -> Config, checked as a whole: names that must
 * exist, parameters that go together, secrets from their files. Every problem
 * is reported at once, with its place.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseDocument } from 'yaml'
import type { Problem } from '../log.js'
import type { Config, Faults } from './config.js'
import { isDnsServer, noDnsServer } from './endpoint.js'
import { adminOf, healthOf, listenersOf } from './listen_section.js'
import { fallbackRejects, mapsOf } from './maps_section.js'
import { parseConfig } from './parse.js'
import type { ParameterPath } from './parse.js'
import { adminTokenOf, startReading } from './reading.js'
import type { Reading } from './reading.js'
import { redisOf } from './redis_section.js'
import { nodeOf, withRole } from './role_section.js'
import type { ConfigFile, WrittenFile } from './schema.js'
import { durationText } from './units.js'
import { canonicalLiteral } from '../postfix/address.js'
import { asBytes, fold } from '../postfix/fold.js'
import { cantRead } from '../runtime/hidden.js'

export type Loaded =
  | { readonly ok: true, readonly config: Config }
  | { readonly ok: false, readonly problems: readonly Problem[] }

/** Reads and checks `fileName`. Connects nowhere. Rejects never: an unreadable file is a problem like any other. */
export const loadConfig = (fileName: string, environment: NodeJS.ProcessEnv): Loaded => {
  let text: string
  try {
    text = readFileSync(fileName, 'utf8')
  } catch (error) {
    return { ok: false, problems: [{ place: fileName, text: cantRead(error, fileName, 'a YAML file') }] }
  }
  const parsed = parseConfig(text, fileName)
  if (!parsed.ok) return parsed
  const { file, placeOf } = parsed
  const mapsWith = (database: string): readonly string[] =>
    Object.keys(file.maps).filter(name => file.maps[name]?.database === database)
  const reading = startReading(fileName, placeOf, environment, parsed.faults, mapsWith)
  const config = configOf(reading, file)
  if (reading.problems.length === 0 && config.maps.length > 0) return { ok: true, config }
  return { ok: false, problems: [...reading.problems, ...problemsOf(reading.faults)] }
}

/**
 * Where a daemon listens by a file that has faults elsewhere, since it may run by the former text of it. null if that
 * can't be read either.
 */
export const addressesIn = (
  fileName: string, environment: NodeJS.ProcessEnv,
): Pick<Config, 'health' | 'admin' | 'listeners'> | null => {
  let values: unknown
  try {
    values = parseDocument(readFileSync(fileName, 'utf8')).toJS()
  } catch {
    return null
  }
  if (typeof values !== 'object' || values === null) return null
  const { health, admin, listen } = values as Readonly<Record<string, unknown>>
  const parsed = parseConfig(JSON.stringify({ health, admin, listen, maps: {} }), fileName)
  if (!parsed.ok) return null
  const reading = startReading(fileName, parsed.placeOf, environment, new Map(), () => [])
  const file = withRole(parsed.file, nodeOf(reading, parsed.file))
  return { health: healthOf(reading, file), admin: adminOf(reading, file), listeners: listenersOf(reading, file) }
}

/** All problems of all maps; one that several maps have is there once. */
export const problemsOf = (faults: Faults): readonly Problem[] => {
  const all = [...faults.values()].flat()
  return all.filter(({ place, text }, index) =>
    all.findIndex(other => other.place === place && other.text === text) === index)
}

const configOf = (reading: Reading, written: WrittenFile): Config => {
  const node = nodeOf(reading, written)
  const file = withRole(written, node)
  const listeners = listenersOf(reading, file)
  const health = healthOf(reading, file)
  const admin = adminOf(reading, file)
  checkRole(reading, file)
  checkTimes(reading, file)
  checkResolver(reading, file)
  checkGuard(reading, file)
  const maps = mapsOf(reading, file).filter(({ name }) => !reading.faults.has(name))
  return {
    file, node, fileName: reading.fileName, listeners, health, admin, maps, faults: reading.faults,
    adminToken: adminTokenOf(reading, file),
    redis: file.redis === undefined ? null : redisOf(reading, file.redis),
    snapshotPath: statePath(reading, file.snapshot, 'snapshot'),
    copiesPath: statePath(reading, file.copies, 'copies'),
    staticDomains: new Set(file.static_domains.map(fold)),
    recipientGuard: file.recipient_guard,
    search: {
      recipientDelimiter: file.recipient_delimiter,
      parentDomainMatchesSubdomains: new Set(file.parent_domain_matches_subdomains),
      propagateUnmatchedExtensions: new Set(file.propagate_unmatched_extensions),
      localDomains: new Set(file.local_domains.map(domain => canonicalLiteral(fold(domain)))),
      localDomainBytes: new Set(file.local_domains.map(domain => canonicalLiteral(fold(asBytes(domain))))),
    },
  }
}

const checkRole = ({ problem }: Reading, { role, outage, unknown }: ConfigFile): void => {
  if (role === 'primary' && outage !== undefined) {
    problem(['outage'], `outage: is ${outage} on a primary, which always defers what it can't know: `
      + 'remove this, or use role: fallback')
  }
  if (role === 'fallback' && unknown === 'defer') problem(['unknown'], fallbackRejects)
}

const checkResolver = ({ problem }: Reading, { mx_resolver: server }: ConfigFile): void => {
  if (server !== undefined && !isDnsServer(server)) problem(['mx_resolver'], `mx_resolver: ${noDnsServer(server)}`)
}

const checkGuard = ({ problem, faults }: Reading, { recipient_guard: lists, maps }: ConfigFile): void => {
  for (const [index, name] of lists.entries()) {
    const { search, unknown } = maps[name] ?? {}
    if (unknown === 'defer') {
      problem(['maps', name, 'unknown'], `unknown: is defer in a list of our domains (recipient_guard has ${name}), `
        + 'which lacks the domain of each stranger: it would defer all mail; remove this')
    }
    if (faults.has(name) || search === 'exact' || search === 'domain' || search === 'virtual') continue
    problem(['recipient_guard', index], `recipient_guard: '${name}' is `
      + `${search === undefined ? 'no map' : `a map with search: ${search}`}; `
      + 'name maps that list domains, with search: exact, domain or virtual')
  }
}

const checkTimes = (
  { problem }: Reading,
  { deadline, soft_deadline, copy_every, mx_every, warm_every, changes_every, breaker, redis }: ConfigFile,
): void => {
  const bound = (path: ParameterPath, ms: number, { least = 0, most = Infinity }, why = ''): void => {
    if (ms >= least && ms <= most) return
    const accepted = ms < least ? `at least ${durationText(least)}` : `at most ${durationText(most)}`
    problem(path, `${path.map(String).join('.')}: is ${durationText(ms)}; must be ${accepted}${why}`)
  }
  bound(['copy_every'], copy_every, { least: 60_000 })
  if (mx_every !== undefined) bound(['mx_every'], mx_every, { least: 60_000 })
  bound(['warm_every'], warm_every, { least: 60_000 })
  bound(['changes_every'], changes_every, { least: 1_000 })
  bound(['deadline'], deadline, { least: 10, most: 50_000 }, deadline < 10 ? '' : ': Postfix gives up after 100s')
  bound(['breaker', 'reset'], breaker.reset, { most: 3_600_000 })
  if (redis !== undefined) bound(['redis', 'command_timeout'], redis.command_timeout, { most: 50_000 })
  if (soft_deadline >= deadline) {
    problem(['soft_deadline'], `soft_deadline: is ${durationText(soft_deadline)}; `
      + `must be shorter than deadline, ${durationText(deadline)}`)
  }
}

/** Where something is kept over a restart: as the file says, else in the service's StateDirectory; null: nowhere. */
const statePath = ({ environment, folder }: Reading, given: string | undefined, name: string): string | null => {
  if (given !== undefined) return resolve(folder, given)
  // systemd.exec(5): the first of the unit's StateDirectory=.
  const state = environment['STATE_DIRECTORY']?.split(':', 1)[0] ?? ''
  return state === '' ? null : resolve(state, name)
}
