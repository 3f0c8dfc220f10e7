/**
 * The socketmap: and tcp: tables of a Postfix: in which parameter each stands,
 * what Postfix asks of it there, and which of its programs ask. Pure.
 *
 * Bugs: a table in braces behind a restriction's name, and what a custom
 * parameter holds that no known one refers to, is not seen.
 */
import { isChrooted } from '../adopt/circumstances.js'
import { expand, splitList } from '../postfix/parameter_list.js'
import type { Place, Postconf, Service } from '../postfix/postconf.js'
import { isKeyMajor, purposes, restrictionLists, restrictionSearch } from '../postfix/parameters.js'
import type { Purpose } from '../postfix/parameters.js'

export type Use = Place & {
  /** As Postfix writes it, without `proxy:`. */
  readonly table: string
  readonly protocol: 'socketmap' | 'tcp'
  /** `unix:PATH` or `inet:HOST:PORT`. */
  readonly endpoint: string
  /** null: tcp_table has no map names. */
  readonly map: string | null
  /**
   * 'whole': the whole key alone, as of any socketmap; 'steps': each key of
   * Postfix's own steps, since a table of another kind leads a unionmap:; 'other':
   * what another table says.
   */
  readonly asked: 'whole' | 'steps' | 'other'
  readonly purpose: Purpose | null
  /** Other tables stand beside it, and Postfix asks all of them for the first key, then all for the next. */
  readonly hasNeighbours: boolean
  readonly services: readonly Service[]
}

type UsedTable = Pick<Use, 'table' | 'protocol' | 'endpoint' | 'map' | 'asked'> & { readonly isProxied: boolean }

/** Tables that get no partial keys. */
const patternTables: ReadonlySet<string> = new Set(['socketmap', 'tcp', 'regexp', 'pcre', 'cidr'])

const compound = /^(union|pipe)map:\{(.*)\}$/s
const isPattern = (text: string): boolean => {
  const table = text.replace(/^proxy:/, '')
  const inner = compound.exec(table)?.[2]
  return inner === undefined ? patternTables.has(table.split(':', 1)[0] ?? '') : isPattern(splitList(inner)[0]?.text ?? '')
}

const tablesIn = (text: string, asked: Use['asked'], isProxied = false): readonly UsedTable[] => {
  const table = text.replace(/^!*(?:proxy:)?/, '')
  const proxied = isProxied || text.includes('proxy:')
  const [, kind, inner] = compound.exec(table) ?? []
  if (inner !== undefined) {
    const members = splitList(inner).map(piece => piece.text)
    const ofMembers = asked === 'whole' && !isPattern(members[0] ?? '') ? 'steps' : asked
    return members.flatMap((member, i) => tablesIn(member, kind === 'pipe' && i > 0 ? 'other' : ofMembers, proxied))
  }
  const socketmap = /^socketmap:((?:unix|local|inet):.+):([^:]*)$/s.exec(table)
  if (socketmap?.[1] !== undefined) {
    return [{ table, protocol: 'socketmap', endpoint: socketmap[1].replace(/^local:/, 'unix:'), map: socketmap[2] ?? '', asked, isProxied: proxied }]
  }
  const tcp = /^tcp:(.+)$/s.exec(table)
  return tcp?.[1] === undefined ? [] : [{ table, protocol: 'tcp', endpoint: `inet:${tcp[1]}`, map: null, asked, isProxied: proxied }]
}

const readers: readonly (readonly [programs: readonly string[], parameters: readonly string[]])[] = [
  [['smtpd', 'cleanup'], ['virtual_alias_maps', 'virtual_maps', 'canonical_maps', 'sender_canonical_maps', 'recipient_canonical_maps']],
  [['cleanup'], ['sender_bcc_maps', 'recipient_bcc_maps', 'header_checks', 'mime_header_checks', 'nested_header_checks', 'body_checks']],
  [['smtpd'], ['virtual_mailbox_maps', 'relay_recipient_maps', 'local_recipient_maps', 'relay_clientcerts', 'rbl_reply_maps']],
  [['smtpd', 'trivial-rewrite'], ['mydestination', 'relocated_maps']],
  [['local'], ['alias_maps', 'mailbox_command_maps', 'mailbox_transport_maps', 'fallback_transport_maps']],
  [['virtual'], ['virtual_uid_maps', 'virtual_gid_maps']],
  [['smtpd', 'postscreen'], ['mynetworks']],
  [['flush'], ['fast_flush_domains']],
]

/** The programs that open a parameter's tables; routes and classes of domains are trivial-rewrite(8)'s. */
const readersOf = (parameter: string): readonly string[] => {
  const known = readers.find(([, parameters]) => parameters.includes(parameter))
  if (known !== undefined) return known[0]
  const program = /^(smtpd|smtp|lmtp|postscreen)_/.exec(parameter)?.[1]
  return program !== undefined ? [program] : purposes.has(parameter) ? ['trivial-rewrite'] : []
}

const servicesOf = (postfix: Postconf, { service, parameter }: Place, isProxied: boolean): readonly Service[] => {
  if (isProxied) return postfix.services.filter(({ command }) => command === 'proxymap')
  if (service !== null) return postfix.services.filter(({ name }) => name === service)
  const programs = readersOf(parameter)
  const hasItsOwn = ({ name }: Service): boolean => postfix.overrides.some(own => own.service === name && own.parameter === parameter)
  return postfix.services.filter(each => programs.includes(each.command) && !hasItsOwn(each))
}

/** Every use, in main.cf's parameters, those that are at their defaults left out, and in master.cf. */
export const usesOf = (postfix: Postconf): readonly Use[] => {
  const classes = splitList(postfix.expanded.get('smtpd_restriction_classes') ?? '').map(({ text }) => text)
  const restrictions = new Set<string>([...restrictionLists, ...classes])
  const inList = (place: Place, value: string): readonly Use[] => {
    const purpose = purposes.get(place.parameter) ?? null
    const pieces = splitList(value).filter(({ text }) => text.includes(':'))
    const hasNeighbours = pieces.length > 1 && purpose?.kind === 'search' && isKeyMajor(purpose.search)
    return pieces.flatMap(({ text }) => tablesIn(text, 'whole').map(({ isProxied, ...table }) =>
      ({ ...place, ...table, purpose, hasNeighbours, services: servicesOf(postfix, place, isProxied) })))
  }
  const inRestrictions = (place: Place, value: string): readonly Use[] => {
    let previous = ''
    return splitList(value).flatMap(({ text }) => {
      const purpose: Purpose = { kind: 'search', search: restrictionSearch(previous), sensitive: true }
      previous = text
      return tablesIn(text, 'whole').map(({ isProxied, ...table }) => {
        // A restriction class is smtpd's as well.
        const services = servicesOf(postfix, { ...place, parameter: 'smtpd_restriction_classes' }, isProxied)
        return { ...place, ...table, purpose, hasNeighbours: false, services }
      })
    })
  }
  const places: readonly (Place & { value: string })[] = [
    ...[...postfix.inMainCf].map(parameter => ({ service: null, parameter, value: postfix.expanded.get(parameter) ?? '' })),
    ...postfix.overrides.map(({ service, parameter, value }) => ({ service, parameter, value: expand(value, postfix.written) ?? value })),
  ]
  return places.flatMap(({ service, parameter, value }) => {
    if (restrictions.has(parameter)) return inRestrictions({ service, parameter }, value)
    return purposes.has(parameter) || readersOf(parameter).length > 0 ? inList({ service, parameter }, value) : []
  })
}

/** A service as `smtpd (smtp/inet)`, and whether it sees only the queue folder. */
export type UsingService = { readonly text: string, readonly isChrooted: boolean }

/** The services of several uses, each once. */
export const servicesOfAll = (postfix: Postconf, uses: readonly Use[]): readonly UsingService[] => {
  const services = [...new Map(uses.flatMap(({ services: each }) => each).map(service => [service.name, service])).values()]
  return services.map(service => ({ text: `${service.command} (${service.name})`, isChrooted: isChrooted(postfix, service) }))
}
