/** Plans for main.cf and master.cf in the shapes that mail server projects write, and what is left alone and why. */
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { configText } from '../../src/adopt/adopted_config.js'
import { expand } from '../../src/postfix/parameter_list.js'
import type { AdoptionPlan } from '../../src/adopt/draft.js'
import { planAdoption } from '../../src/adopt/plan.js'
import { absenceOfSearch } from '../../src/postfix/parameters.js'
import { placeName } from '../../src/postfix/postconf.js'
import { readPostconf } from '../../src/postfix/postconf.js'
import type { Override, Postconf, Service } from '../../src/postfix/postconf.js'
import { parseConfig } from '../../src/config/parse.js'

/** `socketmap:map` and `steps:map` stand for the two ways in which Postfix is told to ask. */
const short = (value: string): string => value
  .replace(/unionmap:\{internal:none,socketmap:unix:holdfast\/holdfast\.sock:((?:\$\{\w+\})?[^},]*)\}/g, 'steps:$1')
  .replaceAll('socketmap:unix:holdfast/holdfast.sock:', 'socketmap:')
/** A name that is lenient for some services is shown as the others see it. */
const strictly = (value: string): string => short(value.replaceAll('${holdfast_lenient}', ''))

const lines = (
  plan: AdoptionPlan,
): { maps: readonly string[], edits: readonly string[], leftAlone: readonly string[] } => ({
  // An `absence` that is the default of its search is left out.
  maps: plan.maps.map(({ name, search, sensitive, absence, files }) => [
    name, search, ...absence === absenceOfSearch(search) ? [] : [absence], ...sensitive ? ['sensitive'] : [],
    ...files.map(file => file.replace(/^.*\//, '')),
  ].join(' ')),
  // What lets strangers' mail pass in an outage is the same for all, and has a test of its own.
  edits: plan.edits.filter(({ parameter }) => !['holdfast_lenient', 'rewrite_service_name'].includes(parameter)).map(
    edit => `${placeName(edit)} = ${strictly(edit.to)}${edit.wasDefault ? ' (was default)' : ''}`),
  leftAlone: plan.leftAlone.map(placeName),
})

const shapes: Readonly<Record<string, ReturnType<typeof lines>>> = {
  postfixadmin: {
    maps: [
      'virtual_alias virtual mysql_virtual_alias_maps.cf mysql_virtual_alias_domain_maps.cf '
        + 'mysql_virtual_alias_domain_catchall_maps.cf',
      'transport transport mysql_transport_maps.cf',
      'relay_domains domain mysql_relay_domains.cf',
      'virtual_mailbox_domains exact mysql_virtual_domains_maps.cf',
      'virtual_mailbox recipient mysql_virtual_mailbox_maps.cf mysql_virtual_alias_domain_mailbox_maps.cf',
      'smtpd_sender_login recipient passes mysql_sender_login_maps.cf',
    ],
    edits: [
      'virtual_alias_maps = socketmap:virtual_alias',
      'transport_maps = socketmap:transport',
      'relay_domains = $mydestination, socketmap:relay_domains',
      'virtual_mailbox_domains = socketmap:virtual_mailbox_domains',
      'virtual_mailbox_maps = socketmap:virtual_mailbox',
      'virtual/unix/virtual_mailbox_maps = proxy:mysql:/etc/postfix/sql/mysql_virtual_mailbox_maps.cf, '
        + 'proxy:mysql:/etc/postfix/sql/mysql_virtual_alias_domain_mailbox_maps.cf (was default)',
      'smtpd_sender_login_maps = socketmap:smtpd_sender_login',
    ],
    leftAlone: ['virtual/unix/virtual_mailbox_maps'],
  },
  iredmail: {
    maps: [
      'virtual_alias virtual virtual_alias_maps.cf domain_alias_maps.cf catchall_maps.cf domain_alias_catchall_maps.cf',
      'transport transport transport_maps_user.cf transport_maps_maillist.cf transport_maps_domain.cf',
      'relay_domains domain relay_domains.cf',
      'virtual_mailbox_domains exact virtual_mailbox_domains.cf',
      'virtual_mailbox recipient virtual_mailbox_maps.cf',
      'sender_bcc recipient passes sender_bcc_maps_user.cf sender_bcc_maps_domain.cf',
      'recipient_bcc recipient passes recipient_bcc_maps_user.cf recipient_bcc_maps_domain.cf',
      'sender_dependent_relayhost recipient reroutes sender_dependent_relayhost_maps.cf',
      'smtpd_sender_login recipient passes sender_login_maps.cf',
    ],
    edits: [
      'virtual_alias_maps = socketmap:virtual_alias',
      'transport_maps = socketmap:transport',
      'relay_domains = $mydestination socketmap:relay_domains',
      'virtual_mailbox_domains = socketmap:virtual_mailbox_domains',
      'virtual_mailbox_maps = socketmap:virtual_mailbox',
      'virtual/unix/virtual_mailbox_maps = proxy:mysql:/etc/postfix/mysql/virtual_mailbox_maps.cf (was default)',
      'sender_bcc_maps = socketmap:sender_bcc',
      'recipient_bcc_maps = socketmap:recipient_bcc',
      'sender_dependent_relayhost_maps = socketmap:sender_dependent_relayhost',
      'smtpd_sender_login_maps = socketmap:smtpd_sender_login',
      'smtpd_recipient_restrictions = reject_non_fqdn_recipient permit_mynetworks check_recipient_access '
        + 'socketmap:recipient_guard reject_unauth_destination',
    ],
    leftAlone: ['virtual/unix/virtual_mailbox_maps'],
  },
  modoboa: {
    maps: [
      'virtual_alias virtual sql-aliases.cf',
      'transport exact reroutes sql-spliteddomains-transport.cf sql-transport.cf',
      'relay_domains domain sql-relaydomains.cf',
      'virtual_alias_domains exact sql-domain-aliases.cf',
      'virtual_mailbox_domains exact sql-domains.cf',
      'smtpd_sender_login recipient passes sql-sender-login-map.cf',
      'maintain access sensitive sql-maintain.cf',
      'relay-recipient-verification access sensitive sql-relay-recipient-verification.cf',
    ],
    edits: [
      'virtual_alias_maps = socketmap:virtual_alias',
      'transport_maps = hash:/etc/postfix/transport_local, steps:transport',
      'relay_domains = socketmap:relay_domains',
      'virtual_alias_domains = socketmap:virtual_alias_domains',
      'virtual_mailbox_domains = socketmap:virtual_mailbox_domains',
      'smtpd_sender_login_maps = socketmap:smtpd_sender_login',
      'smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:9999 permit_mynetworks '
        + 'permit_sasl_authenticated check_recipient_access socketmap:maintain check_recipient_access '
        + 'socketmap:relay-recipient-verification reject_unverified_recipient check_recipient_access '
        + 'socketmap:recipient_guard reject_unauth_destination',
    ],
    leftAlone: [],
  },
  vimbadmin: {
    maps: [
      'virtual_alias virtual virtual_alias_maps.cf',
      'relay_domains domain virtual_alias_maps.cf',
      'virtual_mailbox_domains exact virtual_domains_maps.cf',
      'virtual_mailbox recipient virtual_mailbox_maps.cf',
    ],
    edits: [
      'virtual_alias_maps = socketmap:virtual_alias',
      'relay_domains = socketmap:relay_domains',
      'virtual_mailbox_domains = socketmap:virtual_mailbox_domains',
      'virtual_mailbox_maps = socketmap:virtual_mailbox',
    ],
    leftAlone: [],
  },
  ispconfig: {
    maps: [
      'virtual_alias exact mysql-virtual_forwardings.cf mysql-virtual_alias_maps.cf mysql-virtual_email2email.cf',
      'transport exact reroutes mysql-virtual_transports.cf',
      'relay_domains domain mysql-virtual_relaydomains.cf',
      'virtual_alias_domains exact mysql-virtual_alias_domains.cf',
      'virtual_mailbox_domains exact mysql-virtual_domains.cf',
      'virtual_mailbox recipient mysql-virtual_mailboxes.cf',
      'relay_recipient recipient mysql-virtual_relayrecipientmaps.cf',
      'sender_bcc recipient passes mysql-virtual_outgoing_bcc.cf',
      'smtpd_sender_login recipient passes mysql-virtual_sender_login_maps.cf',
      'smtp_sasl_password exact sensitive mysql-virtual_sender-relayauth.cf',
      'virtual_client access sensitive mysql-virtual_client.cf',
      'virtual_sender access sensitive mysql-virtual_sender.cf',
      'virtual_recipient access sensitive mysql-virtual_recipient.cf',
      'virtual_policy_greylist access sensitive mysql-virtual_policy_greylist.cf',
    ],
    edits: [
      'virtual_alias_maps = hash:/var/lib/mailman/data/virtual-mailman, steps:virtual_alias',
      'transport_maps = hash:/var/lib/mailman/data/transport-mailman, steps:transport',
      'relay_domains = socketmap:relay_domains',
      'virtual_alias_domains = socketmap:virtual_alias_domains',
      'virtual_mailbox_domains = socketmap:virtual_mailbox_domains',
      'virtual_mailbox_maps = socketmap:virtual_mailbox',
      'virtual/unix/virtual_mailbox_maps = proxy:mysql:/etc/postfix/mysql-virtual_mailboxes.cf (was default)',
      'relay_recipient_maps = socketmap:relay_recipient',
      'sender_bcc_maps = socketmap:sender_bcc',
      'smtpd_sender_login_maps = socketmap:smtpd_sender_login',
      'smtp_sasl_password_maps = steps:smtp_sasl_password, texthash:/etc/postfix/sasl_passwd',
      'smtpd_client_restrictions = check_client_access socketmap:virtual_client, permit_mynetworks',
      'smtpd_sender_restrictions = check_sender_access regexp:/etc/postfix/tag_as_originating.re, '
        + 'permit_mynetworks, check_sender_access socketmap:virtual_sender',
      'smtpd_recipient_restrictions = permit_mynetworks, check_recipient_access socketmap:recipient_guard, '
        + 'reject_unauth_destination, check_recipient_access socketmap:virtual_recipient, check_recipient_access socketmap:virtual_policy_greylist',
      'greylisting = check_policy_service inet:127.0.0.1:10023, check_client_access socketmap:virtual_client',
    ],
    leftAlone: ['virtual/unix/virtual_mailbox_maps', 'virtual_uid_maps', 'virtual_gid_maps'],
  },
  froxlor: {
    maps: [
      'virtual_alias virtual mysql-virtual_alias_maps.cf',
      'relay_domains domain mysql-virtual_mailbox_domains.cf',
      'virtual_mailbox_domains exact mysql-virtual_mailbox_domains.cf',
      'virtual_mailbox recipient mysql-virtual_mailbox_maps.cf',
      'local_recipient exact mysql-aliases.cf',
      'smtpd_sender_login recipient passes mysql-virtual_sender_permissions.cf',
      'virtual_alias_maps access refuses sensitive mysql-virtual_alias_maps.cf',
    ],
    edits: [
      'virtual_alias_maps = socketmap:virtual_alias',
      'relay_domains = socketmap:relay_domains',
      'virtual_mailbox_domains = socketmap:virtual_mailbox_domains',
      'virtual_mailbox_maps = socketmap:virtual_mailbox',
      'local_recipient_maps = proxy:unix:passwd.byname hash:/etc/aliases, steps:local_recipient (was default)',
      'smtpd_sender_login_maps = socketmap:smtpd_sender_login',
      'submission/inet/smtpd_sender_restrictions = check_sender_access,socketmap:virtual_alias_maps,reject',
    ],
    leftAlone: ['canonical_maps', 'alias_maps'],
  },
  'docker-mailserver': {
    maps: [
      'virtual_alias exact aliases.cf',
      'rewrite exact reroutes rewrite.cf',
      'rewrite2 exact reroutes rewrite2.cf',
      'virtual_mailbox_domains exact domains.cf',
      'virtual_mailbox exact mailboxes.cf',
      'senders exact passes senders.cf',
      'sender_bcc recipient passes bcc.cf',
      'no-outgoing access sensitive no-outgoing.cf',
      'banned access sensitive banned.cf',
    ],
    edits: [
      'virtual_alias_maps = texthash:/etc/postfix/virtual steps:virtual_alias pcre:/etc/postfix/regexp',
      'recipient_canonical_maps = pipemap:{steps:rewrite,socketmap:rewrite2}',
      'virtual_mailbox_domains = /etc/postfix/vhost, socketmap:virtual_mailbox_domains',
      'virtual_mailbox_maps = texthash:/etc/postfix/vmailbox, steps:virtual_mailbox',
      'smtpd_sender_login_maps = unionmap:{texthash:/etc/postfix/virtual,socketmap:senders}',
      'sender-cleanup/unix/sender_bcc_maps = socketmap:sender_bcc',
      'submissions/inet/smtpd_recipient_restrictions = check_recipient_access socketmap:no-outgoing, permit',
      'dms_smtpd_sender_restrictions = permit_sasl_authenticated, permit_mynetworks, check_sender_access '
        + 'socketmap:banned',
    ],
    leftAlone: ['header_checks'],
  },
}

const site = { group: 'postfix', hosts: new Map(), isService: false, healthPort: null }

for (const [shape, expected] of Object.entries(shapes)) {
  t.test(`the shape of ${shape}: each table has its map, each parameter its new value`, async t => {
    const postfix = await readPostconf(fileURLToPath(new URL(`../../../test/fixtures/adopt/${shape}`, import.meta.url)))
    const plan = planAdoption(postfix, () => null)
    t.strictSame(lines(plan), expected)
    t.match(
      parseConfig(configText(postfix, plan, site), 'holdfast.yaml'), { ok: true },
      'and Holdfast reads the configuration',
    )
  })
}

const postfixWith = (
  main: Readonly<Record<string, string>>,
  { overrides = [], services = [] }: {
    overrides?: readonly Override[], services?: readonly Omit<Service, 'entry'>[],
  } = {},
): Postconf => {
  const known = services.map(({ name }) => name)
  const others = [...new Set(overrides.map(({ service }) => service))].filter(name => !known.includes(name))
    .map(name => ({ name, chroot: 'n', command: 'smtpd' }))
  const options = (name: string): string => overrides.filter(({ service }) => service === name)
    .map(({ parameter, value }) => ` -o {${parameter}=${value}}`).join('')
  const written = new Map(Object.entries({ mail_version: '3.7.11', mydestination: 'localhost', ...main }))
  return {
    configDir: '/etc/postfix', written, overrides,
    services: [...services, ...others]
      .map(service => ({ ...service, entry: `x y n - n - - ${service.command}${options(service.name)}` })),
    expanded: new Map([...written].map(([name, value]) => [name, expand(value, written) ?? ''])),
    inMainCf: new Set(written.keys()),
  }
}

const planOf = (...args: Parameters<typeof postfixWith>): ReturnType<typeof lines> => lines(
  planAdoption(postfixWith(...args), () => null),
)

t.test('tables side by side keep their order in one map', async t => {
  t.strictSame(planOf({ virtual_alias_maps: 'mysql:/a.cf, proxy:mysql:/b.cf' }), {
    maps: ['virtual_alias virtual a.cf b.cf'], edits: ['virtual_alias_maps = socketmap:virtual_alias'], leftAlone: [],
  })
})

t.test('smtp(8) and lmtp(8) ask the same table for addresses to rewrite on the way out', async t => {
  t.strictSame(planOf({ smtp_generic_maps: 'mysql:/g.cf', lmtp_generic_maps: 'mysql:/g.cf, mysql:/h.cf' }), {
    maps: ['smtp_generic generic g.cf', 'lmtp_generic generic g.cf h.cf'],
    edits: ['smtp_generic_maps = socketmap:smtp_generic', 'lmtp_generic_maps = socketmap:lmtp_generic'],
    leftAlone: [],
  })
})

t.test('with a table of another kind among them, Postfix goes on doing the steps', async t => {
  t.strictSame(planOf({ virtual_alias_maps: 'mysql:/a.cf mysql:/b.cf hash:/c mysql:/d.cf' }), {
    maps: ['virtual_alias exact a.cf b.cf', 'virtual_alias_2 exact d.cf'],
    edits: ['virtual_alias_maps = steps:virtual_alias hash:/c steps:virtual_alias_2'],
    leftAlone: [],
  })
})

t.test('Postfix keeps the steps if a table says which domains are local', async t => {
  t.strictSame(planOf(
    { mydestination: 'localhost, hash:/local', virtual_alias_maps: 'mysql:/a.cf', transport_maps: 'mysql:/t.cf' },
  ), {
    maps: ['virtual_alias exact a.cf', 'transport transport t.cf'],
    edits: ['virtual_alias_maps = steps:virtual_alias', 'transport_maps = socketmap:transport'],
    leftAlone: [],
  })
})

t.test('settings that no search obeys leave the steps to Postfix, with the reason', async t => {
  const lists = { virtual_alias_maps: 'mysql:/a.cf', smtpd_sender_restrictions: 'check_sender_access mysql:/s.cf' }
  const reasons: readonly (readonly [settings: Readonly<Record<string, string>>, alias: string | null, access: string | null])[] = [
    [{}, null, null],
    [{ recipient_delimiter: '+', owner_request_special: 'no' }, null, null],
    [{ recipient_delimiter: '-' }, null, null],
    [{ recipient_delimiter: '-', owner_request_special: 'no' }, 'owner_request_special = no', 'owner_request_special = no'],
    [{ recipient_delimiter: '+', double_bounce_sender: 'bounce' }, null, null],
    [
      { recipient_delimiter: '-', double_bounce_sender: 'bounce' },
      ...Array<string>(2).fill('double_bounce_sender = bounce with this recipient_delimiter') as [string, string],
    ],
    [{ append_at_myorigin: 'no' }, 'append_at_myorigin = no', null],
    [{ allow_percent_hack: 'no' }, 'allow_percent_hack = no', null],
    [{ smtpd_null_access_lookup_key: 'null@a.example' }, null, 'smtpd_null_access_lookup_key = null@a.example'],
  ]
  for (const [settings, alias, access] of reasons) {
    const { maps } = planAdoption(postfixWith({ ...lists, ...settings }), () => null)
    t.strictSame(maps.map(({ stepsStay }) => stepsStay), [alias, access], JSON.stringify(settings))
  }
  const { maps } = planAdoption(
    postfixWith({ smtpd_helo_restrictions: 'check_helo_access mysql:/h.cf' }), () => null)
  t.strictSame(maps.map(({ stepsStay }) => stepsStay), ['a HELO name may look like an address'])
})

t.test('a setting that a service overrides leaves the steps that depend on it to Postfix', async t => {
  const services = [['smtp/inet', 'smtpd'], ['cleanup/unix', 'cleanup'], ['rewrite/unix', 'trivial-rewrite']]
    .map(([name = '', command = '']) => ({ name, command, chroot: 'n' }))
  const dependent: readonly (readonly [parameters: readonly string[], maps: string])[] = [
    [['smtputf8_enable'], 'a relay_domains relay_recipient transport virtual_alias'],
    [['parent_domain_matches_subdomains'], 'a relay_domains transport'],
    [
      ['recipient_delimiter', 'double_bounce_sender', 'owner_request_special'],
      'a relay_recipient transport virtual_alias',
    ],
    [
      ['mydestination', 'myorigin', 'inet_interfaces', 'proxy_interfaces', 'append_at_myorigin'],
      'relay_recipient virtual_alias',
    ],
    [['propagate_unmatched_extensions', 'allow_percent_hack', 'swap_bangpath'], 'virtual_alias'],
    [['smtpd_null_access_lookup_key'], 'a'],
  ]
  const main = {
    ...Object.fromEntries(dependent.flatMap(([parameters]) => parameters).map(parameter => [parameter, ''])),
    smtpd_null_access_lookup_key: '<>',
    virtual_alias_maps: 'mysql:/v.cf', relay_recipient_maps: 'mysql:/r.cf', transport_maps: 'mysql:/t.cf',
    relay_domains: 'mysql:/d.cf', smtpd_sender_restrictions: 'check_sender_access mysql:/a.cf',
  }
  const left = (parameter: string): string => {
    const overrides = services.map(({ name }) => ({ service: name, parameter, value: 'other' }))
    const { maps } = planAdoption(postfixWith(main, { services, overrides }), () => null)
    return maps.flatMap(({ name, stepsStay }) => stepsStay === null ? [] : [
      stepsStay.endsWith(` has a ${parameter} of its own`) ? name : stepsStay,
    ]).sort().join(' ')
  }
  for (const [parameters, maps] of dependent) for (const parameter of parameters) t.equal(left(parameter), maps, parameter)
  t.equal(left('message_size_limit'), '')
})

t.test('a table behind proxy: stays if proxymap(8) of Postfix 3.11 folds keys that its client does not', async t => {
  const services = [
    { name: 'cleanup/unix', chroot: 'n', command: 'cleanup' }, { name: 'proxymap/unix', chroot: 'n', command: 'proxymap' },
  ]
  const noUtf8 = { service: 'cleanup/unix', parameter: 'smtputf8_enable', value: 'no' }
  const planWith = (version: string, table: string, overrides: readonly Override[]): AdoptionPlan => planAdoption(
    postfixWith({ mail_version: version, smtputf8_enable: 'yes', sender_bcc_maps: table }, { services, overrides }),
    () => null)
  const stays = (...args: Parameters<typeof planWith>): readonly string[] => planWith(...args).leftAlone.map(({ why }) => why)
  const why = ['cleanup/unix has smtputf8_enable = no, and proxymap/unix has not: take the proxy: away']
  t.strictSame(stays('3.11.7', 'proxy:mysql:/a.cf', [noUtf8]), why)
  t.strictSame(stays('3.11.7', 'proxy:unionmap:{mysql:/a.cf}', [noUtf8])[0], why[0])
  t.strictSame(stays('3.10.13', 'proxy:mysql:/a.cf', [noUtf8]), [])
  t.strictSame(stays('3.11.7', 'mysql:/a.cf', [noUtf8]), [])
  t.strictSame(stays('3.11.7', 'proxy:mysql:/a.cf', []), [])
  t.strictSame(stays('3.11.7', 'proxy:mysql:/a.cf', [noUtf8, { ...noUtf8, service: 'proxymap/unix' }]), [])
})

t.test('a parameter that repeats another one stays if one map answers both', async t => {
  t.strictSame(planOf({
    virtual_alias_maps: 'mysql:/a.cf', virtual_alias_domains: '$virtual_alias_maps', relay_domains: 'mysql:/r.cf',
    fast_flush_domains: '$relay_domains',
  }).edits, ['virtual_alias_maps = socketmap:virtual_alias', 'relay_domains = socketmap:relay_domains'])
})

t.test('fast_flush_domains has steps of its own where a service takes parent domains otherwise', async t => {
  const overrides = [
    { service: 'smtp/inet', parameter: 'parent_domain_matches_subdomains', value: 'smtpd_access_maps' },
  ]
  t.strictSame(planOf({ relay_domains: 'mysql:/r.cf', fast_flush_domains: '$relay_domains' }, { overrides }), {
    maps: ['relay_domains domain r.cf', 'fast_flush_domains exact passes r.cf'],
    edits: ['relay_domains = socketmap:relay_domains', 'fast_flush_domains = steps:fast_flush_domains'],
    leftAlone: [],
  })
})

t.test('a parameter that repeats another one\'s table for another purpose has a map of its own', async t => {
  t.strictSame(planOf({ transport_maps: 'mysql:/t.cf', relay_domains: '$transport_maps' }), {
    maps: ['transport transport t.cf', 'relay_domains domain t.cf'],
    edits: ['transport_maps = socketmap:transport', 'relay_domains = socketmap:relay_domains'],
    leftAlone: [],
  })
})

t.test('a table that is excluded by ! stays excluded, and by itself', async t => {
  t.strictSame(planOf({ relay_domains: '!mysql:/no.cf mysql:/a.cf mysql:/b.cf example.com' }), {
    maps: ['relay_domains domain no.cf', 'relay_domains_2 domain a.cf', 'relay_domains_3 domain b.cf'],
    edits: ['relay_domains = !socketmap:relay_domains socketmap:relay_domains_2 socketmap:relay_domains_3 example.com'],
    leftAlone: [],
  })
})

t.test('an access table with a plain reject after it is an allow list', async t => {
  const access = (list: string, more: Readonly<Record<string, string>> = {}): string =>
    planOf({ smtpd_recipient_restrictions: list, ...more }).maps.join(', ')
  const refuses = 'a access refuses sensitive a.cf'
  const passes = 'a access sensitive a.cf'
  for (const [list, expected] of [
    ['check_sender_access mysql:/a.cf, reject', refuses],
    ['check_sender_access proxy:mysql:/a.cf permit_mynetworks DEFER', refuses],
    ['check_sender_access mysql:/a.cf', passes],
    ['reject_unauth_destination, check_sender_access mysql:/a.cf, reject_unknown_sender_domain', passes],
    ['check_sender_access mysql:/a.cf, permit, reject', passes],
    ['reject, check_sender_access mysql:/a.cf', passes],
  ] as const) t.equal(access(list), expected, list)
  const classes = { smtpd_restriction_classes: 'some', some: 'check_sender_access mysql:/a.cf' }
  t.equal(access('some, reject', classes), refuses, 'after a class of restrictions')
  t.equal(access('some, permit', classes), passes)
  t.equal(access('$some, reject', { some: 'check_sender_access mysql:/a.cf' }), refuses, 'after a parameter')
})

t.test('a table whose absences refuse mail in one place and not in another is two maps', async t => {
  t.strictSame(planOf({
    smtpd_helo_restrictions: 'check_client_access mysql:/a.cf, reject',
    smtpd_data_restrictions: 'check_sender_access mysql:/a.cf',
  }).maps, ['a access refuses sensitive a.cf', 'a_2 access sensitive a.cf'])
  t.strictSame(planOf({ virtual_mailbox_maps: 'mysql:/a.cf', relocated_maps: '$virtual_mailbox_maps' }), {
    maps: ['virtual_mailbox recipient a.cf', 'relocated recipient passes a.cf'],
    edits: ['virtual_mailbox_maps = socketmap:virtual_mailbox', 'relocated_maps = socketmap:relocated'],
    leftAlone: [],
  })
})

t.test('each member of unionmap: and pipemap: is a map, and Postfix does the steps', async t => {
  t.strictSame(planOf(
    { virtual_alias_maps: 'proxy:unionmap:{mysql:/a.cf, mysql:/b.cf}, pipemap:{mysql:/c.cf, hash:/d}' },
  ), {
    maps: ['a exact a.cf', 'b exact b.cf', 'c exact c.cf'],
    edits: ['virtual_alias_maps = unionmap:{internal:none,socketmap:a,socketmap:b}, pipemap:{steps:c,hash:/d}'],
    leftAlone: [],
  })
})

t.test('virtual(8) keeps its tables in a -o of its own, and smtpd(8) asks Holdfast', async t => {
  const main = { virtual_transport: 'virtual', virtual_mailbox_maps: 'mysql:/m.cf' }
  const services = [{ name: 'virtual/unix', chroot: 'n', command: 'virtual' }]
  const moved = planOf(main, { services })
  t.strictSame(moved.edits, [
    'virtual_mailbox_maps = socketmap:virtual_mailbox',
    'virtual/unix/virtual_mailbox_maps = mysql:/m.cf (was default)',
  ])
  t.strictSame(moved.leftAlone, ['virtual/unix/virtual_mailbox_maps'])
  const lmtp = { ...main, virtual_transport: 'lmtp:unix:x' }
  t.equal(planOf(lmtp, { services }).edits.length, 1, 'where nothing may send mail to it, it gets none')
  t.equal(planOf({ ...lmtp, transport_maps: 'hash:/t' }, { services }).edits.length, 2, 'rows of a table may')
  const overrides = [{ service: 'virtual/unix', parameter: 'virtual_mailbox_maps', value: 'mysql:/m.cf' }]
  t.strictSame(planOf(main, { services, overrides }), {
    maps: ['virtual_mailbox recipient m.cf'],
    edits: ['virtual_mailbox_maps = socketmap:virtual_mailbox'],
    leftAlone: ['virtual/unix/virtual_mailbox_maps'],
  })
})

t.test('a conditional value is taken as what it is now', async t => {
  const value = '${x?{$virtual_alias_maps}:{static:all}}'
  const postfix = postfixWith({ virtual_alias_maps: 'mysql:/a.cf', relay_domains: value })
  const expanded = new Map([...postfix.expanded, ['relay_domains', 'mysql:/a.cf']])
  const plan = planAdoption({ ...postfix, expanded }, () => null)
  t.strictSame(
    lines(plan).edits, ['virtual_alias_maps = socketmap:virtual_alias', 'relay_domains = socketmap:relay_domains'],
  )
  t.equal(plan.edits[1]?.from, value, 'and comes back as it was')
})

const smtpd = (name: string) => ({ name, chroot: 'y', command: 'smtpd' })
const rewrite = { name: 'rewrite/unix', chroot: 'y', command: 'trivial-rewrite' }
/** Restrictions, a resolver, and the parameters that decide the steps, none of which a service overrides. */
const guardable = {
  ...Object.fromEntries([
    'propagate_unmatched_extensions', 'append_at_myorigin', 'myorigin', 'inet_interfaces', 'proxy_interfaces',
    'recipient_delimiter', 'double_bounce_sender', 'owner_request_special',
    'parent_domain_matches_subdomains', 'smtputf8_enable',
  ].map(name => [name, ''])),
  allow_percent_hack: 'yes', swap_bangpath: 'yes', rewrite_service_name: 'rewrite', unknown_address_reject_code: '450',
  smtpd_relay_restrictions: 'permit_mynetworks, reject_unauth_destination',
}
const valuesOf = (plan: AdoptionPlan): Readonly<Record<string, string>> =>
  Object.fromEntries(plan.edits.map(edit => [placeName(edit), short(edit.to)]))

t.test('smtpd gets a trivial-rewrite of its own, lenient names, and the guard', t => {
  const plan = planAdoption(postfixWith({
    ...guardable, virtual_alias_maps: 'mysql:/a.cf', virtual_alias_domains: '$virtual_alias_maps',
    transport_maps: 'hash:/t', relay_domains: '${{$compatibility_level} < {2} ? {$mydestination} : {}}',
    virtual_mailbox_domains: 'text.example, mysql:/d.cf', my_recipients: 'reject_unauth_destination',
    smtpd_relay_restrictions: 'permit_mynetworks, warn_if_reject reject_unauth_destination',
  }, {
    overrides: [
      { service: 'submission/inet', parameter: 'smtpd_relay_restrictions', value: 'permit_sasl_authenticated,reject' },
      { service: 'submission/inet', parameter: 'smtpd_recipient_restrictions', value: '$my_recipients' },
      { service: 'smtps/inet', parameter: 'smtpd_relay_restrictions', value: '${x?reject_unauth_destination}' },
      { service: 'other/inet', parameter: 'rewrite_service_name', value: 'mine' },
    ],
    services: [
      smtpd('smtp/inet'), smtpd('submission/inet'), smtpd('smtps/inet'), smtpd('other/inet'), smtpd('smtpd/pass'), rewrite,
    ],
  }), () => null)
  t.strictSame(plan.guard, ['virtual_alias', 'virtual_mailbox_domains'])
  t.strictSame(plan.newServices, [{
    name: 'rewrite-smtpd/unix', entry: 'rewrite-smtpd y n - n - - trivial-rewrite -o holdfast_lenient=lenient/',
  }])
  const own = (service: string) => ({ [`${service}/rewrite_service_name`]: 'rewrite-smtpd', [`${service}/holdfast_lenient`]: 'lenient/' })
  t.strictSame(valuesOf(plan), {
    holdfast_lenient: '',
    virtual_alias_maps: 'socketmap:${holdfast_lenient}virtual_alias',
    virtual_mailbox_domains: 'text.example, socketmap:${holdfast_lenient}virtual_mailbox_domains',
    smtpd_relay_restrictions: 'permit_mynetworks, check_recipient_access socketmap:recipient_guard, '
      + 'warn_if_reject reject_unauth_destination',
    my_recipients: 'check_recipient_access socketmap:recipient_guard, reject_unauth_destination',
    // Not smtps: its list depends on a condition.
    ...own('smtp/inet'), ...own('submission/inet'), ...own('smtpd/pass'),
  })
  t.end()
})

t.test('a table that excludes domains, or follows such an exclusion, is no list of the guard and not lenient', t => {
  const plan = planAdoption(postfixWith({
    ...guardable, relay_domains: 'mysql:/r.cf, !not.example, mysql:/s.cf, !mysql:/not.cf', transport_maps: 'mysql:/t.cf',
  }, { services: [smtpd('smtp/inet'), rewrite] }), () => null)
  t.strictSame(plan.guard, ['relay_domains'])
  t.equal(valuesOf(plan)['relay_domains'],
    'socketmap:${holdfast_lenient}relay_domains, !not.example, socketmap:relay_domains_2, !socketmap:relay_domains_3')
  t.equal(valuesOf(plan)['transport_maps'], 'socketmap:transport')
  t.end()
})

t.test('a table in a pipemap:, which alone decides nothing, is no list of the guard and not lenient', t => {
  const plan = planAdoption(postfixWith({
    ...guardable, virtual_alias_maps: 'mysql:/a.cf, pipemap:{mysql:/b.cf, mysql:/c.cf}',
    virtual_alias_domains: '$virtual_alias_maps',
  }, { services: [smtpd('smtp/inet'), rewrite] }), () => null)
  t.strictSame(plan.guard, ['virtual_alias'])
  t.notMatch(valuesOf(plan)['virtual_alias_maps'], /pipemap:.*holdfast_lenient/)
  t.end()
})

t.test('with domains in tables that Holdfast can\'t see, only lists of domains have lenient names', t => {
  const plan = planAdoption(postfixWith({
    ...guardable, virtual_alias_maps: 'mysql:/a.cf', transport_maps: 'mysql:/t.cf',
    virtual_mailbox_domains: 'hash:/d, mysql:/d.cf',
  }, { services: [smtpd('smtp/inet'), rewrite] }), () => null)
  t.strictSame(valuesOf(plan), {
    holdfast_lenient: '', virtual_alias_maps: 'socketmap:virtual_alias', transport_maps: 'socketmap:transport',
    virtual_mailbox_domains: 'hash:/d, socketmap:${holdfast_lenient}virtual_mailbox_domains',
    smtpd_relay_restrictions: 'permit_mynetworks, check_recipient_access socketmap:recipient_guard, reject_unauth_destination',
    'smtp/inet/rewrite_service_name': 'rewrite-smtpd',
  })
  t.equal(plan.newServices.length, 1)
  t.end()
})

t.test('relay_domains has no lenient name where Postfix looks for parent domains itself', t => {
  const plan = planAdoption(postfixWith({
    ...guardable, parent_domain_matches_subdomains: 'relay_domains', relay_domains: 'mysql:/r.cf',
  }, {
    services: [smtpd('smtp/inet'), rewrite],
    overrides: [{ service: 'rewrite/unix', parameter: 'parent_domain_matches_subdomains', value: '' }],
  }), () => null)
  t.equal(valuesOf(plan)['relay_domains'], 'steps:relay_domains')
  t.end()
})

t.test('another service\'s name is left to it, and a resolver of before serves new services and new tables', t => {
  const taken = { name: 'rewrite-smtpd/unix', chroot: 'y', command: 'trivial-rewrite' }
  const main = { ...guardable, relay_domains: 'mysql:/r.cf' }
  const services = [smtpd('smtp/inet'), rewrite, taken]
  const other = planAdoption(postfixWith(main, { services }), () => null)
  t.equal(other.newServices[0]?.name, 'rewrite-smtpd2/unix')
  t.equal(valuesOf(other)['smtp/inet/rewrite_service_name'], 'rewrite-smtpd2')
  const again = planAdoption(postfixWith({ ...main, holdfast_lenient: '' }, {
    services, overrides: [{ service: 'rewrite-smtpd/unix', parameter: 'holdfast_lenient', value: 'lenient/' }],
  }), () => null)
  t.strictSame(again.newServices, [])
  t.match(valuesOf(again), {
    relay_domains: 'socketmap:${holdfast_lenient}relay_domains', 'smtp/inet/rewrite_service_name': 'rewrite-smtpd',
  })
  t.notOk('holdfast_lenient' in valuesOf(again))
  t.end()
})

t.test('a value with a $name that a service overrides stays, also if that is in a path or a condition', async t => {
  const overrides = [{ service: 'cleanup/unix', parameter: 'mine', value: '/other' }]
  const values = ['mysql:$mine/a.cf', 'proxy:mysql:$(mine)/a.cf', '$more', '${mine?{mysql:/a.cf}:{mysql:/b.cf}}']
  for (const value of values) {
    const postfix = postfixWith({ mine: '/dir', more: 'mysql:$mine/a.cf', virtual_alias_maps: value }, { overrides })
    const expanded = new Map([...postfix.expanded, ['virtual_alias_maps', 'mysql:/dir/a.cf']])
    const { edits, leftAlone } = planAdoption({ ...postfix, expanded }, () => null)
    t.strictSame(edits, [], value)
    const reasons = leftAlone.filter(({ parameter }) => parameter === 'virtual_alias_maps').map(({ why }) => why)
    t.strictSame(reasons, ['cleanup/unix overrides $mine'], value)
  }
  t.strictSame(planOf({ mine: '/dir', virtual_alias_maps: 'mysql:/b.cf, mysql:$mine/a.cf' }, { overrides }).edits,
    ['virtual_alias_maps = steps:virtual_alias, mysql:$mine/a.cf'])
})

t.test('a map knows as much of UTF-8 as the services that ask it', async t => {
  const services = ['smtpd', 'cleanup', 'trivial-rewrite'].map(command => ({ name: `${command}/unix`, chroot: 'n', command }))
  const knows = (overrides: readonly Override[], main = 'yes'): Readonly<Record<string, boolean>> =>
    Object.fromEntries(planAdoption(postfixWith({
      smtputf8_enable: main, sender_bcc_maps: 'mysql:/b.cf', relay_recipient_maps: 'mysql:/r.cf', relay_domains: 'mysql:/d.cf',
    }, { services, overrides }), () => null).maps.map(({ name, smtputf8 }) => [name, smtputf8]))
  const [all, none] = [true, false].map(knowsAny => ({ sender_bcc: knowsAny, relay_recipient: knowsAny, relay_domains: knowsAny }))
  const override = (value: string): Override => ({ service: 'cleanup/unix', parameter: 'smtputf8_enable', value })
  t.strictSame(knows([]), all)
  t.strictSame(knows([], 'no'), none)
  t.strictSame(knows([override('no')]), { ...all, sender_bcc: false })
  t.strictSame(knows([override('yes')], 'no'), { ...none, sender_bcc: true })
})

t.test('each table that can\'t be adopted is named with the reason', async t => {
  const postfix = postfixWith({
    virtual_alias_maps: 'mysql:/bad.cf', canonical_maps: 'mysql:main', transport_maps: 'mysql:./t.cf',
    alias_maps: 'mysql:/a.cf',
    relocated_maps: 'proxy:unionmap:{mysql:/a.cf, hash:/b}', postscreen_access_list: 'mysql:/p.cf',
    smtpd_client_restrictions: 'check_ccert_access {mysql:/c.cf, search_order = cert}',
    proxy_read_maps: 'proxy:mysql:/a.cf', my_tables: 'mysql:/m.cf',
  }, { overrides: [{ service: 'smtp/inet', parameter: 'relay_domains', value: '${x?mysql:/r.cf}' }] })
  const { maps, edits, leftAlone } = planAdoption(postfix, file => file === '/bad.cf' ? 'no query' : null)
  t.strictSame([maps, edits], [[], []])
  t.strictSame(leftAlone.map(({ parameter, table, why }) => `${parameter}: ${table}: ${why.replace(/:? .*/, '')}`), [
    'virtual_alias_maps: mysql:/bad.cf: no',
    'canonical_maps: mysql:main: its',
    'transport_maps: mysql:./t.cf: a',
    'relocated_maps: proxy:unionmap:{mysql:/a.cf, hash:/b}: behind',
    'alias_maps: mysql:/a.cf: local(8)',
    'postscreen_access_list: mysql:/p.cf: postscreen(8)',
    'relay_domains: ${x?mysql:/r.cf}: a',
    'smtpd_client_restrictions: {mysql:/c.cf, search_order = cert}: not',
    'my_tables: mysql:/m.cf: Holdfast',
  ])
})

t.test('a Postfix whose unionmap: loses errors keeps the tables that need it', async t => {
  for (const [version, safe] of [
    ['3.0.6', false], ['3.0.7', true], ['3.1.2', false], ['3.1.3', true], ['2.11.9', false], ['3.11-20260821', true],
  ] as const) {
    const { edits, leftAlone } = planOf(
      { mail_version: version, virtual_alias_maps: 'mysql:/a.cf hash:/b', relay_domains: 'mysql:/r.cf' },
    )
    t.strictSame([edits.length, leftAlone], safe ? [2, []] : [1, ['virtual_alias_maps']], version)
  }
})
