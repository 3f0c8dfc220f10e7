/**
 * Whether a server may lack rows that its primary has: a replica that lags or has stopped, a
 * Galera node that isn't synced. What it has is believed all the same.
 *
 * Reads SHOW REPLICA STATUS (MySQL 8.0.22, MariaDB 10.5.1) or its older name: one row for
 * each primary, none on a server that is no replica. And of a Galera node wsrep_ready and
 * wsrep_local_state. Both take the privilege REPLICATION CLIENT (MariaDB 10.5: SLAVE MONITOR).
 */
import type { Unavailable } from '../outcome.js'
import type { Result } from './sql.js'

/** The newer name first; a server that doesn't know it calls it a syntax error. */
const replicaStatements = ['SHOW REPLICA STATUS', 'SHOW SLAVE STATUS'] as const
const galeraStatement = 'SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS '
  + 'WHERE VARIABLE_NAME IN (\'wsrep_cluster_size\',\'wsrep_ready\',\'wsrep_local_state\')'

/** Why the server's word for an absence isn't good enough; null if it is. `ask` sends one statement; never rejects if it doesn't. */
export const askReplication = async (
  ask: (sql: string) => Promise<Result | Unavailable>, maxLagMs: number,
): Promise<string | null> => {
  let answer = await ask(replicaStatements[0])
  if (answer.kind === 'unavailable' && answer.reason === 'query-error') answer = await ask(replicaStatements[1])
  if (answer.kind === 'unavailable') return `its replication can't be looked at: ${answer.detail}`
  const lag = replicaDoubt(answer, maxLagMs)
  if (lag !== null) return lag
  const galera = await ask(galeraStatement)
  // MySQL has no such table, and no Galera.
  return galera.kind === 'unavailable' ? null : galeraDoubt(galera)
}

/** Why a replica's word for an absence isn't good enough; null if it is, as on a server that is no replica. */
export const replicaDoubt = ({ columns, rows }: Result, maxLagMs: number): string | null => {
  const names = columns.map(({ name }) => name)
  for (const row of rows ?? []) {
    // MySQL renamed the columns with the statement; MariaDB kept them.
    const column = (newer: string, older: string): string | null => {
      const index = names.includes(newer) ? names.indexOf(newer) : names.indexOf(older)
      return row[index] ?? null
    }
    if (column('Replica_IO_Running', 'Slave_IO_Running') !== 'Yes') return 'the replica is not connected to its primary'
    if (column('Replica_SQL_Running', 'Slave_SQL_Running') !== 'Yes') return 'the replica has stopped applying changes'
    const behind = column('Seconds_Behind_Source', 'Seconds_Behind_Master')
    if (behind === null) return 'the replica can\'t say how far it is behind'
    if (Number(behind) * 1_000 > maxLagMs) return `the replica is ${behind} s behind its primary`
  }
  return null
}

/** wsrep_local_state of a node that has what the others have; a donor or joiner may lack something. */
const synced = '4'

/** The same for a node of a Galera cluster; null where there is none. */
export const galeraDoubt = ({ rows }: Result): string | null => {
  const variables = new Map((rows ?? []).map(([name, value]) => [String(name).toLowerCase(), value]))
  // A server that was built with Galera and runs alone has these variables too, but no cluster.
  if ((variables.get('wsrep_cluster_size') ?? '0') === '0') return null
  if (variables.get('wsrep_ready') !== 'ON') return 'the Galera node is not ready'
  const state = variables.get('wsrep_local_state')
  return state === synced ? null : `the Galera node is not synced (wsrep_local_state ${state ?? 'unknown'})`
}
