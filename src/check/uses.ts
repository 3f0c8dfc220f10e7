/**
 * The socketmap: and tcp: tables of a Postfix: in which parameter each stands,
 * what Postfix asks of it there, and which of its programs ask. Pure.
 *
 * Bugs: a table in braces behind the name of a restriction is not found, nor one
 * in a custom parameter to which no known one refers.
 */
import { isChrooted, servicesOf } from '../adopt/circumstances.js'
import { absenceOfAccess } from '../postfix/allow_lists.js'
import { expand, parseTable, splitList } from '../postfix/parameter_list.js'
import { placeName, restrictionListsOf, valueIn } from '../postfix/postconf.js'
import type { ParameterPlace, Postconf, Service } from '../postfix/postconf.js'
import { isKeyMajor, programsOf, purposes, restrictionSearch } from '../postfix/parameters.js'
import type { Purpose } from '../postfix/parameters.js'

/**
 * What `holdfast check` finds. With an error, mail is deferred, refused or sent elsewhere; what a warning is about may
 * be intended.
 */
export type Finding = { readonly level: 'error' | 'warning', readonly place: string, readonly text: string }

/** A finding whose place is still to come. */
export type FindingText = Pick<Finding, 'level' | 'text'>

/** What Postfix answers when it can't look something up. */
export const deferred = '"Temporary lookup failure" (451)'

/** The file and the parameters in it: `/etc/postfix/main.cf: virtual_alias_maps`. */
export const fileAndName = ({ configDir }: Postconf, places: readonly ParameterPlace[]): string => {
  const files = new Set(places.map(({ service }) => service === null ? 'main.cf' : 'master.cf'))
  return `${configDir}/${[...files].sort().join(' and ')}: ${[...new Set(places.map(placeName))].join(', ')}`
}

export type Use = ParameterPlace & {
  /** Its text in main.cf, without `proxy:`. */
  readonly table: string
  readonly protocol: 'socketmap' | 'tcp'
  /** `unix:PATH` or `inet:HOST:PORT`. */
  readonly endpoint: string
  /** null: tcp_table has no map names. */
  readonly map: string | null
  /**
   * 'whole': the whole key alone, as of any socketmap; 'steps': each key of
   * Postfix's own steps, since a table of another kind leads a unionmap:; 'other':
   * the value of another table, in a pipemap:.
   */
  readonly asked: 'whole' | 'steps' | 'other'
  readonly purpose: Purpose | null
  /** The check_*_access in front of it; '' in the old form without one, and outside of restrictions. */
  readonly restriction: string
  /** Other tables stand beside it, and Postfix asks all of them for the first key, then all for the next. */
  readonly hasNeighbours: boolean
  readonly services: readonly Service[]
}

type UsedTable = Pick<Use, 'table' | 'protocol' | 'endpoint' | 'map' | 'asked'> & { readonly isProxied: boolean }

/** Tables that Postfix does not ask for partial keys. */
const patternTables: ReadonlySet<string> = new Set(['socketmap', 'tcp', 'regexp', 'pcre', 'cidr'])

const isPattern = (text: string): boolean => {
  const table = parseTable(text)
  if (table !== null && table.kind !== 'mysql') return isPattern(table.members[0] ?? '')
  return patternTables.has(text.replace(/^proxy:/, '').split(':', 1)[0] ?? '')
}

/** The tables in a piece of a list. */
const tablesIn = (text: string, asked: Use['asked'], isProxied = false): readonly UsedTable[] => {
  const table = text.replace(/^!*(?:proxy:)?/, '')
  const proxied = isProxied || text.includes('proxy:')
  const listed = parseTable(table)
  if (listed !== null && listed.kind !== 'mysql') {
    const { kind, members } = listed
    const ofMembers = asked === 'whole' && !isPattern(members[0] ?? '') ? 'steps' : asked
    return members.flatMap((member, i) => tablesIn(member, kind === 'pipe' && i > 0 ? 'other' : ofMembers, proxied))
  }
  const common = { table, asked, isProxied: proxied }
  const [, endpoint, map = ''] = /^socketmap:((?:unix|local|inet):.+):([^:]*)$/s.exec(table) ?? []
  if (endpoint !== undefined) {
    return [{ ...common, protocol: 'socketmap', endpoint: endpoint.replace(/^local:/, 'unix:'), map }]
  }
  const [, address] = /^tcp:(.+)$/s.exec(table) ?? []
  return address === undefined ? [] : [{ ...common, protocol: 'tcp', endpoint: `inet:${address}`, map: null }]
}

const usersOf = (
  postfix: Postconf, place: ParameterPlace, isProxied: boolean,
): readonly Service[] => isProxied ? postfix.services.filter(({ command }) => command === 'proxymap')
  : servicesOf(postfix, place)

const usesInList = (postfix: Postconf, place: ParameterPlace, value: string): readonly Use[] => {
  const purpose = purposes.get(place.parameter) ?? null
  const pieces = splitList(value).filter(({ text }) => text.includes(':'))
  const hasNeighbours = pieces.length > 1 && purpose?.kind === 'search' && isKeyMajor(purpose.search)
  return pieces.flatMap(({ text }) => tablesIn(text, 'whole').map(({ isProxied, ...table }) =>
    ({
      ...place, ...table, purpose, restriction: '', hasNeighbours, services: usersOf(postfix, place, isProxied),
    })))
}

const usesInRestrictions = (postfix: Postconf, place: ParameterPlace, value: string): readonly Use[] => {
  let previous = ''
  const absenceOf = absenceOfAccess(postfix)
  return splitList(value).flatMap(({ text }) => {
    const restriction = previous
    const absence = absenceOf(restriction, text)
    const purpose: Purpose = { kind: 'search', search: restrictionSearch(restriction), sensitive: true, absence }
    previous = text
    return tablesIn(text, 'whole').map(({ isProxied, ...table }) => {
      // smtpd(8) reads restriction classes too, whatever they are called.
      const services = usersOf(postfix, { ...place, parameter: 'smtpd_restriction_classes' }, isProxied)
      return { ...place, ...table, purpose, restriction, hasNeighbours: false, services }
    })
  })
}

/** What parameters of main.cf come to in a service that has a -o for a $name in them. */
const throughNames = (
  postfix: Postconf, parameters: readonly string[],
): readonly (ParameterPlace & { value: string })[] => {
  const { services, overrides, expanded } = postfix
  return services.filter(({ name }) => overrides.some(({ service }) => service === name)).flatMap(service =>
    parameters.flatMap(parameter => {
      const place = { service: service.name, parameter }
      if (overrides.some(each => each.service === place.service && each.parameter === parameter)) return []
      if (!servicesOf(postfix, { service: null, parameter }).includes(service)) return []
      const value = valueIn(postfix, service.name, parameter)
      return value === null || value === expanded.get(parameter) ? [] : [{ ...place, value }]
    }))
}

/** Lists of domains that by default are lists of addresses: Postfix asks these for the bare domain, too. */
const namedByDefault = ['virtual_alias_domains', 'virtual_mailbox_domains']

/** Every use in master.cf, and in the parameters of main.cf: without defaults, only in those that it sets. */
export const usesOf = (postfix: Postconf, defaults: 'with defaults' | 'without defaults'): readonly Use[] => {
  const { inMainCf, expanded, written, overrides } = postfix
  const restrictions = restrictionListsOf(postfix)
  const all = [...new Set([...inMainCf, ...namedByDefault])]
  const places: readonly (ParameterPlace & { value: string })[] = [
    ...(defaults === 'with defaults' ? all : [...inMainCf]).map(
      parameter => ({ service: null, parameter, value: expanded.get(parameter) ?? '' }),
    ),
    ...overrides.map(({ value, ...place }) => ({ ...place, value: expand(value, written) ?? value })),
    ...throughNames(postfix, all),
  ]
  return places.flatMap(({ value, ...place }) => {
    if (restrictions.includes(place.parameter)) return usesInRestrictions(postfix, place, value)
    const isKnown = purposes.has(place.parameter) || programsOf(place.parameter).length > 0
    return isKnown ? usesInList(postfix, place, value) : []
  })
}

/** A service as `smtpd (smtp/inet)`, and whether it sees only the queue folder. */
export type UsingService = { readonly text: string, readonly isChrooted: boolean }

/** The services of several uses, each once. */
export const servicesOfAll = (postfix: Postconf, uses: readonly Use[]): readonly UsingService[] => {
  const byName = new Map(uses.flatMap(({ services }) => services).map(service => [service.name, service]))
  return [...byName.values()].map(service =>
    ({ text: `${service.command} (${service.name})`, isChrooted: isChrooted(postfix, service) }))
}
