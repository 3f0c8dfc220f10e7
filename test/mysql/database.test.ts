import t from 'tap'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { nameOf } from '../../src/mysql/hosts.js'
import { inet, known, knownAnswer, lookAlias, loginTo, patient, reasonOf, serversFor, seen, startBed, queryOf, unix } from './bed.js'
import type { Test } from './bed.js'

const mariadb = await startBed(t)

/** Two ways to the server: the first is asked first, being a unix socket. */
const twoWays = async (t: Test): Promise<readonly [Proxy, Proxy]> => {
  const first = await startProxy({ path: mariadb.socket })
  const second = await startProxy({ path: mariadb.socket })
  t.teardown(() => Promise.all([first.stop(), second.stop()]))
  return [first, second]
}

t.test('Holdfast asks unix sockets before TCP hosts, whatever their order in `hosts`', async t => {
  const [first, second] = await twoWays(t)
  const { servers } = serversFor(t)
  const database = servers.database([inet(second), unix(first)], loginTo(mariadb))
  for (let asked = 0; asked < 5; asked++) t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
  t.ok(first.accepted() > 0)
  t.equal(second.accepted(), 0)
})

t.test('of several TCP hosts, chance chooses one at start, and Holdfast keeps to it', async t => {
  const [first, second] = await twoWays(t)
  const { servers } = serversFor(t)
  const database = servers.database([inet(first), inet(second)], loginTo(mariadb))
  for (let asked = 0; asked < 20; asked++) await database.ask(lookAlias, [known], patient)
  t.same([first.accepted(), second.accepted()].sort(), [0, 1])
})

t.test('if the first server refuses, the second answers the same question', async t => {
  const [first, second] = await twoWays(t)
  first.refuse()
  const { servers } = serversFor(t)
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
})

t.test('if the first server hangs, it gets its share of the time, and the second answers in the rest', async t => {
  const [first, second] = await twoWays(t)
  first.stall()
  const { servers } = serversFor(t, { statementMs: 2_000 })
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  for (let asked = 0; asked < 5; asked++) t.same(seen(await database.ask(lookAlias, [known], 4_000)), knownAnswer)
  t.equal(first.accepted(), 1)
})

t.test('if the first server is a cluster node that isn\'t ready, the second answers', async t => {
  await mariadb.sql(`CREATE PROCEDURE not_ready_by_socket(k VARCHAR(255)) BEGIN
    IF USER() LIKE '%@localhost' THEN SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1047; END IF;
    SELECT goto FROM alias WHERE address = k;
  END`)
  const { servers } = serversFor(t)
  const database = servers.database([unix(mariadb), inet(mariadb)], loginTo(mariadb))
  t.same(seen(await database.ask(queryOf('CALL not_ready_by_socket(?)'), [known], patient)), knownAnswer)
  t.match(servers.status()[0]?.lastError, /^error 1047: /)
})

t.test('after an error of the query Holdfast does not ask the second server', async t => {
  const [first, second] = await twoWays(t)
  const { servers } = serversFor(t)
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  t.match(await database.ask(queryOf('SELECT nosuch FROM alias WHERE address = ?'), [known], patient), { reason: 'query-error' })
  t.equal(second.accepted(), 0)
})

t.test('Holdfast does not ask the first server while its breaker is open, and uses it again afterwards', async t => {
  const [first, second] = await twoWays(t)
  first.refuse()
  const { servers, until } = serversFor(t, { resetMs: 100 })
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  for (let asked = 0; asked < 5; asked++) t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
  await first.pass()
  await until('closed')
  const accepted = second.accepted()
  second.dropAll()
  t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
  t.equal(second.accepted(), accepted)
})

t.test('if the first server never answers, no question waits for it once its breaker is open', async t => {
  const [first, second] = await twoWays(t)
  const { servers, until } = serversFor(t, { resetMs: 50, statementMs: 2_000, silentMs: 500 })
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
  first.blackhole()
  // Each gets its answer from the second in the rest of its time.
  for (let failures = 0; failures < 3; failures++) {
    t.equal(servers.status()[0]?.state, 'closed')
    t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
  }
  await until('half-open')
  // Longer than this file may take: whoever waited for the first would not be back.
  for (let asked = 0; asked < 5; asked++) t.same(seen(await database.ask(lookAlias, [known], patient)), knownAnswer)
})

t.test('if all servers fail, the last gives the reason; once the breakers are open, the first does', async t => {
  const [first, second] = await twoWays(t)
  first.refuse()
  second.refuse()
  const { servers } = serversFor(t)
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  for (let asked = 0; asked < 3; asked++) t.match(await database.ask(lookAlias, [known], patient), { reason: 'source-down', detail: `holdfast@${nameOf(inet(second))}/mail: connection refused` })
  t.match(await database.ask(lookAlias, [known], patient), { reason: 'breaker-open', detail: `holdfast@${nameOf(unix(first))}/mail: not asked after failures; last error: no such file or directory` })
})

t.test('if the first server refuses, Holdfast lists the table on the second', async t => {
  const [first, second] = await twoWays(t)
  first.refuse()
  const { servers } = serversFor(t)
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  let rows = 0
  t.equal(await database.list(queryOf('SELECT seq FROM seq_1_to_1000'), async batch => (rows += batch.length) > 0), null)
  t.equal(rows, 1_000)
})

t.test('a list that breaks off does not begin again on the second server: half of its rows were used', async t => {
  const [first, second] = await twoWays(t)
  const { servers } = serversFor(t)
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  let rows = 0
  first.cutAfter(500_000)
  const problem = await database.list(queryOf('SELECT seq, REPEAT(\'x\', 100) FROM seq_1_to_30000'), async batch => (rows += batch.length) > 0)
  t.match(problem, { kind: 'unavailable', reason: 'source-down' })
  t.ok(rows > 0 && rows < 30_000, String(rows))
  t.equal(second.accepted(), 0)
})

t.test('a list may take longer than a question', async t => {
  const { servers } = serversFor(t, { statementMs: 50 })
  const database = servers.database([unix(mariadb)], loginTo(mariadb))
  let rows = 0
  t.equal(await database.list(queryOf('SELECT seq, SLEEP(0.01) FROM seq_1_to_50'), async batch => (rows += batch.length) > 0), null)
  t.equal(rows, 50)
})

t.test('a question without time left is a timeout', async t => {
  const { servers } = serversFor(t)
  const database = servers.database([unix(mariadb)], loginTo(mariadb))
  t.equal(reasonOf(await database.ask(lookAlias, [known], 0)), 'timeout')
})

t.test('equal log-ins share a server, others don\'t', async t => {
  const { servers } = serversFor(t)
  const database = servers.database([unix(mariadb)], loginTo(mariadb))
  t.equal(servers.database([unix(mariadb)], loginTo(mariadb)), database)
  servers.database([unix(mariadb), inet(mariadb)], loginTo(mariadb))
  t.equal(servers.status().length, 2)
  for (const changed of [{ dbname: 'other' }, { user: 'other' }, { password: 'other' }, { charset: 'latin1' }]) {
    servers.database([unix(mariadb)], loginTo(mariadb, changed))
  }
  t.equal(servers.status().length, 6)
})

t.test('servers are named as `hosts` has them', async t => {
  t.equal(nameOf({ kind: 'unix', path: '/run/s' }), 'unix:/run/s')
  t.equal(nameOf({ kind: 'inet', host: 'db.example.com', port: 3306 }), 'db.example.com:3306')
  t.equal(nameOf({ kind: 'inet', host: '::1', port: 3307 }), '[::1]:3307')
})

t.test('a list passes over servers to avoid, and is not taken if there is no other', async t => {
  const [first, second] = await twoWays(t)
  const { servers } = serversFor(t)
  const database = servers.database([unix(first), inet(second)], loginTo(mariadb))
  const query = queryOf('SELECT seq FROM seq_1_to_50')
  const avoided: string[] = []
  let rows = 0
  const count = async (batch: readonly unknown[]): Promise<boolean> => (rows += batch.length) > 0
  t.equal(await database.list(query, count, server => avoided.push(server) === 1), null)
  t.same([rows, first.accepted(), second.accepted(), avoided.length], [50, 1, 1, 2])
  t.match(await database.list(query, count, () => true), { kind: 'unavailable', reason: 'distrusted' })
  t.equal(rows, 50)
})
