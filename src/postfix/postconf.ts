/** The configuration of a Postfix, as postconf(1) prints it: so we need not read main.cf and master.cf. */
import { execFile } from 'node:child_process'
import { expand, namesIn, splitList, textsOf } from './parameter_list.js'
import { restrictionLists } from './parameters.js'

export type Service = {
  /** As postconf -P names it: `submission/inet`. */
  readonly name: string
  /** The column of that name: `y`, `n`, or `-` for the default. */
  readonly chroot: string
  readonly command: string
  /** Its whole entry in master.cf, on a line. */
  readonly entry: string
}

/** Where a parameter stands: in main.cf, or in a service's -o in master.cf (`submission/inet`). */
export type ParameterPlace = { readonly service: string | null, readonly parameter: string }

/** `place` as people write it. */
export const placeName = ({ service, parameter }: ParameterPlace): string =>
  service === null ? parameter : `${service}/${parameter}`

/** A `-o parameter=value` of master.cf. */
export type Override = { readonly service: string, readonly parameter: string, readonly value: string }

export type Postconf = {
  readonly configDir: string
  /** Each parameter as it is written, defaults included; continued lines are one, comments are gone. */
  readonly written: ReadonlyMap<string, string>
  /** The same with the values of $name in their place. */
  readonly expanded: ReadonlyMap<string, string>
  /** Those that main.cf sets; the others have their defaults. */
  readonly inMainCf: ReadonlySet<string>
  readonly services: readonly Service[]
  readonly overrides: readonly Override[]
}

/** What stands in a list of main.cf, with the values of $name in their place. */
export const listIn = ({ expanded }: Pick<Postconf, 'expanded'>, parameter: string): readonly string[] =>
  textsOf(splitList(expanded.get(parameter) ?? ''))

/** The lists of restrictions: Postfix's own, and the classes that main.cf defines. */
export const restrictionListsOf = (postfix: Postconf): readonly string[] =>
  [...restrictionLists, ...listIn(postfix, 'smtpd_restriction_classes')]

/** A parameter's value for a service, with the values of $name in their place; null if a condition decides it there. */
export const valueIn = (
  { written, expanded, overrides }: Postconf, service: string, parameter: string,
): string | null => {
  const own = overrides.filter(override => override.service === service)
  const names = namesIn(`$${parameter}`, written)
  if (!own.some(override => names.has(override.parameter))) return expanded.get(parameter) ?? ''
  const values = new Map([...written, ...own.map(override => [override.parameter, override.value] as const)])
  return expand(values.get(parameter) ?? '', values)
}

/** The trivial-rewrite(8) that a service has resolve addresses: `rewrite/unix`. */
export const resolverOf = (postfix: Postconf, service: string): string =>
  `${valueIn(postfix, service, 'rewrite_service_name') ?? ''}/unix`

const maxOutputBytes = 16 * 1_048_576

/** Runs postconf(1) on `configDir` and gives its standard output. Rejects with its standard error, and a remedy. */
export const runPostconf = (configDir: string, args: readonly string[]) => new Promise<string>((resolve, reject) => {
  execFile('postconf', ['-c', configDir, ...args], { maxBuffer: maxOutputBytes }, (error, stdout, stderr) => {
    if (error === null) resolve(stdout)
    else {
      const why = stderr.trim() || error.message
      reject(new Error(`postconf -c ${configDir} ${args.join(' ')}: ${why}; remove that error, and run this again`))
    }
  })
})

/** `name = value` lines by name. */
export const parseParameters = (text: string): ReadonlyMap<string, string> => new Map(text.split('\n').flatMap(line => {
  const equals = line.indexOf('=')
  return equals < 0 ? [] : [[line.slice(0, equals).trim(), line.slice(equals + 1).trim()] as const]
}))

/** The lines of `postconf -M`; the fifth column is chroot, the eighth the command. */
export const parseServices = (text: string): readonly Service[] => text.split('\n').flatMap(line => {
  const [name, type, , , chroot, , , command] = line.trim().split(/\s+/)
  if (name === undefined || type === undefined || chroot === undefined || command === undefined) return []
  return [{ name: `${name}/${type}`, chroot, command, entry: line.trim() }]
})

/** A -o PARAMETER=VALUE in an entry of master.cf: its parts, and where the text after -o stands. */
type Option = { readonly parameter: string, readonly value: string, readonly start: number, readonly end: number }

const optionsOf = (entry: string): readonly Option[] => {
  const options: Option[] = []
  let isOption = false
  for (const { start, end } of wordsOf(entry)) {
    const word = entry.slice(start, end)
    const setting = word.startsWith('{') ? word.slice(1, -1) : word
    const equals = setting.indexOf('=')
    if (isOption && equals > 0) {
      options.push({ parameter: setting.slice(0, equals).trim(), value: setting.slice(equals + 1).trim(), start, end })
    }
    isOption = word === '-o'
  }
  return options
}

/** What a service's entry overrides; the last of two counts. `postconf -P` would not keep every blank. */
export const overridesOf = ({ name, entry }: Service): readonly Override[] =>
  [...new Map(optionsOf(entry).map(({ parameter, value }) => [parameter, value]))]
    .map(([parameter, value]) => ({ service: name, parameter, value }))

/** A service's entry in master.cf with another value for its -o PARAMETER=...; null if it has none. */
export const withOverride = (entry: string, parameter: string, value: string): string | null => {
  const option = optionsOf(entry).findLast(each => each.parameter === parameter)
  if (option === undefined) return null
  const changed = `${parameter}=${value}`
  return entry.slice(0, option.start) + (/[\s{}]/.test(value) ? `{${changed}}` : changed) + entry.slice(option.end)
}

/** Where the words of an entry are: {...} is one, whatever blanks it has. */
function* wordsOf(entry: string): Generator<{ readonly start: number, readonly end: number }> {
  let start = -1
  let depth = 0
  for (let at = 0; at <= entry.length; at++) {
    const char = entry.charAt(at)
    if (depth === 0 && (char === '' || /\s/.test(char))) {
      if (start >= 0) yield { start, end: at }
      start = -1
      continue
    }
    if (start < 0) start = at
    if (char === '{') depth++
    else if (char === '}' && depth > 0) depth--
  }
}

/** Runs postconf(1) for each part; changes nothing. Rejects if main.cf or master.cf can't be read. */
export const readPostconf = async (configDir: string): Promise<Postconf> => {
  const [written, expanded, inMainCf, entries] = await Promise.all(
    [[], ['-x'], ['-n'], ['-M']].map(args => runPostconf(configDir, args)))
  const services = parseServices(entries ?? '')
  return {
    configDir,
    written: parseParameters(written ?? ''),
    expanded: parseParameters(expanded ?? ''),
    inMainCf: new Set(parseParameters(inMainCf ?? '').keys()),
    services,
    overrides: services.flatMap(overridesOf),
  }
}
