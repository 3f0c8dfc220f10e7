/**
 * Is a domain's list of mail exchangers what the set-up wants? Primaries first, in any order, and behind them, alone at
 * the highest number, the fallback, which may say no for good. Pure.
 */
import type { Role } from '../config/config.js'
import type { MxRecord } from './resolver.js'

/** What can be wrong, the worst first: what loses mail, then what bounces or delays it, then the rest. */
export const faultKinds = [
  'bad-name', 'no-domain', 'no-mx', 'null-mx', 'no-address', 'stranger', 'fallback-not-last', 'no-primary',
  'no-fallback', 'few-primaries', 'implicit-mx', 'alias',
] as const
export type FaultKind = typeof faultKinds[number]

/** What each fault is and what it does to mail. */
export const faultTexts: Readonly<Record<FaultKind, string>> = {
  'bad-name': 'This is no name of a domain',
  'no-domain': 'The domain does not exist in DNS, so it gets no mail',
  'no-mx': 'There is neither an MX record nor an address, so the domain gets no mail',
  'null-mx': 'A null MX says that the domain takes no mail, while a map says that it does',
  'no-address': 'A mail exchanger has no address, so senders can\'t reach it',
  'stranger': 'A mail exchanger is none of these nodes, so mail goes to somebody else',
  'fallback-not-last': 'The fallback is not alone at the highest number, so it refuses mail that a primary would take',
  'no-primary': 'No primary is among the mail exchangers',
  'no-fallback': 'The fallback is missing, so mail to a mistyped address may be retried for days',
  'few-primaries': 'Primaries are missing',
  'implicit-mx': 'There is no MX record, so mail goes to the domain\'s own address',
  'alias': 'A mail exchanger is an alias (CNAME), which RFC 2181 forbids; some senders refuse it',
}

/** `hosts`: the ones that it is about, if it is about hosts. */
export type MxFault = { readonly kind: FaultKind, readonly hosts: readonly string[] }

/** Which hosts are ours. */
export type MxNodes = {
  readonly names: readonly string[]
  isNamed(host: string): boolean
  roleOf(host: string): Role | null
  /** Null where no primary is known by name: then every host but the fallback counts as one. */
  readonly primaries: number | null
  readonly hasFallback: boolean
}

const firstLabel = (name: string): string => name.split('.', 1)[0] ?? name

/** The nodes by their names. A name without a domain stands for every host that begins so. */
export const mxNodes = (roles: ReadonlyMap<string, Role>): MxNodes => {
  const all = [...roles.values()]
  const primaries = all.filter(role => role === 'primary').length
  const known = (host: string): Role | undefined => roles.get(host) ?? roles.get(firstLabel(host))
  return {
    names: [...roles.keys()],
    isNamed: host => known(host) !== undefined,
    roleOf: host => known(host) ?? (primaries === 0 ? 'primary' : null),
    primaries: primaries === 0 ? null : primaries,
    hasFallback: all.includes('fallback'),
  }
}

/** The faults in a domain's MX records as such, the worst first. `wanted`: how many primaries each domain has. */
export const judgeMx = (given: readonly MxRecord[], nodes: MxNodes, wanted: number): readonly MxFault[] => {
  const faults: MxFault[] = []
  const fault = (kind: FaultKind, hosts: readonly string[] = []): void => void faults.push({ kind, hosts })
  if (given.length === 1 && given[0]?.host === '') return [{ kind: 'null-mx', hosts: [] }]
  // A null MX beside others is no host.
  const records = given.filter(({ host }) => host !== '')
  const hostsOf = (role: Role | null): readonly string[] =>
    [...new Set(records.filter(({ host }) => nodes.roleOf(host) === role).map(({ host }) => host))]
  const [strangers, fallbacks, primaries] = [hostsOf(null), hostsOf('fallback'), hostsOf('primary')]
  if (strangers.length > 0) fault('stranger', strangers)
  const lowest = Math.min(...records.filter(({ host }) => fallbacks.includes(host)).map(({ number }) => number))
  const notBefore = records.filter(({ host, number }) => !fallbacks.includes(host) && number >= lowest)
  if (notBefore.length > 0) fault('fallback-not-last', [...new Set(notBefore.map(({ host }) => host))])
  if (primaries.length === 0) fault('no-primary')
  if (fallbacks.length === 0 && nodes.hasFallback) fault('no-fallback')
  const enough = nodes.primaries === null ? 0 : Math.min(wanted, nodes.primaries)
  if (primaries.length > 0 && primaries.length < enough) fault('few-primaries', primaries)
  return faults
}
