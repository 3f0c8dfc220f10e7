/**
 * A configuration file on disk -> Config, checked as a whole: names that must
 * exist, parameters that go together, secrets from their files. Every problem
 * is reported at once, with its place.
 */
import { readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import type { Search } from '../postfix/parameters.js'
import type { Config, Lifetimes, ListenerConfig, MapConfig, Policy, SourceConfig } from './config.js'
import { parseEndpoint } from './endpoint.js'
import type { ListenAddress } from './endpoint.js'
import { parseChanges } from '../tables/changes_query.js'
import type { ChangesQuery } from '../tables/changes_query.js'
import { groupId } from './group.js'
import { nearest } from './spelling.js'
import { parseConfig } from './parse.js'
import { redisSettings } from './redis_section.js'
import type { Problem } from '../log.js'
import type { Places } from './parse.js'
import type { ConfigFile, MapSection } from './schema.js'
import { messageOf } from '../log.js'

export type Loaded = { readonly ok: true, readonly config: Config } | { readonly ok: false, readonly problems: readonly Problem[] }

const minute = 60_000
const day = 86_400_000
/** A shorter token can be guessed. */
const minTokenLength = 16

/** Maps in which most keys are absent, and mean to be: "no special route", "not rewritten", "no rule", "somebody else's domain". */
const mostlyAbsent: ReadonlySet<Search> = new Set(['transport', 'canonical', 'generic', 'access', 'domain'])
/** Maps in which a fallback node's `outage: reject` acts: those that name recipients, and nothing else. A domain, in `domain` or `exact`, that can't be looked up is deferred on every node: mail already accepted would bounce. */
const rejectsInOutage: ReadonlySet<Search> = new Set(['virtual', 'recipient'])

const lifetimesOf = (map: MapSection): Lifetimes => ({
  freshForMs: map.fresh_for ?? 5 * minute,
  staleForMs: map.stale_for ?? (map.sensitive ? 0 : 7 * day),
  absentForMs: map.absent_for ?? (map.search === 'domain' || map.search === 'transport' ? 5_000 : 30_000),
})

const policyOf = (file: ConfigFile, map: MapSection): Policy => ({
  unknown: map.unknown ?? (map.search === 'recipient' && !map.sensitive ? file.unknown : 'reject'),
  outage: file.role === 'fallback' && file.outage !== 'defer' && rejectsInOutage.has(map.search) && !map.sensitive ? 'reject' : 'defer',
})

/** No other machine reaches it. */
const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/** Reads and checks `fileName`. Doesn't connect anywhere. Rejects never; an unreadable file is a problem like any other. */
export const loadConfig = (fileName: string, environment: NodeJS.ProcessEnv): Loaded => {
  let text: string
  try {
    text = readFileSync(fileName, 'utf8')
  } catch (error) {
    return { ok: false, problems: [{ place: fileName, text: `can't be read: ${messageOf(error)}` }] }
  }
  const parsed = parseConfig(text, fileName)
  if (!parsed.ok) return parsed
  return checkConfig(parsed.file, parsed.placeOf, fileName, environment)
}

const checkConfig = (file: ConfigFile, placeOf: Places, fileName: string, environment: NodeJS.ProcessEnv): Loaded => {
  const problems: Problem[] = []
  const problem = (path: readonly PropertyKey[], text: string): void => {
    problems.push({ place: placeOf(path), text })
  }
  const folder = dirname(resolve(fileName))
  const mapNames = Object.keys(file.maps)
  if (mapNames.length === 0) problem(['maps'], 'maps: name at least one map')

  /** The secret that `name`, `name_file` or `name_env` gives. */
  const secretOf = (path: readonly PropertyKey[], given: Readonly<Record<string, unknown>>, name = 'password'): string | undefined => {
    const valueAt = (parameter: string): string | undefined => {
      const value = given[parameter]
      return typeof value === 'string' ? value : undefined
    }
    const [inFile, inEnvironment] = [`${name}_file`, `${name}_env`]
    const ways = [name, inFile, inEnvironment].filter(way => valueAt(way) !== undefined)
    if (ways.length > 1) problem([...path, ways[1] ?? ''], `${ways.join(' and ')} both give the ${name}: keep one`)
    const named = valueAt(inFile)
    if (named !== undefined) {
      const secretFile = resolve(folder, named)
      try {
        return readFileSync(secretFile, 'utf8').split(/\r?\n/, 1)[0] ?? ''
      } catch (error) {
        problem([...path, inFile], `${inFile}: ${secretFile} can't be read: ${messageOf(error)}`)
      }
    }
    const variable = valueAt(inEnvironment)
    if (variable !== undefined) {
      const value = environment[variable]
      if (value === undefined) problem([...path, inEnvironment], `${inEnvironment}: the environment has no variable '${variable}'`)
      return value
    }
    return valueAt(name)
  }

  /** The peers that `allow` names, and this machine. */
  const allowedOf = (path: readonly PropertyKey[], networks: readonly string[] | undefined): BlockList | null => {
    if (networks === undefined) return null
    const allowed = new BlockList()
    allowed.addSubnet('127.0.0.0', 8, 'ipv4')
    allowed.addAddress('::1', 'ipv6')
    for (const [index, text] of networks.entries()) {
      const [network = '', prefix] = text.split('/')
      const family = isIP(network)
      const bits = prefix === undefined ? family === 4 ? 32 : 128 : Number(prefix)
      if (family === 0 || !/^\d{1,3}$/.test(prefix ?? '0') || bits > (family === 4 ? 32 : 128)) {
        problem([...path, index], `allow: '${text}' is not a network: write 192.0.2.0/24, 2001:db8::/32 or an address`)
      } else allowed.addSubnet(network, bits, family === 4 ? 'ipv4' : 'ipv6')
    }
    return allowed
  }

  const listeners = file.listen.flatMap((given, index): ListenerConfig[] => {
    const path = ['listen', index]
    if ((given.socketmap === undefined) === (given.tcp === undefined)) {
      problem(path, 'a listener is either `socketmap: unix:PATH` (or inet:HOST:PORT) or `tcp: HOST:PORT` with `map:`')
      return []
    }
    const name = given.socketmap === undefined ? 'tcp' : 'socketmap'
    const endpoint = parseEndpoint(given.socketmap ?? given.tcp ?? '')
    if (typeof endpoint === 'string') {
      problem([...path, name], `${name}: ${endpoint}`)
      return []
    }
    let gid: number | null = null
    if (given.group !== undefined) {
      gid = groupId(String(given.group))
      if (gid === null) problem([...path, 'group'], `group: there is no group '${given.group}' on this machine`)
    }
    const address: ListenAddress = endpoint.kind === 'unix'
      // Postfix's processes run as its own user, which is in no group of ours unless `group` says so.
      ? { ...endpoint, mode: parseInt(given.mode ?? (given.group === undefined ? '0666' : '0660'), 8), gid }
      : endpoint
    const allowed = allowedOf([...path, 'allow'], given.allow)
    if (endpoint.kind === 'unix' && given.allow !== undefined) problem([...path, 'allow'], 'allow: goes with TCP; a unix socket has `mode` and `group`')
    if (endpoint.kind === 'inet' && allowed === null && !isLoopback(endpoint.host)) {
      problem([...path, name], `${name}: ${endpoint.host} can be reached by other machines: say which ones may ask, \`allow: [192.0.2.0/24]\`, or listen on 127.0.0.1`)
    }
    if (given.socketmap !== undefined) {
      if (given.map !== undefined) problem([...path, 'map'], 'map: goes with tcp only; with socketmap the client names the map')
      return [{ address, allowed, protocol: 'socketmap' }]
    }
    if (endpoint.kind === 'unix') problem([...path, 'tcp'], 'tcp: Postfix\'s tcp: tables know no unix sockets; write HOST:PORT')
    if (given.map === undefined) problem(path, 'tcp: say which `map:` is asked here; the protocol has no map names')
    else if (!mapNames.includes(given.map)) {
      problem([...path, 'map'], `map: there is no map '${given.map}'; known maps: ${mapNames.join(', ')}`)
    }
    return [{ address, allowed, protocol: 'tcp_table', map: given.map ?? '' }]
  })

  const health = file.health === 'off' ? null : parseEndpoint(file.health)
  if (typeof health === 'string') problem(['health'], `health: ${health}`)
  const admin = file.admin === 'off' ? null : parseEndpoint(file.admin)
  if (typeof admin === 'string') problem(['admin'], `admin: ${admin}`)
  else if (admin?.kind === 'inet') problem(['admin'], 'admin: write unix:PATH; it is kept by the permissions of the socket')

  if (file.role === 'primary' && file.outage !== undefined) {
    problem(['outage'], 'outage: only a fallback node may choose; a primary always defers what it can\'t know')
  }
  if (file.role === 'fallback' && file.unknown === 'defer') {
    problem(['unknown'], 'unknown: a fallback node rejects unknowns, it is the last MX that a client asks; remove this or use role: primary')
  }
  if (file.soft_deadline >= file.deadline) problem(['soft_deadline'], 'soft_deadline: must be shorter than deadline')
  if (file.warm_every < minute) problem(['warm_every'], 'warm_every: at least 1m')
  if (file.changes_every < 1_000) problem(['changes_every'], 'changes_every: at least 1s')
  if (file.deadline > 50_000) problem(['deadline'], 'deadline: at most 50s; Postfix itself gives up after 100s and then asks no more')
  if (file.deadline < 10) problem(['deadline'], 'deadline: at least 10ms')

  const passwords = new Map(Object.entries(file.databases).map(([name, database]) => [name, secretOf(['databases', name], database)]))

  const maps = Object.entries(file.maps).map(([name, map]): MapConfig => {
    const path = ['maps', name]
    const kinds = (['cf', 'text', 'database'] as const).filter(kind => map[kind] !== undefined)
    if (kinds.length !== 1) {
      problem(path, `maps.${name}: needs exactly one of \`cf:\` (a mysql_table file), \`database:\` with \`query:\`, or \`text:\` (a text table)`
        + (kinds.length === 0 ? '' : `; it has ${kinds.join(' and ')}`))
    }
    const lifetimes = lifetimesOf(map)
    if (map.stale_for !== undefined && map.stale_for > 0 && lifetimes.staleForMs < lifetimes.freshForMs) {
      problem([...path, 'stale_for'], 'stale_for: counts from the verification, like fresh_for, so it must be longer than that')
    }
    if (map.unknown === 'defer' && mostlyAbsent.has(map.search)) {
      problem([...path, 'unknown'], `unknown: in a ${map.search} map most keys are absent, senders\' too; deferring these would stop all mail`)
    }
    if (map.unknown === 'defer' && file.role === 'fallback') {
      problem([...path, 'unknown'], 'unknown: a fallback node rejects unknowns, it is the last MX that a client asks; remove this or use role: primary')
    }
    return {
      name,
      place: placeOf(path),
      search: map.search,
      source: sourceOf(name, map),
      lifetimes,
      policy: policyOf(file, map),
      sensitive: map.sensitive,
      maxShrink: map.max_shrink ?? file.max_shrink,
      canary: map.canary ?? null,
      changes: changesOf([...path, 'changes'], map),
      warm: warmOf([...path, 'warm'], map),
    }
  })

  function sourceOf(name: string, map: MapSection): SourceConfig {
    if (map.text !== undefined) return { kind: 'text', path: resolve(folder, map.text) }
    if (map.cf !== undefined) return { kind: 'cf', paths: [map.cf].flat().map(path => resolve(folder, path)) }
    const databaseName = map.database ?? ''
    const database = file.databases[databaseName]
    if (database === undefined) {
      if (map.database !== undefined) {
        const known = Object.keys(file.databases)
        const near = nearest(databaseName, known)
        problem(['maps', name, 'database'], `database: there is no '${databaseName}' under databases`
          + (near === null ? known.length === 0 ? '' : `; known: ${known.join(', ')}` : `, did you mean '${near}'?`))
      }
      return { kind: 'inline', parameters: {}, placeOf: () => placeOf(['maps', name]) }
    }
    if (map.query === undefined) problem(['maps', name], `maps.${name}: database goes with \`query:\``)
    const own = {
      query: map.query, result_format: map.result_format, domain: map.domain,
      expansion_limit: map.expansion_limit, require_result_set: map.require_result_set,
    }
    const password = passwords.get(databaseName)
    const parameters: Record<string, string> = password === undefined ? {} : { password }
    for (const [parameter, value] of Object.entries({ ...database, ...own })) {
      if (value !== undefined && !parameter.startsWith('password')) parameters[parameter] = Array.isArray(value) ? value.join(', ') : typeof value === 'boolean' ? value ? 'yes' : 'no' : String(value)
    }
    return {
      kind: 'inline',
      parameters,
      placeOf: parameter => placeOf(parameter in own ? ['maps', name, parameter] : ['databases', databaseName, parameter]),
    }
  }

  function changesOf(path: readonly PropertyKey[], map: MapSection): ChangesQuery | null {
    if (map.changes === undefined) return null
    const parsed = parseChanges(map.changes)
    if (map.text !== undefined) problem(path, 'changes: a text table is read at start and on reload; remove this')
    else if (typeof parsed === 'string') problem(path, `changes: ${parsed}`)
    return typeof parsed === 'string' ? null : parsed
  }

  function warmOf(path: readonly PropertyKey[], { warm, text }: MapSection): string | null {
    if (warm === undefined) return null
    const query = warm.replace(/[\s;]+$/, '')
    if (text !== undefined) problem(path, 'warm: a text table is whole in memory as it is; remove this')
    else if (query !== 'auto' && !/^[\s(]*(SELECT|WITH)\b/i.test(query)) problem(path, `warm: write auto, or a query such as SELECT address, goto FROM alias; '${query.slice(0, 60)}' is neither`)
    return query
  }

  const snapshotPathOf = (): string | null => {
    if (file.snapshot !== undefined) return resolve(folder, file.snapshot)
    // systemd.exec(5): the first of the unit's StateDirectory=.
    const state = environment['STATE_DIRECTORY']?.split(':', 1)[0]
    return state === undefined || state === '' || file.redis !== undefined ? null : resolve(state, 'snapshot')
  }

  const adminToken = secretOf([], file, 'admin_token') ?? null
  if (adminToken !== null && adminToken.length < minTokenLength) {
    problem(['admin_token', 'admin_token_file', 'admin_token_env'].filter(name => name in file).slice(0, 1), `admin_token: shorter than ${minTokenLength} characters; such as \`openssl rand -hex 16\` gives`)
  }

  const redis = file.redis === undefined ? null : redisSettings(file.redis, {
    password: secretOf(['redis'], file.redis), sentinelPassword: secretOf(['redis'], file.redis, 'sentinel_password'),
  }, folder, (parameter, text) => problem(['redis', parameter], text))

  if (problems.length > 0 || typeof health === 'string') return { ok: false, problems }
  return {
    ok: true,
    config: {
      file, fileName, listeners, health, admin: typeof admin === 'object' && admin?.kind === 'unix' ? admin.path : null, adminToken, redis, maps,
      snapshotPath: snapshotPathOf(),
      search: {
        recipientDelimiter: file.recipient_delimiter,
        parentDomainMatchesSubdomains: new Set(file.parent_domain_matches_subdomains),
        propagateUnmatchedExtensions: new Set(file.propagate_unmatched_extensions),
        localDomains: new Set(file.local_domains.map(domain => domain.toLowerCase())),
      },
    },
  }
}
