import { execFileSync } from 'node:child_process'
import t from 'tap'
import { createConnection } from 'mysql2/promise'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import type { Database, Servers } from '../../src/mysql/database.js'
import type { ServerStatus } from '../../src/mysql/server.js'
import {
  inet, known, knownAnswer, lookAlias, loginTo, noRows, reasonOf, serversFor, sessions, seen, startBed, queryOf, unix, untilSessions,
} from './bed.js'
import type { Test } from './bed.js'

const mariadb = await startBed(t)

const proxied = async (t: Test, target: Mariadb = mariadb): Promise<Proxy> => {
  const proxy = await startProxy({ path: target.socket })
  t.teardown(() => proxy.stop())
  return proxy
}

const statusOf = (servers: Servers): ServerStatus => {
  const [status] = servers.status()
  if (status === undefined) throw new Error('no server')
  return status
}

/** What each of so many questions, one after the other, comes to. */
const reasons = async (database: Database, count: number, budgetMs = 5_000): Promise<readonly string[]> => {
  const all: string[] = []
  for (let asked = 0; asked < count; asked++) all.push(reasonOf(await database.ask(lookAlias, [known], budgetMs)))
  return all
}

t.test('many questions at once share the connections', async t => {
  const { servers } = serversFor(t, { connections: 3 })
  const database = servers.database([unix(mariadb)], loginTo(mariadb))
  const answers = await Promise.all(Array.from({ length: 100 }, () => database.ask(lookAlias, [known], 5_000)))
  for (const answer of answers) t.same(seen(answer), knownAnswer)
  t.match(statusOf(servers), { connections: 3, busy: 0, waiting: 0, limit: 3, state: 'closed', lastError: '' })
})

t.test('refused: source-down for each, and after so many in a row breaker-open without a try', async t => {
  const { servers, changes } = serversFor(t)
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  t.same(await reasons(database, 10), Array(10).fill('rows'))
  proxy.refuse()
  proxy.dropAll()
  t.same(await reasons(database, 5), ['source-down', 'source-down', 'source-down', 'breaker-open', 'breaker-open'])
  t.same(changes, [{ server: `127.0.0.1:${proxy.port}`, state: 'open', detail: 'ECONNREFUSED' }])
  t.match(await database.ask(lookAlias, [known], 5_000), { detail: /not asked after failures; last error: ECONNREFUSED$/ })
  await proxy.pass()
  const accepted = proxy.accepted()
  t.same(await reasons(database, 3), ['breaker-open', 'breaker-open', 'breaker-open'])
  t.equal(proxy.accepted(), accepted)
})

for (const { well, state } of [{ well: 1, state: 'open' }, { well: 20, state: 'closed' }]) {
  t.test(`three of ${3 + well} questions fail, and not so many in a row as would do alone: the breaker is ${state}`, async t => {
    const { servers } = serversFor(t, { failures: 4 })
    const proxy = await proxied(t)
    const database = servers.database([inet(proxy)], loginTo(mariadb))
    t.same(await reasons(database, well), Array(well).fill('rows'))
    proxy.refuse()
    proxy.dropAll()
    t.same(await reasons(database, 3), Array(3).fill('source-down'))
    t.equal(statusOf(servers).state, state)
    await proxy.pass()
    t.equal(reasonOf(await database.ask(lookAlias, [known], 5_000)), state === 'open' ? 'breaker-open' : 'rows')
    proxy.refuse()
    proxy.dropAll()
    // What went well was counted, so that one more is no large share.
    await reasons(database, 1)
    t.equal(statusOf(servers).state, state)
  })
}

t.test('half-open: one question is let through, the others are refused at once, and its success closes the breaker', async t => {
  const { servers, changes, until } = serversFor(t, { resetMs: 50 })
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  proxy.refuse()
  await reasons(database, 3)
  await until('half-open')
  await proxy.pass()
  const probe = database.ask(lookAlias, [known], 5_000)
  t.equal(reasonOf(await database.ask(lookAlias, [known], 5_000)), 'breaker-open')
  t.same(seen(await probe), knownAnswer)
  t.same(changes.map(({ state }) => state), ['open', 'half-open', 'closed'])
})

t.test('half-open: a failing probe opens the breaker again', async t => {
  const { servers, changes, until } = serversFor(t, { resetMs: 50 })
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  proxy.refuse()
  await reasons(database, 3)
  await until('half-open')
  t.same(await reasons(database, 2), ['source-down', 'breaker-open'])
  t.same(changes.map(({ state }) => state), ['open', 'half-open', 'open'])
})

t.test('half-open: an error of the probe\'s query shows that the server is back', async t => {
  const { servers, changes, until } = serversFor(t, { resetMs: 50 })
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  proxy.refuse()
  await reasons(database, 3)
  await until('half-open')
  await proxy.pass()
  t.equal(reasonOf(await database.ask(queryOf('SELECT nosuch FROM alias WHERE address = ?'), ['a'], 5_000)), 'query-error')
  t.same(changes.map(({ state }) => state), ['open', 'half-open', 'closed'])
})

t.test('after an outage the server gets one question at a time at first, and twice as many with each success', async t => {
  const { servers, until } = serversFor(t, { resetMs: 50, connections: 8 })
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  proxy.refuse()
  await reasons(database, 3)
  await until('half-open')
  await proxy.pass()
  const limits: number[] = [statusOf(servers).limit]
  for (let asked = 0; asked < 4; asked++) {
    await database.ask(lookAlias, [known], 5_000)
    limits.push(statusOf(servers).limit)
  }
  t.same(limits, [1, 2, 4, 8, 8])
})

t.test('hung: timeout within the budget, then breaker-open; awake again, answers', async t => {
  const hanging = await startBed(t)
  const { servers, until } = serversFor(t, { resetMs: 200 })
  const database = servers.database([inet(hanging)], loginTo(hanging))
  t.same(await reasons(database, 2), ['rows', 'rows'])
  await hanging.pause()
  t.same(await reasons(database, 4, 60), ['timeout', 'timeout', 'timeout', 'breaker-open'])
  hanging.resume()
  await until('half-open')
  t.same(await reasons(database, 5), Array(5).fill('rows'))
})

t.test('after a time-out the next questions don\'t use up their time, until one succeeds', async t => {
  const { servers, until } = serversFor(t, { failures: 3, suspectMs: 50, resetMs: 50 })
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  proxy.stall()
  const tenMinutes = 600_000
  t.equal(reasonOf(await database.ask(lookAlias, [known], 100)), 'timeout')
  t.same(await reasons(database, 2, tenMinutes), ['timeout', 'timeout'])
  await proxy.pass()
  proxy.dropAll()
  await until('half-open')
  // A probe has all its time: what is slow, but works, comes back.
  proxy.slow(100)
  t.equal(reasonOf(await database.ask(lookAlias, [known], tenMinutes)), 'rows')
  t.same(await reasons(database, 2, tenMinutes), ['rows', 'rows'])
})

t.test('hung with questions in the queue: they are sent away when the breaker opens, not when their time is over', async t => {
  const { servers } = serversFor(t, { connections: 3 })
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  await reasons(database, 1)
  proxy.blackhole()
  const early = Array.from({ length: 3 }, () => database.ask(lookAlias, [known], 100))
  const waiting = Array.from({ length: 20 }, () => database.ask(lookAlias, [known], 600_000))
  t.same((await Promise.all(early)).map(reasonOf), ['timeout', 'timeout', 'timeout'])
  // The first few still got their turn; the rest of them had to wait for the third failure only.
  for (const answer of await Promise.all(waiting.slice(3))) t.equal(reasonOf(answer), 'breaker-open')
})

t.test('killed and started again with the pool idle: no question notices', async t => {
  const restarted = await startBed(t)
  const { servers, changes } = serversFor(t)
  const database = servers.database([inet(restarted)], loginTo(restarted))
  await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], 5_000)))
  await restarted.kill()
  await restarted.start()
  t.same(await reasons(database, 100), Array(100).fill('rows'))
  t.same(changes, [])
})

t.test('idle connections killed by the server, or dead without a word: the next question gets a new one', async t => {
  const { servers, changes } = serversFor(t)
  const proxy = await proxied(t)
  const database = servers.database([inet(proxy)], loginTo(mariadb))
  for (let round = 0; round < 5; round++) {
    t.same(await reasons(database, 1), ['rows'])
    for (const { id } of await sessions(mariadb)) await mariadb.sql(`KILL ${String(id)}`)
    t.same(await reasons(database, 1), ['rows'])
    // The reset has not yet arrived when the question leaves.
    proxy.dropAll()
    t.same(await reasons(database, 1), ['rows'])
  }
  t.same(changes, [])
  t.equal(statusOf(servers).state, 'closed')
})

t.test('a query that timed out is ended by the server itself, its connection is gone, and its answer reaches nobody', async t => {
  const { servers } = serversFor(t, { connections: 1, statementMs: 300 })
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  const slow = queryOf('SELECT ? FROM alias WHERE SLEEP(600) = 0')
  await reasons(database, 1)
  t.match(await database.ask(slow, ['late'], 100), { reason: 'timeout', detail: /no answer in time$/ })
  t.same(seen(await database.ask(lookAlias, [known], 5_000)), knownAnswer)
  await untilSessions(mariadb, all => all.every(({ info }) => !String(info).includes('SLEEP')))
  t.same(seen(await database.ask(lookAlias, ['nobody'], 5_000)), noRows)
  t.match(statusOf(servers), { state: 'closed', connections: 1 })
})

t.test('a reply that came in time counts, though this process was held up longer', async t => {
  const { servers } = serversFor(t, { connections: 1 })
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
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

t.test('all connections busy: overloaded when the time is over, and the breaker stays out of it', async t => {
  const { servers, changes } = serversFor(t, { connections: 2 })
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  const lock = await createConnection({ socketPath: mariadb.socket, user: 'root', database: 'mail' })
  t.teardown(() => lock.end())
  await lock.query('SELECT GET_LOCK(\'held\', 0)')
  const held = queryOf('SELECT GET_LOCK(?, 60)')
  const busy = [database.ask(held, ['held'], 60_000), database.ask(held, ['held'], 60_000)]
  await untilSessions(mariadb, all => all.filter(({ info }) => String(info).includes('GET_LOCK')).length === 2)
  const late = await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], 50)))
  t.same(new Set(late.map(reasonOf)), new Set(['overloaded']))
  const patient = database.ask(lookAlias, [known], 60_000)
  await lock.query('SELECT RELEASE_ALL_LOCKS()')
  t.same(seen(await patient), knownAnswer)
  servers.close()
  await Promise.all(busy)
  t.same(changes, [])
})

t.test('a missing table, column or right is an error of the query, and leaves the breaker closed', async t => {
  const { servers, changes } = serversFor(t)
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  for (const sql of ['SELECT a FROM later WHERE a = ?', 'SELECT nosuch FROM alias WHERE address = ?', 'SELECT User FROM mysql.user WHERE User = ?', 'SELEKT ?']) {
    for (let asked = 0; asked < 5; asked++) t.equal(reasonOf(await database.ask(queryOf(sql), ['a'], 5_000)), 'query-error')
  }
  await mariadb.sql('CREATE TABLE later (a INT)')
  t.same(seen(await database.ask(queryOf('SELECT a FROM later WHERE a = ?'), ['1'], 5_000)), noRows)
  t.same(changes, [])
})

t.test('a subquery of two rows is an error for this key only', async t => {
  const { servers } = serversFor(t)
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  await mariadb.sql('CREATE TABLE twice (k VARCHAR(9)); INSERT INTO twice VALUES (\'two\'), (\'two\'), (\'one\')')
  const sql = queryOf('SELECT (SELECT k FROM twice WHERE k = ?)')
  t.match(await database.ask(sql, ['two'], 5_000), { reason: 'query-error', detail: /error 1242 ER_SUBQUERY_NO_1_ROW$/ })
  t.same(seen(await database.ask(sql, ['one'], 5_000)), { kind: 'rows', rows: [['one']] })
})

t.test('an error whose text holds the key: the detail doesn\'t', async t => {
  const { servers } = serversFor(t)
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  const answer = await database.ask(queryOf('CALL fail_with(45000 - 43356, ?)'), ['secret@example.com'], 5_000)
  t.match(answer, { reason: 'query-error', detail: /error 1644 ER_SIGNAL_EXCEPTION$/ })
})

t.test('a deadlock or a lock wait is tried once more', async t => {
  for (const errno of [1205, 1213]) {
    const { servers } = serversFor(t)
    const database = servers.database([inet(mariadb)], loginTo(mariadb))
    t.same(seen(await database.ask(queryOf(`CALL fail_once(${errno}, ?)`), [known], 5_000)), knownAnswer)
    t.match(await database.ask(queryOf(`CALL fail_with(${errno}, ?)`), [known], 5_000), { reason: 'query-error' })
    t.equal(statusOf(servers).state, 'closed')
  }
})

t.test('C83 too many connections: source-refused', async t => {
  const small = await startBed(t, ['--max-connections=10'])
  const { servers } = serversFor(t)
  const others = await Promise.all(Array.from({ length: 10 }, () =>
    createConnection({ socketPath: small.socket, user: small.user, password: small.password })))
  const database = servers.database([inet(small)], loginTo(small))
  t.match(await database.ask(lookAlias, [known], 5_000), { reason: 'source-refused', detail: /error 1040 ER_CON_COUNT_ERROR$/ })
  await Promise.all(others.map(other => other.end()))
  await untilSessions(small, all => all.length === 0)
  t.same(seen(await database.ask(lookAlias, [known], 5_000)), knownAnswer)
})

t.test('an unused connection is closed after the idle time, with leave taken', async t => {
  const { servers } = serversFor(t, { idleMs: 20 })
  await untilSessions(mariadb, all => all.length === 0)
  const before = await mariadb.sql('SHOW GLOBAL STATUS LIKE \'Aborted_clients\'')
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  t.same(await reasons(database, 1), ['rows'])
  await untilSessions(mariadb, all => all.length === 0)
  t.equal(statusOf(servers).connections, 0)
  t.same(await mariadb.sql('SHOW GLOBAL STATUS LIKE \'Aborted_clients\''), before)
  t.same(await reasons(database, 1), ['rows'])
})

t.test('closed: the connections are gone, what waits is sent away, and nothing is asked any more', async t => {
  const { servers } = serversFor(t, { connections: 1 })
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  await reasons(database, 1)
  const busy = database.ask(queryOf('SELECT SLEEP(?)'), ['600'], 600_000)
  const waiting = database.ask(lookAlias, [known], 600_000)
  await untilSessions(mariadb, all => all.some(({ info }) => String(info).includes('SLEEP')))
  servers.close()
  t.equal(reasonOf(await waiting), 'draining')
  t.equal(reasonOf(await busy), 'source-down')
  t.equal(reasonOf(await database.ask(lookAlias, [known], 5_000)), 'draining')
  await mariadb.sql('SELECT 1')
})
