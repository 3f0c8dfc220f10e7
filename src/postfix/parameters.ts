/**
 * What Postfix asks of the tables in each parameter of main.cf, and so what a
 * Holdfast map has to do in a table's place. Parameters that aren't here are
 * left alone. Sources: postconf(5), and for the kind of each lookup the maps_create,
 * mail_addr_find and *_list_init calls of Postfix 3.7.
 */

/** What a map is to Postfix, and the parameters that each is for; in the order in which the manual names them. */
export const searches = [
  /** virtual_alias_maps */
  'virtual',
  /** canonical_maps, sender_canonical_maps, recipient_canonical_maps */
  'canonical',
  /** smtp_generic_maps, lmtp_generic_maps */
  'generic',
  /** transport_maps. Not for `relay_domains = $transport_maps`: a map of its own there, with `domain`. */
  'transport',
  /**
   * Addresses whose value isn't one that takes an extension: relay_recipient_maps,
   * local_recipient_maps, virtual_mailbox_maps, smtpd_sender_login_maps, relocated_maps, *_bcc_maps,
   * sender_dependent_*_maps.
   */
  'recipient',
  /** Domain and parents: relay_domains. */
  'domain',
  /** check_{client,helo,sender,recipient,etrn}_access and their like; not check_sasl_access, check_ccert_access. */
  'access',
  /**
   * The key and nothing else: virtual_alias_domains, virtual_mailbox_domains, mydestination, which don't
   * look for parents; tables asked by anything other than address or domain; a table behind unionmap:.
   */
  'exact',
] as const
export type Search = typeof searches[number]

/** What happens to mail if a map says absent; in the order in which the manual names them. */
export const absenceEffects = [
  /** It is refused: relay_recipient_maps, virtual_mailbox_domains... */
  'refuses',
  /** It takes another way: transport_maps, canonical_maps... */
  'reroutes',
  /** Nothing: check_*_access, *_bcc_maps, smtpd_sender_login_maps... */
  'passes',
  /** It goes out less protected: smtp_tls_policy_maps... */
  'weakens',
] as const
export type AbsenceEffect = typeof absenceEffects[number]

/** The parameters of main.cf that decide the steps. */
export type SearchSettings = {
  /** recipient_delimiter: each character is a delimiter. Empty: no extensions. */
  readonly recipientDelimiter: string
  /** parent_domain_matches_subdomains. Looked at for transport_maps, relay_domains and smtpd_access_maps. */
  readonly parentDomainMatchesSubdomains: ReadonlySet<string>
  /** propagate_unmatched_extensions. Looked at for virtual, canonical and generic. */
  readonly propagateUnmatchedExtensions: ReadonlySet<string>
  /**
   * Folded domains whose users have rows without a domain: mydestination, myorigin, and the addresses of
   * inet_interfaces and proxy_interfaces as `[192.0.2.1]`.
   */
  readonly localDomains: ReadonlySet<string>
  /** The same for a map without smtputf8_enable, where a letter beyond ASCII has no case. */
  readonly localDomainBytes?: ReadonlySet<string>
}

/** What holds whoever does the steps. */
type Rules = { readonly sensitive: boolean, readonly absence: AbsenceEffect }

export type Purpose =
  /** A map with this search does all that Postfix would do on a mysql: table. */
  | Rules & { readonly kind: 'search', readonly search: Search }
  /** No search is just like it: Postfix goes on doing the steps (unionmap:). */
  | Rules & { readonly kind: 'steps by Postfix' }
  /** Postfix takes no socketmap: here (data that decides on rights), or its questions aren't worth keeping. */
  | { readonly kind: 'refused', readonly why: string, readonly by: 'local' | 'virtual' | null }

/** What an absence does in a map of this search, where the parameter that asks it is not known. */
export const absenceOfSearch = (search: Search): AbsenceEffect => {
  switch (search) {
    case 'recipient': case 'virtual': case 'domain': case 'exact': return 'refuses'
    case 'transport': case 'canonical': case 'generic': return 'reroutes'
    case 'access': return 'passes'
    default: return search satisfies never
  }
}

const search = (name: Search, absence: AbsenceEffect): Purpose =>
  ({ kind: 'search', search: name, sensitive: false, absence })
const sensitive = (name: Search, absence: AbsenceEffect): Purpose =>
  ({ kind: 'search', search: name, sensitive: true, absence })
const refused = (why: string, by: 'local' | 'virtual' | null = null): Purpose => ({ kind: 'refused', why, by })

const ofLocal = refused('local(8) takes no socketmap for data that decides under which user it acts', 'local')
const ofVirtual = refused('virtual(8) takes no socketmap for data that decides under which user it acts', 'virtual')
const ofContent = refused('Postfix looks up whole lines of messages here, which are not worth keeping')

const ofPostscreen = refused('postscreen(8) is one process for all clients, who wait while it waits for an answer')

/** The purpose of each list of tables. */
export const purposes: ReadonlyMap<string, Purpose> = new Map<string, Purpose>([
  ['virtual_alias_maps', search('virtual', 'refuses')],
  ['virtual_maps', search('virtual', 'refuses')],
  ['canonical_maps', search('canonical', 'reroutes')],
  ['sender_canonical_maps', search('canonical', 'reroutes')],
  ['recipient_canonical_maps', search('canonical', 'reroutes')],
  ['smtp_generic_maps', search('generic', 'reroutes')],
  ['lmtp_generic_maps', search('generic', 'reroutes')],
  ['transport_maps', search('transport', 'reroutes')],
  ['address_verify_transport_maps', search('transport', 'reroutes')],
  ['relay_domains', search('domain', 'refuses')],
  // Each decides about parent domains by its own name in parent_domain_matches_subdomains.
  ['fast_flush_domains', { kind: 'steps by Postfix', sensitive: false, absence: 'passes' }],
  ['mynetworks', { kind: 'steps by Postfix', sensitive: true, absence: 'refuses' }],
  ['mydestination', search('exact', 'refuses')],
  ['virtual_alias_domains', search('exact', 'refuses')],
  ['virtual_mailbox_domains', search('exact', 'refuses')],
  ['virtual_mailbox_maps', search('recipient', 'refuses')],
  ['relay_recipient_maps', search('recipient', 'refuses')],
  ['local_recipient_maps', search('recipient', 'refuses')],
  ['relocated_maps', search('recipient', 'passes')],
  ['sender_bcc_maps', search('recipient', 'passes')],
  ['recipient_bcc_maps', search('recipient', 'passes')],
  ['sender_dependent_relayhost_maps', search('recipient', 'reroutes')],
  ['sender_dependent_default_transport_maps', search('recipient', 'reroutes')],
  ['address_verify_sender_dependent_relayhost_maps', search('recipient', 'reroutes')],
  ['address_verify_sender_dependent_default_transport_maps', search('recipient', 'reroutes')],
  // An absence refuses what a logged-in user of ours sends: adopt writes `in_outage: pass-strangers`. Who may send as
  // whom is no secret, and a restart in an outage has to know it: each sender is looked up here.
  ['smtpd_sender_login_maps', search('recipient', 'passes')],
  // A next hop as it stands; with smtp_sender_dependent_authentication the sender first, as an address.
  ['smtp_sasl_password_maps', sensitive('recipient', 'refuses')],
  ['lmtp_sasl_password_maps', sensitive('recipient', 'refuses')],
  // smtp(8) itself goes up to the parent domains here.
  ['smtp_tls_policy_maps', search('exact', 'weakens')],
  ['lmtp_tls_policy_maps', search('exact', 'weakens')],
  ['smtp_tls_per_site', search('exact', 'weakens')],
  ['smtp_discard_ehlo_keyword_address_maps', search('exact', 'passes')],
  ['lmtp_discard_lhlo_keyword_address_maps', search('exact', 'passes')],
  ['smtpd_discard_ehlo_keyword_address_maps', search('exact', 'passes')],
  ['smtpd_milter_maps', search('exact', 'passes')],
  ['relay_clientcerts', sensitive('exact', 'refuses')],
  ['rbl_reply_maps', search('exact', 'passes')],
  ['mailbox_transport_maps', search('exact', 'reroutes')],
  ['fallback_transport_maps', search('exact', 'reroutes')],
  ['alias_maps', ofLocal],
  ['mailbox_command_maps', ofLocal],
  ['virtual_uid_maps', ofVirtual],
  ['virtual_gid_maps', ofVirtual],
  ['header_checks', ofContent],
  ['mime_header_checks', ofContent],
  ['nested_header_checks', ofContent],
  ['body_checks', ofContent],
  ['postscreen_access_list', ofPostscreen],
  ['postscreen_dnsbl_reply_map', ofPostscreen],
  ['tls_server_sni_maps', refused('private keys belong in no cache')],
])

/** The lists of the domains that mail is taken for. */
export const domainLists = [
  'mydestination', 'relay_domains', 'virtual_alias_domains', 'virtual_mailbox_domains',
] as const

/** Lists of restrictions; `smtpd_restriction_classes` names more. */
export const restrictionLists = [
  'smtpd_client_restrictions', 'smtpd_helo_restrictions', 'smtpd_sender_restrictions', 'smtpd_relay_restrictions',
  'smtpd_recipient_restrictions', 'smtpd_data_restrictions', 'smtpd_end_of_data_restrictions',
  'smtpd_etrn_restrictions',
] as const

/** How Postfix asks a table after `restriction`, such as check_sender_access; or without one, in the old form. */
export const restrictionSearch = (restriction: string): 'access' | 'exact' =>
  /^check_(sasl|ccert)_access$/i.test(restriction) ? 'exact' : 'access'

const readers: readonly (readonly [programs: readonly string[], parameters: readonly string[]])[] = [
  [['smtpd', 'cleanup'], [
    'virtual_alias_maps', 'virtual_maps', 'canonical_maps', 'sender_canonical_maps', 'recipient_canonical_maps',
  ]],
  [['cleanup'], [
    'sender_bcc_maps', 'recipient_bcc_maps', 'header_checks', 'mime_header_checks', 'nested_header_checks',
    'body_checks',
  ]],
  [['smtpd'], [
    'virtual_mailbox_maps', 'relay_recipient_maps', 'local_recipient_maps', 'relay_clientcerts', 'rbl_reply_maps',
  ]],
  [['smtpd', 'trivial-rewrite'], ['relocated_maps']],
  // Whoever looks for addresses looks for those of local domains without the domain.
  [['smtpd', 'cleanup', 'trivial-rewrite', 'smtp', 'lmtp', 'local'], ['mydestination']],
  [['local'], ['alias_maps', 'mailbox_command_maps', 'mailbox_transport_maps', 'fallback_transport_maps']],
  [['virtual'], ['virtual_uid_maps', 'virtual_gid_maps']],
  [['smtpd', 'postscreen'], ['mynetworks']],
  [['flush'], ['fast_flush_domains']],
]

/** The programs that open a parameter's tables. trivial-rewrite(8) opens routes and classes of domains. */
export const programsOf = (parameter: string): readonly string[] => {
  const known = readers.find(([, parameters]) => parameters.includes(parameter))
  if (known !== undefined) return known[0]
  const program = /^(smtpd|smtp|lmtp|postscreen)_/.exec(parameter)?.[1]
  return program !== undefined ? [program] : purposes.has(parameter) ? ['trivial-rewrite'] : []
}

/** Lists that only say which tables proxymap(8) may open. They may stay: Postfix asks nothing of it any more. */
export const proxyLists: ReadonlySet<string> = new Set(['proxy_read_maps', 'proxy_write_maps'])

/**
 * Postfix asks all tables of the parameter for the first key, then all for the
 * next (maps_find). It does not in lists of domains, in restrictions and for exact tables.
 */
export const isKeyMajor = (name: Search): boolean =>
  ['virtual', 'canonical', 'generic', 'recipient', 'transport'].includes(name)
