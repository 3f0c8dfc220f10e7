/**
 * One MySQL server under one log-in: a bounded set of connections, and a breaker that keeps
 * questions from the server for a while after it failed.
 *
 * The breaker doesn't count the wait for a turn, for busy connections say nothing about the
 * server, nor the errors of a single query.
 */
import CircuitBreaker from 'opossum'
import { unavailable } from '../outcome.js'
import type { Unavailable } from '../outcome.js'
import { Connection } from './connection.js'
import { unavailableFor } from './fault.js'
import type { Fault } from './fault.js'
import { askReplication } from './replica.js'
import { openConnection } from './session.js'
import type { Target } from './session.js'
import { Slots } from './slots.js'
import type { Turn } from './slots.js'
import type { RawRow, Result, Statement } from './statement.js'

export type BreakerState = 'closed' | 'open' | 'half-open'

export type ServerSettings = {
  /** Connections at most. */
  readonly connections: number
  /** The breaker opens after so many failures in a row, or if of so many questions within `windowMs` more than half failed. */
  readonly failures: number
  readonly windowMs: number
  /** An open breaker lets one question through after this. */
  readonly resetMs: number
  /**
   * After a failure, until something succeeds, a question gets no longer than this, so that
   * the breaker opens on a server that hangs within one deadline and not several. The probe of
   * a half-open breaker has all its time, so that a slow server comes back.
   */
  readonly suspectMs: number
  /** The server itself ends a question after this; longer than any of them is waited for. */
  readonly statementMs: number
  /** An unused connection is closed after this. */
  readonly idleMs: number
  /** A replica further behind than this is not believed when it says absent; null: nobody looks at replication. */
  readonly maxLagMs: number | null
  /** Called for each change of a breaker; `detail` is the failure that opened it, or ''. */
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

/** Replication is looked at so often (ms) at most. */
const replicationEveryMs = 1_000
/** How long (ms) the connection for a list may take. */
const connectTimeoutMs = 5_000

/** The breakers of several nodes shouldn't all try a server at the same moment. */
const jittered = (ms: number): number => Math.round(ms * (0.9 + Math.random() * 0.2))

/** Whether the server is to blame. */
const isFailure = (result: Result | Fault): result is Fault & { blame: 'server' } => result.kind === 'fault' && result.blame === 'server'

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
  readonly #connections = new Set<Connection>()
  /** The unused ones of these, the last used at the end. */
  readonly #idle: Connection[] = []
  readonly #sweep: NodeJS.Timeout
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
    this.#sweep = setInterval(() => this.#endIdle(), settings.idleMs / 4).unref()
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
  async ask(
    statement: Statement, values: readonly string[], deadline: number, serversLeft: number,
  ): Promise<Reply | Unavailable> {
    if (!this.isAskable()) return this.#refusal()
    const take = this.#slots.take(deadline - performance.now())
    // No await where there is no wait: of two questions in a half-open breaker, the second must find the first under way.
    const turn = typeof take === 'string' ? take : await take
    if (turn !== 'turn') return this.#turnedAway(turn)
    try {
      if (!this.isAskable()) return this.#refusal()
      const now = performance.now()
      const share = (deadline - now) / serversLeft
      if (!this.#breaker.closed) return this.#answerOf(await this.#probe(statement, values, now + share))
      const time = this.#failuresInRow > 0 ? Math.min(share, this.#settings.suspectMs) : share
      const result = await this.#attempt(statement, values, now + time)
      // A closed breaker needs the failures, and the number of questions. To ask through it takes a tenth of a miss.
      if (isFailure(result)) await this.#countFailure(result)
      else this.#breaker.emit('fire')
      return this.#answerOf(result)
    } finally {
      this.#slots.release()
    }
  }

  #turnedAway(turn: Exclude<Turn, 'turn'>): Unavailable {
    switch (turn) {
      case 'flushed': return this.#refusal()
      case 'full': return unavailable('overloaded', `${this.name}: too many lookups wait for a connection`)
      case 'late': return unavailable('overloaded', `${this.name}: no free connection in time`)
      default: return turn satisfies never
    }
  }

  /** Asks what may close a half-open breaker. */
  #probe(statement: Statement, values: readonly string[], deadline: number): Promise<Result | Fault> {
    return this.#breaker.fire(async () => {
      const result = await this.#attempt(statement, values, deadline)
      if (isFailure(result)) throw new ServerFailure(result)
      return result
    }).catch((error: unknown) => {
      if (error instanceof ServerFailure) return error.fault
      throw error
    })
  }

  async #countFailure(fault: Fault): Promise<void> {
    // Another question may have opened it meanwhile.
    if (!this.#breaker.closed) return
    await this.#breaker.fire(() => Promise.reject(new ServerFailure(fault))).catch(() => undefined)
  }

  #answerOf(result: Result | Fault): Reply | Unavailable {
    if (isFailure(result)) {
      // The share of failures alone would take the whole window to show that a busy server went down.
      if (++this.#failuresInRow >= this.#settings.failures) this.#breaker.open()
      return this.#named(unavailableFor(result))
    }
    this.#failuresInRow = 0
    if (result.kind === 'fault') return this.#named(unavailableFor(result))
    if (this.#breaker.closed) this.#slots.grow()
    return { kind: 'rows', rows: result.rows, columns: result.columns, from: this }
  }

  /**
   * Hands over the rows of a list (Connection.list), on a connection of its own and without
   * the breaker. Null if all went well; a list that isn't begun may be asked of another
   * server. Rejects if `onRows` does.
   */
  async list(
    statement: Statement, idleMs: number, onRows: (rows: readonly RawRow[]) => Promise<boolean>,
  ): Promise<{ readonly problem: Unavailable, readonly isBegun: boolean } | null> {
    if (!this.isAskable()) return { problem: this.#refusal(), isBegun: false }
    const opened = await openConnection({ ...this.#target, statementMs: 0 }, connectTimeoutMs, () => undefined)
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
   * Why an absence that this server just stated can't be believed; null if it can. Looks at
   * its replication at most once a second, until `deadline` (of `performance.now()`).
   */
  async doubtAbsence(deadline: number): Promise<Unavailable | null> {
    const { maxLagMs } = this.#settings
    if (maxLagMs === null) return null
    const now = performance.now()
    if (this.#replication === null || now - this.#replication.askedAt > replicationEveryMs) {
      const doubt = askReplication(sql => this.ask({ texts: [sql] }, [], deadline, 1), maxLagMs)
        .then(why => why === null ? null : unavailable('distrusted', `${this.name}: ${why}`))
      this.#replication = { askedAt: now, doubt }
    }
    return this.#replication.doubt
  }

  /** Ends its connections; what is under way is cut off. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#breaker.shutdown()
    this.#slots.flush()
    clearInterval(this.#sweep)
    for (const connection of [...this.#idle]) this.#end(connection)
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
    return unavailable('breaker-open', `${this.name}: not asked after failures${because}`)
  }

  #named({ reason, detail }: Unavailable): Unavailable {
    return unavailable(reason, `${this.name}: ${detail}`)
  }

  /** One question, asked again where that may help. */
  async #attempt(statement: Statement, values: readonly string[], deadline: number): Promise<Result | Fault> {
    const idle = this.#idle.pop()
    let result = await this.#askOn(idle, statement, values, deadline)
    if (result.kind === 'fault' && result.again === 'same') {
      result = await this.#askOn(this.#idle.pop(), statement, values, deadline)
    } else if (result.kind === 'fault' && result.again === 'new' && idle !== undefined) {
      // An idle connection may have died unnoticed: that is no failure of the server.
      result = await this.#askOn(undefined, statement, values, deadline)
    }
    if (isFailure(result)) this.#lastError = result.detail
    return result
  }

  /** Asks on the idle connection, or on a new one. */
  async #askOn(
    idle: Connection | undefined, statement: Statement, values: readonly string[], deadline: number,
  ): Promise<Result | Fault> {
    const timeoutMs = deadline - performance.now()
    const connection = idle ?? await openConnection(this.#target, timeoutMs, lost => this.#forget(lost))
    if (!(connection instanceof Connection)) return connection
    this.#connections.add(connection)
    if (this.#isClosed) connection.destroy()
    const result = await connection.ask(statement, values, deadline - performance.now())
    if (connection.isOpen) this.#putIdle(connection)
    else this.#connections.delete(connection)
    return result
  }

  #putIdle(connection: Connection): void {
    connection.idleSince = performance.now()
    if (this.#isClosed) this.#end(connection)
    else this.#idle.push(connection)
  }

  #endIdle(): void {
    const oldest = performance.now() - this.#settings.idleMs
    for (const connection of this.#idle.filter(({ idleSince }) => idleSince < oldest)) this.#end(connection)
  }

  #end(connection: Connection): void {
    this.#forget(connection)
    connection.end()
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
  }
}
