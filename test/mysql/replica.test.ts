import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { Result } from '../../src/mysql/sql.js'
import { channelDoubt, channelsOf, galeraNode, nodeDoubt } from '../../src/mysql/replica.js'
import { mysqlSource } from '../../src/tables/source.js'
import { defineTable } from '../../src/tables/definition.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { serverSettings } from '../fixtures/server_settings.js'
import { openSources } from '../../src/tables/open.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { serversFor, unix } from './bed.js'

const result = (row: Readonly<Record<string, string | null>>): Result =>
  ({ kind: 'rows', columns: Object.keys(row).map(name => ({ name })), rows: [Object.values(row)] } as unknown as Result)

const doubtOf = (row: Readonly<Record<string, string | null>>, maxLagMs: number): string | null => {
  const [channel] = channelsOf(result(row), null)
  return channel === undefined ? 'no channel' : channelDoubt(channel, maxLagMs)
}

t.test('the columns of MySQL and of MariaDB say the same', async t => {
  const mysql = { Replica_IO_Running: 'Yes', Replica_SQL_Running: 'Yes', Seconds_Behind_Source: '3' }
  const mariadb = { Slave_IO_Running: 'Yes', Slave_SQL_Running: 'Yes', Seconds_Behind_Master: '3' }
  for (const row of [mysql, mariadb]) {
    t.equal(doubtOf(row, 3_000), null)
    t.match(doubtOf(row, 2_999), /3 s behind/)
  }
  t.match(doubtOf({ ...mysql, Replica_IO_Running: 'Connecting' }, 9_000), /not connected/)
  t.match(doubtOf({ ...mariadb, Slave_SQL_Running: 'No' }, 9_000), /stopped/)
  t.match(doubtOf({ ...mariadb, Seconds_Behind_Master: null, Connection_name: 'east' }, 9_000), /\(channel east\) can't say/)
})

t.test('no row is no replica', async t => {
  t.same(channelsOf({ kind: 'rows', columns: [], rows: [] }, null), [])
})

t.test('a Galera node has to be ready, and synced where lag matters; a server without a cluster has not', async t => {
  const node = (provider: string, ready: string, state: string): Result => ({
    kind: 'rows', columns: [],
    rows: [['WSREP_PROVIDER_NAME', provider], ['wsrep_ready', ready], ['wsrep_local_state', state]],
  } as unknown as Result)
  const doubt = (answer: Result, mustBeSynced: boolean): string | null => {
    const found = galeraNode(answer)
    return found === null ? 'no node' : nodeDoubt(found, mustBeSynced)
  }
  t.equal(doubt(node('Galera', 'ON', '4'), true), null)
  t.match(doubt(node('Galera', 'ON', '2'), true), /not synced/)
  t.equal(doubt(node('Galera', 'ON', '2'), false), null)
  t.match(doubt(node('Galera', 'OFF', '0'), false), /not ready/)
  t.equal(doubt(node('', 'OFF', '0'), true), 'no node')
  t.equal(doubt({ kind: 'rows', columns: [], rows: [] }, true), 'no node')
})

/** A primary and a replica that follows it. */
const startPair = async (t: Test, more = ''): Promise<{ primary: Mariadb, replica: Mariadb, between: Proxy }> => {
  const primary = await during(t, startMariadb({ args: ['--server-id=1', '--log-bin=changes', '--binlog-format=ROW'] }))
  await primary.sql('CREATE USER \'follower\'@\'%\' IDENTIFIED BY \'f\'; GRANT REPLICATION SLAVE ON *.* TO \'follower\'@\'%\'')
  const replica = await during(t, startMariadb({ args: ['--server-id=2'], sql: 'GRANT SLAVE MONITOR ON *.* TO \'holdfast\'@\'%\'' }))
  const between = await during(t, startProxy(primary))
  const [position] = await primary.sql('SHOW MASTER STATUS')
  await replica.sql(`CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=${between.port}, MASTER_USER='follower', MASTER_PASSWORD='f', ${more}`
    + `MASTER_LOG_FILE='${String(position?.['File'])}', MASTER_LOG_POS=${String(position?.['Position'])}; START SLAVE`)
  await primary.sql('CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT); INSERT INTO alias VALUES (\'old@example.com\', \'box\')')
  return { primary, replica, between }
}

const caughtUp = async (primary: Mariadb, replica: Mariadb): Promise<void> => {
  const [position] = await primary.sql('SHOW MASTER STATUS')
  await replica.sql(`SELECT MASTER_POS_WAIT('${String(position?.['File'])}', ${String(position?.['Position'])}, 60)`)
}

/** The table of aliases on this server alone, asked as this account with servers of its own. */
const aliasOn = (t: Test, server: Mariadb, maxLagMs: number, user = server.user) => {
  const { socket, password } = server
  const query = 'SELECT goto FROM alias WHERE address=\'%s\''
  const defined = defineTable({ hosts: `unix:${socket}`, user, password, dbname: 'mail', query }, name => name)
  if (!defined.ok) throw new Error('not defined')
  const { servers } = serversFor(t, { maxLagMs })
  const source = mysqlSource(defined.definition, servers.database([unix(server)], defined.definition.login))
  return async (key: string) => (await source.ask(key, 10_000)).outcome
}

t.test('a replica that has stopped says found, but its absences are not believed until it goes on', async t => {
  const { primary, replica } = await startPair(t, 'MASTER_HEARTBEAT_PERIOD=0.5, ')
  await caughtUp(primary, replica)
  // Each lookup has servers of its own, because Holdfast keeps the state of replication for a second.
  const lookup = (key: string, user = replica.user) => aliasOn(t, replica, 30_000, user)(key)
  t.match(await lookup('nobody@example.com'), { reason: 'distrusted', detail: /nothing of its primary since Holdfast/ },
    'for how long the source has been silent, nobody knows')
  while ((await lookup('nobody@example.com')).kind !== 'absent') await setTimeout(100)
  t.match(await lookup('old@example.com'), { kind: 'found' })

  await replica.sql('STOP SLAVE')
  await primary.sql('INSERT INTO alias VALUES (\'new@example.com\', \'box\')')
  t.match(await lookup('new@example.com'), { kind: 'unavailable', reason: 'distrusted', detail: /not connected/ }, 'stopped')
  t.match(await lookup('old@example.com'), { kind: 'found' })

  await replica.sql('START SLAVE')
  await caughtUp(primary, replica)
  t.match(await lookup('new@example.com'), { kind: 'found' }, 'goes on')
  t.match(await lookup('nobody@example.com'), { kind: 'absent' })

  await replica.sql('STOP SLAVE SQL_THREAD')
  t.match(await lookup('nobody@example.com'), { kind: 'unavailable', reason: 'distrusted', detail: /stopped/ }, 'applies nothing')

  await replica.sql('REVOKE SLAVE MONITOR ON *.* FROM \'holdfast\'@\'%\'')
  t.match(await lookup('nobody@example.com'), { kind: 'unavailable', reason: 'distrusted', detail: /can't be looked at/ }, 'no privilege')
})

t.test('a server that replicates from nobody is believed', async t => {
  const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT); GRANT SLAVE MONITOR ON *.* TO \'holdfast\'@\'%\'' }))
  t.match(await aliasOn(t, mariadb, 1_000)('nobody@example.com'), { kind: 'absent' })
})

t.test('a source that is cut off without a word: the I/O thread runs on, and absences are not believed', async t => {
  const { primary, replica, between } = await startPair(t, 'MASTER_HEARTBEAT_PERIOD=0.2, ')
  await caughtUp(primary, replica)
  const lookup = aliasOn(t, replica, 2_000)
  let outcome = await lookup('new@example.com')
  // Until the first heartbeat.
  while (outcome.kind !== 'absent') outcome = await lookup('new@example.com')
  between.blackhole()
  await primary.sql('INSERT INTO alias VALUES (\'new@example.com\', \'box\')')
  outcome = await lookup('new@example.com')
  while (outcome.kind === 'absent') outcome = await lookup('new@example.com')
  t.match(outcome, { reason: 'distrusted', detail: /heard nothing of its primary for [23] s; its heartbeat comes every 0\.2 s/ })
  t.match(await aliasOn(t, replica, 2_000)('new@example.com'), { reason: 'distrusted' }, 'after a reload')
  const [status] = await replica.sql('SHOW SLAVE STATUS')
  t.match(status, { Slave_IO_Running: 'Yes', Seconds_Behind_Master: 0 }, 'the server itself sees nothing wrong')
  await between.pass()
  between.dropAll()
  while (outcome.kind !== 'found') outcome = await lookup('new@example.com')
  // The last look, a second ago at most, may have been before the source was back.
  let nobody = await lookup('nobody@example.com')
  while (nobody.kind !== 'absent') nobody = await lookup('nobody@example.com')
  t.pass('believed again')
})

t.test('a replica that was away for longer than it may lag is not believed before it has caught up', async t => {
  const { primary, replica } = await startPair(t, 'MASTER_HEARTBEAT_PERIOD=0.5, ')
  await caughtUp(primary, replica)
  const lookup = (): ReturnType<ReturnType<typeof aliasOn>> => aliasOn(t, replica, 2_000)('nobody@example.com')
  // Until the first heartbeat.
  while ((await lookup()).kind !== 'absent') await setTimeout(100)
  await replica.sql('STOP SLAVE IO_THREAD')
  await setTimeout(3_000)
  t.match(await lookup(), { reason: 'distrusted', detail: /not connected/ })
  await primary.sql('INSERT INTO alias VALUES (\'new@example.com\', \'box\')')
  await replica.sql('START SLAVE IO_THREAD')
  // It has got something, but perhaps not all: it can't know.
  await caughtUp(primary, replica)
  const [status] = await replica.sql('SHOW SLAVE STATUS')
  t.match(status, { Slave_IO_Running: 'Yes', Seconds_Behind_Master: 0 })
  t.match(await lookup(), { reason: 'distrusted', detail: /not caught up yet/ })
  while ((await lookup()).kind !== 'absent') await setTimeout(100)
  t.pass('believed again after a heartbeat')
})

t.test('a Holdfast that starts while a replica catches up does not believe it at the first sign of its source', async t => {
  const { primary, replica } = await startPair(t)
  await caughtUp(primary, replica)
  const lookup = aliasOn(t, replica, 30_000)
  const reasons = new Set<string>()
  // The source writes all the time, and sends no heartbeat.
  for (let signs = 0; reasons.size < 2; signs++) {
    const outcome = await lookup('nobody@example.com')
    t.match(outcome, { reason: 'distrusted' })
    await primary.sql(`INSERT INTO alias VALUES ('sign${signs}@example.com', 'box')`)
    await caughtUp(primary, replica)
    await setTimeout(100)
    reasons.add(/nothing of its primary|not caught up yet/.exec(JSON.stringify(outcome))?.[0] ?? 'another')
  }
  t.strictSame([...reasons], ['nothing of its primary', 'not caught up yet'])
  t.match(await lookup('old@example.com'), { kind: 'found' })
})

t.test('of several channels one that has stopped is enough', async t => {
  const { primary, replica } = await startPair(t)
  await replica.sql(`CHANGE MASTER 'east' TO MASTER_HOST='127.0.0.1', MASTER_PORT=${primary.port}, MASTER_USER='follower',
    MASTER_PASSWORD='f'`)
  await caughtUp(primary, replica)
  const { servers } = serversFor(t, { maxLagMs: 60_000 })
  const { user, password } = replica
  const database = servers.database([unix(replica)], { user, password, dbname: 'mail', charset: 'utf8mb4', tls: null })
  let doubt: unknown
  await database.ask({ texts: ['SELECT 1'] }, [], 10_000, {
    onReply: async (_reply, held) => { doubt = await held.doubtAbsence() },
  })
  t.match(doubt, { reason: 'distrusted', detail: /replica \(channel east\) is not connected/ })
})

t.test('check says that a heartbeat is rarer than max_lag', async t => {
  const { replica } = await startPair(t, 'MASTER_HEARTBEAT_PERIOD=20, ')
  const warnings = async (maxLagMs: number | null): Promise<readonly string[]> => {
    const { sources } = openSources([{
      name: 'alias', changes: null, smtputf8: true, source: {
        kind: 'inline', placeOf: name => name, parameters: {
          hosts: `unix:${replica.socket}`, user: replica.user, password: replica.password, dbname: 'mail', query: 'SELECT \'%s\'',
        },
      },
    }], serverSettings({ maxLagMs }), () => undefined)
    const checked = await sources.check()
    sources.close()
    t.same(checked.problems, [])
    return checked.warnings.map(({ text }) => text)
  }
  t.match(await warnings(10_000), [/^map alias: holdfast@unix:.*: the replica hears of its source only every 20 s .* max_lag \(10 s\)/])
  t.same(await warnings(30_000), [])
  t.same(await warnings(null), [])
})
