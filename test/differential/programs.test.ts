/**
 * Programs and parameters of Postfix that random scenarios don't use. Each test also states what Postfix does with
 * mysql: tables.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { makeCertificates } from '../fixtures/certificates.js'
import { common, mailTo, rowsOf, same, table } from './kind.js'

t.test('relay_clientcerts and check_ccert_access find clients by their certificates, as on mysql:', async t => {
  const certificates = await makeCertificates()
  t.teardown(() => certificates.remove())
  for (const name of ['server', 'known', 'refused', 'stranger']) await certificates.certificate(name, 'IP:127.0.0.1')
  const pem = (name: string): string => readFileSync(certificates.file(name), 'utf8')
  const print = (name: string): string => new X509Certificate(pem(`${name}.pem`)).fingerprint256
  const { replies } = await same(t, {
    main: {
      smtpd_tls_security_level: 'may', smtpd_tls_cert_file: certificates.file('server.pem'),
      smtpd_tls_key_file: certificates.file('server.key'), smtpd_tls_ask_ccert: 'yes',
      smtpd_tls_fingerprint_digest: 'sha256', relay_clientcerts: table('relaying'),
      smtpd_relay_restrictions: 'permit_tls_clientcerts, reject_unauth_destination',
      smtpd_client_restrictions: `check_ccert_access ${table('clients')}`,
    },
    rows: rowsOf({
      relaying: ['known', 'refused'].flatMap(name => [[print(name), name], [print(name).toLowerCase(), name]] as const),
      clients: [[print('refused').toLowerCase(), 'REJECT'], [print('refused'), 'REJECT']],
    }),
    sessions: ['known', 'refused', 'stranger'].map(name =>
      mailTo([`${name}@out.example`], { certificate: { key: pem(`${name}.key`), cert: pem(`${name}.pem`) } })),
  })
  t.match(replies, [/^250 known/, /^554 refused/, /^454|^554 stranger/])
})

t.test('local submission and TLS policies use the tables as before', async t => {
  const policies = 'SELECT v FROM bin WHERE tab=\'policies\' AND k=\'%s\''
  const { log } = await same(t, {
    main: {
      virtual_alias_domains: 'va.example', virtual_alias_maps: table('aliases'), sender_bcc_maps: table('copies'),
      default_transport: 'gsm:[127.0.0.1]', virtual_transport: 'lm:[127.0.0.1]', lmtp_generic_maps: table('generic'),
      virtual_mailbox_domains: 'vm.example', smtp_tls_policy_maps: table('policies', policies),
      lmtp_tls_policy_maps: table('others'),
    },
    rows: rowsOf({
      aliases: [['@va.example', 'u1@out.example']], copies: [['someone@out.example', 'copy@vm.example']],
      generic: [['@out.example', '@rewritten.example']], policies: [['[127.0.0.1]', 'encrypt']],
      others: [['[127.0.0.1]', 'may']],
    }),
    sessions: [mailTo(['u+x@va.example', 'b@vm.example'], { isLocal: true })],
  })
  t.match(log, /to=<u1@out\.example>.*tls is required/)
  t.match(log, /to=<copy@vm\.example>.*status=sent/)
})

t.test('smtp(8) and lmtp(8) log in by sender, host or next hop with the same names', async t => {
  const { before } = await same(t, {
    main: {
      relay_domains: 'far.example', relay_transport: 'gsm:[127.0.0.1]',
      virtual_mailbox_domains: 'vm.example', virtual_transport: 'lm:[127.0.0.1]',
      smtp_sasl_auth_enable: 'yes', smtp_sasl_security_options: 'noanonymous', smtp_sender_dependent_authentication: 'yes',
      smtp_sasl_password_maps: table('senders'),
      lmtp_sasl_auth_enable: 'yes', lmtp_sasl_security_options: 'noanonymous', lmtp_sasl_password_maps: table('hops'),
    },
    rows: rowsOf({
      senders: [
        ['u1@out.example', 'full:a'], ['@out.example', 'domain:b'], ['[127.0.0.1]', 'hop:c'], ['127.0.0.1', 'host:d'],
      ],
      hops: [['[127.0.0.1]', 'lmtp:e'], ['u1@out.example', 'sender:f']],
    }),
    sessions: ['u1+x@out.example', 'u2@out.example', 'u1@other.example', ''].map(sender =>
      mailTo(['to@far.example', 'to@vm.example'], {}, sender)),
  })
  t.strictSame(before.messages.map(message => /^\S* -> to@(\S+) logged in as (.*)/.exec(message)?.slice(1).join(' ')).sort(), [
    'far.example domain:b', 'far.example full:a', 'far.example host:d', 'far.example host:d',
    ...Array.from({ length: 4 }, () => 'vm.example lmtp:e'),
  ])
})

t.test('postscreen(8) keeps its tables, and smtpd(8) behind it decides as before', async t => {
  const clients = table('clients', 'SELECT v FROM bin WHERE tab=\'clients\' AND k=\'%s\'')
  const { replies, said } = await same(t, {
    hasPostscreen: true,
    main: {
      postscreen_access_list: `permit_mynetworks, ${clients}`, postscreen_denylist_action: 'drop',
      postscreen_dnsbl_reply_map: table('dnsbl'), mynetworks: '127.0.0.1', postscreen_greet_wait: '1s',
      relay_domains: table('domains'), relay_recipient_maps: table('recipients'),
      smtpd_client_restrictions: `check_client_access ${table('access')}`,
    },
    rows: rowsOf({
      clients: [['127.0.0.2', 'permit'], ['127.0.0.3', 'reject']], dnsbl: [['zen.example', 'x']],
      domains: [['rel.example', 'x']], recipients: [['u1@rel.example', 'x']], access: [['127.0.0.2', 'REJECT']],
    }),
    sessions: ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4']
      .map(from => mailTo(['u1@rel.example', 'u2@rel.example'], { from })),
  })
  t.match(replies, [/^250 u1/, /^550 u2/, /^554 u1/, /^554 u2/, /^250 u1/, /^550 u2/])
  t.match(said, /^Stay; .*\n(?:.*\n)* {2}postscreen_access_list: permit_mynetworks, clients\.cf\n/m)
})

t.test('two instances of Postfix, as made by postmulti(1), each ask their own Holdfast', async t => {
  const instance = (name: string): Readonly<Record<string, string>> =>
    ({ multi_instance_name: `postfix-${name}`, multi_instance_group: 'mta', multi_instance_enable: 'yes' })
  const { replies, log } = await same(t, {
    main: {
      ...instance('in'), default_transport: 'gsm', relay_transport: 'gsm', relay_domains: table('domains'),
      relay_recipient_maps: table('recipients'), virtual_alias_domains: 'va.example',
      virtual_alias_maps: table('aliases'),
    },
    onward: {
      ...instance('out'), ...common, mynetworks: '127.0.0.1', relay_domains: 'rel.example',
      smtpd_relay_restrictions: 'permit_mynetworks, reject', virtual_alias_maps: table('aliases_out'),
      transport_maps: table('routes_out'),
    },
    rows: rowsOf({
      domains: [['rel.example', 'x']], recipients: [['u1@rel.example', 'x'], ['u2@rel.example', 'x']],
      aliases: [['u1@va.example', 'u2@rel.example']], aliases_out: [['u1@rel.example', 'u3@rel.example']],
      routes_out: [['u3@rel.example', 't1:']],
    }),
    sessions: [mailTo(['u1+x@rel.example', 'u1@va.example', 'u9@rel.example'])],
  })
  t.match(replies, [/^250/, /^250/, /^550/])
  t.match(log, /t1\/discard to=<u3\+x@rel\.example>/)
  t.match(log, /relay\/discard to=<u2@rel\.example>/)
})

const open = {
  mynetworks: '127.0.0.0/8', smtpd_relay_restrictions: 'permit_mynetworks, reject',
  smtpd_recipient_restrictions: 'permit_mynetworks, reject',
}

t.test('mynetworks, rbl_reply_maps and smtpd_milter_maps decide as before', async t => {
  const { replies, log } = await same(t, {
    main: {
      mynetworks: table('networks'), smtpd_relay_restrictions: 'permit_mynetworks, reject',
      smtpd_recipient_restrictions: 'reject_rbl_client list.example', rbl_reply_maps: table('listed'),
      smtpd_milters: 'inet:127.0.0.1:9', milter_default_action: 'tempfail', smtpd_milter_maps: table('milters'),
    },
    rows: rowsOf({
      networks: [['127.0.0.1', 'x'], ['127.0.0.3', 'x'], ['127.0.0.4', 'x']],
      listed: [['list.example', '$rbl_code we know $rbl_domain']],
      milters: ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map(client => [client, 'DISABLE'] as const),
    }),
    sessions: ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'].map(from => mailTo([`of${from}@out.example`], { from })),
  })
  t.match(replies, [/^250 of127.0.0.1/, /^554 of127.0.0.2/, /^554 of127.0.0.3/, /^503 of127.0.0.4/])
  t.match(log, /to=<of127\.0\.0\.1@out\.example>/)
})

t.test('Postfix verifies addresses by the same routes, and flushes the same domains', async t => {
  const main = {
    ...open, smtpd_recipient_restrictions: 'reject_unverified_recipient, permit', address_verify_map: '', unverified_recipient_reject_code: '550',
    address_verify_poll_count: '60', address_verify_poll_delay: '1s', address_verify_transport_maps: table('probes'),
    fast_flush_domains: table('flushed'), smtpd_etrn_restrictions: 'permit',
  }
  const rows = rowsOf({
    probes: [['known.example', 't1:'], ['bad.example', 'error:5.1.1 nobody']], flushed: [['flushed.example', 'x']],
    senders: [['double-bounce@mx.test.example', 'error:5.1.1 of this sender']],
  })
  const domains = { helo: 'helo.example', xclient: null, steps: [
    { verb: 'ETRN', text: 'flushed.example' }, { verb: 'ETRN', text: 'other.example' },
  ] } as const
  const sessions = [mailTo(['u1@known.example', 'u1@bad.example', 'u1@out.example']), domains]
  const { replies, before } = await same(t, { main, rows, sessions })
  t.match(replies, [/^250 u1@known/, /^550 u1@bad/, /^250 u1@out/])
  t.match(before.replies[1]?.slice(1), [/flushed\.example: 250/, /other\.example: 459/])
  const bySender = await same(t, { rows, sessions, main: {
    ...main, address_verify_sender_dependent_default_transport_maps: table('senders'),
  } })
  t.match(bySender.replies, [/^250 u1@known/, /^550 u1@bad/, /^550 u1@out/])
  const relayed = await same(t, { sessions, rows: rowsOf({ relays: [['@mx.test.example', '[127.0.0.1]']] }), main: {
    ...main, address_verify_transport_maps: '', address_verify_default_transport: 'gsm',
    address_verify_sender_dependent_relayhost_maps: table('relays'),
  } })
  t.match(relayed.replies, [/^250 u1@known/, /^250 u1@bad/, /^250 u1@out/])
})

t.test('mailbox_transport_maps, the old virtual_maps and smtp_tls_per_site decide as before', async t => {
  const { log } = await same(t, {
    main: {
      ...open, mydestination: 'loc.example', local_transport: 'lo', local_recipient_maps: '', alias_maps: '',
      mailbox_transport_maps: table('mailboxes'), fallback_transport_maps: table('fallbacks'),
      virtual_maps: table('virtual'), default_transport: 'gsm:[127.0.0.1]', smtp_tls_per_site: table('sites'),
    },
    rows: rowsOf({
      mailboxes: [['nobody', 't1:'], ['daemon', 't2:']], fallbacks: [['u9', 't2:']],
      virtual: [['u1@va.example', 'nobody@loc.example'], ['va.example', 'x']], sites: [['[127.0.0.1]', 'MUST']],
    }),
    sessions: [mailTo([
      'nobody@loc.example', 'daemon+x@loc.example', 'u9@loc.example', 'u8@loc.example', 'u1+y@va.example', 'a@out.example',
    ])],
  })
  for (const delivery of [
    /t1\/discard to=<nobody@loc\.example>/, /t2\/discard to=<daemon\+x@loc\.example>/, /t2\/discard to=<u9@loc\.example>/,
    /to=<u8@loc\.example>.*bounced \(unknown user/, /t1\/discard to=<nobody\+y@loc\.example>, orig_to=<u1\+y@va/,
    /to=<a@out\.example>.*TLS is required/i,
  ]) t.match(log, delivery)
})
