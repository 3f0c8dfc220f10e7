/**
 * What Postfix asks on the way of a mail, in its order: which maps of ours, in which parameters of main.cf and
 * master.cf, with which keys. Pure.
 *
 * From Postfix's source: resolve.c (classes of domains, then routes), smtpd_check.c (access, then whether the
 * recipient exists), cleanup (rewriting, aliases, copies), smtp(8) (generic, TLS, passwords).
 *
 * Bugs: tables that Holdfast doesn't answer are left out, though they may answer first. Access tables for MX hosts and
 * name servers are not asked, for that takes DNS.
 */
import { compileSearch } from '../lookup/search.js'
import { domainOf } from '../postfix/address.js'
import { fold } from '../postfix/fold.js'
import { guardName, lenientOf } from '../postfix/guarded_lists.js'
import type { Purpose, Search, SearchSettings } from '../postfix/parameters.js'
import { placeName } from '../postfix/postconf.js'
import type { OwnUse } from './tables.js'

/** What Postfix asks a parameter for. */
type Asks = 'domain' | 'recipient' | 'target' | 'sender' | 'client' | 'next hop'

/** By parameter or restriction, in Postfix's order. `target`: also of what aliases and rewriting lead to. */
const asksOf: ReadonlyMap<string, Asks> = new Map<string, Asks>([
  ['mynetworks', 'client'], ['check_client_access', 'client'], ['check_helo_access', 'client'],
  ['relay_clientcerts', 'client'], ['check_ccert_access', 'client'], ['check_sasl_access', 'client'],
  ['smtpd_discard_ehlo_keyword_address_maps', 'client'], ['smtpd_milter_maps', 'client'],
  ['check_sender_access', 'sender'], ['smtpd_sender_login_maps', 'sender'],
  ['mydestination', 'domain'], ['virtual_alias_domains', 'domain'], ['virtual_mailbox_domains', 'domain'],
  ['relay_domains', 'domain'],
  ['check_recipient_access', 'recipient'], ['relocated_maps', 'target'],
  ['sender_canonical_maps', 'sender'], ['recipient_canonical_maps', 'recipient'], ['canonical_maps', 'recipient'],
  ['virtual_alias_maps', 'target'], ['virtual_maps', 'target'],
  ['virtual_mailbox_maps', 'recipient'], ['relay_recipient_maps', 'recipient'], ['local_recipient_maps', 'recipient'],
  ['sender_bcc_maps', 'sender'], ['recipient_bcc_maps', 'recipient'],
  ['transport_maps', 'target'], ['address_verify_transport_maps', 'target'], ['fast_flush_domains', 'domain'],
  ['sender_dependent_default_transport_maps', 'sender'], ['sender_dependent_relayhost_maps', 'sender'],
  ['address_verify_sender_dependent_default_transport_maps', 'sender'],
  ['address_verify_sender_dependent_relayhost_maps', 'sender'],
  ['mailbox_transport_maps', 'target'], ['fallback_transport_maps', 'target'],
  ['smtp_generic_maps', 'target'], ['lmtp_generic_maps', 'target'],
  ['smtp_tls_policy_maps', 'next hop'], ['lmtp_tls_policy_maps', 'next hop'], ['smtp_tls_per_site', 'next hop'],
  ['smtp_sasl_password_maps', 'next hop'], ['lmtp_sasl_password_maps', 'next hop'],
  ['smtp_discard_ehlo_keyword_address_maps', 'next hop'], ['lmtp_discard_lhlo_keyword_address_maps', 'next hop'],
])
const order = [...asksOf.keys()]

/** A map of ours in the parameters that ask it for the same. */
export type Stop = {
  /** The parameter, or the restriction: `virtual_alias_maps`, `check_sender_access`. */
  readonly name: string
  /** Where it stands, as people write it. */
  readonly places: readonly string[]
  readonly map: string
  readonly asks: Asks | null
  /** Postfix itself asks for the keys of each step of this search; null: for the whole key. */
  readonly stepsOf: Purpose | null
}

/** In the old form a table without a check_*_access has that of its list. */
const nameOf = ({ parameter, restriction }: OwnUse): string => {
  const [, list] = /^smtpd_(client|helo|sender|recipient|relay)_restrictions$/.exec(parameter) ?? []
  if (/^check_\w+_access$/i.test(restriction)) return restriction.toLowerCase()
  return list === undefined ? parameter : `check_${list === 'relay' ? 'recipient' : list}_access`
}

/** The maps that Postfix asks, in its order. */
export const stopsOf = (uses: readonly OwnUse[]): readonly Stop[] => {
  const stops = new Map<string, Stop>()
  for (const use of uses) {
    const [name, { map }] = [nameOf(use), use]
    // These say of recipients what the maps say that they stand for.
    if (map === guardName || lenientOf(map) !== null) continue
    const stepsOf = use.asked === 'steps' ? use.purpose : null
    const key = JSON.stringify([name, map, stepsOf])
    const places = [...new Set([...stops.get(key)?.places ?? [], placeName(use)])]
    stops.set(key, { name, places, map, asks: asksOf.get(name) ?? null, stepsOf })
  }
  const rank = ({ name }: Stop): number => asksOf.has(name) ? order.indexOf(name) : order.length
  return [...stops.values()].sort((a, b) => rank(a) - rank(b))
}

/** The parameter that a map is most likely in, by its search. */
const likelyParameter: Readonly<Record<Search, string>> = {
  virtual: 'virtual_alias_maps', canonical: 'canonical_maps', generic: 'smtp_generic_maps',
  transport: 'transport_maps', recipient: 'relay_recipient_maps', domain: 'relay_domains',
  access: 'check_recipient_access', exact: 'virtual_mailbox_domains',
}

/** Every map once, where nobody knows in which parameters they are. */
export const likelyStops = (maps: readonly { readonly name: string, readonly search: string }[]): readonly Stop[] =>
  maps.flatMap(({ name, search }) => {
    const stop = { name: likelyParameter[search as Search], places: [], map: name, stepsOf: null }
    const asks = (...kinds: readonly Asks[]): readonly Stop[] => kinds.map(kind => ({ ...stop, asks: kind }))
    switch (search) {
      case 'domain': return asks('domain')
      // It may be a list of addresses or of domains.
      case 'exact': return asks('domain', 'target')
      case 'access': return asks('recipient', 'sender')
      default: return asks('target')
    }
  })

/** The keys that smtp(8) asks for a next hop: as it is written, without its port, then its parent domains. */
const nextHopKeys = (hop: string): readonly string[] => {
  const host = hop.replace(/:\w+$/, '')
  const parents = host.startsWith('[') ? [] : host.split('.').slice(1).map(
    (_, i, labels) => `.${labels.slice(i).join('.')}`,
  )
  return [...new Set([hop, host, ...parents])]
}

/** Who the keys are of: the address is a recipient, what an alias leads to, a sender, a client, or a next hop. */
export type Party = 'recipient' | 'target' | 'sender' | 'client' | 'next hop'

const isAsked = (asks: Asks | null, party: Party): boolean => {
  switch (party) {
    case 'recipient': return asks === 'recipient' || asks === 'target' || asks === 'domain'
    case 'target': return asks === 'target' || asks === 'domain'
    case 'sender': case 'client': case 'next hop': return asks === party
    default: return party satisfies never
  }
}

/** The keys that Postfix asks a map for at this stop, until one is found; none if it doesn't ask it for this party. */
export const keysAt = (
  { asks, stepsOf }: Stop, party: Party, address: string, settings: SearchSettings,
): readonly string[] => {
  if (!isAsked(asks, party)) return []
  if (party === 'next hop') return nextHopKeys(address)
  const isAddress = address.includes('@')
  const key = asks === 'domain' ? domainOf(address) : address
  // A domain or a host by itself is a key of lists of domains, of routes and of access tables alone.
  if (!isAddress && asks === 'recipient') return []
  if (stepsOf?.kind !== 'search') return [key]
  return compileSearch(stepsOf.search, settings).steps(fold(key), key).map(step => step.key)
}
