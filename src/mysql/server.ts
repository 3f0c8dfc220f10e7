/**
 * One MySQL server under one log-in: a bounded set of connections, and a breaker
 * that leaves the server alone for a while after it failed.
 *
 * Waiting for a turn is outside the breaker: that all connections are busy says
 * nothing about the server. So are errors of a single query.
 */
import CircuitBreaker from 'opossum'
import { Alarm, systemTiming } from '../runtime/alarm.js'
import { unavailable } from '../outcome.js'
import type { Unavailable } from '../outcome.js'
import { Connection, openConnection } from './connection.js'
import type { RawRow, Result, Statement, Target } from './connection.js'
import { unavailableFor } from './fault.js'
import type { Fault } from './fault.js'
import { galeraDoubt, galeraStatement, replicaDoubt, replicaStatements } from './replica.js'
import { Slots } from './slots.js'
import type { Turn } from './slots.js'

export type BreakerState = 'closed' | 'open' | 'half-open'

export type ServerSettings = {
  /** Connections at most. */
  readonly connections: number
  /** So many failures in a row open the breaker, and so do so many questions within `windowMs` of which more than half failed. */
  readonly failures: number
  readonly windowMs: number
  /** An open breaker lets one question through after this. */
  readonly resetMs: number
  /**
   * After a failure, until something succeeds, a question gets no longer than
   * this: a server that hangs is found out in one deadline, not in several. A
   * half-open breaker's probe has all its time, so that a slow server comes back.
   */
  readonly suspectMs: number
  /** An unused connection is closed after this. */
  readonly idleMs: number
  /** A replica further behind than this is not believed when it says absent; null: replication isn't looked at. */
  readonly maxLagMs: number | null
  /** Hears of each change of a breaker; `detail` is the failure that opened it, or ''. */
  onState(server: string, state: BreakerState, detail: string): void
}

export type ServerStatus = {
  readonly server: string
  readonly state: BreakerState
  /** Epoch ms. */
  readonly since: number
  /** The last failure that was the server's, '' if there was none. */
  readonly lastError: string
  readonly connections: number
  readonly busy: number
  readonly limit: number
  readonly waiting: number
}

/** A result, and which server it came from. */
export type Reply = Result & { readonly from: Pick<Server, 'doubtAbsence' | 'name'> }

/** A server's replication is looked at so often (ms) at most. */
const replicationEveryMs = 1_000
/** How long the connection for a list may take. */
const connectTimeoutMs = 5_000
/** How long the connection that kills a timed-out query may take. */
const killTimeoutMs = 1_000

/** The breakers of several nodes shouldn't all knock at the same moment. */
const jittered = (ms: number): number => Math.round(ms * (0.9 + Math.random() * 0.2))

/** Carries a fault through the breaker, which wants failures thrown. */
class ServerFailure extends Error {
  readonly fault: Fault

  constructor(fault: Fault) {
    super(fault.detail)
    this.fault = fault
  }
}

export class Server {
  readonly name: string
  readonly #target: Target
  readonly #settings: ServerSettings
  readonly #slots: Slots
  readonly #breaker: CircuitBreaker<[() => Promise<Result | Fault>], Result | Fault>
  /** All its connections, and of these the unused ones, the last used at the end. */
  readonly #connections = new Set<Connection>()
  readonly #idle: Connection[] = []
  readonly #alarm = new Alarm(systemTiming, now => this.#endIdle(now))
  /** Queries to kill, and whether that is under way. */
  readonly #toKill: number[] = []
  #isKilling = false
  #isClosed = false
  #state: BreakerState = 'closed'
  #since = Date.now()
  #lastError = ''
  #failuresInRow = 0
  #replication: { readonly askedAt: number, readonly doubt: Promise<Unavailable | null> } | null = null

  constructor(name: string, target: Target, settings: ServerSettings) {
    this.name = name
    this.#target = target
    this.#settings = settings
    this.#slots = new Slots(settings.connections)
    this.#breaker = new CircuitBreaker(attempt => attempt(), {
      // Each question brings its own deadline.
      timeout: false,
      volumeThreshold: settings.failures,
      errorThresholdPercentage: 50,
      rollingCountTimeout: settings.windowMs,
      resetTimeout: jittered(settings.resetMs),
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    })
    this.#breaker.on('open', () => {
      this.#slots.narrow()
      this.#slots.flush()
      this.#enter('open', this.#lastError)
    })
    this.#breaker.on('halfOpen', () => this.#enter('half-open', ''))
    this.#breaker.on('close', () => this.#enter('closed', ''))
  }

  get status(): ServerStatus {
    const { used, limit, waiting } = this.#slots.counts
    return {
      server: this.name, state: this.#state, since: this.#since, lastError: this.#lastError,
      connections: this.#connections.size, busy: used, limit, waiting,
    }
  }

  /** Whether a question would get through: the breaker is closed, or half-open without a probe under way. */
  isAskable(): boolean {
    return !this.#isClosed && (this.#breaker.closed || this.#breaker.pendingClose)
  }

  /**
   * Asks within its share of the time until `deadline` (of `performance.now()`):
   * what is left when its turn comes, divided by the `serversLeft`, itself included.
   */
  ask(statement: Statement, values: readonly string[], deadline: number, serversLeft: number): Promise<Reply | Unavailable> {
    if (!this.isAskable()) return Promise.resolve(this.#refusal())
    // No wait where there is none: of two probes asked for at once, the second must find the first on its way.
    return new Promise((resolve, reject) => {
      this.#slots.take(deadline - performance.now(), turn => {
        if (turn === 'turn') this.#askInTurn(statement, values, deadline, serversLeft).then(resolve, reject)
        else resolve(this.#turnedAway(turn))
      })
    })
  }

  #turnedAway(turn: Exclude<Turn, 'turn'>): Unavailable {
    switch (turn) {
      case 'flushed': return this.#refusal()
      case 'full': return unavailable('overloaded', `${this.name}: too many lookups wait for a connection`)
      case 'late': return unavailable('overloaded', `${this.name}: no free connection in time`)
      default: return turn satisfies never
    }
  }

  async #askInTurn(statement: Statement, values: readonly string[], deadline: number, serversLeft: number): Promise<Reply | Unavailable> {
    let isCounted = false
    try {
      if (!this.isAskable()) return this.#refusal()
      const now = performance.now()
      const until = now + (deadline - now) / serversLeft
      let result: Result | Fault
      if (this.#breaker.closed) {
        result = await this.#attempt(statement, values, this.#failuresInRow > 0 ? Math.min(until, now + this.#settings.suspectMs) : until)
        // All that a closed breaker wants of what goes well is its number, for the share of what doesn't.
        this.#breaker.emit('fire')
      } else {
        isCounted = true
        result = await this.#breaker.fire(() => this.#attempt(statement, values, until))
      }
      this.#failuresInRow = 0
      if (result.kind === 'fault') return this.#named(unavailableFor(result))
      if (this.#breaker.closed) this.#slots.grow()
      return { kind: 'rows', rows: result.rows, columns: result.columns, from: this }
    } catch (error) {
      if (!(error instanceof ServerFailure)) throw error
      if (!isCounted && this.#breaker.closed) await this.#breaker.fire(() => Promise.reject(error)).catch(() => undefined)
      // The share alone would take the whole window to show that a busy server went down.
      if (++this.#failuresInRow >= this.#settings.failures) this.#breaker.open()
      return this.#named(unavailableFor(error.fault))
    } finally {
      this.#slots.release()
    }
  }

  /**
   * Hands over the rows of a list (Connection.list), on a connection of its own:
   * whatever comes of it, lookups and the breaker have nothing to do with it.
   * Null if all went well; without a beginning another server may do. Rejects if `onRows` does.
   */
  async list(
    statement: Statement, idleMs: number, onRows: (rows: readonly RawRow[]) => Promise<boolean>,
  ): Promise<{ readonly problem: Unavailable, readonly isBegun: boolean } | null> {
    if (!this.isAskable()) return { problem: this.#refusal(), isBegun: false }
    const opened = await openConnection(this.#target, connectTimeoutMs, () => undefined)
    if (!(opened instanceof Connection)) return { problem: this.#named(unavailableFor(opened)), isBegun: false }
    this.#connections.add(opened)
    try {
      if (this.#isClosed) return { problem: this.#refusal(), isBegun: false }
      const fault = await opened.list(statement, idleMs, onRows)
      return fault === null ? null : { problem: this.#named(unavailableFor(fault)), isBegun: true }
    } finally {
      this.#connections.delete(opened)
      if (this.#isClosed) opened.destroy()
      else opened.end()
    }
  }

  /**
   * Why an absence that this server just stated can't be believed; null if it
   * can. Looks at its replication at most once a second, until `deadline` (of
   * `performance.now()`).
   */
  async doubtAbsence(deadline: number): Promise<Unavailable | null> {
    const { maxLagMs } = this.#settings
    if (maxLagMs === null) return null
    const now = performance.now()
    if (this.#replication === null || now - this.#replication.askedAt > replicationEveryMs) {
      this.#replication = { askedAt: now, doubt: this.#askReplication(maxLagMs, deadline) }
    }
    return this.#replication.doubt
  }

  async #askReplication(maxLagMs: number, deadline: number): Promise<Unavailable | null> {
    const ask = (sql: string): Promise<Reply | Unavailable> => this.ask({ texts: [sql] }, [], deadline, 1)
    let answer = await ask(replicaStatements[0])
    if (answer.kind === 'unavailable' && answer.reason === 'query-error') answer = await ask(replicaStatements[1])
    const doubt = (why: string): Unavailable => unavailable('distrusted', `${this.name}: ${why}`)
    if (answer.kind !== 'rows') return doubt(`its replication can't be looked at: ${answer.detail}`)
    const lag = replicaDoubt(answer, maxLagMs)
    if (lag !== null) return doubt(lag)
    const galera = await ask(galeraStatement)
    // MySQL has no such table, and no Galera.
    const unsynced = galera.kind === 'rows' ? galeraDoubt(galera) : null
    return unsynced === null ? null : doubt(unsynced)
  }

  /** Ends its connections; what is under way is cut off. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#breaker.shutdown()
    this.#slots.flush()
    for (const connection of this.#idle.splice(0)) this.#end(connection)
    for (const connection of this.#connections) connection.destroy()
  }

  #enter(state: BreakerState, detail: string): void {
    if (state === this.#state) return
    this.#state = state
    this.#since = Date.now()
    this.#settings.onState(this.name, state, detail)
  }

  #refusal(): Unavailable {
    if (this.#isClosed) return unavailable('draining', 'stopping')
    const because = this.#lastError === '' ? '' : `; last error: ${this.#lastError}`
    return unavailable('breaker-open', `${this.name}: left alone after failures${because}`)
  }

  #named({ reason, detail }: Unavailable): Unavailable {
    return unavailable(reason, `${this.name}: ${detail}`)
  }

  /** One question, asked again where that may help. Throws for the breaker what is the server's fault. */
  async #attempt(statement: Statement, values: readonly string[], deadline: number): Promise<Result | Fault> {
    let idle = this.#idle.pop()
    for (let isFirst = true; ; isFirst = false) {
      const connection = idle ?? await openConnection(this.#target, deadline - performance.now(), lost => this.#forget(lost))
      let result: Result | Fault
      if (connection instanceof Connection) {
        if (idle === undefined) this.#connections.add(connection)
        if (this.#isClosed) connection.destroy()
        result = await connection.ask(statement, values, deadline - performance.now())
        if (connection.isOpen) this.#putIdle(connection)
        else {
          this.#connections.delete(connection)
          if (result.kind === 'fault' && result.reason === 'timeout') this.#kill(connection.threadId)
        }
      } else {
        result = connection
      }
      if (result.kind !== 'fault') return result
      // An idle connection may have died unnoticed: that is no failure of the server.
      const isWorthIt = result.again === 'same' || (result.again === 'new' && (idle !== undefined || result.blame === 'query'))
      if (!isFirst || !isWorthIt) {
        if (result.blame === 'query') return result
        this.#lastError = result.detail
        throw new ServerFailure(result)
      }
      idle = result.again === 'same' ? this.#idle.pop() : undefined
    }
  }

  #putIdle(connection: Connection): void {
    if (this.#isClosed) {
      this.#end(connection)
      return
    }
    const now = performance.now()
    connection.idleSince = now
    this.#idle.push(connection)
    this.#alarm.setFor(now + this.#settings.idleMs, now)
  }

  /** Ends what has been idle for too long; gives the time at which the next one will have been. */
  #endIdle(now: number): number {
    for (let longest = this.#idle[0]; longest !== undefined; longest = this.#idle[0]) {
      if (now < longest.idleSince + this.#settings.idleMs) return longest.idleSince + this.#settings.idleMs
      this.#idle.shift()
      this.#end(longest)
    }
    return Infinity
  }

  #end(connection: Connection): void {
    this.#connections.delete(connection)
    connection.end()
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
  }

  /**
   * Ends a query that nobody waits for any more: the server would work on it to
   * its end. Best effort, once.
   */
  #kill(threadId: number): void {
    if (this.#isClosed) return
    this.#toKill.push(threadId)
    if (this.#isKilling) return
    this.#isKilling = true
    void (async () => {
      const connection = await openConnection(this.#target, killTimeoutMs, () => undefined)
      const threads = this.#toKill.splice(0)
      this.#isKilling = false
      if (!(connection instanceof Connection)) return
      for (const thread of threads) await connection.command(`KILL QUERY ${thread}`, killTimeoutMs)
      connection.end()
    })()
  }
}
