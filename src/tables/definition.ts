/**
 * The parameters of one mysql_table(5) map, from its .cf file or from the
 * configuration, checked as a whole -> what the map asks whom, and how rows
 * become an answer. Every problem at once, each with its place. Connects
 * nowhere; the files that the parameters name are read here, once.
 *
 * Stricter than Postfix where Postfix would go on with something else than what
 * was meant: hosts that are no names, no user. Where .cf and option file both say
 * something, the .cf counts.
 */
import { isUtf8 } from 'node:buffer'
import { diskFiles, parseCf } from './cf.js'
import type { Files } from './cf.js'
import { hintFor } from '../config/spelling.js'
import type { Problem } from '../log.js'
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
import type { AnswerRows } from './result.js'
import { bindKey, normalQuery, scanQuery } from './query_template.js'
import type { Bind, KeyedStatement, SqlMode } from './query_template.js'
import { byteString } from '../outcome.js'
import { hasStrayBytes } from '../postfix/fold.js'
import { cantRead } from '../runtime/hidden.js'

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
  readonly answer: AnswerRows
  /** False: a statement without a result set means absent, not a fault. */
  readonly requireResultSet: boolean
  readonly idleIntervalMs: number | undefined
  /**
   * Changes whenever other answers could come out: a changed definition must not be served what the old one said. Holds
   * no secret.
   */
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

/** Reads a .cf file, for a map with this smtputf8_enable. An unreadable one is a problem like any other. */
export const defineFromCf = (path: string, files: Files = diskFiles, smtputf8 = true): Defined => {
  let bytes: Buffer
  try {
    bytes = files.read(path)
  } catch (error) {
    return { ok: false, problems: [{ place: path, text: cantRead(error, path) }], warnings: [] }
  }
  const { parameters, errors, warnings } = parseCf(bytes, path)
  const values = Object.fromEntries([...parameters].map(([name, { value }]) => [name, value]))
  const placeOf = (name: string): string => {
    const parameter = parameters.get(name)
    return parameter === undefined ? path : `${path}:${parameter.line}`
  }
  const defined = defineTable(values, placeOf, files, smtputf8)
  const allWarnings = [...warnings, ...defined.warnings]
  const problems = [...errors, ...defined.ok ? [] : defined.problems]
  return defined.ok && problems.length === 0
    ? { ...defined, warnings: allWarnings }
    : { ok: false, problems, warnings: allWarnings }
}

/** Reads values of their kinds, and collects every problem with its place. */
class Parameters {
  readonly problems: Problem[] = []
  readonly warnings: Problem[] = []
  readonly #values: ReadonlyMap<string, string>
  readonly #placeOf: (parameter: string) => string

  constructor(given: Readonly<Record<string, string | number | boolean>>, placeOf: (parameter: string) => string) {
    const textOf = (value: string | number | boolean): string =>
      typeof value === 'boolean' ? value ? 'yes' : 'no' : String(value)
    this.#values = new Map(Object.entries(given).map(([name, value]) => [name, textOf(value)]))
    this.#placeOf = placeOf
    this.#checkNames()
  }

  problem(parameter: string, text: string): void {
    this.problems.push({ place: this.#placeOf(parameter), text: `${parameter}: ${text}` })
  }

  warning(parameter: string, text: string): void {
    this.warnings.push({ place: this.#placeOf(parameter), text: `${parameter}: ${text}` })
  }

  has(name: ParameterName): boolean {
    return this.#values.has(name)
  }

  /** '' if it isn't set. */
  text(name: ParameterName): string {
    return this.#values.get(name) ?? ''
  }

  textOrNull(name: ParameterName): string | null {
    return this.text(name) === '' ? null : this.text(name)
  }

  integer(name: ParameterName, byDefault: number, least: number): number {
    const value = this.#values.get(name)
    if (value === undefined) return byDefault
    const number = /^[+-]?\d+$/.test(value) ? Number(value) : NaN
    if (number >= least && number <= maxInteger) return number
    const bound = least > -maxInteger ? ` of at least ${least}` : ''
    this.problem(name, `'${value}' is not a whole number${bound}; write one, and comments on lines of their own`)
    return byDefault
  }

  boolean(name: ParameterName, byDefault: boolean): boolean {
    const value = this.#values.get(name)?.toLowerCase()
    if (value === undefined) return byDefault
    if (value !== 'yes' && value !== 'no') this.problem(name, `is '${value}'; must be yes or no`)
    return value === 'yes'
  }

  #checkNames(): void {
    for (const name of this.#values.keys()) {
      if (isKnown(name)) continue
      const hint = hintFor(name, parameterNames, '; remove it')
      this.warning(name, `is no parameter of mysql_table(5) and is ignored, as Postfix does${hint}`)
    }
  }
}

/** Checks parameters from wherever they come; `placeOf` says where one stands, or would stand. */
export const defineTable = (
  given: Readonly<Record<string, string | number | boolean>>, placeOf: (parameter: string) => string,
  files: Files = diskFiles, smtputf8 = true,
): Defined => {
  const parameters = new Parameters(given, placeOf)
  const { problems, warnings } = parameters
  const options = optionsOf(parameters, files)
  const hosts = hostsOf(parameters, options)
  const login = loginOf(parameters, options)
  const query = queryOf(parameters)
  const sql = normalQuery(query.text)
  const scanned = scanQuery(sql)
  if (!scanned.ok) for (const problem of scanned.problems) parameters.problem(query.parameter, problem)
  const format = parameters.has('result_format') ? parameters.text('result_format') : '%s'
  if (format === '') parameters.problem('result_format', 'is empty; write a format such as %s, or remove the line')
  const scannedFormat = scanResultFormat(format)
  if (!scannedFormat.ok) parameters.problem('result_format', `in ${format}: ${scannedFormat.problem}`)
  const limit = parameters.integer('expansion_limit', 0, -maxInteger)
  const domains = domainsOf(parameters, files, smtputf8)
  const requireResultSet = parameters.boolean('require_result_set', true)
  const idleIntervalS = parameters.integer('idle_interval', 60, 1)
  const idleIntervalMs = parameters.has('idle_interval') ? Math.min(idleIntervalS * 1_000, longestTimerMs) : undefined
  parameters.integer('retry_interval', 60, 1)
  if (parameters.has('retry_interval')) {
    parameters.warning('retry_interval', 'has no effect, since all maps share the breaker of a server, which decides '
      + 'when to try it again; remove this, or set `breaker: {reset: ...}` in holdfast.yaml')
  }
  if (problems.length > 0 || !scanned.ok || !scannedFormat.ok) return { ok: false, problems, warnings }

  const { statement } = scanned
  if (hasLike(statement)) {
    parameters.warning(query.parameter,
      'has the key after LIKE, where a % or _ in it is a wildcard, as it is with Postfix\'s own client; '
        + 'write = instead, unless that is meant')
  }
  const needs = needsOf([...statement.expansions, ...scannedFormat.expansions])
  const { texts, unfitModes } = statement
  return {
    ok: true, warnings,
    definition: {
      hosts, login, texts, unfitModes, requireResultSet, idleIntervalMs,
      bind: bindWithin(domains, bindReadable(login.charset, bindKey(statement, needs))),
      answer: answerRows(scannedFormat.pieces, needs, limit),
      listing: deriveListing(statement),
      fingerprint: JSON.stringify([
        'mysql', login.dbname, login.charset, sql, format, limit, requireResultSet,
        domains === null ? null : [...domains.content],
      ]),
    },
  }
}

/** Whether the key stands in the pattern of a LIKE. */
const hasLike = ({ texts, parameters }: KeyedStatement): boolean => texts.slice(0, -1).some((before, index) =>
  /\blike\s*$/i.test(before) && parameters[index]?.some(piece => typeof piece !== 'string') === true)

/** What isn't text in the session's character set is in no row, and the server would take it for a mistake. */
const bindReadable = (charset: string, bind: Bind): Bind => !charset.startsWith('utf8') ? bind : key => {
  const values = bind(key)
  const isText = (value: string): boolean =>
    !hasStrayBytes(value) || isUtf8(Buffer.from(byteString(value), 'latin1'))
  return values?.every(isText) === true ? values : null
}

/** Binds only addresses in these domains. null: every key. */
const bindWithin = (domains: DomainList | null, bind: Bind): Bind => domains === null ? bind : key => {
  // Postfix passes over a key that begins with its @ here, whether its domain is on the list or not.
  const at = key.lastIndexOf('@')
  return at > 0 && domains.matches(key.slice(at + 1)) ? bind(key) : null
}

const hostsOf = (parameters: Parameters, options: Options): readonly Host[] => {
  const port = options.get('port')
  const { hosts, problems } = parseHosts(parameters.text('hosts'), {
    host: options.get('host') ?? null,
    port: port !== undefined && /^\d{1,7}$/.test(port) ? Number(port) : defaultPort,
    socket: options.get('socket') ?? defaultSocket,
  })
  for (const problem of problems) parameters.problem('hosts', problem)
  return hosts
}

const loginOf = (parameters: Parameters, options: Options): Login => {
  const user = parameters.textOrNull('user') ?? options.get('user') ?? ''
  if (user === '') {
    parameters.problem('user',
      'is missing; name the account, since without it Postfix\'s client logs in as whoever it runs as')
  }
  const dbname = parameters.text('dbname')
  if (dbname === '') parameters.problem('dbname', 'is missing; name the database')
  const charset = parameters.textOrNull('charset') ?? options.get('default-character-set') ?? 'utf8mb4'
  if (!/^\w+$/.test(charset)) {
    parameters.problem('charset', `'${charset}' is not the name of a character set; write one such as utf8mb4`)
  }
  const password = parameters.textOrNull('password') ?? options.get('password') ?? ''
  return { user, password, dbname, charset, tls: tlsOf(parameters, options) }
}

const domainsOf = (parameters: Parameters, files: Files, smtputf8: boolean): DomainList | null => {
  if (parameters.text('domain') === '') return null
  const domains = parseDomainList(parameters.text('domain'), files, smtputf8)
  for (const problem of domains.errors) parameters.problem('domain', problem)
  for (const warning of domains.warnings) parameters.warning('domain', warning)
  return domains
}

/** The `query`, or the one that the parameters of the time before Postfix 2.2 make. */
const queryOf = (parameters: Parameters): { readonly parameter: ParameterName, readonly text: string } => {
  const query = parameters.text('query')
  if (query !== '') return { parameter: 'query', text: query }
  const needed = ['table', 'select_field', 'where_field'] as const
  const missing = needed.filter(name => parameters.text(name) === '')
  if (missing.length === needed.length) {
    parameters.problem('query', 'is missing; write one such as SELECT goto FROM alias WHERE address=\'%s\'')
  } else for (const name of missing) parameters.problem(name, 'is missing; write it, or a query instead')
  const [table, selected, where] = needed.map(name => parameters.text(name))
  return {
    parameter: 'where_field',
    text: `SELECT ${selected} FROM ${table} WHERE ${where}='%s' ${parameters.text('additional_conditions')}`,
  }
}

/** What the option files say; the machine's own are read if none is named, as the client library does for a group. */
const optionsOf = (parameters: Parameters, files: Files): Options => {
  const file = parameters.text('option_file')
  const group = parameters.has('option_group') ? parameters.text('option_group') : 'client'
  const none: Options = new Map()
  if (file === '' && group === '') return none
  const paths = file === '' ? files.defaultOptionFiles.filter(path => files.modifiedMs(path) !== null) : [file]
  try {
    return readOptionFiles(paths, group, files)
  } catch (error) {
    // Postfix passes over the machine's own files if it may not read them.
    if (file !== '') parameters.problem('option_file', cantRead(error, ''))
    return none
  }
}

/** A switch of an option file: there, and not with a value that means no. */
const isOn = (options: Options, name: string): boolean =>
  options.has(name) && !/^(0|off|false|no)$/i.test(options.get(name) ?? '')

const tlsOf = (parameters: Parameters, options: Options): Tls | null => {
  const verify = parameters.boolean('tls_verify_cert', isOn(options, 'ssl-verify-server-cert'))
  const either = (name: ParameterName, option: string): string | null =>
    parameters.textOrNull(name) ?? options.get(option) ?? null
  const files = {
    certFile: either('tls_cert_file', 'ssl-cert'),
    keyFile: either('tls_key_file', 'ssl-key'),
    caFile: either('tls_CAfile', 'ssl-ca'),
    caPath: either('tls_CApath', 'ssl-capath'),
    ciphers: either('tls_ciphers', 'ssl-cipher'),
  }
  const isAsked = verify || isOn(options, 'ssl') || Object.values(files).some(value => value !== null)
  return isAsked ? { ...files, verify } : null
}
