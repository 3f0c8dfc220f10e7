/**
 * Settings, overrides and values that once made Postfix on Holdfast behave differently. Each test also states what
 * Postfix does with mysql: tables.
 */
import t from 'tap'
import { latin1, mailTo, none, rowsOf, same, table } from './kind.js'

t.test('without smtputf8_enable Postfix takes keys as bytes, and folds only ASCII', async t => {
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

t.test('without smtputf8_enable Postfix compares the domains of a mysql_table(5) file by bytes', async t => {
  const domains = 'domain = m\u00fcller.example, Stra\u00dfe.example'
  // smtpd(8) accepts no such domain from a client, but an alias may lead to it.
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

t.test('proxymap(8) folds keys by its own smtputf8_enable, whatever that of its client is', async t => {
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

t.test('services that override parameters in master.cf keep their own values', async t => {
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

t.test('the empty table before a map has no address, and Postfix asks each table of domains for parents', async t => {
  // In this table each lookup for these domains is an error (1242).
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

t.test('Postfix refuses a domain that a list excludes, even if a later table has the domain', async t => {
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

t.test('a domain that only the first table of a pipemap: has is none of ours', async t => {
  const { replies } = await same(t, {
    main: { virtual_alias_maps: `${table('alias')}, pipemap:{${table('first')}, ${table('last')}}` },
    rows: rowsOf({
      alias: [['va.example', 'x'], ['u1@va.example', 'u1@out.example']], first: [['half.example', 'nowhere']],
      last: [['somewhere', 'x']],
    }),
    sessions: [mailTo(['u1@half.example', 'u1@va.example'])],
  })
  t.match(replies, [/^554/, /^250/])
})

t.test('a list that fails defers no recipient whose domain is in another list, of whatever kind', async t => {
  // In this table two rows are an error (1242).
  const failing = table('failing', 'SELECT IF(\'%s\' LIKE \'%%.example\', (SELECT k FROM bin), NULL)')
  const { replies } = await same(t, {
    main: { mydestination: 'inline:{loc.example=x}, $myhostname', relay_domains: failing },
    rows: rowsOf({ any: [['a', 'x'], ['b', 'x']] }),
    sessions: [mailTo(['u1@loc.example', 'u1@mx.test.example', 'u1@out.example'])],
  })
  t.match(replies, [/^250/, /^250/, /^4/])
})

t.test('the restrictions decide as before on a recipient with a route in its address', async t => {
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

t.test('Postfix adds the extension to every address of a value, whatever its form', async t => {
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

t.test('adopt recognizes local domains in every spelling, and leaves odd settings to Postfix', async t => {
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
