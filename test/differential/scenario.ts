/**
 * A scenario: a main.cf on mysql: tables, their rows, and SMTP sessions. A seed makes
 * the same scenario each time. Kinds of tables, settings, overrides in master.cf,
 * addresses and values are such as people have, and odd ones.
 */
import { Tables } from './table_files.js'
import type { Row } from './table_files.js'
import { Chance, Words } from './words.js'

/** A command after EHLO; that of DATA includes the message. Every letter is a byte (latin1). */
export type Step = { readonly verb: 'MAIL' | 'RCPT' | 'VRFY' | 'ETRN' | 'DATA' | 'RSET', readonly text: string }

/** A session by SMTP. With `isLocal`, sendmail(1) submits a message for each DATA, from MAIL to all RCPTs before it. */
export type Session = {
  readonly helo: string, readonly xclient: string | null, readonly steps: readonly Step[], readonly isLocal?: true,
  /** The key and certificate of a client that begins TLS (PEM). */
  readonly certificate?: { readonly key: string, readonly cert: string },
  /** The client's address, in 127.0.0.0/8. */
  readonly from?: string,
}

export type Scenario = {
  readonly seed: number
  readonly main: Readonly<Record<string, string>>
  /** The -o options of smtpd(8), to which all sessions connect, and of cleanup(8). */
  readonly overrides: Readonly<Record<'smtpd' | 'cleanup' | 'rewrite', Readonly<Record<string, string>>>>
  readonly rows: readonly Row[]
  readonly sessions: readonly Session[]
  /** Whether postscreen(8) takes the connections, and passes them on to smtpd(8). */
  readonly hasPostscreen?: true
  /** main.cf of a second instance, as made by postmulti(1): the first sends it what it doesn't deliver itself. */
  readonly onward?: Readonly<Record<string, string>>
}

type Settings = Record<string, string>

/** The settings that decide by which keys Postfix asks. */
const stepSettings = (chance: Chance): Settings => ({
  recipient_delimiter: chance.pick(['', '+', '+', '+', '+-', '-', '-+', '+=-']),
  ...chance.is(0.5) ? { propagate_unmatched_extensions: chance.pick([
    '', 'canonical', 'virtual', 'generic', 'virtual, generic', 'canonical, virtual, generic, alias',
  ]) } : {},
  ...chance.is(0.5) ? { parent_domain_matches_subdomains: chance.pick([
    '', 'smtpd_access_maps', 'relay_domains', 'transport_maps', 'smtpd_access_maps, transport_maps, relay_domains',
    'transport_maps relay_domains',
  ]) } : {},
  ...chance.is(0.07) ? { owner_request_special: 'no' } : {},
  ...chance.is(0.07) ? { double_bounce_sender: chance.pick(['bounce', 'double+bounce', 'double-x']) } : {},
  ...chance.is(0.07) ? { append_at_myorigin: 'no' } : {},
  ...chance.is(0.1) ? { smtpd_null_access_lookup_key: 'null@va.example' } : {},
  ...chance.is(0.1) ? { allow_percent_hack: 'no' } : {},
  ...chance.is(0.1) ? { swap_bangpath: 'no' } : {},
})

const addressSettings = (chance: Chance): Settings => ({
  append_dot_mydomain: chance.pick(['yes', 'no']),
  ...chance.is(0.15) ? { resolve_dequoted_address: 'no' } : {},
  ...chance.is(0.1) ? { allow_untrusted_routing: 'yes' } : {},
  ...chance.is(0.2) ? { strict_rfc821_envelopes: 'yes' } : {},
  mydomain: 'test.example',
  myorigin: chance.pick(['$myhostname', '$mydomain', 'loc.example', 'va.example']),
  inet_interfaces: chance.pick(['127.0.0.1', 'localhost', '127.0.0.1']),
  inet_protocols: 'ipv4',
})

const domainLists = (chance: Chance, words: Words, tables: Tables): Settings => {
  const table = (kind: string): string => tables.mysql(kind, () => words.domainKey(), () => 'x')
  return {
    mydestination: chance.pick<() => string>([
      () => '$myhostname, localhost, loc.example', () => '', () => table('dest'), () => `$myhostname, ${table('dest')}`,
      () => '!loc.example, inline:{loc.example=x, localhost=y}, $myhostname',
      () => '$myhostname localhost.$mydomain localhost, LOC.example.', () => 'loc.example, straße.example, $myhostname',
    ])(),
    virtual_alias_domains: chance.pick<() => string>([
      () => 'va.example, va2.example', () => '', () => table('vad'), () => '$virtual_alias_maps',
      () => `va.example ${table('vad')}`, () => 'va.example',
    ])(),
    virtual_mailbox_domains: chance.pick<() => string>([
      () => 'vm.example', () => table('vmd'), () => 'vm.example sub.vm.example', () => 'müller.example, vm.example',
    ])(),
    relay_domains: chance.pick<() => string>([
      () => 'rel.example', () => table('rel'), () => `!deep.sub.rel.example, rel.example, ${table('rel')}`,
      () => `${table('rel')} ${table('rel')}`,
    ])(),
  }
}

const addressMaps = (chance: Chance, words: Words, tables: Tables): Settings => {
  const key = (): string => words.addressKey()
  const maps: readonly (readonly [parameter: string, probability: number, kind: string, value: () => string])[] = [
    ['virtual_alias_maps', 0.75, 'alias', () => words.addresses()],
    ['canonical_maps', 0.2, 'canonical', () => words.addresses()],
    ['sender_canonical_maps', 0.3, 'canonical', () => words.addresses()],
    ['recipient_canonical_maps', 0.3, 'canonical', () => words.addresses()],
    ['smtp_generic_maps', 0.6, 'generic', () => words.addresses()],
    ['lmtp_generic_maps', 0.3, 'generic', () => words.addresses()],
    ['transport_maps', 0.5, 'transport', () => words.route()],
    ['relocated_maps', 0.25, 'relocated', () => chance.pick(['new@x.example', 'elsewhere', 'a b'])],
    ['sender_bcc_maps', 0.3, 'bcc', () => words.address()], ['recipient_bcc_maps', 0.3, 'bcc', () => words.address()],
    ['sender_dependent_default_transport_maps', 0.3, 'sdt', () => chance.pick([
      't1:', 't1:h5', 'gsm:[127.0.0.1]', 'relay', 'local:x', 'DUNNO', 't2:sd', 'error:5.1.1 sd',
    ])],
    ['sender_dependent_relayhost_maps', 0.2, 'sdr', () => chance.pick(['[rh]', 'rh2:26', 'DUNNO'])],
    ['virtual_mailbox_maps', 0.6, 'mailbox', () => 'x/'], ['relay_recipient_maps', 0.5, 'relay', () => 'x'],
    ['local_recipient_maps', 0.5, 'local', () => 'x'], ['smtpd_sender_login_maps', 0.6, 'login', () => words.login()],
  ]
  const settings: Settings = {}
  for (const [parameter, probability, kind, value] of maps) {
    if (chance.is(probability)) settings[parameter] = tables.list(kind, key, value)
  }
  if (chance.is(0.1)) settings['local_recipient_maps'] = '$virtual_alias_maps'
  if (chance.is(0.1)) settings['smtpd_sender_login_maps'] = '$virtual_mailbox_maps'
  // A parameter that an administrator made up, and that a service may override.
  if (chance.is(0.2) && settings['virtual_alias_maps'] !== undefined) {
    settings['my_aliases'] = settings['virtual_alias_maps']
    settings['virtual_alias_maps'] = chance.pick(['$my_aliases', '${my_aliases}', '$my_aliases, $my_more'])
    settings['my_more'] = tables.other(key, () => words.addresses())
  }
  return settings
}

/** Tables that smtp(8) and lmtp(8) ask about the servers to which they send. */
const deliveryMaps = (chance: Chance, words: Words, tables: Tables): Settings => {
  const settings: Settings = {}
  for (const program of ['smtp', 'lmtp']) {
    if (chance.is(0.2)) {
      settings[`${program}_tls_policy_maps`] = tables.list('policy', () => words.nextHop(), () => words.tlsPolicy())
    }
    if (chance.is(0.1)) {
      const name = program === 'smtp' ? 'smtp_discard_ehlo_keyword_address_maps' : 'lmtp_discard_lhlo_keyword_address_maps'
      settings[name] = tables.list('ehlo', () => chance.pick(['127.0.0.1', '127.0.0']), () => 'smtputf8, 8bitmime')
    }
    if (chance.is(0.3)) {
      const isOfSender = program === 'smtp' && chance.is(0.5)
      const key = (): string => isOfSender && chance.is(0.7) ? words.addressKey() : words.nextHop()
      Object.assign(settings, {
        [`${program}_sasl_auth_enable`]: 'yes', [`${program}_sasl_security_options`]: 'noanonymous',
        [`${program}_sasl_password_maps`]: tables.list('credential', key, () => words.credential()),
        ...isOfSender ? { smtp_sender_dependent_authentication: 'yes' } : {},
      })
    }
  }
  if (chance.is(0.1)) {
    settings['smtpd_discard_ehlo_keyword_address_maps'] =
      tables.list('ehlo', () => words.clientKey(), () => chance.pick(['vrfy', 'etrn, dsn', 'silent-discard, dsn']))
  }
  return settings
}

/** Restrictions on access tables of every kind. */
const restrictions = (chance: Chance, words: Words, tables: Tables): Settings => {
  const access = (kind: string, key: () => string): string => {
    const action = (): string => words.action()
    return `check_${kind}_access ${chance.is(0.85) ? tables.mysql('access', key, action) : tables.other(key, action)}`
  }
  const address = (kind: string): (() => string) => () => access(kind, () => words.addressKey())
  const server = (kind: string): (() => string) => () => access(kind, () => words.serverKey())
  const oldForm = (): string => tables.mysql('access', () => words.addressKey(), () => words.action())
  const client = (): string => access('client', () => words.clientKey())
  const some = (kinds: readonly (() => string)[], counts: readonly number[]): string =>
    Array.from({ length: chance.pick(counts) }, () => chance.pick(kinds)()).join(', ')
  const settings: Settings = {
    smtpd_restriction_classes: 'class1, class2',
    class1: address('recipient')(), class2: chance.pick([() => 'permit', () => 'reject', address('sender')])(),
    smtpd_recipient_restrictions: some([
      address('recipient'), address('recipient'), server('recipient_mx'), server('recipient_ns'), () => 'class1',
      () => 'reject_unlisted_recipient', address('sender'), () => 'permit_auth_destination',
      oldForm, () => `${address('recipient')()} ${oldForm()}`,
    ], [1, 2, 3]),
    smtpd_relay_restrictions: chance.pick<() => string>([
      () => 'reject_unauth_destination', () => 'permit_mynetworks, reject',
      () => `${address('recipient')()}, permit_mynetworks, reject`,
    ])(),
  }
  if (chance.is(0.5)) {
    settings['smtpd_client_restrictions'] = some(
      [
        client, client, () => access('reverse_client_hostname', () => words.clientKey()),
        () => access('sasl', () => words.login()),
      ],
      [1, 2])
  }
  if (chance.is(0.5)) {
    const helo = (): string => access('helo', () => words.heloKey())
    settings['smtpd_helo_restrictions'] = some([helo, helo, server('helo_a')], [1, 2])
  }
  if (chance.is(0.75)) {
    settings['smtpd_sender_restrictions'] = some([
      address('sender'), address('sender'), address('sender'), server('sender_mx'), server('sender_ns'),
      server('sender_a'), () => 'reject_sender_login_mismatch', () => 'reject_authenticated_sender_login_mismatch',
      () => 'reject_unauthenticated_sender_login_mismatch', () => 'reject_known_sender_login_mismatch', client, () => 'reject_unlisted_sender',
    ], [1, 2, 3])
  }
  if (chance.is(0.2)) settings['smtpd_data_restrictions'] = address('sender')()
  if (chance.is(0.2)) settings['smtpd_end_of_data_restrictions'] = address('recipient')()
  if (chance.is(0.2)) settings['smtpd_etrn_restrictions'] = chance.pick([
    () => access('etrn', () => words.domainKey()), () => 'permit_mynetworks',
  ])()
  return settings
}

/** Settings that some services have instead of those of main.cf. */
const overridesOf = (
  chance: Chance, words: Words, tables: Tables, main: Settings,
): Scenario['overrides'] => {
  const overrides: { smtpd: Settings, cleanup: Settings, rewrite: Settings } = { smtpd: {}, cleanup: {}, rewrite: {} }
  if (!chance.is(0.4)) return overrides
  const own: Settings = {
    ...stepSettings(chance), ...addressSettings(chance), smtputf8_enable: chance.pick(['yes', 'no']),
  }
  const names = [
    'recipient_delimiter', 'propagate_unmatched_extensions', 'parent_domain_matches_subdomains', 'smtputf8_enable',
    'myorigin', 'append_at_myorigin', 'owner_request_special',
  ]
  for (const service of ['smtpd', 'cleanup', 'rewrite'] as const) {
    if (!chance.is(0.5)) continue
    for (const name of chance.sample(names, chance.pick([1, 2]))) {
      if (own[name] !== undefined) overrides[service][name] = own[name]
    }
    if (chance.is(0.2)) overrides[service]['mydestination'] = chance.pick(['va.example', 'loc.example, $mydomain', ''])
    if (chance.is(0.3) && main['my_aliases'] !== undefined) {
      overrides[service]['my_aliases'] = tables.list('alias', () => words.addressKey(), () => words.addresses())
    }
  }
  if (chance.is(0.3) && main['smtpd_recipient_restrictions'] !== undefined) {
    const action = 'inline:{ {u2@vm.example = REJECT go  away}, {u3@vm.example = PREPEND X-A: b c} }'
    const table = tables.mysql('access', () => words.addressKey(), () => words.action())
    overrides.smtpd['smtpd_recipient_restrictions'] =
      `check_recipient_access ${action}, check_recipient_access ${table}, permit`
  }
  return overrides
}

const clients = [
  ['client.out.example', '192.0.2.77'], ['h.client.bad.example', '198.51.100.77'], ['[UNAVAILABLE]', '192.0.2.5'],
  ['c6.out.example', 'IPV6:2001:db8::1'], ['Client.OUT.example', '192.0.2.78'], ['[UNAVAILABLE]', '127.0.0.1'],
  ['localhost', '127.0.0.1'],
] as const

const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

/** `isAscii`: this Postfix supports no SMTPUTF8, and accepts any bytes. */
const sessionsOf = (
  chance: Chance, words: Words, keys: readonly string[], seed: number, isAscii: boolean, count: number,
): readonly Session[] => {
  const path = (): string => {
    const bytes = latin1(words.recipient(keys))
    return `<${chance.is(0.02) ? '\xff' : ''}${isAscii && chance.is(0.05) ? bytes.replace('u', 'jos\xe9') : bytes}>`
  }
  const header = (): string => {
    const address = words.recipient(keys)
    return chance.pick([address, `<${address}>`, `N <${address}>`])
  }
  const mail = (session: number, number: number): readonly Step[] => {
    const sender = chance.is(0.08) ? '<>' : path()
    const message = [
      `Message-ID: <s${seed}.${session}.${number}@m.example>`, `From: ${header()}`, `To: ${header()}, ${header()}`,
      ...chance.is(0.3) ? [`Cc: ${header()}`] : [], ...chance.is(0.1) ? [`Sender: ${header()}`] : [],
      'Subject: x', '', 'body',
    ].join('\r\n')
    return [
      ...chance.is(0.05) ? [{ verb: 'ETRN', text: latin1(words.domain()) } as const] : [],
      { verb: 'MAIL', text: `${sender}${!isAscii && chance.is(0.7) ? ' SMTPUTF8' : ''}` },
      ...Array.from({ length: chance.pick([1, 3, 5, 8]) }, (): Step => ({ verb: 'RCPT', text: path() })),
      ...chance.is(0.25) ? [{ verb: 'VRFY', text: chance.is(0.5) ? path() : path().slice(1, -1) } as const] : [],
      { verb: 'DATA', text: latin1(message) }, { verb: 'RSET', text: '' },
    ]
  }
  return Array.from({ length: count }, (_, session) => {
    const [name, address] = chance.pick(clients)
    const login = chance.is(0.5) ? ` LOGIN=${chance.pick(['u1', 'u2', 'U1', 'u3'])}` : ''
    return {
      helo: chance.pick([
        'helo.example', 'sub.helo.example', '[192.0.2.1]', '192.0.2.1', 'mx.test.example', 'HELO.Example', 'localhost',
        'h.x.helo.example.',
      ]),
      xclient: chance.is(0.7) ? `NAME=${name} ADDR=${address}${login}` : null,
      ...chance.is(0.1) ? { isLocal: true as const } : {},
      steps: Array.from({ length: chance.pick([1, 2, 3]) }, (__, number) => mail(session, number)).flat(),
    }
  })
}

/** Makes the scenario of a seed. `folder` gets its files; `login` has the first lines of each mysql_table(5) file. */
export const makeScenario = (seed: number, folder: string, login: string, sessions: number): Scenario => {
  const chance = new Chance(seed)
  const smtputf8 = chance.pick(['yes', 'yes', 'no'])
  const words = new Words(chance, false)
  const tables = new Tables(chance, words, folder, login)
  const steps = stepSettings(chance)
  words.delimiters = steps['recipient_delimiter'] ?? ''
  const main: Settings = {
    ...steps, ...addressSettings(chance), smtputf8_enable: smtputf8,
    ...domainLists(chance, words, tables), ...addressMaps(chance, words, tables),
    ...deliveryMaps(chance, words, tables),
    virtual_transport: chance.pick(['t1:', 'virtual', 'gsm:[127.0.0.1]', 'lm:[127.0.0.1]']),
    default_transport: chance.pick(['t2', 'smtp', 'gsm:[127.0.0.1]', 'lm:[127.0.0.1]']),
    smtpd_reject_unlisted_sender: chance.pick(['yes', 'no']),
    smtpd_reject_unlisted_recipient: chance.pick(['yes', 'yes', 'no']),
    smtpd_delay_reject: chance.pick(['yes', 'yes', 'no']),
    local_header_rewrite_clients: chance.pick(['permit_inet_interfaces', 'static:all']),
    remote_header_rewrite_domain: chance.pick(['', 'dom.invalid']),
    mynetworks: '127.0.0.0/8',
    ...chance.is(0.3) ? { masquerade_domains: 'test.example' } : {},
  }
  // Half of the scenarios have no restrictions, so that all mail comes to cleanup(8) and the routes.
  Object.assign(main, chance.is(0.5) ? restrictions(chance, words, tables) : {
    mynetworks: '0.0.0.0/0 [::]/0', smtpd_recipient_restrictions: 'permit_mynetworks, reject',
    smtpd_relay_restrictions: 'permit_mynetworks, reject', smtpd_reject_unlisted_sender: 'no',
    smtpd_reject_unlisted_recipient: 'no',
  })
  const overrides = overridesOf(chance, words, tables, main)
  main['proxy_read_maps'] = [...tables.proxied, '$virtual_alias_maps'].join(' ')
  const keys = tables.rows.map(({ key }) => key).filter(key => key.includes('@'))
  const isAscii = (overrides.smtpd['smtputf8_enable'] ?? smtputf8) === 'no'
  return {
    seed, main, overrides, rows: tables.rows, sessions: sessionsOf(chance, words, keys, seed, isAscii, sessions),
  }
}
