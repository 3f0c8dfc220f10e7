/**
 * Settings, overrides and values that once made a difference, each with what Postfix
 * itself says on its mysql: tables.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { makeCertificates } from '../fixtures/certificates.js'
import { freshFolder } from '../fixtures/guard.js'
import { settle } from '../fixtures/postfix.js'
import { startStage } from './pair.js'
import type { Stage } from './pair.js'
import type { Scenario, Session, Step } from './scenario.js'

const stage: Stage = await startStage()
t.teardown(() => stage.stop())

const folder = freshFolder()
/** A mysql: table; its rows have its name. */
const table = (name: string, query = `SELECT v FROM bin WHERE tab='${name}' AND k='%s' ORDER BY id`): string => {
  const file = join(folder, `${name}.cf`)
  writeFileSync(file, `${stage.login}query = ${query}\n`)
  settle(file)
  return `mysql:${file}`
}
const rowsOf = (rows: Readonly<Record<string, readonly (readonly [key: string, value: string])[]>>): Scenario['rows'] =>
  Object.entries(rows).flatMap(([name, list]) => list.map(([key, value]) => ({ table: name, key, value })))

/** One session with a mail to each of these; every letter is a byte. */
const mailTo = (
  recipients: readonly string[], more: Partial<Session> = {}, sender = 'someone@out.example',
): Session => ({
  helo: 'helo.example', xclient: null, ...more,
  steps: recipients.flatMap((recipient, number): readonly Step[] => [
    { verb: 'MAIL', text: `<${sender}>` }, { verb: 'RCPT', text: `<${recipient}>` },
    { verb: 'DATA', text: `Message-ID: <s0.0.${number}@m.example>\r\nFrom: <x@out.example>\r\n\r\nx` },
    { verb: 'RSET', text: '' },
  ]),
})

const none: Scenario['overrides'] = { smtpd: {}, cleanup: {}, rewrite: {} }
const common = {
  default_transport: 't2:', virtual_transport: 't1:', relay_transport: 'relay', recipient_delimiter: '+',
}

/** Runs it, and gives Postfix's replies to RCPT TO, its log lines about messages, and those that it sent. */
const same = async (
  t: Test, scenario: Pick<Scenario, 'main' | 'rows' | 'sessions'> & Partial<Scenario>,
): Promise<{ readonly replies: readonly string[], readonly log: string, readonly messages: readonly string[], readonly said: string }> => {
  const compared = await stage.run({ seed: 0, overrides: none, ...scenario, main: { ...common, ...scenario.main } })
  if (compared.kind === 'not moved') throw new Error(compared.said)
  t.strictSame(compared.differences, [])
  const replies = compared.before.replies.flat().flatMap(line => {
    const [, recipient = '', code = ''] = /^RCPT TO:<(.*)>: (\d+)/.exec(line) ?? []
    return code === '' ? [] : [`${code} ${recipient}`]
  })
  const { log, messages } = compared.before
  return { replies, log: [...log.values()].flat().join('\n'), messages, said: compared.said }
}

const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

t.test('without smtputf8_enable keys are bytes, and only ASCII is folded', async t => {
  const { replies, log } = await same(t, {
    main: {
      smtputf8_enable: 'no', relay_domains: 'rel.example', relay_recipient_maps: table('relay'),
      virtual_mailbox_domains: 'vm.example', virtual_mailbox_maps: table('mailbox'), virtual_alias_maps: table('alias'),
      smtpd_recipient_restrictions: `check_recipient_access ${table('access')}, permit`,
    },
    rows: rowsOf({
      relay: [['@rel.example', 'x']], mailbox: [['@vm.example', 'x'], ['\u00fc2@vm.example', 'x']],
      alias: [['\u00fc1@vm.example', 'wrong@rel.example'], ['@vm.example', 'right@rel.example']],
      access: [['refused.example', 'REJECT']],
    }),
    sessions: [mailTo([
      'jos\xe9@rel.example', 'jos\xe9+x@rel.example', 'jos\xe9@refused.example', latin1('\u00dc1@vm.example'),
      latin1('\u00fc1@vm.example'), latin1('\u00dc2@vm.example'),
    ])],
  })
  t.match(replies, [/^250/, /^250/, /^554/, /^250/, /^250/, /^250/])
  t.match(log, /to=<right@rel\.example>/)
})

t.test('without smtputf8_enable the domain of a mysql_table(5) file is compared by bytes', async t => {
  const domains = 'domain = m\u00fcller.example, Stra\u00dfe.example'
  // smtpd(8) takes no such domain from a client, but aliases lead there.
  const wide = ['u1@m\u00fcLLER.example', 'u2@stra\u00dfe.example', 'u3@strasse.example', 'u4@m\u00dcller.example']
  const { log } = await same(t, {
    main: {
      smtputf8_enable: 'no', virtual_alias_domains: 'va.example',
      virtual_alias_maps: `${table('wide')} ${table('within', `SELECT v FROM bin WHERE tab='within' AND k='%s'\n${domains}`)}`,
    },
    rows: rowsOf({
      wide: wide.map(address => [`${address.slice(0, 2)}@va.example`, address] as const),
      within: [
        ['u1@m\u00fcller.example', 'within1@out.example'], ['u2@stra\u00dfe.example', 'within2@out.example'],
        ['u3@strasse.example', 'outside@out.example'], ['u4@m\u00dcller.example', 'outside@out.example'],
      ],
    }),
    sessions: [mailTo(['u1@va.example', 'u2@va.example', 'u3@va.example', 'u4@va.example'])],
  })
  t.match(log, /to=<within1@out\.example>/)
  t.match(log, /to=<within2@out\.example>/)
  t.notMatch(log, /outside/)
})

t.test('proxymap(8) folds keys as it does, whatever its client\'s smtputf8_enable is', async t => {
  const aliases = `proxy:${table('folded')}`
  const { replies } = await same(t, {
    main: {
      smtputf8_enable: 'yes', virtual_alias_domains: 'straße.example', virtual_alias_maps: aliases,
      proxy_read_maps: '$virtual_alias_maps', relay_domains: table('any'),
    },
    overrides: { ...none, cleanup: { smtputf8_enable: 'no' } },
    rows: rowsOf({
      folded: [['u1@stra\u00dfe.example', 'bytes@rel.example'], ['u1@strasse.example', 'folded@rel.example']],
      any: [['rel.example', 'x']],
    }),
    sessions: [mailTo([latin1('u1@stra\u00dfe.example'), 'u1@strasse.example'])],
  })
  t.match(replies[0], /^250/)
})

t.test('services with settings of their own keep them, and names that they override are not main.cf\'s', async t => {
  const { replies, said } = await same(t, {
    main: {
      my_aliases: table('mine'), virtual_alias_maps: '$my_aliases', virtual_alias_domains: 'va.example',
      relay_domains: table('domains'), relay_recipient_maps: table('recipients'), transport_maps: table('routes'),
      parent_domain_matches_subdomains: 'relay_domains',
    },
    overrides: {
      smtpd: {
        recipient_delimiter: '-', my_aliases: table('theirs'),
        smtpd_recipient_restrictions: `check_recipient_access ${table('access')}, check_recipient_access `
          + 'inline:{ {u9@rel.example = REJECT go  away}, {u1-x@rel.example = PREPEND X-A: b  c} }, permit',
      },
      cleanup: { recipient_delimiter: '-', my_aliases: table('cleaned') },
      rewrite: { parent_domain_matches_subdomains: 'transport_maps' },
    },
    rows: rowsOf({
      mine: [['a@va.example', 'u1@rel.example']], theirs: [['b@va.example', 'u1@rel.example']],
      cleaned: [['b@va.example', 'u1@rel.example'], ['c@va.example', 'u1@rel.example']],
      domains: [['rel.example', 'x']],
      recipients: [['u1@rel.example', 'x'], ['u9@rel.example', 'x']], routes: [['rel.example', 't1:']],
      access: [['u2@rel.example', 'REJECT']],
    }),
    sessions: [mailTo([
      'u1-x@rel.example', 'u1+x@rel.example', 'u2-x@rel.example', 'u9@rel.example', 'a@va.example', 'b@va.example',
      'u1@sub.rel.example',
    ])],
  })
  t.match(replies, [/^250/, /^550/, /^554/, /^554/, /^550/, /^250/, /^554/])
  t.match(said, /^Stay; .*:\n(?:.*\n)* {2}virtual_alias_maps: \$my_aliases\n.*overrides \$my_aliases$/m)
  t.match(said, /^Move with Postfix's steps; .*:\n(?:.*\n)* {2}relay_recipient_maps: .*\n(?:.*\n)*.* has a recipient_delimiter of/m)
})

t.test('the empty table before a map has no address, and each table of domains is asked for parents', async t => {
  // Each key of these domains is an error there (1242).
  const broken = 'SELECT IF(\'%s\' LIKE \'%%.example\', (SELECT k FROM bin), NULL)'
  const { replies } = await same(t, {
    main: {
      relay_domains: `${table('first')} ${table('broken', broken)}`,
      parent_domain_matches_subdomains: 'relay_domains', virtual_mailbox_domains: 'vm.example',
      virtual_mailbox_maps: `${table('boxes')} inline:{other@vm.example=x}`,
    },
    rows: rowsOf({ first: [['rel.example', 'x']], boxes: [['u1@vm.example', 'x']] }),
    sessions: [mailTo([
      'u1@sub.rel.example', 'u1@other.example', '__none__@vm.example', 'none@vm.example', 'u1@vm.example',
    ])],
  })
  t.match(replies, [/^250/, /^45/, /^550/, /^550/, /^250/])
})

t.test('a domain that a list excludes is refused for good, though a table after it has the domain', async t => {
  const { replies } = await same(t, {
    main: {
      relay_domains: `${table('first')}, !not.rel.example, ${table('domains')}`,
      parent_domain_matches_subdomains: 'relay_domains',
    },
    rows: rowsOf({
      first: [['first.example', 'x']], domains: [['rel.example', 'x'], ['not.rel.example', 'x']],
    }),
    sessions: [mailTo(['u1@first.example', 'u1@rel.example', 'u1@sub.rel.example', 'u1@not.rel.example', 'u1@x.not.rel.example'])],
  })
  t.match(replies, [/^250/, /^250/, /^250/, /^554/, /^554/])
})

t.test('a recipient with a route in the address is judged by the restrictions as before', async t => {
  const routed = ['a%b@rel.example', 'b!a@rel.example', '"a@b"@rel.example', 'a%b@vm.example', 'a%rel.example@loc.example']
  const scenario = {
    rows: rowsOf({
      domains: [['rel.example', 'x'], ['vm.example', 'x']], locals: [['loc.example', 'x']],
      names: [['a%b@rel.example', '450 4.7.1 later']],
    }),
    sessions: [mailTo([...routed, 'a@rel.example'])],
  }
  const main = { relay_domains: table('domains'), mydestination: table('locals') }
  const { replies } = await same(t, { ...scenario, main })
  t.match(replies, [/^554/, /^554/, /^554/, /^554/, /^250/, /^250/])
  const permitting = await same(t, { ...scenario, main: {
    ...main, smtpd_relay_restrictions: `permit_auth_destination, check_recipient_access ${table('names')}, reject`,
  } })
  t.match(permitting.replies, [/^450/, /^554/, /^554/, /^554/, /^250/, /^250/])
})

t.test('an extension comes back onto every address of a value, whatever its form', async t => {
  const values = [
    'Name <u2@out.example>', 'u2@out.example (comment)', 'u2%out.example', 'u2@out.example.',
    '<@va.example:u2@out.example>',
    'group: u2@out.example, u3@out.example;', 'u2@out.example u3@out.example', 'out.example!u2', '"a".b@out.example',
    'u2@out.example, @other.example', '@other.example, u2@out.example', '@out.example,u2', 'Name <u2>, "x y"@out.example',
  ]
  const { replies, log } = await same(t, {
    main: { virtual_alias_domains: 'va.example', virtual_alias_maps: table('values'), myorigin: 'origin.example' },
    rows: rowsOf({ values: values.map((value, index) => [`v${index}@va.example`, value] as const) }),
    sessions: [mailTo(values.map((_, index) => `v${index}+Ext@va.example`))],
  })
  t.strictSame(replies.filter(reply => !reply.startsWith('250')), [])
  t.match(log, /to=<u2\+Ext@out\.example>/)
})

t.test('local domains are known by every spelling, and odd settings are left to Postfix', async t => {
  const local = {
    inet_interfaces: 'localhost', inet_protocols: 'all', mydestination: 'Stra\u00dfe.example, $myhostname',
    local_recipient_maps: table('locals'), local_transport: 'local', recipient_delimiter: '-',
  }
  const rows = rowsOf({
    locals: [['u1', 'x'], ['owner', 'x']], senders: [['null@va.example', 'REJECT'], ['va.example', 'OK']],
  })
  const recipients = [
    'u1@[127.0.0.1]', 'u1@[IPv6:0:0:0:0:0:0:0:1]', 'u1@[ipv6:::1]', 'u1-x@mx.test.example',
    'owner-list@mx.test.example', 'u2@mx.test.example',
  ]
  const usual = await same(t, { main: local, rows, sessions: [mailTo(recipients)] })
  t.match(usual.replies[0], /^250/)
  t.match(usual.replies.slice(3), [/^250/, /^550/, /^550/])
  const odd = await same(t, {
    main: {
      ...local, owner_request_special: 'no', smtpd_null_access_lookup_key: 'null@va.example',
      smtpd_helo_restrictions: `check_helo_access ${table('names')}`,
      smtpd_sender_restrictions: `check_sender_access ${table('senders')}`,
    },
    rows: [...rows, ...rowsOf({ names: [['192.0.2', 'REJECT'], ['0.2.9', 'REJECT']] })],
    sessions: [
      mailTo(recipients), mailTo(['u1@[127.0.0.1]'], {}, ''), mailTo(['u1@[127.0.0.1]'], { helo: '192.0.2.1' }),
      mailTo(['u1@[127.0.0.1]'], { helo: '192.0.2.9' }),
    ],
  })
  t.match(odd.replies.slice(4, 5), [/^250/])
})

t.test('clients are known by their certificates', async t => {
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

t.test('local submission and policies for TLS ask the same', async t => {
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
  const { messages } = await same(t, {
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
  t.strictSame(messages.map(message => /^\S* -> to@(\S+) logged in as (.*)/.exec(message)?.slice(1).join(' ')).sort(), [
    'far.example domain:b', 'far.example full:a', 'far.example host:d', 'far.example host:d',
    ...Array.from({ length: 4 }, () => 'vm.example lmtp:e'),
  ])
})

t.test('postscreen(8) keeps its tables, and smtpd(8) behind it asks the same', async t => {
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

t.test('two instances of Postfix, as of postmulti(1), ask a Holdfast each', async t => {
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
