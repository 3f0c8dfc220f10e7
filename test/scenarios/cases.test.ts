/**
 * Cases from bug reports and configurations of the field, as far as they are
 * about a .cf file and what one key is answered; each by its id. Where Postfix's
 * own client is right, it is asked too and must say the same.
 *
 * Each test writes its own file from BASE (how to log in) and Q (the query), on
 * one server; some start a server of their own with other settings.
 */
import t from 'tap'
import type { Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineFromCf } from '../../src/tables/definition.js'
import { openTable, plain, startCfBed, writeCf } from '../fixtures/cf.js'
import type { Plain, Table } from '../fixtures/cf.js'
import { makeCertificates } from '../fixtures/certificates.js'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import { postmapQuery } from '../fixtures/postfix.js'
import { socketmapAsk } from '../fixtures/wire.js'

const tables = String.raw`
CREATE TABLE alias (address varchar(255) PRIMARY KEY, goto text, domain varchar(255),
  active tinyint(1) DEFAULT 1) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
INSERT INTO alias VALUES
 ('info@example.com','box@example.net','example.com',1),
 ('off@example.com','off@example.net','example.com',0),
 ('o''brien@example.com','ob@example.net','example.com',1),
 ('back\\slash@example.com','bs@example.net','example.com',1),
 ('null@example.com',NULL,'example.com',1),
 ('empty@example.com','','example.com',1),
 ('list@example.com','a@example.net, b@example.net','example.com',1),
 ('outer@example.com',' v ','example.com',1),
 ('newline@example.com','a\nb','example.com',1),
 ('info@xn--bcher-kva.example','idn@example.net','xn--bcher-kva.example',1),
 ('@example.org','catch@example.net','example.org',1);
CREATE TABLE multi (a varchar(255), g varchar(255));
INSERT INTO multi VALUES ('m@example.com','one@example.net'),('m@example.com','two@example.net'),
 ('m@example.com',NULL),('m@example.com',''),('m@example.com','three@example.net'),
 ('f@example.com','a@x.example'),('f@example.com','plain'),('f@example.com','@y.example');
CREATE TABLE types (big bigint unsigned, dec4 decimal(20,4), dbl double, bin varbinary(255), dt datetime, d date);
INSERT INTO types VALUES (18446744073709551615, 12.5, 1e20, 'box@example.net', '2024-01-02 03:04:05', '2024-01-02');
CREATE TABLE l1 (address varchar(255) PRIMARY KEY, goto text) CHARACTER SET latin1 COLLATE latin1_general_ci;
INSERT INTO l1 VALUES ('info@example.com','box@example.net');
CREATE TABLE ub (address varchar(255) PRIMARY KEY, goto text) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO ub VALUES ('info@example.com','box@example.net');
CREATE PROCEDURE look(IN p varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci) READS SQL DATA SELECT goto FROM alias WHERE address=p;
CREATE PROCEDURE look2(IN p varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci) READS SQL DATA BEGIN SELECT goto FROM alias WHERE address=p; SELECT 2; END;
CREATE PROCEDURE nothing(IN p varchar(255)) SET @x = p;
`

const query = 'SELECT goto FROM alias WHERE address=\'%s\' AND active=\'1\''
const Q = { query }
const multi = { query: 'SELECT g FROM multi WHERE a=\'%s\'' }
const noRow: Plain = { no: 'row' }
const noAnswer: Plain = { no: 'answer' }

const { server, servers, folder, account: BASE } = await startCfBed(t, startMariadb({ sql: tables }))

let files = 0
const cf = (content: Readonly<Record<string, string>> | string | Buffer): string => writeCf(folder, `case-${files++}`, content)
const text = (parameters: Readonly<Record<string, string>>): string =>
  Object.entries(parameters).map(([name, value]) => `${name} = ${value}\n`).join('')
const open = (content: Readonly<Record<string, string>> | string | Buffer): Table => openTable(cf(content), servers)

/** Ours and Postfix's own client give each key this answer. */
const both = async (
  t: Test, content: Readonly<Record<string, string>> | string | Buffer, answers: Readonly<Record<string, Plain>>,
): Promise<Table> => {
  const path = cf(content)
  const table = openTable(path, servers)
  for (const [key, expected] of Object.entries(answers)) {
    t.same(plain(await table.ask(key)), expected, JSON.stringify(key))
    const theirs = await postmapQuery(`mysql:${path}`, key)
    const kinds = { found: 'found', absent: 'row', error: 'answer' } as const
    if (typeof expected === 'string') t.same(theirs, { kind: 'found', value: expected }, `postmap: ${JSON.stringify(key)}`)
    // An empty value is absent with a warning.
    else t.ok(kinds[theirs.kind] === expected.no || (theirs.kind === 'error' && /warning: .*empty lookup result/.test(theirs.text)), `postmap: ${JSON.stringify(key)}`)
  }
  return table
}

/** The file is refused with this problem, and the password isn't told. */
const refused = (t: Test, content: Readonly<Record<string, string>> | string, problem: RegExp): void => {
  const path = cf(content)
  const defined = defineFromCf(path)
  const problems = defined.ok ? [] : defined.problems.map(({ place, text }) => `${place.replace(path, 'FILE')} ${text}`)
  t.match(problems.join('\n'), problem)
  t.notMatch(problems.join('\n'), server.password)
}

const warnings = (table: Table): string => table.defined.warnings.map(({ text }) => text).join('\n')

t.test('C01 CR LF line ends', async t => {
  await both(t, text({ ...BASE, ...Q }).replaceAll('\n', '\r\n').replace('\r\n', '\r\n\r\n'), { 'info@example.com': 'box@example.net' })
})

t.test('C02 a continued query with comment and empty lines', async t => {
  await both(t, `${text(BASE)}query = SELECT goto\n  FROM alias\n\tWHERE address='%s'\n  # note\n\n  AND active='1';\n`, { 'info@example.com': 'box@example.net' })
})

t.test('C04 a password with #, %, $ and blanks', async t => {
  t.equal(server.password, 'p#a%s $x')
  await both(t, text({ ...BASE, ...Q }).replace(server.password, `${server.password}  \t`), { 'info@example.com': 'box@example.net' })
})

t.test('C05 the whole query in double quotes', async t => {
  const table = await both(t, { ...BASE, query: `"${query}"` }, { 'info@example.com': noAnswer })
  t.match(warnings(table), /query: the quotes around the value/)
})

t.test('C07 a line without an equals sign', t => {
  refused(t, `user = pf\npassword vmail\n${text(Q)}`, /^FILE:2 has no '='/)
  t.end()
})

t.test('C08 an expansion_limit that is no number', t => {
  for (const value of ['1 # one', '', 'abc']) refused(t, { expansion_limit: value, ...BASE, ...Q }, /^FILE:1 expansion_limit: /)
  t.end()
})

t.test('C10 a byte order mark', async t => {
  const table = open(`\ufeff${text({ ...BASE, ...Q })}`)
  t.match(warnings(table), /byte order mark/)
  t.equal(plain(await table.ask('info@example.com')), 'box@example.net')
})

t.test('C11 a parameter twice: the later one counts, both are named', async t => {
  const { dbname, ...rest } = BASE
  const table = open(`dbname = nosuch\ndbname = ${dbname ?? ''}\n${text({ ...rest, ...Q })}`)
  t.match(table.defined.warnings, [{ place: /:2$/, text: /line 1/ }])
  t.equal(plain(await table.ask('info@example.com')), 'box@example.net')
})

t.test('C13 a template that nobody filled in', t => {
  refused(t, { hosts: '{{ DB_HOST }}', user: 'pf', dbname: 'mail', ...Q }, /^FILE:1 hosts: '\{\{' is not a host name/)
  t.end()
})

t.test('C14 a password with $ and &', async t => {
  await server.sql('CREATE USER dollar@\'%\' IDENTIFIED BY \'a$b&c\'; GRANT SELECT ON mail.* TO dollar@\'%\'')
  await both(t, { ...BASE, user: 'dollar', password: 'a$b&c', ...Q }, { 'info@example.com': 'box@example.net' })
})

t.test('C16 C20 a server without TCP, and one on ::1', async t => {
  const local = await during(t, startMariadb({ sql: tables, args: ['--skip-networking'] }))
  await both(t, { ...BASE, hosts: `unix:${local.socket}`, ...Q }, { 'info@example.com': 'box@example.net' })
  const six = await during(t, startMariadb({ sql: tables, args: ['--bind-address=::1'] }))
  // Postfix's own client takes the brackets for a part of the name.
  t.equal(plain(await open({ ...BASE, hosts: `[::1]:${six.port}`, ...Q }).ask('info@example.com')), 'box@example.net')
  const bare = defineFromCf(cf({ ...BASE, hosts: '::1', ...Q }))
  t.match(bare, { ok: true, definition: { hosts: [{ kind: 'inet', host: '::1', port: 3306 }] } })
})

t.test('C17 hosts with a port', async t => {
  await both(t, { ...BASE, hosts: `127.0.0.1:${server.port}`, ...Q }, { 'info@example.com': 'box@example.net' })
  await both(t, { ...BASE, hosts: `inet:127.0.0.1:${server.port}`, ...Q }, { 'info@example.com': 'box@example.net' })
})

t.test('C19 the first of two hosts is not there', async t => {
  const table = open({ ...BASE, hosts: `unix:${folder}/none.sock, 127.0.0.1:${server.port}`, ...Q })
  for (let times = 0; times < 10; times++) t.equal(plain(await table.ask('info@example.com')), 'box@example.net')
})

t.test('C22 host for hosts', t => {
  const table = open({ host: '127.0.0.1:3307', user: 'pf', dbname: 'mail', ...Q })
  t.match(warnings(table), /host: .*ignored, as Postfix does; did you mean 'hosts'/)
  t.end()
})

t.test('C23 a socket without unix:', t => {
  refused(t, { ...BASE, hosts: '/run/mysqld/mysqld.sock', ...Q }, /hosts: .*write unix:\/run\/mysqld\/mysqld\.sock/)
  t.end()
})

t.test('C06 a legacy parameter with a slip', async t => {
  const table = await both(t, {
    ...BASE, table: 'alias', select_field: 'goto', where_field: 'address', additonal_conditions: 'and active = \'1\'',
  }, { 'off@example.com': 'off@example.net' })
  t.match(table.defined.warnings, [{ place: /:\d+$/, text: /additonal_conditions: .*did you mean 'additional_conditions'/ }])
})

t.test('C24 ports by the names of services', t => {
  const hosts = (port: string) => open({ ...BASE, hosts: `127.0.0.1:${port}`, ...Q }).defined
  t.match(hosts('mysql'), { definition: { hosts: [{ port: 3306 }] } })
  refused(t, { ...BASE, hosts: '127.0.0.1:mysqlx', ...Q }, /hosts: 'mysqlx' is not a port/)
  t.end()
})

t.test('C36 a query that lacks its closing quote is refused, for its map alone', async t => {
  refused(t, { query: 'SELECT goto FROM alias WHERE address=\'%s', ...BASE }, /^FILE:1 query: the quote .* is not closed/)
  await both(t, { ...BASE, ...Q }, { 'info@example.com': 'box@example.net' })
})

t.test('C25 keys without what the query needs', async t => {
  const table = await both(t, { ...BASE, query: 'SELECT goto FROM alias WHERE domain=\'%d\' AND \'%u\'=\'%u\' LIMIT 1' }, {
    '@example.com': noRow, 'example.com': noRow,
  })
  t.equal(table.defined.ok && table.defined.definition.bind('@example.com'), null)
})

t.test('C26 a percent sign in the query', async t => {
  refused(t, { query: 'SELECT goto FROM alias WHERE address LIKE \'in%\' AND address=\'%s\'', ...BASE }, /^FILE:1 query: in 'in%': /)
  await both(t, { ...BASE, query: 'SELECT goto FROM alias WHERE address LIKE \'in%%\' AND address=\'%s\'' }, { 'info@example.com': 'box@example.net' })
})

t.test('C28 a key with two @, a quoted local part', async t => {
  await both(t, { ...BASE, query: 'SELECT \'%u\',\'%d\'' }, { 'a@b@example.com': 'a@b,example.com', '"a b"@example.com': '"a b",example.com' })
})

t.test('C29 keys outside the domain list', async t => {
  const table = await both(t, { ...BASE, ...Q, domain: 'example.net, Example.ORG' }, { 'info@example.com': noRow, '@example.org': noRow, info: noRow, 'x@sub.example.org': noRow })
  for (const key of ['info@example.com', '@example.org', 'info']) t.equal(table.defined.ok && table.defined.definition.bind(key), null)
  await both(t, { ...BASE, ...Q, domain: 'EXAMPLE.com' }, { 'info@example.com': 'box@example.net' })
})

t.test('C31 the parameters of old', async t => {
  const old = { table: 'alias', select_field: 'goto', where_field: 'address', additional_conditions: 'and active = \'1\'' }
  await both(t, { ...BASE, ...old }, { 'info@example.com': 'box@example.net', 'off@example.com': noRow })
  await both(t, { ...BASE, ...old, table: 'nosuch', ...Q }, { 'info@example.com': 'box@example.net' })
})

t.test('C32 a semicolon at the end, and a second statement', async t => {
  await both(t, { ...BASE, query: `${query};` }, { 'info@example.com': 'box@example.net' })
  await both(t, { ...BASE, query: 'SELECT goto FROM alias WHERE address=\'%s\'; SELECT 2' }, { 'info@example.com': noAnswer })
})

const quotes = { query: 'SELECT goto FROM alias WHERE address=\'%u@%d\' AND domain="%d"' }

t.test('C34 quotes of both kinds', async t => {
  await both(t, { ...BASE, ...quotes }, { 'info@example.com': 'box@example.net' })
  await both(t, { ...BASE, query: 'SELECT goto FROM alias WHERE address=CONCAT(\'%u\',\'@\',\'%d\')' }, { 'o\'brien@example.com': 'ob@example.net' })
  // Other modes are for the sessions of a server of its own.
  const ansi = await during(t, startMariadb({ sql: tables, args: ['--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES'] }))
  const there = { ...BASE, hosts: `unix:${ansi.socket}` }
  await both(t, { ...there, ...quotes }, { 'info@example.com': noAnswer })
  await both(t, { ...there, ...Q }, { 'back\\slash@example.com': noRow, 'o\'brien@example.com': 'ob@example.net' })
  // Postfix's own client would look for the letters that stand there, with the backslash.
  t.same(plain(await open({ ...there, query: 'SELECT goto FROM alias WHERE address=\'\\%%%s\'' }).ask('info@example.com')), noAnswer)
})

t.test('C35 percent signs in keys and in the query', async t => {
  await both(t, { ...BASE, query: 'SELECT \'%s\'' }, { 'a%d%s@example.com': 'a%d%s@example.com' })
  await both(t, { ...BASE, query: 'SELECT \'100%%d@example.net\'' }, { any: '100%d@example.net' })
})

t.test('C37 several rows, with NULL and an empty value', async t => {
  const table = open({ ...BASE, ...multi })
  t.equal(plain(await table.ask('m@example.com')), 'one@example.net,two@example.net,three@example.net')
  t.equal(table.emptyValues(), 1)
})

t.test('C38 expansion_limit', async t => {
  await both(t, { ...BASE, ...multi, expansion_limit: '1' }, { 'm@example.com': noAnswer })
  for (const limit of ['3', '0', '-1']) {
    t.equal(plain(await open({ ...BASE, ...multi, expansion_limit: limit }).ask('m@example.com')), 'one@example.net,two@example.net,three@example.net')
  }
})

t.test('C40 an empty value alone', async t => {
  const table = await both(t, { ...BASE, ...Q }, { 'empty@example.com': noRow, 'null@example.com': noRow })
  t.equal(table.emptyValues(), 1)
})

t.test('C41 result_format over rows', async t => {
  await both(t, { ...BASE, ...multi, result_format: 'smtp:[%d]' }, { 'f@example.com': 'smtp:[x.example],smtp:[y.example]' })
  await both(t, { ...BASE, ...multi, result_format: '%u' }, { 'f@example.com': 'a,plain' })
  t.equal(plain(await open({ ...BASE, ...multi, result_format: 'lmtp:[%s]:24' }).ask('m@example.com')),
    'lmtp:[one@example.net]:24,lmtp:[two@example.net]:24,lmtp:[three@example.net]:24')
})

t.test('C43 a list in one value is one element', async t => {
  await both(t, { ...BASE, ...Q, expansion_limit: '1' }, { 'list@example.com': 'a@example.net, b@example.net' })
})

t.test('C44 blanks around a value and a newline in it', async t => {
  await both(t, { ...BASE, ...Q }, { 'outer@example.com': ' v ', 'newline@example.com': 'a\nb' })
})

t.test('C46 C47 C49 C50 columns of other types', async t => {
  const columns = new Map([
    ['SELECT big FROM types', '18446744073709551615'], ['SELECT dec4 FROM types', '12.5000'], ['SELECT dbl FROM types', '1e20'], ['SELECT 1.10', '1.10'],
    ['SELECT bin FROM types', 'box@example.net'], ['SELECT 0x61', 'a'], ['SELECT CONCAT(\'a\',5)', 'a5'],
    ['SELECT COUNT(*) FROM alias WHERE address=\'%s\'', '0'], ['SELECT active FROM alias WHERE address=\'off@example.com\'', '0'],
    ['SELECT dt FROM types', '2024-01-02 03:04:05'], ['SELECT d FROM types', '2024-01-02'], ['SELECT JSON_OBJECT(\'a\',1)', '{"a": 1}'],
  ])
  for (const [query, value] of columns) await both(t, { ...BASE, query }, { unknown: value })
})

t.test('C52 C53 a quote and a backslash in the key', async t => {
  await both(t, { ...BASE, ...Q }, { 'o\'brien@example.com': 'ob@example.net', 'back\\slash@example.com': 'bs@example.net' })
})

t.test('C55 a key in upper case on a case-sensitive column', async t => {
  await both(t, { ...BASE, query: 'SELECT goto FROM ub WHERE address=\'%s\'' }, { 'INFO@Example.COM': 'box@example.net' })
})

t.test('C56 a key after LIKE', async t => {
  const table = await both(t, { ...BASE, query: 'SELECT goto FROM alias WHERE address LIKE \'%s\' LIMIT 1' }, { 'i_fo@example.com': 'box@example.net' })
  t.match(warnings(table), /query: has the key after LIKE.*wildcard/)
})

t.test('C58 an empty key, two quotes, a blank', async t => {
  const table = open({ ...BASE, query: 'SELECT \'asked\'' })
  t.same(plain(await table.ask('')), noRow)
  await both(t, { ...BASE, ...Q }, { '""': noRow, ' ': noRow, 'info@example.com': 'box@example.net' })
})

t.test('C59 very long keys', async t => {
  const name = '"Müller; A. <x@y>, \n\t\\"z\\"" '
  for (const length of [3_000, 9_900]) {
    const key = `${name.repeat(length / name.length)}"@example.com`
    t.same(plain(await open({ ...BASE, ...Q }).ask(key)), noRow)
    t.equal(plain(await open({ ...BASE, query: 'SELECT LENGTH(\'%s\')' }).ask(key)), String(Buffer.byteLength(key.toLowerCase())))
  }
})

t.test('C61 a key that the column\'s character set lacks', async t => {
  const table = await both(t, { ...BASE, query: 'SELECT goto FROM l1 WHERE address=\'%s\'' }, { '😀@example.com': noAnswer })
  const answers = new Map<string, Plain[]>([['😀@example.com', []], ['info@example.com', []]])
  await Promise.all(Array.from({ length: 220 }, async (_, at) => {
    const key = at % 11 === 0 ? '😀@example.com' : 'info@example.com'
    answers.get(key)?.push(plain(await table.ask(key)))
  }))
  t.same(answers.get('😀@example.com'), Array.from({ length: 20 }, () => noAnswer))
  t.same(answers.get('info@example.com'), Array.from({ length: 200 }, () => 'box@example.net'))
})

t.test('C62 a key that the column\'s character set has', async t => {
  const l1 = { ...BASE, query: 'SELECT goto FROM l1 WHERE address=\'%s\'' }
  await both(t, l1, { 'café@example.com': noRow })
  await server.sql('INSERT INTO l1 VALUES (\'café@example.com\', \'coffee@example.net\')')
  await both(t, l1, { 'café@example.com': 'coffee@example.net' })
})

t.test('C64 a domain name in both its forms', async t => {
  await both(t, { ...BASE, ...Q }, { 'info@bücher.example': noRow, 'info@xn--bcher-kva.example': 'idn@example.net' })
})

t.test('C94 a MySQL account whose password the server has not cached', { skip: noMysql }, async t => {
  const { file, certificate, remove } = await makeCertificates()
  await certificate('server', 'IP:127.0.0.1')
  const mysql = await startMysql({ sql: tables, args: [`--ssl-cert=${file('server.pem')}`, `--ssl-key=${file('server.key')}`, `--ssl-ca=${file('ca.pem')}`] })
  t.teardown(async () => {
    await mysql.stop()
    remove()
  })
  const tcp = `127.0.0.1:${mysql.port}`
  for (const there of [{ hosts: `unix:${mysql.socket}` }, { hosts: tcp, tls_CAfile: file('ca.pem'), tls_verify_cert: 'yes' }, { hosts: tcp }]) {
    await mysql.sql('FLUSH PRIVILEGES')
    await both(t, { ...BASE, ...there, ...Q }, { 'info@example.com': 'box@example.net', 'nobody@example.com': noRow })
  }
  await mysql.kill()
  await mysql.start()
  t.equal(plain(await open({ ...BASE, hosts: tcp, ...Q }).ask('info@example.com')), 'box@example.net')
})

t.test('C95 an account with a rare authentication plug-in', async t => {
  await server.sql('INSTALL SONAME \'auth_ed25519\'; CREATE USER ed@\'%\' IDENTIFIED VIA ed25519 USING PASSWORD(\'secret-word\'); GRANT SELECT ON mail.* TO ed@\'%\'')
  const outcome = await open({ ...BASE, user: 'ed', password: 'secret-word', ...Q }).ask('info@example.com')
  if (outcome.kind === 'unavailable') {
    t.match(outcome.detail, /client_ed25519/)
    t.notMatch(outcome.detail, /secret-word/)
  } else t.equal(plain(outcome), 'box@example.net')
})

t.test('C97 an account that needs TLS', async t => {
  await server.sql('CREATE USER tls@\'%\' IDENTIFIED BY \'secret-word\' REQUIRE SSL; GRANT SELECT ON mail.* TO tls@\'%\'')
  const outcome = await open({ ...BASE, user: 'tls', password: 'secret-word', hosts: `127.0.0.1:${server.port}`, ...Q }).ask('info@example.com')
  if (outcome.kind === 'unavailable') t.match(outcome.detail, /tls_CAfile/)
  else t.equal(plain(outcome), 'box@example.net')
})

t.test('C98 the password is in the option file', async t => {
  const options = join(folder, 'postfix.cnf')
  writeFileSync(options, `[client]\npassword=wrong\n[postfix]\npassword="${server.password}"\n`)
  const { password, ...rest } = BASE
  t.ok(password)
  t.equal(plain(await open({ ...rest, option_file: options, option_group: 'postfix', ...Q }).ask('info@example.com')), 'box@example.net')
  refused(t, { ...rest, option_file: join(folder, 'nosuch.cnf'), ...Q }, /option_file: can't be read/)
})

t.test('C100 C101 a stored procedure', async t => {
  await both(t, { ...BASE, query: 'CALL look(\'%s\')' }, { 'info@example.com': 'box@example.net', 'nobody@example.com': noRow })
  await both(t, { ...BASE, query: 'CALL nothing(\'%s\')' }, { 'info@example.com': noAnswer })
  await both(t, { ...BASE, query: 'CALL nothing(\'%s\')', require_result_set: 'no' }, { 'info@example.com': noRow })
})

t.test('C103 a procedure with two results', async t => {
  await both(t, { ...BASE, query: 'CALL look2(\'%s\')' }, { 'info@example.com': noAnswer })
  const outcome = await open({ ...BASE, query: 'CALL look2(\'%s\')' }).ask('info@example.com')
  t.match(outcome, { reason: 'query-error', detail: /multiple result sets/ })
})

t.test('C104 a procedure and a plain query by turns', async t => {
  const call = open({ ...BASE, query: 'CALL look(\'%s\')' })
  const select = open({ ...BASE, ...Q })
  for (let times = 0; times < 50; times++) {
    for (const table of [call, select]) {
      const answer = plain(await table.ask('info@example.com'))
      if (answer !== 'box@example.net') t.same(answer, 'box@example.net')
    }
  }
  t.pass('a hundred answers')
})

t.test('C55 C58 C65 over socketmap: case, an empty key, a key that is not UTF-8', async t => {
  const path = cf({ ...BASE, query: 'SELECT goto FROM ub WHERE address=\'%s\'' })
  const echo = cf({ ...BASE, query: 'SELECT \'asked\'' })
  const daemon = await startHoldfast(dir => `listen:\n  - socketmap: unix:${dir}/s\nhealth: "off"\nmaps:\n`
    + `  ub: { search: exact, cf: ${path} }\n  echo: { search: exact, cf: ${echo} }\n`)
  t.teardown(() => daemon.stop())
  const ask = (map: string, key: string | Buffer): Promise<string> => socketmapAsk(`${daemon.dir}/s`, map, key)
  for (const key of ['INFO@Example.COM', 'info@example.com', 'Info@example.com']) t.equal(await ask('ub', key), 'OK box@example.net')
  t.equal(await ask('echo', ''), 'NOTFOUND ')
  // Postfix sends such a key with smtputf8_enable = no only, and then its mysql: client would ask for it.
  t.equal(await ask('echo', Buffer.from('caf\xe9@example.com', 'latin1')), 'OK asked')
  t.equal(await ask('echo', 'café@example.com'), 'OK asked')
  t.equal(await ask('echo', ' '), 'OK asked')
})
