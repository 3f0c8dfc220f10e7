/**
 * One MySQL server under one log-in: its connections (pool.ts), and the breaker (breaker.ts) that keeps lookups from it
 * after it failed.
 */
import { unavailable } from '../outcome.js'
import type { Unavailable } from '../outcome.js'
import type { Wanted } from './behind_address.js'
import { Breaker } from './breaker.js'
import type { BreakerSettings, BreakerState, BreakerStatus } from './breaker.js'
import { Connection } from './connection.js'
import { Dialer } from './dial.js'
import { faultOf, noConnection, unavailableFor } from './fault.js'
import type { Fault } from './fault.js'
import { Pool } from './pool.js'
import type { PoolCounts, PoolSettings } from './pool.js'
import { Replication } from './replica.js'
import { openConnection } from './session.js'
import type { Target } from './session.js'
import type { Query, RawRow, Result } from './sql.js'

export type ServerSettings = PoolSettings & BreakerSettings & {
  /** A replica further behind than this is not believed when it says absent; null: nobody looks at replication. */
  readonly maxLagMs: number | null
  /**
   * Called for each change of a breaker: `detail` is the failure that opened it, or ''; `lastedMs` is how long it was
   * closed, or not.
   */
  onState(server: string, state: BreakerState, detail: string, lastedMs: number): void
}

export type ServerStatus = BreakerStatus & PoolCounts & {
  /** ACCOUNT@HOST/DATABASE, so that two log-ins on one server are told apart. */
  readonly server: string
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

/** Takes rows of a list and the identity of the server that gives them; false: no more are wanted. */
export type OnRows = (rows: readonly RawRow[], server: string) => Promise<boolean>

/** Whom to ask, and what else to ask the same connection. */
export type Choice = Wanted & {
  /** Is called with a reply while its connection is held. The reply waits for what it gives, which must not reject. */
  readonly onReply?: ((reply: Reply, held: HeldConnection) => Promise<void> | undefined) | undefined
}

/** The server ends a statement after this part of its time, so that its word of that still comes in time. */
const serversShare = 0.75

/** Stands for the statements of a look at the replication. */
const lookQuery: Query = { texts: [] }

/** Whether the server is to blame. */
const isFailure = (fault: Fault): boolean => fault.blame === 'server'

export class Server {
  readonly name: string
  readonly #target: Target
  readonly #settings: ServerSettings
  readonly #pool: Pool
  readonly #replication: Replication
  readonly #breaker: Breaker
  readonly #lists = new Set<Connection>()
  /** Ends the handshakes that are under way. */
  readonly #stop = new AbortController()
  readonly #look: NodeJS.Timeout | undefined

  constructor(name: string, target: Omit<Target, 'limitMs'>, settings: ServerSettings) {
    this.name = name
    this.#target = { ...target, limitMs: Math.round(settings.statementMs * serversShare) }
    this.#settings = settings
    const dialer = new Dialer(target.host)
    this.#pool = new Pool(settings, {
      open: () => openConnection(this.#target, settings.connectTimeoutMs, { dialer, signal: this.#stop.signal })
        .catch((error: unknown) => faultOf(error, 'connect')),
      onAsk: () => this.#breaker.asked(),
      onOpened: tookMs => this.#breaker.succeeded(tookMs),
      onRefused: fault => this.#breaker.failed(fault),
    })
    this.#replication = new Replication(settings.maxLagMs)
    const { lookEveryMs } = this.#replication
    if (lookEveryMs !== null) this.#look = setInterval(() => void this.#lookAtReplication(), lookEveryMs).unref()
    this.#breaker = new Breaker(settings, {
      onOpen: detail => this.#pool.rest(noConnection.breakerOpen(detail)),
      onClose: () => this.#pool.resume(),
      probe: async () => await this.#pool.probe() === null,
      isOwing: () => this.#pool.isOwed,
      onSlow: () => this.#pool.renew(),
      onSilent: () => this.#pool.sendAway(),
      onState: (state, detail, lastedMs) => settings.onState(name, state, detail, lastedMs),
    })
  }

  get status(): ServerStatus {
    return { server: this.name, ...this.#breaker.status, ...this.#pool.counts }
  }

  /** For how long (ms) it has been out, as far as tries show; null if the last try did not find it out. */
  get outMs(): number | null {
    return this.#breaker.outMs
  }

  /** Whether lookups may ask it. */
  isAskable(): boolean {
    return !this.#stop.signal.aborted && this.#breaker.isClosed && !this.#breaker.isSilent
  }

  /**
   * Asks within its share of the time until `deadline` (of `performance.now()`): what is left, divided by the
   * `serversLeft`, itself included. A statement that takes longer goes on, so that its connection stays of use.
   */
  async ask(
    query: Query, values: readonly string[], deadline: number, serversLeft: number, choice: Choice = {},
  ): Promise<Reply | Unavailable> {
    if (!this.isAskable()) return this.#refusal()
    const now = performance.now()
    const until = now + (deadline - now) / serversLeft
    for (let isFirst = true; ; isFirst = false) {
      const take = this.#pool.take(choice, query, until)
      // A question that needn't wait is sent at once.
      const taken = take instanceof Promise ? await take : take
      if (!(taken instanceof Connection)) return this.#problem(taken)
      const sentAt = performance.now()
      const result = await taken.ask(query, values, this.#settings.statementMs, until)
      switch (result.kind) {
        case 'rows': return await this.#answer(taken, query, choice, result, sentAt, until)
        case 'late':
          void result.rest.then(rest => {
            this.#ended(taken, query, rest, sentAt)
            this.#judge(rest, sentAt)
          })
          return this.#tooLate()
        case 'fault':
          this.#ended(taken, query, result, sentAt)
          if (result.again !== 'no' && isFirst) continue
          this.#judge(result, sentAt)
          return this.#problem(result)
      }
    }
  }

  /**
   * Hands over the rows of a list (Connection.list), on a connection of its own and without
   * the breaker. Null if all went well; a list that isn't begun may be asked of another
   * server. Rejects if `onRows` does.
   */
  async list(
    query: Query, idleMs: number, onRows: OnRows, avoid: (server: string) => boolean = () => false,
  ): Promise<{ readonly problem: Unavailable, readonly isBegun: boolean } | null> {
    if (!this.isAskable()) return { problem: this.#refusal(), isBegun: false }
    const opened = await openConnection(
      { ...this.#target, limitMs: 0 }, this.#settings.connectTimeoutMs, { signal: this.#stop.signal })
    if (!(opened instanceof Connection)) return { problem: this.#problem(opened), isBegun: false }
    this.#lists.add(opened)
    try {
      if (this.#stop.signal.aborted) return { problem: this.#refusal(), isBegun: false }
      if (avoid(opened.server)) return { problem: unavailable('distrusted', 'it is in doubt'), isBegun: false }
      const fault = await opened.list(query, idleMs, rows => onRows(rows, opened.server))
      return fault === null ? null : { problem: this.#problem(fault), isBegun: true }
    } finally {
      this.#lists.delete(opened)
      if (this.#stop.signal.aborted) opened.destroy()
      else opened.end()
    }
  }

  /** Ends its connections as soon as they are unused. */
  retire(): void {
    this.#pool.retire()
  }

  /** Ends its connections; what is under way is cut off. */
  close(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    clearInterval(this.#look)
    this.#breaker.close()
    this.#pool.close()
    for (const connection of this.#lists) connection.destroy()
  }

  /** A statement without rows, or one that came too late, has ended: frees its connection, and notes what it shows. */
  #ended(connection: Connection, query: Query, result: Result | Fault, sentAt: number): void {
    this.#pool.release(connection)
    if (result.kind === 'rows') return this.#pool.answered(query)
    // An unused connection may have died unnoticed, and the others with it: that is no failure of the server.
    if (result.broken && isFailure(result)) this.#pool.dropSilentSince(sentAt)
    if (result.reason === 'timeout') this.#pool.tookTooLong(query, sentAt)
  }

  /** Tells the breaker what a statement shows. */
  #judge(result: Result | Fault, sentAt: number): void {
    if (result.kind === 'fault' && isFailure(result)) this.#breaker.failed(result)
    else this.#breaker.succeeded(performance.now() - sentAt)
  }

  #answer(
    connection: Connection, query: Query, { onReply }: Choice, result: Result, sentAt: number, until: number,
  ): Reply | Promise<Reply | Unavailable> {
    this.#pool.answered(query)
    this.#judge(result, sentAt)
    const reply = { ...result, server: connection.server }
    let work: Promise<void> | undefined
    try {
      work = onReply?.(reply, this.#held(connection))
    } finally {
      if (work === undefined) this.#pool.release(connection)
    }
    if (work === undefined) return reply
    // The work may take longer than its asker waits.
    return new Promise((resolve, reject) => {
      connection.waitUntil(until, () => resolve(this.#tooLate()))
      work.finally(() => {
        connection.stopWaiting()
        this.#pool.release(connection)
      }).then(() => resolve(reply), reject)
    })
  }

  #tooLate(): Unavailable {
    return unavailable('timeout', `${this.name}: no answer in time`)
  }

  #held(connection: Connection): HeldConnection {
    const again = async (query: Query, values: readonly string[]): Promise<Result | Unavailable> => {
      const sentAt = performance.now()
      const result = await connection.ask(query, values, this.#settings.statementMs)
      this.#judge(result, sentAt)
      return result.kind === 'fault' ? this.#problem(result) : result
    }
    return {
      again,
      doubtAbsence: async () => {
        const why = await this.#replication.doubt(connection.server, again)
        return why === null ? null : unavailable('distrusted', `${this.name}: ${why}`)
      },
    }
  }

  /** So that the silence of a replica's source is noticed, whether or not anybody asks. */
  async #lookAtReplication(): Promise<void> {
    if (!this.isAskable()) return
    const connection = await this.#pool.take({}, lookQuery, performance.now() + this.#settings.silentMs)
    if (!(connection instanceof Connection)) return
    await this.#held(connection).doubtAbsence()
    this.#pool.release(connection)
  }

  #refusal(): Unavailable {
    if (this.#stop.signal.aborted) return unavailable('draining', 'stopping')
    return this.#breaker.isClosed ? this.#tooLate() : unavailable('breaker-open', `${this.name}: ${this.#breaker.why}`)
  }

  #problem(fault: Fault): Unavailable {
    const { reason, detail } = unavailableFor(fault)
    return unavailable(reason, reason === 'draining' ? detail : `${this.name}: ${detail}`)
  }
}
