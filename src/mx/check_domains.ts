/**
 * Asks DNS for the mail exchangers of domains and judges them. A few questions are under way at a time; a host that
 * many domains have is asked for once.
 */
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { DnsAnswer, DnsResolver, MxRecord } from './resolver.js'
import { faultKinds, judgeMx } from './verdict.js'
import type { FaultKind, MxFault, MxNodes } from './verdict.js'

export type DomainMx = {
  readonly domain: string
  readonly mx: readonly MxRecord[]
  /** The worst first. */
  readonly faults: readonly MxFault[]
  /** Why DNS could not be asked for all of it; '' if it could. */
  readonly unknown: string
}

export type MxCheck = {
  readonly domains: readonly string[]
  readonly nodes: MxNodes
  /** How many primaries each domain has. */
  readonly primaries: number
  readonly dns: DnsResolver
  /** Questions at a time. */
  readonly maxUnderWay: number
  readonly onProgress?: (done: number) => void
}

/** The verdict on each domain, in their order. Never rejects. */
export const checkDomains = async (check: MxCheck): Promise<readonly DomainMx[]> => {
  const verdicts = new Array<DomainMx>(check.domains.length)
  const questions: SharedQuestions = { addresses: new Map(), hosts: new Map(), zones: new Map() }
  // Each of these asks one question at a time.
  const left = check.domains.entries()
  let done = 0
  await Promise.all(Array.from({ length: check.maxUnderWay }, async () => {
    for (const [index, domain] of left) {
      verdicts[index] = await checkDomain(domain, check, questions)
      check.onProgress?.(++done)
    }
  }))
  return verdicts
}

/** An alias of an alias is followed so far. */
const maxAliases = 8

type HostState = 'right' | 'no-address' | 'alias' | { readonly unknown: string }

/** Questions that several domains share. */
type SharedQuestions = {
  readonly addresses: Map<string, Promise<DnsAnswer<readonly string[]>>>
  readonly hosts: Map<string, Promise<HostState>>
  readonly zones: Map<string, Promise<DnsAnswer<true>>>
}

const once = <Answer>(
  known: Map<string, Promise<Answer>>, name: string, ask: () => Promise<Answer>,
): Promise<Answer> => {
  const answer = known.get(name) ?? ask()
  known.set(name, answer)
  return answer
}

/** The name as DNS has it; '' if it is none. What Node takes is the host of a URL, which may have a path behind it. */
const asciiName = (domain: string): string =>
  /[/\\?#%:]/.test(domain) || isIP(domain) !== 0 ? '' : domainToASCII(domain).replace(/\.$/, '')

const checkDomain = async (domain: string, check: MxCheck, questions: SharedQuestions): Promise<DomainMx> => {
  const verdict = (...faults: readonly MxFault[]): DomainMx => ({ domain, mx: [], faults, unknown: '' })
  const name = asciiName(domain)
  if (name === '') return verdict({ kind: 'bad-name', hosts: [] })
  const answer = await check.dns.mx(name)
  switch (answer.kind) {
    case 'unknown': return { ...verdict(), unknown: answer.why }
    case 'none': {
      const kind = answer.isName ? await withoutMx(name, check.dns, questions) : 'no-domain'
      return typeof kind === 'string' ? verdict({ kind, hosts: [] }) : { ...verdict(), ...kind }
    }
    case 'found': return judgeDomain(domain, answer.data, check, questions)
    default: return answer satisfies never
  }
}

/** What is wrong with a name that has no MX record. */
const withoutMx = async (
  name: string, dns: DnsResolver, questions: SharedQuestions,
): Promise<FaultKind | { readonly unknown: string }> => {
  const address = await dns.addresses(name)
  if (address.kind === 'found') return 'implicit-mx'
  const zone = address.kind === 'none' ? await zoneOfTarget(name, dns, questions) : address
  return zone.kind === 'unknown' ? { unknown: zone.why } : 'no-mx'
}

/**
 * Whether the resolver knows a zone that the name is in. A server that has none answers with a referral, which looks
 * like "no such record".
 */
const zoneOf = async (name: string, dns: DnsResolver, { zones }: SharedQuestions): Promise<DnsAnswer<true>> => {
  const labels = name.split('.')
  for (let above = 0; above < labels.length; above++) {
    const zone = labels.slice(above).join('.')
    const answer = await once(zones, zone, () => dns.isZone(zone))
    if (answer.kind !== 'none') return answer
  }
  return { kind: 'unknown', why: 'the resolver has no zone of this name' }
}

/** An alias may lead out of what the resolver knows. */
const zoneOfTarget = async (name: string, dns: DnsResolver, questions: SharedQuestions): Promise<DnsAnswer<true>> => {
  let target = name
  for (let hop = 0; hop < maxAliases; hop++) {
    const alias = await dns.alias(target)
    if (alias.kind === 'unknown') return alias
    if (alias.kind === 'none') break
    target = alias.data
  }
  return zoneOf(target, dns, questions)
}

/** An address in the place of a name: senders look for the address of that name. */
const isHost = (host: string): boolean => host !== '' && isIP(host) === 0

const addressesOf = (
  host: string, { dns }: MxCheck, { addresses }: SharedQuestions,
): Promise<DnsAnswer<readonly string[]>> => once(addresses, host, () => dns.addresses(host))

/** The nodes that a host of another name leads to, by its addresses; none if one of these is of no node. */
const nodesAt = async (
  host: string, check: MxCheck, questions: SharedQuestions,
): Promise<readonly string[] | { readonly unknown: string }> => {
  const its = await addressesOf(host, check, questions)
  if (its.kind !== 'found') return []
  const left = new Set(its.data)
  const found: string[] = []
  let unknown = ''
  // A name without a domain is none for DNS.
  for (const name of check.nodes.names.filter(each => each.includes('.'))) {
    const answer = await addressesOf(name, check, questions)
    if (answer.kind === 'unknown') unknown = `${name}: ${answer.why}`
    const shared = answer.kind === 'found' ? answer.data.filter(address => its.data.includes(address)) : []
    if (shared.length > 0) found.push(name)
    for (const address of shared) left.delete(address)
  }
  return left.size === 0 ? found : unknown === '' ? [] : { unknown }
}

/** The records with the names of our nodes, where a host has another name. */
const asNodes = async (
  mx: readonly MxRecord[], check: MxCheck, questions: SharedQuestions,
): Promise<readonly MxRecord[] | { readonly unknown: string }> => {
  const records: MxRecord[] = []
  for (const record of mx) {
    const names = !isHost(record.host) || check.nodes.isNamed(record.host) ? []
      : await nodesAt(record.host, check, questions)
    if ('unknown' in names) return names
    records.push(...names.length === 0 ? [record] : names.map(host => ({ ...record, host })))
  }
  return records
}

const judgeDomain = async (
  domain: string, mx: readonly MxRecord[], check: MxCheck, questions: SharedQuestions,
): Promise<DomainMx> => {
  const records = await asNodes(mx, check, questions)
  if ('unknown' in records) return { domain, mx, faults: [], ...records }
  const states = new Map<HostState, string[]>()
  let unknown = ''
  const faults = [...judgeMx(records, check.nodes, check.primaries)]
  if (!faults.some(({ kind }) => kind === 'null-mx')) {
    for (const host of new Set(mx.map(each => each.host))) {
      const state = !isHost(host) ? 'no-address'
        : await once(questions.hosts, host, () => stateOfHost(host, check, questions))
      if (typeof state === 'object') unknown = `${host}: ${state.unknown}`
      else states.set(state, [...states.get(state) ?? [], host === '' ? '.' : host])
    }
  }
  for (const kind of ['no-address', 'alias'] as const) {
    const its = states.get(kind)
    if (its !== undefined) faults.push({ kind, hosts: its })
  }
  faults.sort((a, b) => faultKinds.indexOf(a.kind) - faultKinds.indexOf(b.kind))
  return { domain, mx, faults, unknown }
}

const stateOfHost = async (host: string, check: MxCheck, questions: SharedQuestions): Promise<HostState> => {
  const { dns } = check
  const address = await addressesOf(host, check, questions)
  if (address.kind === 'unknown') return { unknown: address.why }
  if (address.kind === 'none' && !address.isName) return 'no-address'
  const alias = await dns.alias(host)
  if (alias.kind === 'unknown') return { unknown: alias.why }
  if (alias.kind === 'found') return 'alias'
  const zone = address.kind === 'found' ? address : await zoneOf(host, dns, questions)
  return zone.kind === 'unknown' ? { unknown: zone.why } : address.kind === 'found' ? 'right' : 'no-address'
}

/** The state of a domain, in one word: its worst fault, or that not all of it could be asked. */
export const mxStates = ['right', 'unknown', ...faultKinds] as const
export type MxState = typeof mxStates[number]

export const mxStateOf = ({ faults, unknown }: DomainMx): MxState =>
  faults[0]?.kind ?? (unknown === '' ? 'right' : 'unknown')
