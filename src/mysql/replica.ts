/**
 * Whether a server may lack rows that others have: a replica that lags, has stopped or hears nothing of its source, a
 * Galera node that isn't ready or synced. What it has is believed all the same.
 *
 * Reads SHOW ALL REPLICAS STATUS (MariaDB 10.5.1), SHOW REPLICA STATUS (MySQL 8.0.22) or their older names: a row for
 * each channel, none on a server that is no replica. They take the privilege REPLICATION CLIENT (MariaDB 10.5: SLAVE
 * MONITOR); to notice a silent source, MySQL also needs SELECT on performance_schema.replication_connection_status.
 * A Galera node's state takes no privilege.
 */
import type { Unavailable } from '../outcome.js'
import type { Query, Result } from './sql.js'

export type AskServer = (query: Query, values: readonly string[]) => Promise<Result | Unavailable>

/** A server that doesn't know one of these calls it a syntax error. */
const replicaStatements = [
  'SHOW ALL REPLICAS STATUS', 'SHOW REPLICA STATUS', 'SHOW ALL SLAVES STATUS', 'SHOW SLAVE STATUS',
] as const
const heartbeatSql = 'SELECT CHANNEL_NAME, COUNT_RECEIVED_HEARTBEATS '
  + 'FROM performance_schema.replication_connection_status'
const galeraSql = 'SHOW GLOBAL STATUS WHERE Variable_name IN '
  + '(\'wsrep_provider_name\', \'wsrep_ready\', \'wsrep_local_state\')'

/** A server is looked at so often (ms) at most. */
const lookEveryMs = 1_000

/**
 * One replication channel. `signs`: changes with whatever comes from the source; null: that can't be seen.
 * `heartbeats`: how many have come.
 */
type Channel = {
  readonly name: string
  readonly isConnected: boolean
  readonly isApplying: boolean
  readonly behindSeconds: number | null
  readonly heartbeatSeconds: number | null
  readonly signs: string | null
  readonly heartbeats: number
}

/** What is known of a channel, with times of `performance.now()`. */
type Heard = {
  readonly signs: string
  readonly heartbeats: number
  /** When the signs last changed, or were first seen (`isFirst`). */
  readonly at: number
  readonly isFirst: boolean
  /** When it was last looked at. */
  readonly lookedAt: number
  /** It was away from its source, and may not have caught up until then. */
  readonly behindUntil: number
}

/**
 * By server and channel. It belongs to the process: if a reload began to measure anew, a replica that has heard nothing
 * for long would be asked to wait again.
 */
const heard = new Map<string, Heard>()

/** A replica that was away from its source counts as one that catches up for as long as that, but for so long (ms). */
const longestCatchUpMs = 60 * 60_000
/** Whether it was away when this process started, nobody can say: it counts as one that was, for so long (ms). */
const firstCatchUpMs = 5 * 60_000

export class Replication {
  readonly #maxLagMs: number | null
  /** By identity of the server. */
  readonly #looks = new Map<string, { readonly at: number, readonly doubt: Promise<string | null> }>()
  readonly #withoutGalera = new Set<string>()

  /** `maxLagMs` null: only whether a Galera node is ready matters. */
  constructor(maxLagMs: number | null) {
    this.#maxLagMs = maxLagMs
  }

  /** How often to look (ms) though nobody asks, so that the silence of a source is measured; null: there is no need. */
  get lookEveryMs(): number | null {
    return this.#maxLagMs === null ? null : Math.max(lookEveryMs, Math.min(5_000, this.#maxLagMs / 3))
  }

  /** Why the server's word for an absence isn't good enough; null if it is. `ask` asks that very server. */
  doubt(server: string, ask: AskServer): Promise<string | null> {
    const now = performance.now()
    const last = this.#looks.get(server)
    if (last !== undefined && now - last.at < lookEveryMs) return last.doubt
    const doubt = this.#look(server, ask)
    this.#looks.set(server, { at: now, doubt })
    return doubt
  }

  async #look(server: string, ask: AskServer): Promise<string | null> {
    if (this.#maxLagMs !== null) {
      const channels = await readChannels(ask)
      if (typeof channels === 'string') return channels
      const maxLagMs = this.#maxLagMs
      const silences = channels.map(channel => this.#silence(server, channel, maxLagMs))
      const doubt = [...channels.map(channel => channelDoubt(channel, maxLagMs)), ...silences]
        .find(each => each !== null)
      if (doubt !== undefined) return doubt
    }
    if (this.#withoutGalera.has(server)) return null
    const answer = await ask({ texts: [galeraSql] }, [])
    if (answer.kind === 'unavailable' && answer.reason !== 'query-error') return answer.detail
    const node = answer.kind === 'rows' ? galeraNode(answer) : null
    if (node === null) this.#withoutGalera.add(server)
    return node === null ? null : nodeDoubt(node, this.#maxLagMs !== null)
  }

  /**
   * A source that is cut off without a word leaves the I/O thread running and the replica zero seconds behind. For how
   * long that has been so when this process starts, nobody can say before the first sign of the source.
   */
  #silence(server: string, channel: Channel, maxLagMs: number): string | null {
    const { name, signs, heartbeats, heartbeatSeconds } = channel
    if (signs === null) return null
    const now = performance.now()
    const place = JSON.stringify([server, name])
    const last = heard.get(place)
    const isSame = last?.signs === signs
    const at = isSame ? last.at : now
    const isFirst = last === undefined || (last.isFirst && isSame)
    const behindUntil = last === undefined ? now + firstCatchUpMs
      : behindUntilOf(last, now, maxLagMs, isSame, heartbeats)
    heard.set(place, { signs, heartbeats, at, isFirst, lookedAt: now, behindUntil })
    const silentMs = now - at
    if (!isFirst && silentMs <= maxLagMs) {
      return now >= behindUntil ? null : 'the replica may have been away from its primary, and not caught up yet'
    }
    const heartbeat = heartbeatSeconds === null ? '' : `; its heartbeat comes every ${heartbeatSeconds} s`
    const time = `${Math.round(silentMs / 1_000)} s`
    const when = isFirst ? `since Holdfast first looked, ${time} ago` : `for ${time}`
    return `the replica has heard nothing of its primary ${when}${heartbeat}`
  }
}

/**
 * Until when a channel that was away may not have caught up. Over a slow line it says that it is 0 s behind all the
 * while: it has applied what it got. The source sends a heartbeat only when it has nothing else to send; one that
 * writes all the time sends none, and then a replica is given as long as it was away.
 */
const behindUntilOf = (last: Heard, now: number, maxLagMs: number, isSame: boolean, heartbeats: number): number => {
  // It had everything at some time since the last look, which is not longer ago than it may lag.
  if (heartbeats > last.heartbeats && now - last.lookedAt <= maxLagMs) return 0
  const awayMs = now - last.at
  if (isSame || awayMs <= maxLagMs) return last.behindUntil
  return now + Math.min(longestCatchUpMs, awayMs + Math.max(0, last.behindUntil - last.at))
}

/** The channels of a server, or why they can't be read. */
export const readChannels = async (ask: AskServer): Promise<readonly Channel[] | string> => {
  let problem = ''
  for (const sql of replicaStatements) {
    const answer = await ask({ texts: [sql] }, [])
    if (answer.kind === 'unavailable') {
      problem = `its replication can't be looked at: ${answer.detail}`
      if (answer.reason === 'query-error') continue
      return problem
    }
    const isMysql = answer.columns.some(({ name }) => name === 'Replica_IO_Running')
    const heartbeats = isMysql && (answer.rows ?? []).length > 0 ? await ask({ texts: [heartbeatSql] }, []) : null
    return channelsOf(answer, heartbeats?.kind === 'rows' ? heartbeats : null)
  }
  return problem
}

/** `heartbeats`: of each channel by name, how many MySQL has received. */
export const channelsOf = ({ columns, rows }: Result, heartbeats: Result | null): readonly Channel[] => {
  const names = columns.map(({ name }) => name)
  const received = new Map((heartbeats?.rows ?? []).map(([name, count]) => [String(name), String(count)]))
  return (rows ?? []).map(row => {
    // MySQL renamed the columns with the statement; MariaDB kept them.
    const column = (...either: readonly string[]): string | null => {
      const index = names.findIndex(name => either.includes(name))
      return row[index] ?? null
    }
    const behind = column('Seconds_Behind_Source', 'Seconds_Behind_Master')
    const name = column('Channel_Name', 'Connection_name') ?? ''
    const heartbeatCount = column('Slave_received_heartbeats') ?? received.get(name) ?? null
    const period = column('Slave_heartbeat_period')
    return {
      name,
      isConnected: column('Replica_IO_Running', 'Slave_IO_Running') === 'Yes',
      isApplying: column('Replica_SQL_Running', 'Slave_SQL_Running') === 'Yes',
      behindSeconds: behind === null ? null : Number(behind),
      heartbeatSeconds: period === null ? null : Number(period),
      signs: heartbeatCount === null ? null : JSON.stringify([
        heartbeatCount, column('Source_Log_File', 'Master_Log_File'),
        column('Read_Source_Log_Pos', 'Read_Master_Log_Pos'),
      ]),
      heartbeats: Number(heartbeatCount),
    }
  })
}

/** Why an absence that a replica states isn't good enough, as far as it knows itself; null if it is. */
export const channelDoubt = (channel: Channel, maxLagMs: number): string | null => {
  const { name, isConnected, isApplying, behindSeconds } = channel
  const replica = `the replica${name === '' ? '' : ` (channel ${name})`}`
  if (!isConnected) return `${replica} is not connected to its primary`
  if (!isApplying) return `${replica} has stopped applying changes`
  if (behindSeconds === null) return `${replica} can't say how far it is behind`
  return behindSeconds * 1_000 > maxLagMs ? `${replica} is ${behindSeconds} s behind its primary` : null
}

type GaleraNode = { readonly isReady: boolean, readonly state: string }

/** null: the server is no node of a Galera cluster. One that was only built with Galera has the variables too. */
export const galeraNode = ({ rows }: Result): GaleraNode | null => {
  const variables = new Map((rows ?? []).map(([name, value]) => [String(name).toLowerCase(), value ?? '']))
  if ((variables.get('wsrep_provider_name') ?? '') === '') return null
  return { isReady: variables.get('wsrep_ready') === 'ON', state: variables.get('wsrep_local_state') ?? 'unknown' }
}

/** wsrep_local_state of a node that has what the others have; a donor or joiner may lack something. */
const synced = '4'

/** With wsrep_dirty_reads a node that has lost its cluster answers all the same. */
export const nodeDoubt = ({ isReady, state }: GaleraNode, mustBeSynced: boolean): string | null => {
  if (!isReady) return 'the Galera node is not ready'
  return mustBeSynced && state !== synced ? `the Galera node is not synced (wsrep_local_state ${state})` : null
}
