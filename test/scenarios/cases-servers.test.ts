/**
 * Cases from the field, each by its id, in which a server is odd rather than down: slow, behind a balancer, out of
 * statements, of several addresses, with tables that are empty on purpose. The whole daemon is asked, over socketmap.
 */
import t from 'tap'
import type { Test } from 'tap'
import { makeCertificates } from '../fixtures/certificates.js'
import { command } from '../fixtures/control.js'
import { during } from '../fixtures/during.js'
import { startHole } from '../fixtures/hole.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { withHosts } from '../fixtures/with_file.js'
import { aliasQuery, proxyTo, startCase, untilAnswered } from './cases_bed.js'
import type { Bed } from './cases_bed.js'

const tables = `
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
  INSERT INTO alias VALUES ('info@example.com', 'box@example.net'), ('two@example.com', 'two@example.net');
`
const echo = 'SELECT \'%s\''

const serverWith = async (t: Test, sql = tables, args: readonly string[] = []): Promise<Mariadb> => {
  const mariadb = await during(t, startMariadb({ sql, args }))
  return mariadb
}

const keys = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `${at}@example.com`)

t.test('C81 the first of two hosts never answers: a thousand lookups work, and Holdfast keeps trying it', async t => {
  const mariadb = await serverWith(t)
  const hole = await proxyTo(t, mariadb.socket)
  hole.stall()
  // Unix sockets come first.
  const { ask } = await startCase(t, mariadb, {
    databases: { db: `unix:${hole.socket}, 127.0.0.1:${mariadb.port}` }, maps: { echo },
  })
  const all = keys(1_000)
  const replies: string[] = []
  for (let at = 0; at < all.length; at += 50) {
    replies.push(...await Promise.all(all.slice(at, at + 50).map(key => ask('echo', key))))
  }
  t.strictSame(replies, all.map(key => `OK ${key}`))
  t.ok(hole.accepted() < 50, `${hole.accepted()} tries`)
})

t.test('N04 an access table whose rows have gone, as they do: MySQL is believed, and mail passes', async t => {
  const blocked = ['m1', 'm2', 'm3', 'm4', 'm5'].map(name => `${name}@example.com`)
  const mariadb = await serverWith(t, `CREATE TABLE maint (address VARCHAR(255) PRIMARY KEY, action VARCHAR(255));
    INSERT INTO maint VALUES ${blocked.map(address => `('${address}', '450 4.2.0 moved')`).join(', ')}`)
  // As `adopt` writes it for check_*_access.
  const bed = await startCase(t, mariadb, {
    maps: { maint: { search: 'access', query: 'SELECT action FROM maint WHERE address=\'%s\'', max_shrink: '100%' } }, canShift: true,
  })
  const { ask } = bed
  for (const address of blocked) t.equal(await ask('maint', address), 'OK 450 4.2.0 moved')
  await mariadb.sql('DELETE FROM maint')
  for (let times = 0; times < 20; times++) {
    await bed.halfAnHourPasses()
    t.equal(await ask('maint', 'box@example.com'), 'NOTFOUND ')
    t.notMatch(await ask('maint', blocked[times % 5] ?? ''), /^TEMP /)
  }
  t.equal(await ask('maint', 'm1@example.com'), 'NOTFOUND ', 'and nobody stays blocked')
})

t.test('N07 a round trip of 360 ms, with and without TLS: lookups are answered once a connection is open', async t => {
  const certificates = await makeCertificates()
  t.teardown(() => certificates.remove())
  await certificates.certificate('server', 'IP:127.0.0.1')
  const mariadb = await serverWith(t, tables, [
    `--ssl-ca=${certificates.file('ca.pem')}`, `--ssl-cert=${certificates.file('server.pem')}`, `--ssl-key=${certificates.file('server.key')}`,
  ])
  for (const [name, login] of [['plain', {}], ['TLS', { tls_CAfile: certificates.file('ca.pem') }]] as const) {
    const proxy = await proxyTo(t, mariadb.socket)
    proxy.slow(360)
    const bed = await startCase(t, mariadb, {
      databases: { db: { hosts: `127.0.0.1:${proxy.port}`, ...login } }, maps: { echo },
    })
    await untilAnswered(bed, 'echo', 'first@example.com')
    for (const key of keys(20)) t.equal(await bed.ask('echo', key), `OK ${key}`, name)
  }
})

t.test('N08 a name with several addresses: if one refuses or is silent, Holdfast uses another one', async t => {
  const mariadb = await serverWith(t)
  const refusing = await startCase(t, mariadb, {
    databases: { db: `db.test:${mariadb.port}` }, maps: { alias: {} }, command: withHosts('::1 db.test', '127.0.0.1 db.test'),
  })
  t.equal(await refusing.ask('alias', 'info@example.com'), 'OK box@example.net')

  await during(t, startHole('127.0.0.9', mariadb.port))
  const silent = await startCase(t, mariadb, {
    databases: { db: `db.test:${mariadb.port}` }, maps: { alias: {} }, command: withHosts('127.0.0.9 db.test', '127.0.0.1 db.test'),
  })
  t.equal(await silent.ask('alias', 'info@example.com'), 'OK box@example.net')

  const port = await freePort()
  const nobody = await startCase(t, mariadb, {
    databases: { db: `db.test:${port}` }, maps: { alias: {} }, command: withHosts('::1 db.test', '127.0.0.1 db.test'),
  })
  for (const key of keys(5)) t.match(await nobody.ask('alias', key), /^TEMP /)
  await nobody.logged(new RegExp(`db\\.test:${port}/\\S+ fails: connection refused at (127\\.0\\.0\\.1|::1)`))
})

t.test('N10 lookups work while another program has used up the server\'s prepared statements', async t => {
  const mariadb = await serverWith(t)
  await mariadb.sql('SET GLOBAL max_prepared_stmt_count = 0')
  const { ask } = await startCase(t, mariadb, { maps: { alias: {} } })
  t.equal(await ask('alias', 'info@example.com'), 'OK box@example.net')
  t.equal(await ask('alias', 'nobody@example.com'), 'NOTFOUND ')
})

t.test('N15 a view without its definer: known keys are answered, others deferred, other maps work', async t => {
  const mariadb = await serverWith(t, `${tables}
    CREATE USER old@localhost; GRANT ALL ON *.* TO old@localhost;
    CREATE DEFINER=old@localhost SQL SECURITY DEFINER VIEW v_alias AS SELECT * FROM alias;`)
  const bed = await startCase(t, mariadb, {
    maps: { view: aliasQuery.replace('alias', 'v_alias'), alias: {} },
  })
  const { ask } = bed
  t.equal(await ask('view', 'info@example.com'), 'OK box@example.net')
  await mariadb.sql('DROP USER old@localhost')
  // To an account without this right MariaDB says 1045, and not who is missing.
  t.match(await ask('view', 'new@example.com'), /^TEMP query-error: .*error 1045: .*; the definer of the view or procedure may be missing/)
  await mariadb.sql('GRANT SET USER ON *.* TO holdfast')
  await mariadb.sql(`KILL USER ${mariadb.user}`)
  for (const map of ['view', 'alias']) t.match(await command({ holdfast: bed }, 'flush', map), { code: 0 })
  for (let times = 0; times < 20; times++) {
    t.equal(await ask('view', 'info@example.com'), 'OK box@example.net')
    t.match(await ask('view', `new${times}@example.com`), /^TEMP query-error: .*error 1449: .*'old'@'localhost'/)
    t.equal(await ask('alias', 'info@example.com'), 'OK box@example.net')
  }
  await bed.logged(/map view: a lookup was deferred: query-error: .*the definer of the view or procedure may be missing/)
  t.notMatch(bed.log(), /: fails: /)
  await mariadb.sql('CREATE USER old@localhost; GRANT ALL ON *.* TO old@localhost')
  t.equal(await ask('view', 'two@example.com'), 'OK two@example.net')
})

/** A table of TLS policies that gets a row for customer.example after the map was asked for it; then MariaDB is killed. */
const policyInOutage = async (t: Test, more: Readonly<Record<string, unknown>>): Promise<Bed> => {
  const mariadb = await serverWith(t, `
    CREATE TABLE policy (domain VARCHAR(255) PRIMARY KEY, level VARCHAR(20)); INSERT INTO policy VALUES ('partner.example', 'encrypt');
    CREATE TABLE relay (domain VARCHAR(255) PRIMARY KEY); INSERT INTO relay VALUES ('customer.example');`)
  const bed = await startCase(t, mariadb, {
    maps: {
      policy: { query: 'SELECT level FROM policy WHERE domain=\'%s\'', absence: 'weakens' },
      relay: { search: 'domain', query: 'SELECT domain FROM relay WHERE domain=\'%s\'' },
    },
    more,
  })
  const { ask } = bed
  t.equal(await ask('policy', 'partner.example'), 'OK encrypt')
  t.equal(await ask('policy', 'customer.example'), 'NOTFOUND ')
  t.equal(await ask('relay', 'customer.example'), 'OK customer.example')
  if (more['copy_rows'] !== 0) await bed.logged(/map policy: a copy of its table \(1 row\) is ready/)
  await mariadb.sql('INSERT INTO policy VALUES (\'customer.example\', \'encrypt\')')
  await mariadb.kill()
  t.match(await command({ holdfast: bed }, 'flush', 'policy'), { code: 0 })
  return bed
}

t.test('N18 a TLS policy in an outage: what is known holds, and nobody else\'s mail goes unprotected', async t => {
  const bed = await policyInOutage(t, { copy_rows: 0 })
  const { ask } = bed
  for (let times = 0; times < 2; times++) {
    t.equal(await ask('policy', 'partner.example'), 'OK encrypt')
    for (const domain of ['customer.example', 'new.example']) t.match(await ask('policy', domain), /^TEMP /, domain)
    await bed.logged(/: fails: /)
  }
})

t.test('N18 a TLS policy in an outage: the copy says which domains have none', async t => {
  const { ask } = await policyInOutage(t, {})
  t.equal(await ask('policy', 'partner.example'), 'OK encrypt')
  t.equal(await ask('policy', 'new.example'), 'NOTFOUND ')
})

// No other statement is ended, and the breaker stays closed.
t.test('N23 two servers behind a balancer: while one map\'s query is slow, other maps are answered', async t => {
  const [one, other] = await Promise.all([serverWith(t), serverWith(t)])
  const balancer = await proxyTo(t, one.socket)
  balancer.lead({ path: one.socket }, { path: other.socket })
  const bed = await startCase(t, one, {
    databases: { db: `127.0.0.1:${balancer.port}` },
    maps: { slow: 'SELECT SLEEP(10) FROM DUAL WHERE \'%s\' <> \'\'', echo },
  })
  // Another client of the account, whose statement nobody may end.
  const bystanders = [one, other].map(server => server.sql('SELECT SLEEP(4) AS ended'))
  await untilAnswered(bed, 'echo', 'first@example.com')
  const all = keys(2_000)
  const slow = Promise.all(keys(20).map(key => bed.ask('slow', key)))
  const replies: string[] = []
  for (let at = 0; at < all.length; at += 50) {
    replies.push(...await Promise.all(all.slice(at, at + 50).map(key => bed.ask('echo', key))))
  }
  t.strictSame(replies, all.map(key => `OK ${key}`))
  for (const reply of await slow) t.match(reply, /^TEMP /)
  for (const rows of await Promise.all(bystanders)) t.match(rows, [{ ended: /^0$/ }], 'SLEEP gives 1 when it is ended')
  t.notMatch(bed.log(), /: fails: /)
})
