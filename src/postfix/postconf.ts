/** The configuration of a Postfix, as postconf(1) prints it: so we need not read main.cf and master.cf. */
import { execFile } from 'node:child_process'

export type Service = {
  /** As postconf -P names it: `submission/inet`. */
  readonly name: string
  /** The column of that name: `y`, `n`, or `-` for the default. */
  readonly chroot: string
  readonly command: string
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

const maxOutputBytes = 16 * 1_048_576

/** Runs postconf(1) on `configDir` and gives its standard output. Rejects with its standard error if it fails. */
export const runPostconf = (configDir: string, args: readonly string[]) => new Promise<string>((resolve, reject) => {
  execFile('postconf', ['-c', configDir, ...args], { maxBuffer: maxOutputBytes }, (error, stdout, stderr) => {
    if (error === null) resolve(stdout)
    else reject(new Error(`postconf -c ${configDir} ${args.join(' ')}: ${stderr.trim() || error.message}`))
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
  return [{ name: `${name}/${type}`, chroot, command }]
})

/** The lines of `postconf -P`: `service/type/parameter = value`. A service's name may have slashes itself. */
export const parseOverrides = (text: string): readonly Override[] => [...parseParameters(text)].map(([name, value]) => {
  const slash = name.lastIndexOf('/')
  return { service: name.slice(0, slash), parameter: name.slice(slash + 1), value }
})

/** Runs postconf(1) for each part; changes nothing. Rejects if main.cf or master.cf can't be read. */
export const readPostconf = async (configDir: string): Promise<Postconf> => {
  const [written, expanded, inMainCf, services, overrides] = await Promise.all(
    [[], ['-x'], ['-n'], ['-M'], ['-P']].map(args => runPostconf(configDir, args)))
  return {
    configDir,
    written: parseParameters(written ?? ''),
    expanded: parseParameters(expanded ?? ''),
    inMainCf: new Set(parseParameters(inMainCf ?? '').keys()),
    services: parseServices(services ?? ''),
    overrides: parseOverrides(overrides ?? ''),
  }
}
