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
import type { RawRow, Result, Query } from './sql.js'

export type BreakerState = 'closed' | 'open' | 'half-open'

export type ServerSettings = {
  /** Connections at most. */
  readonly connections: number
  /** The breaker opens after so many failures in a row, or if more than half of so many questions within `windowMs` failed. */
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

/** A result, and the identity of the server that gave it: its own, not its address. */
export type Reply = Result & { readonly server: string }

/** The connection that gave a reply, while it is held: it leads to the very server that gave it. */
export type HeldConnection = {
  /** Asks that connection. */
  again(query: Query, values: readonly string[]): Promise<Result | Unavailable>
  /**
   * Why an absence that this server stated can't be believed, for it lacks what others have; null if it can.
   * Looks at its replication at most once a second.
   */
  doubtAbsence(): Promise<Unavailable | null>
}

/** Whom to ask, by the servers' identities, and what else to ask the same connection. */
export type Choice = {
  /** Servers to pass over, as long as there are others. */
  readonly avoid?: ((server: string) => boolean) | undefined
  /** The server to ask; no other one is. */
  readonly only?: string | undefined
  /** Is called with a reply while its connection is held. The reply waits for it; it must not reject. */
  readonly onReply?: ((reply: Reply, held: HeldConnection) => Promise<void>) | undefined
}

/** Whether a choice takes a server of this identity. */
const isChosen = ({ avoid, only }: Choice, server: string): boolean =>
  only === undefined ? avoid?.(server) !== true : server === only

/** Replication is looked at so often (ms) at most. */
const replicationEveryMs = 1_000
/** How long (ms) the connection for a list may take. */
const connectTimeoutMs = 5_000

/** The breakers of several nodes shouldn't all try a server at the same moment. */
const jittered = (ms: number): number => Math.round(ms * (0.9 + Math.random() * 0.2))

/** One question, until `deadline` (of `performance.now()`). */
type Question = {
  readonly query: Query
  readonly values: readonly string[]
  readonly deadline: number
  readonly choice: Choice
}

/** So many new connections are opened in search of a server that is wanted, and after a vain search none for so long (ms). */
const maxTries = 4
const searchEveryMs = 5_000

/** A new connection led to a server that is not to be asked: behind this address stand several. */
const otherServer: Fault = {
  kind: 'fault', blame: 'query', reason: 'source-down', again: 'no', broken: false,
  detail: 'the address leads to another server now',
}

/** Whether the server is to blame. */
const isFailure = (result: Result | Fault): result is Fault & { blame: 'server' } =>
  result.kind === 'fault' && result.blame === 'server'

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
  readonly #breaker: CircuitBreaker<[() => Promise<Reply | Fault>], Reply | Fault>
  readonly #connections = new Set<Connection>()
  /** The unused ones of these, the last used at the end. */
  readonly #idle: Connection[] = []
  readonly #sweep: NodeJS.Timeout
  #isClosed = false
  #state: BreakerState = 'closed'
  #since = Date.now()
  #lastError = ''
  #failuresInRow = 0
  /** The servers that this address has led to. */
  readonly #identities = new Set<string>()
  /** When the last search for another server ended in vain (of `performance.now()`). */
  #searchedAt = -Infinity
  /** By identity. */
  readonly #replication = new Map<string, { readonly askedAt: number, readonly doubt: Promise<Unavailable | null> }>()

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
    query: Query, values: readonly string[], deadline: number, serversLeft: number, choice: Choice = {},
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
      if (!this.#breaker.closed) {
        return this.#answerOf(await this.#probe({ query, values, deadline: now + share, choice }))
      }
      const time = this.#failuresInRow > 0 ? Math.min(share, this.#settings.suspectMs) : share
      const result = await this.#attempt({ query, values, deadline: now + time, choice })
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
  #probe(question: Question): Promise<Reply | Fault> {
    return this.#breaker.fire(async () => {
      const result = await this.#attempt(question)
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

  #answerOf(result: Reply | Fault): Reply | Unavailable {
    if (isFailure(result)) {
      // The share of failures alone would take the whole window to show that a busy server went down.
      if (++this.#failuresInRow >= this.#settings.failures) this.#breaker.open()
      return this.#named(unavailableFor(result))
    }
    this.#failuresInRow = 0
    if (result.kind === 'fault') return this.#named(unavailableFor(result))
    if (this.#breaker.closed) this.#slots.grow()
    return result
  }

  /**
   * Hands over the rows of a list (Connection.list), on a connection of its own and without
   * the breaker. Null if all went well; a list that isn't begun may be asked of another
   * server. Rejects if `onRows` does.
   */
  async list(
    query: Query, idleMs: number, onRows: (rows: readonly RawRow[]) => Promise<boolean>,
  ): Promise<{ readonly problem: Unavailable, readonly isBegun: boolean } | null> {
    if (!this.isAskable()) return { problem: this.#refusal(), isBegun: false }
    const opened = await openConnection({ ...this.#target, statementMs: 0 }, connectTimeoutMs, () => undefined)
    if (!(opened instanceof Connection)) return { problem: this.#named(unavailableFor(opened)), isBegun: false }
    this.#connections.add(opened)
    try {
      if (this.#isClosed) return { problem: this.#refusal(), isBegun: false }
      const fault = await opened.list(query, idleMs, onRows)
      return fault === null ? null : { problem: this.#named(unavailableFor(fault)), isBegun: true }
    } finally {
      this.#connections.delete(opened)
      if (this.#isClosed) opened.destroy()
      else opened.end()
    }
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
  async #attempt(question: Question): Promise<Reply | Fault> {
    const idle = this.#takeIdle(question.choice)
    if (idle === undefined && !this.#mayLeadTo(question.choice)) return otherServer
    let result = await this.#askOn(idle, question)
    // Behind this address may stand several servers: the next connection may lead to another one.
    for (let tries = 1; result === otherServer && tries < maxTries; tries++) result = await this.#askOn(undefined, question)
    if (result === otherServer) this.#searchedAt = performance.now()
    if (result.kind === 'fault' && result.again === 'same') {
      result = await this.#askOn(this.#takeIdle(question.choice), question)
    } else if (result.kind === 'fault' && result.again === 'new' && idle !== undefined) {
      // An idle connection may have died unnoticed: that is no failure of the server.
      result = await this.#askOn(undefined, question)
    }
    if (isFailure(result)) this.#lastError = result.detail
    return result
  }

  /** Whether a new connection may lead to a server of this choice: it did before, or nobody has tried for a while. */
  #mayLeadTo(choice: Choice): boolean {
    return [...this.#identities].some(server => isChosen(choice, server))
      || performance.now() - this.#searchedAt > searchEveryMs
  }

  /** The unused connection to a server of this choice that was used last. */
  #takeIdle(choice: Choice): Connection | undefined {
    const index = this.#idle.findLastIndex(({ server }) => isChosen(choice, server))
    return index === -1 ? undefined : this.#idle.splice(index, 1)[0]
  }

  /** Asks on the idle connection, or on a new one. */
  async #askOn(idle: Connection | undefined, { query, values, deadline, choice }: Question): Promise<Reply | Fault> {
    const timeoutMs = deadline - performance.now()
    const connection = idle ?? await openConnection(this.#target, timeoutMs, lost => this.#forget(lost))
    if (!(connection instanceof Connection)) return connection
    this.#connections.add(connection)
    if (this.#isClosed) connection.destroy()
    const { server } = connection
    this.#identities.add(server)
    try {
      if (!isChosen(choice, server)) return otherServer
      const result = await connection.ask(query, values, deadline - performance.now())
      if (result.kind === 'fault') return result
      const reply = { ...result, server }
      await choice.onReply?.(reply, this.#held(connection, deadline))
      return reply
    } finally {
      if (connection.isOpen) this.#putIdle(connection)
      else this.#connections.delete(connection)
    }
  }

  #held(connection: Connection, deadline: number): HeldConnection {
    const again = async (query: Query, values: readonly string[]): Promise<Result | Unavailable> => {
      const result = await connection.ask(query, values, deadline - performance.now())
      return result.kind === 'fault' ? this.#named(unavailableFor(result)) : result
    }
    return { again, doubtAbsence: () => this.#doubtAbsence(connection.server, again) }
  }

  async #doubtAbsence(server: string, ask: HeldConnection['again']): Promise<Unavailable | null> {
    const { maxLagMs } = this.#settings
    if (maxLagMs === null) return null
    const now = performance.now()
    const known = this.#replication.get(server)
    if (known !== undefined && now - known.askedAt <= replicationEveryMs) return known.doubt
    const doubt = askReplication(sql => ask({ texts: [sql] }, []), maxLagMs)
      .then(why => why === null ? null : unavailable('distrusted', `${this.name}: ${why}`))
    this.#replication.set(server, { askedAt: now, doubt })
    return doubt
  }

  #putIdle(connection: Connection): void {
    connection.idleSince = performance.now()
    if (this.#isClosed) this.#end(connection)
    else this.#idle.push(connection)
    const [oldest] = this.#idle
    if (this.#idle.length > this.#settings.connections && oldest !== undefined) this.#end(oldest)
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
