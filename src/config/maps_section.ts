/** The `maps` section: each map -> its search, its tables and the times of its answers, or what is wrong with it. */
import { resolve } from 'node:path'
import { guardName, isReservedName, lenientPrefix } from '../postfix/guarded_lists.js'
import { absenceOfSearch } from '../postfix/parameters.js'
import type { Search } from '../postfix/parameters.js'
import type { Absence, Lifetimes, MapConfig, Policy, SourceConfig } from './config.js'
import type { ParameterPath } from './parse.js'
import { secretOf } from './reading.js'
import type { Reading } from './reading.js'
import type { ConfigFile, MapSection } from './schema.js'
import { hintFor } from './spelling.js'
import { durationText } from './units.js'

const minuteMs = 60_000
const dayMs = 86_400_000

/** Maps with these searches lack most keys, as they should: no special route, not rewritten, not our domain. */
const mostlyAbsent: ReadonlySet<Search> = new Set(['transport', 'canonical', 'generic', 'access', 'domain'])
/**
 * A fallback node's `outage: reject` acts on maps with these searches, which name recipients and nothing else. Every
 * node defers a domain that it can't look up (`domain`, `exact`): mail already accepted would bounce.
 */
const rejectsInOutage: ReadonlySet<Search> = new Set(['virtual', 'recipient'])

export const fallbackRejects =
  'unknown: is defer on a fallback node, which rejects unknown recipients, since it is the last MX that a client asks: '
  + 'remove this, or use role: primary'

const lifetimesOf = (map: MapSection): Lifetimes => ({
  freshForMs: map.fresh_for ?? 5 * minuteMs,
  staleForMs: map.stale_for ?? (map.sensitive ? dayMs : 7 * dayMs),
  absentForMs: map.absent_for ?? (map.search === 'domain' || map.search === 'transport' ? 5_000 : 30_000),
})

const absenceOf = ({ absence, in_outage: inOutage, search, sensitive }: MapSection): Absence => {
  const does = absence ?? absenceOfSearch(search)
  const isAccess = search === 'access' && does === 'passes'
  return {
    does,
    inOutage: inOutage ?? (isAccess ? 'pass' : does === 'passes' && sensitive ? 'pass-strangers' : 'defer'),
    isBelievedAtOnce: isAccess,
  }
}

const policyOf = ({ role, unknown, outage, outage_after: outageAfterMs }: ConfigFile, map: MapSection): Policy => {
  const mayReject = role === 'fallback' && outage === 'reject'
  // BCC, sender and password tables have the same search, but most keys are absent there.
  const refusesRecipients = absenceOf(map).does === 'refuses' && !map.sensitive
  return {
    unknown: map.unknown ?? (refusesRecipients && map.search === 'recipient' ? unknown : 'reject'),
    outage: mayReject && refusesRecipients && rejectsInOutage.has(map.search) ? 'reject' : 'defer',
    outageAfterMs,
  }
}

const checkMap = ({ problem }: Reading, path: ParameterPath, map: MapSection, { role }: ConfigFile): void => {
  const kinds = (['cf', 'text', 'database'] as const).filter(kind => map[kind] !== undefined)
  if (kinds.length !== 1) {
    problem(path, `${path.join('.')}: has ${kinds.length === 0 ? 'no table' : kinds.join(' and ')}; must have exactly `
      + 'one of `cf:` (a mysql_table file), `database:` with `query:`, or `text:` (a text table)')
  }
  const { staleForMs, freshForMs } = lifetimesOf(map)
  if (map.stale_for !== undefined && map.stale_for > 0 && staleForMs < freshForMs) {
    problem([...path, 'stale_for'], `stale_for: is ${durationText(staleForMs)}; must be at least fresh_for, `
      + `${durationText(freshForMs)}, since both count from the verification; 0 switches stale answers off`)
  }
  if (map.in_outage !== undefined && !['passes', 'reroutes'].includes(absenceOf(map).does)) {
    problem([...path, 'in_outage'], `in_outage: is ${map.in_outage} in a map with absence: ${absenceOf(map).does}; `
      + 'goes with `absence: passes` or `reroutes`, else it could refuse mail: remove this')
  }
  const { does } = absenceOf(map)
  if (map.unknown === 'defer' && (mostlyAbsent.has(map.search) || does !== 'refuses')) {
    const kind = mostlyAbsent.has(map.search) ? `a ${map.search} map` : `a map with absence: ${does}`
    problem([...path, 'unknown'], `unknown: is defer in ${kind}, where most keys are absent, senders' too: `
      + 'it would defer all mail; remove this')
  }
  if (map.unknown === 'defer' && role === 'fallback') problem([...path, 'unknown'], fallbackRejects)
}

/** `database` at `name` is not there. */
const noDatabase = (name: string, databases: ConfigFile['databases']): string => {
  const known = Object.keys(databases)
  const hint = hintFor(name, known, known.length === 0 ? ': add it there' : `; name one that is: ${known.join(', ')}`)
  return `database: '${name}' is not under \`databases\`${hint}`
}

/** A value as mysql_table(5) writes it. */
const cfValue = (value: string | number | boolean | readonly string[]): string =>
  typeof value === 'object' ? value.join(', ') : typeof value === 'boolean' ? value ? 'yes' : 'no' : String(value)

/** `passwords` are those of the databases, by name. */
const inlineSource = (
  { placeOf, problem }: Reading, path: ParameterPath, map: MapSection,
  { databases }: ConfigFile, passwords: ReadonlyMap<string, string | undefined>,
): SourceConfig => {
  const name = map.database ?? ''
  const database = databases[name]
  if (database === undefined) {
    if (map.database !== undefined) problem([...path, 'database'], noDatabase(name, databases))
    return { kind: 'inline', parameters: {}, placeOf: () => placeOf(path) }
  }
  if (map.query === undefined) problem(path, `${path.join('.')}: has \`database:\` without \`query:\`: add the query`)
  const { query, result_format, domain, expansion_limit, require_result_set } = map
  const ofMap = { query, result_format, domain, expansion_limit, require_result_set }
  const given = Object.entries({ ...database, ...ofMap }).flatMap(([parameter, value]) =>
    value === undefined || parameter.startsWith('password') ? [] : [[parameter, cfValue(value)] as const])
  const password = passwords.get(name)
  return {
    kind: 'inline',
    parameters: { ...Object.fromEntries(given), ...password === undefined ? {} : { password } },
    placeOf: parameter => placeOf(parameter in ofMap ? [...path, parameter] : ['databases', name, parameter]),
  }
}

const changesOf = (
  { placeOf, problem }: Reading, path: ParameterPath, { changes: query, text }: MapSection,
): MapConfig['changes'] => {
  if (query === undefined) return null
  if (text !== undefined) {
    problem(path, 'changes: the map has a text table, which is read at start and on reload: remove this')
  }
  return { query, place: placeOf(path) }
}

const warmOf = ({ problem }: Reading, path: ParameterPath, { warm, text }: MapSection): string | null => {
  if (warm === undefined) return null
  const query = warm.replace(/[\s;]+$/, '')
  if (text !== undefined) {
    problem(path, 'warm: the map has a text table, which is whole in memory as it is: remove this')
  } else if (query !== 'auto' && !/^[\s(]*(SELECT|WITH)\b/i.test(query)) {
    problem(path, `warm: '${query.slice(0, 60)}' is no query; `
      + 'write auto, or a query such as SELECT address, goto FROM alias')
  }
  return query
}

/** The maps. Those with problems are among them: their values are of no use. */
export const mapsOf = (reading: Reading, file: ConfigFile): readonly MapConfig[] => {
  const { folder, placeOf, problem } = reading
  const sections = Object.entries(file.maps)
  if (sections.length + reading.faults.size === 0) problem(['maps'], 'maps: is empty; name at least one map')
  const passwords = new Map(Object.entries(file.databases)
    .map(([name, database]) => [name, secretOf(reading, ['databases', name], database)] as const))
  return sections.map(([name, map]) => {
    const path = ['maps', name]
    if (isReservedName(name)) {
      problem(path, `maps.${name}: Holdfast itself answers ${guardName} and ${lenientPrefix}...; `
        + 'give the map another name, in main.cf too')
    }
    checkMap(reading, path, map, file)
    const source: SourceConfig = map.text !== undefined ? { kind: 'text', path: resolve(folder, map.text) }
      : map.cf !== undefined ? { kind: 'cf', paths: [map.cf].flat().map(cf => resolve(folder, cf)) }
        : inlineSource(reading, path, map, file, passwords)
    return {
      name, source,
      place: placeOf(path),
      search: map.search,
      smtputf8: (map.smtputf8_enable ?? file.smtputf8_enable) === 'yes',
      lifetimes: lifetimesOf(map),
      policy: policyOf(file, map),
      sensitive: map.sensitive,
      absence: absenceOf(map),
      confirmForMs: map.confirm_for ?? (map.sensitive ? minuteMs : 5 * minuteMs),
      maxShrink: map.max_shrink ?? file.max_shrink,
      canary: map.canary ?? null,
      changes: changesOf(reading, [...path, 'changes'], map),
      warm: warmOf(reading, [...path, 'warm'], map),
    }
  })
}
