import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createConnection } from 'mysql2/promise'
import { Connection } from '../../src/mysql/connection.js'
import type { Fault } from '../../src/mysql/fault.js'
import { Pool } from '../../src/mysql/pool.js'
import type { ServerSettings } from '../../src/mysql/server.js'
import { openConnection } from '../../src/mysql/session.js'
import { freePort } from '../fixtures/port.js'
import {
  databaseBehind, databaseOn, fill, inet, known, knownAnswer, lookAlias, loginTo, patient, queryOf, reasonOf, reasons, seen, serversFor, sessions, startBed, statusOf, targetOf, unix, untilSessions,
} from './bed.js'
import type { Test } from './bed.js'

const mariadb = await startBed(t)

/** A database that was away until its breaker opened, and is back. */
const afterOutage = async (t: Test, settings: Partial<ServerSettings>) => {
  const behind = await databaseBehind(t, mariadb, settings)
  behind.proxy.refuse()
  await reasons(behind.database, 3)
  await behind.proxy.pass()
  await behind.until('closed')
  return behind
}

t.test('many simultaneous questions share the connections', async t => {
  const { servers } = serversFor(t, { connections: 3 })
  const database = servers.database([unix(mariadb)], loginTo(mariadb))
  await fill(database, servers, 3)
  const answers = await Promise.all(Array.from({ length: 100 }, () => database.ask(lookAlias, [known], patient)))
  for (const answer of answers) t.same(seen(answer), knownAnswer)
  t.match(statusOf(servers), { connections: 3, busy: 0, waiting: 0, limit: 3, state: 'closed', lastError: '' })
})

t.test('a hung server gets no more handshakes than connections were open, and each may take its time', async t => {
  const { servers, until, proxy, database } = await databaseBehind(t, mariadb, { resetMs: 20, connections: 8, standing: 2, silentMs: 20, statementMs: 1_000 })
  await fill(database, servers, 2)
  proxy.stall()
  proxy.dropAll()
  const accepted = proxy.accepted()
  const hung = await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], 100)))
  t.ok(hung.every(answer => ['timeout', 'breaker-open'].includes(reasonOf(answer))), JSON.stringify(hung))
  await until('half-open')
  t.ok(proxy.accepted() <= accepted + 2, String(proxy.accepted() - accepted))
  t.equal(proxy.standing(), proxy.accepted() - accepted)
})

t.test('a refused connection beside open ones is tried again after a moment, even if no time has passed', async t => {
  const opened: string[] = []
  const open = async (): Promise<Connection | Fault> => {
    // Nobody listens where the second connection goes.
    const host = opened.length === 1 ? inet({ port: await freePort() }) : unix(mariadb)
    const connection = await openConnection(targetOf(mariadb, { host }), 10_000)
    opened.push(connection instanceof Connection ? 'opened' : connection.detail)
    return connection
  }
  const now = performance.now()
  // Timers may be early by it.
  t.intercept(performance, 'now', { value: () => now })
  const pool = new Pool({ connections: 2, standing: 0, idleMs: 60_000, maxAgeMs: 600_000 }, {
    open, onAsk: () => undefined, onOpened: () => undefined, onRefused: () => undefined,
  })
  t.teardown(() => pool.close())
  for (const query of [lookAlias, queryOf('SELECT 1')]) t.ok(await pool.take({}, query, now + patient) instanceof Connection)
  t.same(opened, ['opened', 'connection refused', 'opened'])
})

t.test('a reply that is still being judged does not hold up the next statement', async t => {
  const { servers, database } = await afterOutage(t, { resetMs: 50 })
  t.equal(statusOf(servers).limit, 1)
  let second = 'not answered'
  const first = database.ask(lookAlias, [known], patient, {
    onReply: async () => { second = reasonOf(await waiting) },
  })
  const waiting = database.ask(lookAlias, [known], patient)
  await first
  t.equal(second, 'rows')
})

t.test('after an outage the server gets one statement at a time at first, and one more with each answer', async t => {
  const { servers, database } = await afterOutage(t, { resetMs: 50, connections: 4 })
  const limits: number[] = [statusOf(servers).limit]
  for (let asked = 0; asked < 4; asked++) {
    await database.ask(lookAlias, [known], patient)
    limits.push(statusOf(servers).limit)
  }
  t.same(limits, [1, 2, 3, 4, 4])
})

t.test('a server on which statements take too long gets half as many at once, and answers those', async t => {
  // The server ends a statement after three quarters of that: a busy machine may take the rest to say so.
  const { servers, changes, database } = databaseOn(t, mariadb, { connections: 8, statementMs: 8_000 })
  await fill(database, servers, 8)
  // Each of them is a query by itself: one gets no more than its share.
  const answers = await Promise.all(Array.from({ length: 8 }, () => database.ask(queryOf('SELECT SLEEP(?)'), ['60'], patient)))
  t.same(new Set(answers.map(reasonOf)), new Set(['timeout']))
  t.equal(statusOf(servers).limit, 4, 'half, once for all of them')
  await reasons(database, 5)
  t.equal(statusOf(servers).limit, 5, 'one more after a round of answers')
  t.same(changes, [], 'it answered each: that its time is over')
})

t.test('N09 an address moves to another server, eight connections die silently: the second lookup works', async t => {
  const moved = await startBed(t)
  // As it ships: what a busy machine may take for a statement.
  const { servers, changes, proxy, database } = await databaseBehind(t, mariadb, { connections: 8, statementMs: 2_000 })
  await fill(database, servers, 8)
  proxy.forsake()
  proxy.lead({ path: moved.socket })
  t.same(await reasons(database, 6), ['timeout', ...Array<string>(5).fill('rows')])
  // One to ask by, and at most one more that was tried while the server was silent.
  t.ok(statusOf(servers).connections <= 2, 'the dead ones are gone')
  t.same(changes, [])
})

t.test('N06 a log-in that outlasts every lookup is not given up, and then every lookup is answered', async t => {
  const { servers, proxy, database } = await databaseBehind(t, mariadb, { silentMs: 20 })
  proxy.slow(100)
  t.equal(reasonOf(await database.ask(lookAlias, [known], 150)), 'timeout')
  while (statusOf(servers).connections === 0) await setTimeout(5)
  t.same(await reasons(database, 20), Array(20).fill('rows'))
  t.equal(proxy.accepted(), 1)
})

t.test('a slow query gets at most three quarters of the connections, so other maps are answered', async t => {
  const { servers, database } = databaseOn(t, mariadb, { connections: 8, statementMs: 3_000 })
  const query = queryOf('SELECT SLEEP(?)')
  const slow = Array.from({ length: 20 }, () => database.ask(query, ['60'], patient))
  t.same(new Set(await reasons(database, 200)), new Set(['rows']))
  t.equal(statusOf(servers).busy, 6)
  t.same(new Set((await Promise.all(slow)).map(reasonOf)), new Set(['timeout']))
})

t.test('a slow query leaves others a connection, be it one of two, or of three that the account may have', async t => {
  await mariadb.sql(`CREATE USER three IDENTIFIED BY 'three' WITH MAX_USER_CONNECTIONS 3; GRANT SELECT ON mail.* TO three`)
  for (const [connections, login, busy] of [[2, {}, 1], [3, {}, 2], [8, { user: 'three', password: 'three' }, 2]] as const) {
    const { servers } = serversFor(t, { connections, statementMs: patient })
    const database = servers.database([inet(mariadb)], loginTo(mariadb, login))
    // Refused beside those that stand.
    await Promise.all(Array.from({ length: 20 }, () => database.ask(queryOf('SELECT SLEEP(?)'), ['0.02'], patient)))
    const query = queryOf('SELECT SLEEP(?)')
    let slow = 0
    for (let asked = 0; asked < 20; asked++) void database.ask(query, ['60'], patient).then(() => slow++)
    t.same(new Set(await reasons(database, 20)), new Set(['rows']))
    t.equal(statusOf(servers).busy, busy)
    t.equal(slow, 0, 'none of them has ended')
  }
})

t.test('37 simultaneous lookups of a slow query on eight connections: some time out, no breaker opens', async t => {
  const { servers, changes, database } = databaseOn(t, mariadb, { connections: 8 })
  await fill(database, servers, 8)
  const answers = await Promise.all(Array.from({ length: 37 }, (_, at) =>
    database.ask(queryOf('SELECT SLEEP(?)'), ['1'], at < 8 ? patient : 100)))
  t.same(answers.map(reasonOf), [...Array<string>(8).fill('rows'), ...Array<string>(29).fill('overloaded')])
  t.same(changes, [])
  t.same(await reasons(database, 8), Array(8).fill('rows'))
})

t.test('with an account of three connections all questions are answered, and the breaker stays closed', async t => {
  await mariadb.sql(`CREATE USER few IDENTIFIED BY 'few' WITH MAX_USER_CONNECTIONS 3; GRANT SELECT ON mail.* TO few`)
  const { servers, changes } = serversFor(t, { connections: 8 })
  const database = servers.database([inet(mariadb)], loginTo(mariadb, { user: 'few', password: 'few' }))
  const answers = await Promise.all(Array.from({ length: 40 }, () => database.ask(queryOf('SELECT SLEEP(?)'), ['0.02'], patient)))
  t.same(new Set(answers.map(reasonOf)), new Set(['rows']))
  t.equal(statusOf(servers).connections, 3)
  t.same(changes, [])
})

t.test('the pool keeps connections ready, and replaces those that the server closes', async t => {
  const { servers } = serversFor(t, { standing: 2 })
  await untilSessions(mariadb, all => all.length === 0)
  const database = servers.database([inet(mariadb)], loginTo(mariadb))
  await reasons(database, 1)
  const ids = async (): Promise<readonly unknown[]> => (await sessions(mariadb)).map(({ id }) => id)
  await untilSessions(mariadb, all => all.length === 2)
  const before = await ids()
  for (const id of before) await mariadb.sql(`KILL ${String(id)}`)
  await untilSessions(mariadb, all => all.length === 2 && all.every(({ id }) => !before.includes(id)))
  t.match(statusOf(servers), { state: 'closed', lastError: '' })
})

t.test('the pool replaces old connections, so a raised variable takes effect, and no question fails', async t => {
  const { database } = databaseOn(t, mariadb, { standing: 2, maxAgeMs: 200 })
  const variable = queryOf('SELECT @@group_concat_max_len')
  const value = async (): Promise<unknown> => {
    const answer = await database.ask(variable, [], patient)
    return answer.kind === 'rows' ? answer.rows?.[0]?.[0] : answer
  }
  const before = await value()
  t.match(before, /^\d+$/)
  await mariadb.sql('SET GLOBAL group_concat_max_len = 123456')
  t.teardown(() => mariadb.sql('SET GLOBAL group_concat_max_len = DEFAULT'))
  const values = new Set<unknown>()
  while (!values.has('123456')) values.add(await value())
  t.same(values, new Set([before, '123456']))
})

t.test('a server that was restarted while the pool was idle fails no question', async t => {
  const restarted = await startBed(t)
  const { changes, database } = databaseOn(t, restarted)
  await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], patient)))
  await restarted.kill()
  await restarted.start()
  t.same(await reasons(database, 100), Array(100).fill('rows'))
  t.same(changes, [])
})

t.test('if idle connections were killed, or died silently, the next question gets a new one', async t => {
  const { servers, changes, proxy, database } = await databaseBehind(t, mariadb)
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

t.test('a question for which no connection becomes free ends as overloaded, and the breaker stays closed', async t => {
  const { servers, changes, database } = databaseOn(t, mariadb, { connections: 2 })
  const lock = await createConnection({ socketPath: mariadb.socket, user: 'root', database: 'mail' })
  t.teardown(() => lock.end())
  await lock.query('SELECT GET_LOCK(\'held\', 0)')
  // Each is a query by itself: one gets no more than its share.
  const busy = [1, 2].map(() => database.ask(queryOf('SELECT GET_LOCK(?, 60)'), ['held'], patient))
  await untilSessions(mariadb, all => all.filter(({ info }) => String(info).includes('GET_LOCK')).length === 2)
  const late = await Promise.all(Array.from({ length: 20 }, () => database.ask(lookAlias, [known], 50)))
  t.same(new Set(late.map(reasonOf)), new Set(['overloaded']))
  const waiting = database.ask(lookAlias, [known], patient)
  await lock.query('SELECT RELEASE_ALL_LOCKS()')
  t.same(seen(await waiting), knownAnswer)
  servers.close()
  await Promise.all(busy)
  t.same(changes, [])
})

t.test('C83 "too many connections" is source-refused', async t => {
  const small = await startBed(t, ['--max-connections=10'])
  const { servers } = serversFor(t)
  const others = await Promise.all(Array.from({ length: 10 }, () =>
    createConnection({ socketPath: small.socket, user: small.user, password: small.password })))
  const database = servers.database([inet(small)], loginTo(small))
  t.match(await database.ask(lookAlias, [known], patient), { reason: 'source-refused', detail: /error 1040: Too many connections$/ })
  await Promise.all(others.map(other => other.end()))
  await untilSessions(small, all => all.length === 0)
  t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
})

t.test('the pool closes an unused connection after the idle time, in MySQL\'s own way', async t => {
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

t.test('close() ends all connections and waiting questions, and later ones are refused', async t => {
  const { servers, database } = databaseOn(t, mariadb, { connections: 1 })
  await reasons(database, 1)
  const busy = database.ask(queryOf('SELECT SLEEP(?)'), ['600'], patient)
  const waiting = database.ask(lookAlias, [known], patient)
  await untilSessions(mariadb, all => all.some(({ info }) => String(info).includes('SLEEP')))
  servers.close()
  t.equal(reasonOf(await waiting), 'draining')
  t.equal(reasonOf(await busy), 'draining')
  t.equal(reasonOf(await database.ask(lookAlias, [known], patient)), 'draining')
  await mariadb.sql('SELECT 1')
})
