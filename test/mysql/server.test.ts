import { execFileSync } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createConnection } from 'mysql2/promise'
import type { Reply } from '../../src/mysql/server.js'
import type { Unavailable } from '../../src/outcome.js'
import {
  databaseBehind, databaseOn, fill, inet, known, knownAnswer, lookAlias, loginTo, noRows, patient, queryOf, reasonOf, reasons, seen, serversFor, sessions, startBed, statusOf, untilSessions,
} from './bed.js'

const mariadb = await startBed(t)

t.test('while connections are refused, questions get source-down, and breaker-open after some failures', async t => {
  const { changes, proxy, database } = await databaseBehind(t, mariadb)
  t.same(await reasons(database, 10), Array(10).fill('rows'))
  proxy.refuse()
  proxy.dropAll()
  t.same(await reasons(database, 5), ['source-down', 'source-down', 'source-down', 'breaker-open', 'breaker-open'])
  t.same(changes, [{ server: `holdfast@127.0.0.1:${proxy.port}/mail`, state: 'open', detail: 'connection refused' }])
  t.match(await database.ask(lookAlias, [known], patient), { detail: /not asked after failures; last error: connection refused$/ })
  await proxy.pass()
  const accepted = proxy.accepted()
  t.same(await reasons(database, 3), ['breaker-open', 'breaker-open', 'breaker-open'])
  t.equal(proxy.accepted(), accepted)
})

for (const { well, state } of [{ well: 1, state: 'open' }, { well: 20, state: 'closed' }]) {
  t.test(`three of ${3 + well} questions fail, never enough in a row: the breaker is ${state}`, async t => {
    const { servers, proxy, database } = await databaseBehind(t, mariadb, { failures: 4 })
    t.same(await reasons(database, well), Array(well).fill('rows'))
    proxy.refuse()
    proxy.dropAll()
    t.same(await reasons(database, 3), Array(3).fill('source-down'))
    t.equal(statusOf(servers).state, state)
    await proxy.pass()
    t.equal(reasonOf(await database.ask(lookAlias, [known], patient)), state === 'open' ? 'breaker-open' : 'rows')
    proxy.refuse()
    proxy.dropAll()
    // The successes were counted, so that one more failure is a small share.
    await reasons(database, 1)
    t.equal(statusOf(servers).state, state)
  })
}

t.test('Holdfast tries a failed server in the background, so it is used again even if nobody asks', async t => {
  const { servers, changes, until, proxy, database } = await databaseBehind(t, mariadb, { resetMs: 50 })
  proxy.refuse()
  await reasons(database, 3)
  const outMs = database.outMs()
  t.ok(outMs !== null && outMs >= 0, 'it was found out')
  await until('half-open')
  await until('open')
  t.ok((database.outMs() ?? 0) > (outMs ?? 0), 'the try found it out again, though nobody asked')
  await proxy.pass()
  await until('closed')
  t.equal(database.outMs(), null)
  t.equal(statusOf(servers).opened, 1, 'a try that fails is no new outage')
  t.same(changes.map(({ state }) => state).slice(0, 3), ['open', 'half-open', 'open'])
  const accepted = proxy.accepted()
  t.same(await reasons(database, 3), ['rows', 'rows', 'rows'])
  t.equal(proxy.accepted(), accepted, 'on the connection that was tried')
})

t.test('no question waits for a server while Holdfast tries it in the background', async t => {
  const { until, proxy, database } = await databaseBehind(t, mariadb, { resetMs: 50 })
  proxy.refuse()
  await reasons(database, 3)
  await proxy.pass()
  proxy.stall()
  await until('half-open')
  t.same(await reasons(database, 5), Array(5).fill('breaker-open'))
})

t.test('only one question waits for a hung server; then all get breaker-open until it answers again', async t => {
  const hanging = await startBed(t)
  const { until, database } = databaseOn(t, hanging, { resetMs: 50, statementMs: 2_000, silentMs: 500 })
  t.same(await reasons(database, 2), ['rows', 'rows'])
  await hanging.pause()
  t.equal(reasonOf(await database.ask(lookAlias, [known], patient)), 'timeout')
  for (const reason of await reasons(database, 100)) t.match(reason, /^(?:timeout|breaker-open)$/)
  await until('open')
  t.same(await reasons(database, 5), Array(5).fill('breaker-open'))
  hanging.resume()
  await until('closed')
  t.same(await reasons(database, 5), Array(5).fill('rows'))
})

t.test('when a server counts as silent, its questions fail; their statements go on and end the silence', async t => {
  const { servers, changes, proxy, database } = await databaseBehind(t, mariadb, { connections: 3, silentMs: 1_000 })
  await fill(database, servers, 3)
  // Once answered in time, the query may have all connections.
  await reasons(database, 1)
  proxy.slow(5_000)
  const waiting = await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], patient)))
  t.same(waiting.map(reasonOf), Array(20).fill('timeout'))
  t.match(statusOf(servers), { busy: 3, waiting: 0 })
  t.same(await reasons(database, 5), Array(5).fill('timeout'))
  while (statusOf(servers).busy > 0) await setTimeout(10)
  // Now that it is known to be slow, its answers are waited for.
  t.equal(reasonOf(await database.ask(lookAlias, [known], patient)), 'rows')
  t.same(changes, [])
})

t.test('one slow query alone does not make a server count as silent, if it accepts another connection', async t => {
  const { changes, database } = databaseOn(t, mariadb, { silentMs: 2_000 })
  await reasons(database, 1)
  t.equal(reasonOf(await database.ask(queryOf('SELECT SLEEP(5), ?'), ['x'], patient)), 'rows')
  t.same(changes, [])
})

t.test('a server that falls silent while an absence is judged does not keep the asker waiting', async t => {
  const { proxy, database } = await databaseBehind(t, mariadb, { silentMs: 1_000 })
  await reasons(database, 1)
  const answer = await database.ask(lookAlias, ['nobody'], patient, {
    onReply: async (_, held) => {
      proxy.blackhole()
      await held.again(lookAlias, [known])
    },
  })
  t.equal(reasonOf(answer), 'timeout')
})

t.test('only one question waits for a server that never completed a log-in; then it counts as out', async t => {
  const { changes, until, proxy, database } = await databaseBehind(t, mariadb, { silentMs: 20, statementMs: 1_000, connectTimeoutMs: 3_000 })
  proxy.stall()
  t.equal(reasonOf(await database.ask(lookAlias, [known], 1_000)), 'timeout')
  for (const reason of await reasons(database, 20)) t.match(reason, /^(?:timeout|breaker-open)$/)
  await until('open')
  t.same(changes.map(({ state, detail }) => [state, detail]), [['open', 'no answer in time']])
})

t.test('when the breaker opens for a hung server, queued questions fail at once, not after their time', async t => {
  const { servers, proxy, database } = await databaseBehind(t, mariadb, { connections: 3, statementMs: 2_000 })
  await fill(database, servers, 3)
  proxy.blackhole()
  const waiting = await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], patient)))
  for (const reason of waiting.splice(0, 3).map(reasonOf)) t.match(reason, /^(?:breaker-open|timeout)$/)
  t.same(waiting.map(reasonOf), Array(17).fill('breaker-open'))
})

t.test('a question that loses its connection to a hung server does not wait for another connection', async t => {
  const { servers, changes, proxy, database } = await databaseBehind(t, mariadb, { connections: 6, statementMs: 2_000 })
  await fill(database, servers, 6)
  proxy.blackhole()
  const ask = (): Promise<string> => database.ask(lookAlias, [known], patient).then(reasonOf)
  const [first, later] = [[ask(), ask(), ask()], [] as Promise<string>[]]
  await setTimeout(100)
  for (let asked = 0; asked < 3; asked++) later.push(ask())
  for (const reason of await Promise.all([...first, ...later])) t.match(reason, /^(?:breaker-open|timeout)$/)
  t.same(changes.map(({ state }) => state), ['open'])
})

t.test('lookups that time out because a dump locks the tables do not open the breaker', async t => {
  const { changes, database } = databaseOn(t, mariadb, { statementMs: 2_000 })
  const dump = await createConnection({ socketPath: mariadb.socket, user: 'root', database: 'mail' })
  t.teardown(() => dump.end())
  await dump.query('LOCK TABLES alias WRITE')
  t.same(await reasons(database, 5), Array(5).fill('timeout'))
  await dump.query('UNLOCK TABLES')
  t.same(await reasons(database, 2), ['rows', 'rows'])
  t.same(changes, [])
})

t.test('status distinguishes two log-ins on one server, and shows what the server says about each', async t => {
  await mariadb.sql(`CREATE USER old IDENTIFIED BY 'old' PASSWORD EXPIRE; GRANT SELECT ON mail.* TO old;
    CREATE USER owner; GRANT SELECT ON mail.* TO owner; CREATE DEFINER = owner SQL SECURITY DEFINER VIEW owned AS SELECT * FROM alias;
    DROP USER owner`)
  const { servers } = serversFor(t)
  const host = inet(mariadb)
  const good = servers.database([host], loginTo(mariadb))
  const expired = servers.database([host], loginTo(mariadb, { user: 'old', password: 'old' }))
  await reasons(good, 1)
  t.match(await expired.ask(lookAlias, [known], patient), {
    reason: 'source-refused', detail: new RegExp(`^old@127\\.0\\.0\\.1:${mariadb.port}/mail: error 18\\d\\d: .*password`, 'i'),
  })
  t.same(servers.status().map(({ server, lastError }) => [server, lastError === '']), [
    [`holdfast@127.0.0.1:${mariadb.port}/mail`, true], [`old@127.0.0.1:${mariadb.port}/mail`, false],
  ])
  t.match(await good.ask(queryOf('SELECT goto FROM owned WHERE address = ?'), [known], patient), {
    reason: 'query-error', detail: /error (?:1449: The user specified as a definer|1045: Access denied)/,
  })
})

t.test('once a view\'s definer is created again, open connections can use the view at once', async t => {
  await mariadb.sql(`CREATE USER lender; GRANT SELECT ON mail.* TO lender;
    CREATE DEFINER = lender SQL SECURITY DEFINER VIEW lent AS SELECT * FROM alias`)
  await untilSessions(mariadb, all => all.length === 0)
  const { database } = databaseOn(t, mariadb, { connections: 1 })
  const ask = (): Promise<Reply | Unavailable> => database.ask(queryOf('SELECT goto FROM lent WHERE address = ?'), [known], patient)
  t.same(seen(await ask()), knownAnswer)
  const standing = await sessions(mariadb)
  await mariadb.sql('DROP USER lender')
  t.equal(reasonOf(await ask()), 'query-error')
  await mariadb.sql('CREATE USER lender; GRANT SELECT ON mail.* TO lender')
  t.same(seen(await ask()), knownAnswer)
  t.same((await sessions(mariadb)).map(({ id }) => id), standing.map(({ id }) => id))
})

t.test('the server ends a query that timed out; its connection stays in use, and nobody gets its answer', async t => {
  const { servers, database } = databaseOn(t, mariadb, { connections: 1, statementMs: 2_000 })
  const slow = queryOf('SELECT ? FROM alias WHERE SLEEP(600) = 0')
  await reasons(database, 1)
  t.match(await database.ask(slow, ['late'], 100), { reason: 'timeout', detail: /no answer in time$/ })
  t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
  await untilSessions(mariadb, all => all.every(({ info }) => !String(info).includes('SLEEP')))
  t.same(seen(await database.ask(lookAlias, ['nobody'], patient)), noRows)
  t.match(statusOf(servers), { state: 'closed', connections: 1 })
})

t.test('a reply that arrived in time counts, even if this process was held up past the deadline', async t => {
  const { database } = databaseOn(t, mariadb, { connections: 1 })
  await reasons(database, 1)
  const called = 'SELECT VARIABLE_VALUE AS called FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = \'COM_CALL_PROCEDURE\''
  const [before] = await mariadb.sql(called)
  const replied = `SELECT (${called}) > ${String(before?.['called'])} AND NOT EXISTS (
    SELECT * FROM information_schema.PROCESSLIST WHERE USER = '${mariadb.user}' AND COMMAND <> 'Sleep')`
  const client = ['--no-defaults', '--user=root', `--socket=${mariadb.socket}`, '--batch', '--skip-column-names', `--execute=${replied}`]
  const budgetMs = 100
  const answer = database.ask(queryOf('CALL look(?)'), [known], budgetMs)
  const deadline = performance.now() + budgetMs
  while (execFileSync('mariadb', client, { encoding: 'utf8' }) !== '1\n' || performance.now() < deadline);
  t.same(seen(await answer), knownAnswer)
})

t.test('a missing table, column or right is an error of the query, and leaves the breaker closed', async t => {
  const { changes, database } = databaseOn(t, mariadb)
  for (const sql of ['SELECT a FROM later WHERE a = ?', 'SELECT nosuch FROM alias WHERE address = ?', 'SELECT User FROM mysql.user WHERE User = ?', 'SELEKT ?']) {
    for (let asked = 0; asked < 5; asked++) t.equal(reasonOf(await database.ask(queryOf(sql), ['a'], patient)), 'query-error')
  }
  await mariadb.sql('CREATE TABLE later (a INT)')
  t.same(seen(await database.ask(queryOf('SELECT a FROM later WHERE a = ?'), ['1'], patient)), noRows)
  t.same(changes, [])
})

t.test('a subquery with two rows is an error for this key only', async t => {
  const { database } = databaseOn(t, mariadb)
  await mariadb.sql('CREATE TABLE twice (k VARCHAR(9)); INSERT INTO twice VALUES (\'two\'), (\'two\'), (\'one\')')
  const sql = queryOf('SELECT (SELECT k FROM twice WHERE k = ?)')
  t.match(await database.ask(sql, ['two'], patient), { reason: 'query-error', detail: /error 1242 ER_SUBQUERY_NO_1_ROW$/ })
  t.same(seen(await database.ask(sql, ['one'], patient)), { kind: 'rows', rows: [['one']] })
})

t.test('the detail of an error leaves out the key that the server\'s text contains', async t => {
  const { database } = databaseOn(t, mariadb)
  const answer = await database.ask(queryOf('CALL fail_with(45000 - 43356, ?)'), ['secret@example.com'], patient)
  t.match(answer, { reason: 'query-error', detail: /error 1644 ER_SIGNAL_EXCEPTION$/ })
})

t.test('Holdfast repeats a query once after a deadlock or a lock wait', async t => {
  for (const errno of [1205, 1213]) {
    const { servers, database } = databaseOn(t, mariadb)
    t.same(seen(await database.ask(queryOf(`CALL fail_once(${errno}, ?)`), [known], patient)), knownAnswer)
    t.match(await database.ask(queryOf(`CALL fail_with(${errno}, ?)`), [known], patient), { reason: 'query-error' })
    t.equal(statusOf(servers).state, 'closed')
  }
})
