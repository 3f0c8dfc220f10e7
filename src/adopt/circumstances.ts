/**
 * What decides how the tables of a Postfix can be adopted: its version, the values
 * that its services have in place of main.cf's, its local domains, its delivery
 * agents. Pure.
 */
import { namesIn, splitList, textsOf } from '../postfix/parameter_list.js'
import { programsOf } from '../postfix/parameters.js'
import type { Search } from '../postfix/parameters.js'
import { listIn, valueIn } from '../postfix/postconf.js'
import type { ParameterPlace, Postconf, Service } from '../postfix/postconf.js'

/** Whether unionmap: distinguishes an error from an absence: not before Postfix 3.0.7, and not in 3.1.0 to 3.1.2. */
export const unionmapIsSafe = (version: string): boolean => {
  const [major = 0, minor = 0, patch = 0] = versionOf(version)
  return major > 3 || (major === 3 && (minor > 1 || patch >= (minor === 1 ? 3 : 7)))
}

const versionOf = (version: string): readonly number[] => version.split('.').map(part => parseInt(part, 10))

/** A warning about a mysql_table(5) file's `charset`; null if Postfix obeys it (since 3.9), or it is UTF-8. */
export const charsetNote = (postfix: Postconf, charset: string): string | null => {
  const version = postfix.expanded.get('mail_version') ?? ''
  const [major = 0, minor = 0] = versionOf(version)
  if (major > 3 || (major === 3 && minor >= 9) || /^(utf8|$)/i.test(charset)) return null
  return `charset = ${charset}: the mysql: tables of Postfix ${version} ignore it, and Holdfast obeys it: `
    + 'keys beyond ASCII may find other rows. Remove it, unless the table needs it'
}

/** The domains of mydestination; null if only Postfix knows them all: some are in a table or a file, or excluded. */
export const localNames = (postfix: Postconf): readonly string[] | null => {
  const names = listIn(postfix, 'mydestination')
  return names.some(name => /[:/!]/.test(name)) ? null : names
}

/**
 * Whether a service sees only the queue folder. By default it does not, unless compatibility_level asks for the default
 * of before Postfix 3.0 (master(5)).
 */
export const isChrooted = (postfix: Postconf, { chroot }: Service): boolean =>
  chroot === 'y' || (chroot === '-' && parseInt(postfix.expanded.get('compatibility_level') ?? '0', 10) < 1)

/** The services that read a parameter's value at this place. */
export const servicesOf = (postfix: Postconf, { service, parameter }: ParameterPlace): readonly Service[] => {
  if (service !== null) return postfix.services.filter(({ name }) => name === service)
  const programs = programsOf(parameter)
  const overriding = postfix.overrides.filter(override => override.parameter === parameter)
  return postfix.services.filter(({ name, command }) =>
    programs.includes(command) && !overriding.some(override => override.service === name))
}

/** The service that overrides a parameter to which `text` leads, and so gives `text` another value there; or null. */
export const overriderOf = (postfix: Postconf, { service }: ParameterPlace, text: string): string | null => {
  const names = namesIn(text, postfix.written)
  const overriding = postfix.overrides.find(override =>
    names.has(override.parameter) && (service === null || override.service === service))
  return overriding === undefined ? null : `${overriding.service} overrides $${overriding.parameter}`
}

const oneBlank = (value: string | null | undefined): string | null =>
  value === null || value === undefined ? null : textsOf(splitList(value)).join(' ')

/** The first of these services for which a parameter has another value than in main.cf; null if there is none. */
const overriding = (postfix: Postconf, services: readonly Service[], parameter: string): string | null =>
  services.find(({ name }) =>
    oneBlank(valueIn(postfix, name, parameter)) !== oneBlank(postfix.expanded.get(parameter)))?.name ?? null

const ofLocal = ['mydestination', 'myorigin', 'inet_interfaces', 'proxy_interfaces'] as const
const ofExtensions = ['recipient_delimiter', 'double_bounce_sender', 'owner_request_special'] as const
const ofRewriting = ['allow_percent_hack', 'swap_bangpath'] as const

/** The parameters of main.cf, besides smtputf8_enable, that decide the steps of a search. */
const settingsOf = (search: Search): readonly string[] => {
  switch (search) {
    case 'virtual': case 'canonical': case 'generic':
      return ['propagate_unmatched_extensions', 'append_at_myorigin', ...ofLocal, ...ofExtensions, ...ofRewriting]
    case 'recipient': return ['append_at_myorigin', ...ofLocal, ...ofExtensions]
    case 'transport': return ['parent_domain_matches_subdomains', ...ofExtensions]
    case 'access': return ['parent_domain_matches_subdomains', 'smtpd_null_access_lookup_key', ...ofExtensions]
    case 'domain': return ['parent_domain_matches_subdomains']
    case 'exact': return []
    default: return search satisfies never
  }
}

/** Whether main.cf says no to a parameter whose default is yes. */
const isOff = (postfix: Postconf, parameter: string): boolean => postfix.expanded.get(parameter) === 'no'

/** Why the settings of main.cf are none that a search obeys; null if they are. */
const unusualSetting = (postfix: Postconf, search: Search): string | null => {
  const settings = settingsOf(search)
  const has = (parameter: string): boolean => settings.includes(parameter)
  if (has('mydestination') && localNames(postfix) === null) {
    return 'mydestination is no plain list: only Postfix knows which domains are local'
  }
  const delimiters = Array.from(postfix.expanded.get('recipient_delimiter') ?? '')
  const bounce = postfix.expanded.get('double_bounce_sender') ?? 'double-bounce'
  const isCut = (localpart: string): boolean => delimiters.some(delimiter => localpart.includes(delimiter))
  if (has('recipient_delimiter')) {
    if (delimiters.includes('-') && isOff(postfix, 'owner_request_special')) return 'owner_request_special = no'
    if (bounce !== 'double-bounce' && (isCut(bounce) || isCut('double-bounce'))) {
      return `double_bounce_sender = ${bounce} with this recipient_delimiter`
    }
  }
  for (const parameter of ['append_at_myorigin', ...ofRewriting]) {
    if (has(parameter) && isOff(postfix, parameter)) return `${parameter} = no`
  }
  const nullKey = postfix.expanded.get('smtpd_null_access_lookup_key') ?? '<>'
  return has('smtpd_null_access_lookup_key') && nullKey !== '<>' ? `smtpd_null_access_lookup_key = ${nullKey}` : null
}

/**
 * Why Postfix has to go on doing the steps of a search for these services, behind `restriction` if it is of access;
 * null if Holdfast can do them.
 */
export const stepsProblem = (
  postfix: Postconf, services: readonly Service[], search: Search, restriction = '',
): string | null => {
  // To Postfix an address as HELO name is a name, with parent domains; a client's address is in networks.
  if (/^check_helo_access$/i.test(restriction)) return 'a HELO name may look like an address'
  const unusual = unusualSetting(postfix, search)
  if (unusual !== null) return unusual
  for (const parameter of [...settingsOf(search), 'smtputf8_enable']) {
    const service = overriding(postfix, services, parameter)
    if (service !== null) return `${service} has a ${parameter} of its own`
  }
  return null
}

/** Whether some of these services know no UTF-8: to them letters beyond ASCII are bytes. */
export const smtputf8In = (postfix: Postconf, services: readonly Service[]): boolean => {
  const ofMain = postfix.expanded.get('smtputf8_enable')
  const values = services.map(({ name }) => valueIn(postfix, name, 'smtputf8_enable'))
  return ![...values, ...services.length === 0 ? [ofMain] : []].includes('no')
}

/** Why only Postfix knows with which key these services ask a table behind proxy:; null if Holdfast knows too. */
export const proxyProblem = (postfix: Postconf, services: readonly Service[]): string | null => {
  const [major = 0, minor = 0] = versionOf(postfix.expanded.get('mail_version') ?? '')
  // Since 3.11 proxymap(8) folds a key by its own setting, whatever its client's is (changelog 20250713).
  if (major < 3 || (major === 3 && minor < 11)) return null
  if (valueIn(postfix, 'proxymap/unix', 'smtputf8_enable') === 'no') return null
  const asking = services.find(({ name }) => valueIn(postfix, name, 'smtputf8_enable') === 'no')
  return asking === undefined ? null
    : `${asking.name} has smtputf8_enable = no, and proxymap/unix has not: take the proxy: away`
}

const transports = [
  'virtual_transport', 'local_transport', 'relay_transport', 'default_transport', 'mailbox_transport',
  'fallback_transport',
]
/** Tables whose rows name transports. */
const routes = ['transport_maps', 'sender_dependent_default_transport_maps']

/**
 * The services of virtual(8) that read main.cf's virtual_mailbox_maps and get mail: a parameter names them, or, with
 * `orRouted`, rows of a table may.
 */
export const virtualAgents = (postfix: Postconf, orRouted: boolean): readonly Service[] => {
  const valueOf = (parameter: string): string => postfix.expanded.get(parameter) ?? ''
  const hasRoutes = orRouted && routes.some(parameter => valueOf(parameter) !== '')
  const named = new Set(transports.map(parameter => `${valueOf(parameter).split(':', 1)[0] ?? ''}/unix`))
  const own = new Set(postfix.overrides.filter(({ parameter }) => parameter === 'virtual_mailbox_maps')
    .map(({ service }) => service))
  return postfix.services.filter(({ name, command }) =>
    command === 'virtual' && !own.has(name) && (hasRoutes || named.has(name)))
}
