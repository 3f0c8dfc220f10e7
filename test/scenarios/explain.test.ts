/**
 * `holdfast explain` beside a Postfix whose main.cf and master.cf name Holdfast.
 *
 * 1. It goes the way of a mail: domains, access, aliases and what they lead to, routes, next hops; and of one from
 *    that address; each parameter with its keys, the server that answers, the copies.
 * 2. It says what each key would get without MySQL, and `check --outage` which mail would pass. MariaDB dies, and
 *    every key gets just that.
 * 3. In the outage it says where the answers come from now, and in a doubt what began it and what ends it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { Explained } from '../../src/admin/explain.js'
import type { Report } from '../../src/admin/summary.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailMaps, mailSql, tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { metaDirectory, settle } from '../fixtures/postfix.js'
import { socketmapAsk } from '../fixtures/wire.js'

/** The mail server's tables, and some for what is asked of senders, clients and next hops. */
const moreSql = `
  CREATE TABLE access (k VARCHAR(255) PRIMARY KEY, v VARCHAR(255));
  INSERT INTO access VALUES ('info@v.example', 'OK'), ('10.0.0', 'REJECT');
  CREATE TABLE bcc (k VARCHAR(255) PRIMARY KEY, v VARCHAR(255));
  INSERT INTO bcc VALUES ('info@v.example', 'archive@v.example');
  CREATE TABLE tls (k VARCHAR(255) PRIMARY KEY, v VARCHAR(255));
  INSERT INTO tls VALUES ('[127.0.0.1]:25', 'encrypt');
`

const mapsOn = ({ socket, user, password, database }: Mariadb): Readonly<Record<string, unknown>> => ({
  databases: { mail: { hosts: `unix:${socket}`, user, password, dbname: database } },
  maps: {
    ...Object.fromEntries(Object.entries(mailMaps).map(([name, map]) => [name, { ...map, database: 'mail' }])),
    access: { search: 'access', query: 'SELECT v FROM access WHERE k=\'%s\'', database: 'mail' },
    bcc: { search: 'recipient', absence: 'passes', query: 'SELECT v FROM bcc WHERE k=\'%s\'', database: 'mail' },
    // A query that can't be listed: there is no copy.
    tls: {
      search: 'exact', absence: 'weakens', query: 'SELECT MAX(v) FROM tls WHERE k=\'%s\'', database: 'mail',
    },
    strangers: {
      search: 'access', query: 'SELECT MAX(v) FROM access WHERE k=\'%s\'', database: 'mail',
    },
    routes: { search: 'transport', query: 'SELECT MAX(v) FROM access WHERE k=\'%s\'', database: 'mail' },
  },
})

type Host = { readonly mariadb: Mariadb, readonly holdfast: Holdfast, readonly configDir: string }

const startHost = async (t: Test): Promise<Host> => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) + moreSql }))
  const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
    ...mapsOn(mariadb), listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', admin: `unix:${dir}/admin`,
    recipient_delimiter: '+',
  })), 'kill')
  const configDir = join(holdfast.dir, 'postfix')
  mkdirSync(configDir)
  const map = (name: string): string => `socketmap:unix:${holdfast.dir}/s:${name}`
  writeFileSync(join(configDir, 'main.cf'), [
    'compatibility_level = 3.6', `meta_directory = ${metaDirectory}`, 'mydestination =', 'alias_maps =',
    `virtual_alias_maps = ${map('virtual_alias')}`, `virtual_alias_domains = ${map('virtual_domain')}`,
    `relay_domains = ${map('relay_domain')}`, `relay_recipient_maps = ${map('relay_recipient')}`,
    `transport_maps = ${map('transport')}`, `smtp_tls_policy_maps = ${map('tls')}`,
    `smtpd_recipient_restrictions = check_recipient_access ${map('access')}, check_client_access ${map('access')},`,
    '  reject_unauth_destination', '',
  ].join('\n'))
  writeFileSync(join(configDir, 'master.cf'), [
    'smtp inet n - y - - smtpd', 'submission inet n - y - - smtpd',
    `  -o smtpd_sender_restrictions=check_sender_access,${map('access')}`,
    'cleanup unix n - y - 0 cleanup', `  -o sender_bcc_maps=${map('bcc')}`, '',
  ].join('\n'))
  for (const name of ['main.cf', 'master.cf']) settle(join(configDir, name))
  // In an outage the copies answer.
  for (let copied = false; !copied;) {
    const { stdout } = await run(process.execPath,
      [mainFile, 'status', '--json', '--at', `unix:${holdfast.dir}/admin`])
    copied = (JSON.parse(stdout) as Report).maps.every(({ copies }) =>
      copies.every(({ takenAt, problem }) => takenAt !== null || problem !== ''))
  }
  return { mariadb, holdfast, configDir }
}

const explain = async ({ holdfast, configDir }: Host, ...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await run(process.execPath, [
    mainFile, 'explain', '--config', join(holdfast.dir, 'holdfast.yaml'), '--config-dir', configDir, ...args,
  ])
  t.equal(code, 0, stderr)
  return stdout
}

/** What it says of the key of a parameter, up to the next one. */
const partOf = (text: string, title: string): string =>
  text.slice(text.indexOf(title)).split('\n\n', 1)[0] ?? ''

t.test('explain goes the whole way of a mail, and says of each key what it would get in an outage', async t => {
  const host = await startHost(t)
  const ask = (map: string, key: string): Promise<string> => socketmapAsk(join(host.holdfast.dir, 's'), map, key)

  const text = await explain(host, 'info+news@v.example')
  const titles = text.split('\n').filter(line => /^\S[^:]*$/.test(line) || /^\w+( in [^:]*)?: /.test(line))
  t.strictSame(titles.map(line => line.replace(/ \(from .*/, '')), [
    'Mail to info+news@v.example',
    'virtual_alias_domains: virtual_domain (exact), asked for v.example',
    'relay_domains: relay_domain (domain), asked for v.example',
    'check_recipient_access in smtpd_recipient_restrictions: access (access), asked for info+news@v.example',
    'virtual_alias_maps: virtual_alias (virtual), asked for info+news@v.example',
    'relay_recipient_maps: relay_recipient (recipient), asked for info+news@v.example',
    'transport_maps: transport (transport), asked for info+news@v.example',
    'If smtp(8) delivers mail to info+news@v.example',
    'smtp_tls_policy_maps: tls (exact), asked for v.example', 'tls (exact), asked for .example',
    'info+news@v.example is an alias of box+news@relay.example',
    'virtual_alias_domains: virtual_domain (exact), asked for relay.example',
    'relay_domains: relay_domain (domain), asked for relay.example',
    'virtual_alias_maps: virtual_alias (virtual), asked for box+news@relay.example',
    'transport_maps: transport (transport), asked for box+news@relay.example',
    'If smtp(8) delivers mail to box+news@relay.example',
    'smtp_tls_policy_maps: tls (exact), asked for [127.0.0.1]:25',
    'Mail from info+news@v.example',
    'check_sender_access in submission/inet/smtpd_sender_restrictions: access (access), asked for info+news@v.example',
    'sender_bcc_maps in cleanup/unix/sender_bcc_maps: bcc (recipient), asked for info+news@v.example',
    'Now every lookup is answered.',
  ])
  t.match(partOf(text, 'virtual_alias_maps: '), new RegExp([
    'info\\+news@v\\.example\\n.*copy: absent .*\\n.*table on .+: absent\\n',
    '.*info@v\\.example\\n.*copy: found: box@relay\\.example .*\\n.*table on .+: found: box@relay\\.example\\n',
    '  -> found: box\\+news@relay\\.example \\(from MySQL .+\\)\\n',
    '  without MySQL: stale found: box\\+news@relay\\.example \\(from a copy of the table, .+ old\\)',
  ].join('')))
  t.match(text, /relay_recipient_maps .*info\+news@v\.example: the copy .* but an absence in this map refuses mail/)
  t.match(await explain(host, '10.0.0.7'), /^A client at 10\.0\.0\.7\n\ncheck_client_access in .*-> found: REJECT/s)
  t.match(await explain(host, 'team@relay.example'), /is an alias of two@relay\.example/, 'the second target, too')

  for (const [map, key] of [
    [
      'virtual_alias', 'own@v.example',
    ], ['tls', 'known.example'], ['tls', '[127.0.0.1]:25'], ['routes', 'x@none.example'],
  ] as const) await ask(map, key)
  t.match(await explain(host, 'own@v.example'), /-> found: one@relay\.example \(from memory, .* old\)/)
  const keys = [
    ['virtual_alias', 'own@v.example'], ['virtual_alias', 'list@v.example'], ['virtual_alias', 'nobody@v.example'],
    ['virtual_alias', 'box@relay.example'], ['virtual_alias', 'all@relay.example'], ['virtual_domain', 'v.example'],
    ['virtual_domain', 'none.example'], ['virtual_domain', 'relay.example'], ['relay_recipient', 'x@any.example'],
    ['relay_recipient', 'nobody@relay.example'], ['transport', 'x@any.example'], ['transport', 'x@none.example'],
    ['access', 'x@none.example'], ['strangers', 'x@none.example'], ['strangers', 'x@relay.example'],
    ['bcc', 'info@v.example'], ['bcc', 'new@v.example'], ['tls', 'known.example'], ['tls', 'unknown.example'],
    ['tls', '[127.0.0.1]:25'], ['routes', 'new@v.example'], ['routes', 'x@none.example'],
  ] as const
  const questions = keys.map(([map, asked]) => ({ map, asked }))
  const reply = await run('curl', ['-s', '--unix-socket', join(host.holdfast.dir, 'admin'), '--json',
    JSON.stringify({ questions }), 'http://localhost/explain'])
  const explained = JSON.parse(reply.stdout) as Explained[]
  const kinds = new Set<string>()
  await host.mariadb.kill()
  for (const { map, asked, outage, steps } of explained) {
    const said = await ask(map, asked)
    const got = said.startsWith('OK ') ? `found: ${said.slice(3)}` : said.startsWith('NOTFOUND') ? 'absent' : 'deferred'
    // It says what lasts: an absence is used for absent_for whatever it does to mail.
    const isFreshAbsent = steps.every(({ memory }) => memory?.answer === 'absent' && memory.age === 'fresh')
    const predicted = (outage?.answer ?? '').replace(/^stale /, '')
    t.equal(isFreshAbsent && predicted === 'deferred' ? 'absent' : predicted, got, `${map} ${asked}: ${outage?.why}`)
    t.ok(got !== 'deferred' || outage?.why !== '', 'a deferral has a reason')
    kinds.add(`${got.split(':', 1)[0]}`)
  }
  t.same([...kinds].sort(), ['absent', 'deferred', 'found'])

  const out = await explain(host, 'own@v.example')
  t.match(out, /-> stale found: v\.example \(from a copy of the table, .* old\)/)
  t.match(out, /table: unavailable: (source-down|breaker-open): /)
  t.match(await explain(host, 'new@v.example'), /^Mail is deferred now:\n.*relay_recipient_maps/ms)
})

t.test('explain without a Postfix asks each map once; in a doubt it says what began it and what ends it', async t => {
  const mariadb = await during(t, startMariadb({
    sql: tableSql(Array.from({ length: 20 }, (_, i) => `('k${i}@a.example', 'v')`).join()),
  }))
  const holdfast = await during(t, startHoldfast(dir => tableConfig(dir, mariadb, { alias: { search: 'virtual' } }, {
    admin: `unix:${dir}/admin`,
  })), 'kill')
  const host = { mariadb, holdfast, configDir: join(holdfast.dir, 'none') }
  for (let i = 0; i < 20; i++) await socketmapAsk(join(holdfast.dir, 's'), 'alias', `k${i}@a.example`)
  await mariadb.sql('DELETE FROM a')
  await socketmapAsk(join(holdfast.dir, 's'), 'alias', 'nobody@a.example')
  const text = await explain(host, 'k9@a.example')
  t.match(text, /none asks nothing of this Holdfast/)
  t.match(
    text, /in doubt for \d+ s: too many known keys are missing .* it ends when the known keys are back \(.* missing\)/,
  )
  t.match(text, /`holdfast trust alias`/)
})
