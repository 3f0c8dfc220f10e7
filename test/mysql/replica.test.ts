import t from 'tap'
import type { Test } from 'tap'
import type { Result } from '../../src/mysql/sql.js'
import { galeraDoubt, replicaDoubt } from '../../src/mysql/replica.js'
import { mysqlSource } from '../../src/tables/source.js'
import { defineTable } from '../../src/tables/definition.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { serversFor, unix } from './bed.js'

const result = (row: Readonly<Record<string, string | null>>): Result =>
  ({ kind: 'rows', columns: Object.keys(row).map(name => ({ name })), rows: [Object.values(row)] } as unknown as Result)

t.test('the columns of MySQL and of MariaDB tell the same', async t => {
  const mysql = { Replica_IO_Running: 'Yes', Replica_SQL_Running: 'Yes', Seconds_Behind_Source: '3' }
  const mariadb = { Slave_IO_Running: 'Yes', Slave_SQL_Running: 'Yes', Seconds_Behind_Master: '3' }
  for (const row of [mysql, mariadb]) {
    t.equal(replicaDoubt(result(row), 3_000), null)
    t.match(replicaDoubt(result(row), 2_999), /3 s behind/)
  }
  t.match(replicaDoubt(result({ ...mysql, Replica_IO_Running: 'Connecting' }), 9_000), /not connected/)
  t.match(replicaDoubt(result({ ...mariadb, Slave_SQL_Running: 'No' }), 9_000), /stopped/)
  t.match(replicaDoubt(result({ ...mariadb, Seconds_Behind_Master: null }), 9_000), /can't say/)
})

t.test('no row is no replica', async t => {
  t.equal(replicaDoubt({ kind: 'rows', columns: [], rows: [] }, 0), null)
})

t.test('a Galera node has to be ready and synced; a server without a cluster has not', async t => {
  const node = (size: string, ready: string, state: string): Result =>
    ({ kind: 'rows', columns: [], rows: [['WSREP_CLUSTER_SIZE', size], ['WSREP_READY', ready], ['WSREP_LOCAL_STATE', state]] } as unknown as Result)
  t.equal(galeraDoubt(node('3', 'ON', '4')), null)
  t.match(galeraDoubt(node('3', 'ON', '2')), /not synced/)
  t.match(galeraDoubt(node('3', 'OFF', '0')), /not ready/)
  t.equal(galeraDoubt(node('0', 'OFF', '0')), null)
  t.equal(galeraDoubt({ kind: 'rows', columns: [], rows: [] }), null)
})

/** A primary and a replica that follows it. */
const startPair = async (t: Test): Promise<{ primary: Mariadb, replica: Mariadb }> => {
  const primary = await startMariadb({ args: ['--server-id=1', '--log-bin=changes', '--binlog-format=ROW'] })
  t.teardown(() => primary.stop())
  await primary.sql('CREATE USER \'follower\'@\'%\' IDENTIFIED BY \'f\'; GRANT REPLICATION SLAVE ON *.* TO \'follower\'@\'%\'')
  const replica = await startMariadb({ args: ['--server-id=2'], sql: 'GRANT SLAVE MONITOR ON *.* TO \'holdfast\'@\'%\'' })
  t.teardown(() => replica.stop())
  const [position] = await primary.sql('SHOW MASTER STATUS')
  await replica.sql(`CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=${primary.port}, MASTER_USER='follower', MASTER_PASSWORD='f', `
    + `MASTER_LOG_FILE='${String(position?.['File'])}', MASTER_LOG_POS=${String(position?.['Position'])}; START SLAVE`)
  await primary.sql('CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT); INSERT INTO alias VALUES (\'old@example.com\', \'box\')')
  return { primary, replica }
}

const caughtUp = async (primary: Mariadb, replica: Mariadb): Promise<void> => {
  const [position] = await primary.sql('SHOW MASTER STATUS')
  await replica.sql(`SELECT MASTER_POS_WAIT('${String(position?.['File'])}', ${String(position?.['Position'])}, 60)`)
}

t.test('a replica that has stopped says found, but its absences are not believed until it goes on', async t => {
  const { primary, replica } = await startPair(t)
  await caughtUp(primary, replica)
  const defined = defineTable({
    hosts: `unix:${replica.socket}`, user: replica.user, password: replica.password, dbname: 'mail',
    query: 'SELECT goto FROM alias WHERE address=\'%s\'',
  }, name => name)
  if (!defined.ok) throw new Error('not defined')
  // Servers of its own each time, for the state of replication is kept for a second.
  const lookup = async (key: string, user = replica.user) => {
    const { servers } = serversFor(t, { maxLagMs: 30_000 })
    const login = { ...defined.definition.login, user }
    return (await mysqlSource(defined.definition, servers.database([unix(replica)], login)).ask(key, 10_000)).outcome
  }
  t.match(await lookup('nobody@example.com'), { kind: 'absent' }, 'replicating')
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
  const mariadb = await startMariadb({ sql: 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT); GRANT SLAVE MONITOR ON *.* TO \'holdfast\'@\'%\'' })
  t.teardown(() => mariadb.stop())
  const defined = defineTable({
    hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: 'mail',
    query: 'SELECT goto FROM alias WHERE address=\'%s\'',
  }, name => name)
  if (!defined.ok) throw new Error('not defined')
  const { servers } = serversFor(t, { maxLagMs: 1_000 })
  const source = mysqlSource(defined.definition, servers.database([unix(mariadb)], defined.definition.login))
  t.match(await source.ask('nobody@example.com', 10_000), { outcome: { kind: 'absent' } })
})
