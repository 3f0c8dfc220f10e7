/**
 * The parameters of one mysql_table(5) map, from its .cf file or from the
 * configuration, checked as a whole -> what the map asks whom, and how rows
 * become an answer. Every problem at once, each with its place. Connects
 * nowhere; the files that the parameters name are read here, once.
 *
 * Stricter than Postfix where Postfix would go on with something else than what
 * was meant: a parameter one letter away from one that isn't there, hosts that
 * are no names, no user. Where .cf and option file both say something, the .cf
 * counts.
 */
import { diskFiles } from './definition_files.js'
import type { Files } from './definition_files.js'
import { nearest } from '../config/spelling.js'
import type { Problem } from '../log.js'
import { parseCf } from './cf.js'
import { parseDomainList } from './domain_list.js'
import type { DomainList } from './domain_list.js'
import { needsOf } from './expansion.js'
import type { Login } from '../mysql/database.js'
import { parseHosts } from '../mysql/hosts.js'
import type { Host } from '../mysql/hosts.js'
import type { Tls } from '../mysql/tls.js'
import { deriveListing } from './listing.js'
import type { Listing } from './listing.js'
import { readOptionFiles } from './option_file.js'
import type { Options } from './option_file.js'
import { answerRows, scanResultFormat } from './result.js'
import type { Answer } from './result.js'
import { bindKey, scanQuery } from './query_template.js'
import type { Bind, SqlMode } from './query_template.js'
import { messageOf } from '../log.js'

export type TableDefinition = {
  readonly hosts: readonly Host[]
  readonly login: Login
  /** The statement's text around its parameters. */
  readonly texts: readonly string[]
  /** A server with one of these sql_modes would read the query otherwise. */
  readonly unfitModes: readonly SqlMode[]
  /** The parameters' values for a folded key; null: absent, nobody is asked. */
  readonly bind: Bind
  /** How all its keys are listed with their rows; a text says why they can't be. */
  readonly listing: Listing | string
  /** The answer that a complete result makes. `onEmpty` hears of each empty value. */
  readonly answer: Answer
  /** False: a statement without a result set means absent, not a fault. */
  readonly requireResultSet: boolean
  readonly idleIntervalMs: number
  /** Changes whenever other answers could come out; holds no secret. */
  readonly fingerprint: string
}

export type Defined =
  | { readonly ok: true, readonly definition: TableDefinition, readonly warnings: readonly Problem[] }
  | { readonly ok: false, readonly problems: readonly Problem[], readonly warnings: readonly Problem[] }

/** Every parameter that mysql_table(5) knows, up to Postfix 3.11. */
export const parameterNames = [
  'hosts', 'user', 'password', 'dbname', 'charset', 'query', 'result_format', 'domain', 'expansion_limit',
  'table', 'select_field', 'where_field', 'additional_conditions', 'option_file', 'option_group',
  'tls_cert_file', 'tls_key_file', 'tls_CAfile', 'tls_CApath', 'tls_ciphers', 'tls_verify_cert',
  'require_result_set', 'idle_interval', 'retry_interval',
] as const
export type ParameterName = typeof parameterNames[number]

const isKnown = (name: string): name is ParameterName => (parameterNames as readonly string[]).includes(name)

/** Where the local server listens unless an option file says otherwise: the client library's own default. */
const defaultSocket = '/run/mysqld/mysqld.sock'
const defaultPort = 3306
const maxInteger = 2_147_483_647
/** Of Node's timers; a longer one would run out at once. */
const longestTimerMs = 2_147_483_647

/** Reads a .cf file. An unreadable one is a problem like any other. */
export const defineFromCf = (path: string, files: Files = diskFiles): Defined => {
  let bytes: Buffer
  try {
    bytes = files.read(path)
  } catch (error) {
    return { ok: false, problems: [{ place: path, text: `can't be read: ${messageOf(error)}` }], warnings: [] }
  }
  const { parameters, errors, warnings } = parseCf(bytes, path)
  const values = Object.fromEntries([...parameters].map(([name, { value }]) => [name, value]))
  const placeOf = (name: string): string => {
    const parameter = parameters.get(name)
    return parameter === undefined ? path : `${path}:${parameter.line}`
  }
  const defined = defineTable(values, placeOf, files)
  const allWarnings = [...warnings, ...defined.warnings]
  const problems = [...errors, ...defined.ok ? [] : defined.problems]
  return defined.ok && problems.length === 0
    ? { ...defined, warnings: allWarnings }
    : { ok: false, problems, warnings: allWarnings }
}

/** Checks parameters from wherever they come; `placeOf` says where one stands, or would stand. */
export const defineTable = (
  given: Readonly<Record<string, string | number | boolean>>, placeOf: (parameter: string) => string, files: Files = diskFiles,
): Defined => {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const problem = (parameter: string, text: string): void => {
    problems.push({ place: placeOf(parameter), text: `${parameter}: ${text}` })
  }
  const warning = (parameter: string, text: string): void => {
    warnings.push({ place: placeOf(parameter), text: `${parameter}: ${text}` })
  }
  const values = new Map<string, string>()
  for (const [name, value] of Object.entries(given)) {
    values.set(name, typeof value === 'boolean' ? value ? 'yes' : 'no' : String(value))
  }
  const text = (name: ParameterName): string => values.get(name) ?? ''
  const textOrNull = (name: ParameterName): string | null => text(name) === '' ? null : text(name)
  const integer = (name: ParameterName, byDefault: number, least: number): number => {
    const value = values.get(name)
    if (value === undefined) return byDefault
    const number = /^[+-]?\d+$/.test(value) ? Number(value) : NaN
    if (number >= least && number <= maxInteger) return number
    problem(name, `'${value}' is not a whole number${least > -maxInteger ? ` of at least ${least}` : ''}; comments at the end of a line are not possible`)
    return byDefault
  }
  const boolean = (name: ParameterName, byDefault: boolean): boolean => {
    const value = values.get(name)?.toLowerCase()
    if (value === undefined) return byDefault
    if (value !== 'yes' && value !== 'no') problem(name, `'${value}' is neither yes nor no`)
    return value === 'yes'
  }

  for (const name of values.keys()) {
    if (isKnown(name)) continue
    const near = nearest(name, parameterNames)
    const hint = near === null ? '' : `; did you mean '${near}'?`
    // Postfix would go on with the default of the parameter that was meant.
    if (near !== null && !values.has(near)) problem(name, `is no parameter of mysql_table(5)${hint}`)
    else warning(name, `is no parameter of mysql_table(5) and is ignored, as Postfix does${hint}`)
  }

  const options = optionsOf(text('option_file'), values.get('option_group') ?? 'client', files, name => problem('option_file', name))
  const optionNumber = (name: string): number | null => {
    const value = options.get(name)
    return value !== undefined && /^\d{1,7}$/.test(value) ? Number(value) : null
  }

  const { hosts, problems: hostProblems } = parseHosts(text('hosts'), {
    host: options.get('host') ?? null,
    port: optionNumber('port') ?? defaultPort,
    socket: options.get('socket') ?? defaultSocket,
  })
  for (const hostProblem of hostProblems) problem('hosts', hostProblem)

  const user = textOrNull('user') ?? options.get('user') ?? ''
  if (user === '') problem('user', 'is required; without it Postfix\'s client logs in as whoever it runs as')
  if (text('dbname') === '') problem('dbname', 'is required')
  const charset = textOrNull('charset') ?? options.get('default-character-set') ?? 'utf8mb4'
  if (!/^\w+$/.test(charset)) problem('charset', `'${charset}' is not the name of a character set`)

  const query = queryOf(values, problem)
  const scanned = scanQuery(query.text)
  if (!scanned.ok) for (const queryProblem of scanned.problems) problem(query.parameter, queryProblem)
  const format = values.get('result_format') ?? '%s'
  if (format === '') problem('result_format', 'must not be empty')
  const scannedFormat = scanResultFormat(format)
  if (!scannedFormat.ok) problem('result_format', `in ${format}: ${scannedFormat.problem}`)
  const limit = integer('expansion_limit', 0, -maxInteger)

  let domains: DomainList | null = null
  if (text('domain') !== '') {
    domains = parseDomainList(text('domain'), files)
    for (const listProblem of domains.errors) problem('domain', listProblem)
    for (const listWarning of domains.warnings) warning('domain', listWarning)
  }
  const verify = boolean('tls_verify_cert', isOn(options, 'ssl-verify-server-cert'))
  const tls = tlsOf(textOrNull, options, verify)
  const requireResultSet = boolean('require_result_set', true)
  const idleIntervalMs = Math.min(integer('idle_interval', 60, 1) * 1_000, longestTimerMs)
  integer('retry_interval', 60, 1)
  if (values.has('retry_interval')) warning('retry_interval', 'is not acted on: a server that failed is tried again when its breaker says, which all maps share: `breaker: {reset: ...}` in holdfast.yaml')

  if (problems.length > 0 || !scanned.ok || !scannedFormat.ok) return { ok: false, problems, warnings }
  const { statement } = scanned
  for (const [index, before] of statement.texts.slice(0, -1).entries()) {
    if (/\blike\s*$/i.test(before) && statement.parameters[index]?.some(piece => typeof piece !== 'string') === true) {
      warning(query.parameter, 'a % or _ in a key is a wildcard after LIKE, as it is with Postfix\'s own client')
      break
    }
  }
  const needs = needsOf([...statement.expansions, ...scannedFormat.expansions])
  const bind = bindKey(statement, needs)
  const inDomains = domains === null ? null : domains.matches
  return {
    ok: true,
    warnings,
    definition: {
      hosts,
      login: {
        user, password: textOrNull('password') ?? options.get('password') ?? '', dbname: text('dbname'), charset, tls,
      },
      texts: statement.texts,
      unfitModes: statement.unfitModes,
      bind: inDomains === null ? bind : key => {
        // Postfix passes over a key that begins with its @ here, be its domain on the list or not.
        const at = key.lastIndexOf('@')
        return at > 0 && inDomains(key.slice(at + 1)) ? bind(key) : null
      },
      answer: answerRows(scannedFormat.pieces, needs, limit),
      listing: deriveListing(statement),
      requireResultSet,
      idleIntervalMs,
      fingerprint: JSON.stringify([
        'mysql', text('dbname'), charset, query.text, format, limit, requireResultSet,
        domains === null ? null : [...domains.content],
      ]),
    },
  }
}

/** The `query`, or the one that the parameters of the time before Postfix 2.2 make. */
const queryOf = (
  values: ReadonlyMap<string, string>, problem: (parameter: string, text: string) => void,
): { readonly parameter: ParameterName, readonly text: string } => {
  const query = values.get('query') ?? ''
  if (query !== '') return { parameter: 'query', text: query }
  const part = (name: ParameterName): string => values.get(name) ?? ''
  const needed = ['table', 'select_field', 'where_field'] as const
  if (needed.every(name => part(name) === '')) problem('query', 'is required')
  else {
    for (const name of needed) if (part(name) === '') problem(name, 'is required where there is no query')
  }
  return {
    parameter: 'where_field',
    text: `SELECT ${part('select_field')} FROM ${part('table')} WHERE ${part('where_field')}='%s' ${part('additional_conditions')}`,
  }
}

/** What the option files say; the machine's own are read if none is named, as the client library does for a group. */
const optionsOf = (file: string, group: string, files: Files, problem: (text: string) => void): Options => {
  const none: Options = new Map()
  if (file === '' && group === '') return none
  const paths = file === '' ? files.defaultOptionFiles.filter(path => files.modifiedMs(path) !== null) : [file]
  try {
    return readOptionFiles(paths, group, files)
  } catch (error) {
    const text = `can't be read: ${messageOf(error)}`
    // Postfix passes over the machine's own files if it may not read them.
    if (file !== '') problem(text)
    return none
  }
}

/** A switch of an option file: there, and not with a value that means no. */
const isOn = (options: Options, name: string): boolean => options.has(name) && !/^(0|off|false|no)$/i.test(options.get(name) ?? '')

const tlsOf = (text: (name: ParameterName) => string | null, options: Options, verify: boolean): Tls | null => {
  const option = (name: string): string | null => options.get(name) ?? null
  const tls = {
    certFile: text('tls_cert_file') ?? option('ssl-cert'),
    keyFile: text('tls_key_file') ?? option('ssl-key'),
    caFile: text('tls_CAfile') ?? option('ssl-ca'),
    caPath: text('tls_CApath') ?? option('ssl-capath'),
    ciphers: text('tls_ciphers') ?? option('ssl-cipher'),
    verify,
  }
  const isAsked = verify || isOn(options, 'ssl')
    || [tls.certFile, tls.keyFile, tls.caFile, tls.caPath, tls.ciphers].some(value => value !== null)
  return isAsked ? tls : null
}
