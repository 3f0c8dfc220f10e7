/**
 * MySQL 9 where it differs from MariaDB: how accounts log in, the words for
 * replication, and what its results look like on the wire. The proof is in
 * FLUSH PRIVILEGES, which empties the server's cache of passwords: the first
 * log-in after it has to show the password, over TLS, a unix socket or encrypted
 * with the server's RSA key; the next one only a hash.
 */
import t from 'tap'
import { askChanges, parseChanges } from '../../src/tables/changes_query.js'
import { Connection } from '../../src/mysql/connection.js'
import { openServers } from '../../src/mysql/database.js'
import { openConnection } from '../../src/mysql/session.js'
import type { Target } from '../../src/mysql/session.js'
import { readTls } from '../../src/mysql/tls.js'
import { makeCertificates } from '../fixtures/certificates.js'
import { during } from '../fixtures/during.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import { connectTo, inet, known, knownAnswer, lookAlias, loginTo, noRows, seen, serversFor, queryOf, tables, targetOf, unix, untilSessions } from './bed.js'
import { serverSettings } from '../fixtures/server_settings.js'

t.test('MySQL 9', { skip: noMysql }, async t => {
  const { file, authority, certificate, remove } = await makeCertificates()
  t.teardown(remove)
  await Promise.all([authority('stranger'), certificate('server', 'IP:127.0.0.1')])
  const mysql = await during(t, startMysql({
    sql: `${tables} ALTER TABLE alias ADD modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP`,
    args: [`--ssl-cert=${file('server.pem')}`, `--ssl-key=${file('server.key')}`, `--ssl-ca=${file('ca.pem')}`],
  }))
  const { user } = mysql
  const tls = (caFile: string) =>
    readTls({ certFile: null, keyFile: null, caFile: file(caFile), caPath: null, ciphers: null, verify: true })
  const target = targetOf(mysql)
  const ways: Readonly<Record<string, Partial<Target>>> = {
    'a unix socket': {},
    'TLS with a verified certificate': { host: inet(mysql), ssl: tls('ca.pem') },
    'plain TCP': { host: inet(mysql) },
  }

  for (const [way, changed] of Object.entries(ways)) {
    await t.test(`over ${way}: the first log-in and the next`, async t => {
      t.equal((await mysql.sql(`SELECT plugin FROM mysql.user WHERE user = '${user}'`))[0]?.['plugin'], 'caching_sha2_password')
      await mysql.sql('FLUSH PRIVILEGES')
      for (const login of ['first', 'second']) {
        const connection = await connectTo(t, mysql, changed)
        t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer, login)
        t.same(seen(await connection.ask(lookAlias, ['nobody@example.com'], 5_000)), noRows, login)
      }
    })

    await t.test(`over ${way}: a wrong password is reported, with what to look at`, async t => {
      for (const before of ['FLUSH PRIVILEGES', 'SELECT 1']) {
        await mysql.sql(before)
        const fault = await openConnection({ ...target, ...changed, password: 'wrong-secret' }, 5_000)
        if (fault instanceof Connection) throw new Error('connected')
        t.match(fault, { blame: 'server', reason: 'source-refused', detail: /^error 1045: Access denied for user 'holdfast'.*; check user and password/ })
        t.notMatch(fault.detail, 'wrong-secret')
      }
    })
  }

  await t.test('a certificate of a stranger gets no password', async t => {
    await mysql.sql('FLUSH PRIVILEGES')
    t.match(await openConnection({ ...target, host: inet(mysql), ssl: tls('stranger.pem') }, 5_000), { detail: /^TLS: .*certificate/ })
  })

  await t.test('an account that needs TLS: the refusal says what to set', async t => {
    await mysql.sql('CREATE USER private IDENTIFIED BY \'secret\' REQUIRE SSL; GRANT SELECT ON mail.* TO private')
    const login = { ...target, host: inet(mysql), user: 'private', password: 'secret' }
    t.match(await openConnection(login, 5_000), { detail: /if the account needs TLS, set tls_CAfile$/ })
    const connection = await connectTo(t, mysql, { ...login, ssl: tls('ca.pem') })
    t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
  })

  await t.test('an account with sha256_password, over TLS and plain TCP', async t => {
    await mysql.sql('CREATE USER older IDENTIFIED WITH sha256_password BY \'secret\'; GRANT SELECT ON mail.* TO older')
    for (const ssl of [tls('ca.pem'), null]) {
      const connection = await connectTo(t, mysql, { host: inet(mysql), user: 'older', password: 'secret', ssl })
      t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
    }
  })

  await t.test('a stored procedure; two results and none', async t => {
    const connection = await connectTo(t, mysql)
    t.same(seen(await connection.ask(queryOf('CALL look(?)'), [known], 5_000)), knownAnswer)
    t.same(seen(await connection.ask(queryOf('CALL look(?)'), ['nobody@example.com'], 5_000)), noRows)
    t.match(await connection.ask(queryOf('CALL look_twice(?)'), [known], 5_000), { kind: 'fault', detail: 'multiple result sets' })
    t.same(seen(await connection.ask(queryOf('CALL no_result(?)'), [known], 5_000)), { kind: 'rows', rows: null })
    t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer, 'and the connection goes on')
  })

  await t.test('the text of a key is never SQL', async t => {
    const connection = await connectTo(t, mysql)
    for (const key of ['o\'brien@example.com', 'back\\slash@example.com', '\' OR \'\'=\'', '😀\u0000']) {
      t.same(seen(await connection.ask(queryOf('SELECT ?'), [key], 5_000)), { kind: 'rows', rows: [[Buffer.from(key).toString('latin1')]] })
      t.same(seen(await connection.ask(lookAlias, [key], 5_000)), noRows)
    }
  })

  await t.test('a restart of the server fails no question', async t => {
    const { servers } = serversFor(t)
    const connected = servers.database([unix(mysql)], loginTo(mysql))
    t.same(seen(await connected.ask(lookAlias, [known], 10_000)), knownAnswer)
    await mysql.kill()
    await mysql.start()
    t.same(seen(await connected.ask(lookAlias, [known], 10_000)), knownAnswer)
  })

  await t.test('if the server ends an idle session with a message, the next question gets a new one', async t => {
    const { servers, changes } = serversFor(t)
    await mysql.sql('SET GLOBAL wait_timeout = 1')
    const connected = servers.database([unix(mysql)], loginTo(mysql))
    t.same(seen(await connected.ask(lookAlias, [known], 10_000)), knownAnswer)
    await mysql.sql('SET GLOBAL wait_timeout = 28800')
    await untilSessions(mysql, sessions => sessions.length === 0)
    t.same(seen(await connected.ask(lookAlias, [known], 10_000)), knownAnswer)
    t.same([servers.status()[0]?.lastError, changes], ['', []], 'which is nobody\'s failure')
  })

  await t.test('a query that takes too long is ended by the server itself', async t => {
    const { servers } = serversFor(t, { statementMs: 400 })
    const connected = servers.database([unix(mysql)], loginTo(mysql))
    const slow = queryOf('SELECT SLEEP(100) /* slow */ FROM alias WHERE address = ?')
    t.match(await connected.ask(slow, [known], 200), { kind: 'unavailable', reason: 'timeout' })
    const running = (): Promise<readonly unknown[]> => mysql.sql('SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE \'SELECT SLEEP%\'')
    while ((await running()).length > 0);
    t.same(seen(await connected.ask(lookAlias, [known], 10_000)), knownAnswer)
  })

  await t.test('a session has the limit of a statement that was asked for, or none', async t => {
    await mysql.sql('SET GLOBAL max_execution_time = 7000')
    for (const statementMs of [1_500, 0]) {
      const connection = await connectTo(t, mysql, { limitMs: statementMs })
      t.same(seen(await connection.ask(queryOf('SELECT @@max_execution_time'), [], 5_000)), { kind: 'rows', rows: [[String(statementMs)]] })
    }
    await mysql.sql('SET GLOBAL max_execution_time = 0')
    const connection = await connectTo(t, mysql, { limitMs: 50 })
    const slow = queryOf('SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, information_schema.COLUMNS c')
    t.match(await connection.ask(slow, [], 10_000), { kind: 'fault', blame: 'query', reason: 'timeout', detail: 'error 3024 ER_QUERY_TIMEOUT' })
    t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
  })

  await t.test('with max_lag a server that is no replica is believed; one cut off from its primary is not', async t => {
    await mysql.sql(`GRANT REPLICATION CLIENT ON *.* TO ${user}`)
    const servers = openServers(serverSettings({ maxLagMs: 1 }))
    t.teardown(() => servers.close())
    const doubt = async (name: string): Promise<unknown> => {
      // Another log-in for another server object: what it knows of its replication is kept for a second.
      let doubt: unknown = 'not asked'
      await servers.database([unix(mysql)], loginTo(mysql, { charset: name })).ask(lookAlias, ['nobody@example.com'], 10_000, {
        onReply: async (_reply, held) => { doubt = await held.doubtAbsence() },
      })
      return doubt
    }
    t.equal(await doubt('utf8mb4'), null)
    await mysql.sql('SET GLOBAL server_id = 2; CHANGE REPLICATION SOURCE TO SOURCE_HOST = \'127.0.0.1\', SOURCE_PORT = 1')
    t.match(await doubt('utf8mb3'), { reason: 'distrusted', detail: /not connected to its primary/ })
    await mysql.sql('RESET REPLICA ALL')
  })

  await t.test('a `changes` query tells which rows changed lately', async t => {
    const query = parseChanges('SELECT address FROM alias WHERE modified >= \'%s\'')
    if (typeof query === 'string') throw new Error(query)
    const { servers } = serversFor(t)
    const connected = servers.database([unix(mysql)], loginTo(mysql))
    await mysql.sql('UPDATE alias SET modified = NOW() - INTERVAL 1 DAY')
    t.same(await askChanges(connected, query, 5, 10_000), [])
    await mysql.sql(`UPDATE alias SET modified = NOW() WHERE address = '${known}'`)
    t.same(await askChanges(connected, query, 5, 10_000), [known])
  })
})

const withoutKey = 'MySQL 9 without an RSA key: plain TCP is refused until the server has the password in its cache'
t.test(withoutKey, { skip: noMysql }, async t => {
  const mysql = await during(t, startMysql({ sql: tables, args: ['--caching-sha2-password-auto-generate-rsa-keys=OFF', '--caching-sha2-password-private-key-path=none.pem'] }))
  const plainTcp = targetOf(mysql, { host: inet(mysql) })
  t.match(await openConnection(plainTcp, 5_000), { kind: 'fault', blame: 'server', detail: /^error 1045.*set tls_CAfile/ })
  await connectTo(t, mysql)
  const connection = await connectTo(t, mysql, plainTcp)
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
})
