/**
 * The connections to one server under one log-in. They open in the background, with a patience of their own, and some
 * stand ready; a lookup waits for one until its time is over, and never ends a handshake. Old connections are replaced,
 * so that what changes on the server (a variable, a view's definer, an address) is taken up. How many statements the
 * server gets at once adapts to what it takes (limit.ts); a slow query doesn't get them all.
 */
import { BehindAddress, isWanted } from './behind_address.js'
import type { Wanted } from './behind_address.js'
import { Connection } from './connection.js'
import { noConnection } from './fault.js'
import type { Fault } from './fault.js'
import { Limit } from './limit.js'
import { QueryShares } from './query_shares.js'
import type { Query } from './sql.js'
import { WaitingList } from './waiting_list.js'

export type PoolSettings = {
  /** Connections at most. */
  readonly connections: number
  /** So many stand ready while the server is in use. */
  readonly standing: number
  /** An unused connection is closed after this, but for those that stand ready. */
  readonly idleMs: number
  /** A connection is replaced after this, between two statements; a tenth more or less. */
  readonly maxAgeMs: number
}

export type PoolHooks = {
  /** The server is about to be asked for a connection, or a statement. */
  readonly onAsk: () => void
  /** Opens a connection, however long that takes. */
  readonly open: () => Promise<Connection | Fault>
  /** A connection stands, after so long (ms). */
  readonly onOpened: (tookMs: number) => void
  /** No connection could be made, and none stands. */
  readonly onRefused: (fault: Fault) => void
}

export type PoolCounts = {
  readonly connections: number
  readonly busy: number
  readonly limit: number
  readonly waiting: number
}

/** So many lookups at most wait for a connection, each for its own time. */
const maxWaiting = 1_000
/** After a fault, connections that nobody waits for are tried again after this (ms). */
const restMs = 1_000

const { full, busy, notYet, silent, elsewhere, closing } = noConnection

export class Pool {
  readonly #settings: PoolSettings
  readonly #hooks: PoolHooks
  readonly #limit: Limit
  readonly #behind: BehindAddress
  readonly #connections = new Set<Connection>()
  /** The unused ones, the last used at the end. */
  readonly #idle: Connection[] = []
  readonly #openings = new Set<Promise<Fault | null>>()
  readonly #shares = new QueryShares()
  readonly #waiting = new WaitingList(() => this.#connections.size === 0 ? notYet : busy)
  readonly #sweep: NodeJS.Timeout
  #lastTakenAt = -Infinity
  /** After a fault, until the next try. */
  #retry: NodeJS.Timeout | undefined
  /** Why nobody gets a connection: `closing` for good, else until `resume`. */
  #refusal: Fault | null = null

  constructor(settings: PoolSettings, hooks: PoolHooks) {
    this.#settings = settings
    this.#hooks = hooks
    this.#limit = new Limit(settings.connections)
    this.#behind = new BehindAddress(2 * settings.maxAgeMs)
    this.#sweep = setInterval(() => this.#endUnused(), Math.min(settings.idleMs, settings.maxAgeMs) / 4).unref()
  }

  get counts(): PoolCounts {
    return {
      connections: this.#connections.size, busy: this.#used, limit: this.#limit.value, waiting: this.#waiting.size,
    }
  }

  /** Whether somebody waits for the server: for an answer, for a connection, or for the first one to stand. */
  get isOwed(): boolean {
    return this.#used > 0 || this.#waiting.size > 0 || (this.#connections.size === 0 && this.#openings.size > 0)
  }

  /** A connection to use for `query` and then to `release`, or why there is none until then (of performance.now()). */
  take(wanted: Wanted, query: Query, until: number): Connection | Fault | Promise<Connection | Fault> {
    this.#lastTakenAt = performance.now()
    if (this.#refusal !== null) return this.#refusal
    this.#hooks.onAsk()
    const connection = this.#fitting(wanted, query)
    if (connection !== undefined) return connection
    if (this.#waiting.size >= maxWaiting) return full
    if (!this.#behind.mayBe(wanted)) return elsewhere
    const given = this.#waiting.add(wanted, query, until)
    this.#grow()
    return given
  }

  /** Gives a connection back. */
  release(connection: Connection): void {
    connection.idleSince = performance.now()
    this.#shares.give(connection)
    if (this.#connections.has(connection) && connection.idleSince < connection.retireAt) this.#idle.push(connection)
    else this.#end(connection)
    this.#serve()
  }

  /** A statement of the query was answered. */
  answered(query: Query): void {
    this.#shares.note(query, true)
    if (this.#limit.grow()) this.#serve()
  }

  /** A statement of the query that was sent at that time (of `performance.now()`) took too long. */
  tookTooLong(query: Query, sentAt: number): void {
    this.#shares.note(query, false)
    this.#limit.shrink(sentAt)
  }

  /** Drops the unused connections on which nothing was heard since: one that was used then is dead. */
  dropSilentSince(time: number): void {
    for (const connection of this.#idle.filter(({ heardAt }) => heardAt < time)) this.#drop(connection)
    this.#grow()
  }

  /** The server is silent: sends away whoever waits for a connection or an answer. What is under way goes on. */
  sendAway(): void {
    this.#waiting.dismissAll(silent)
    for (const connection of this.#connections) connection.sendAway()
  }

  /** The server failed: drops all connections, sends away whoever waits or comes, and opens none but by `probe`. */
  rest(fault: Fault): void {
    if (this.#refusal === closing) return
    this.#refusal = fault
    this.#limit.restart()
    for (const connection of this.#connections) this.#drop(connection)
    this.#waiting.dismissAll(fault)
  }

  /** The server is well again. */
  resume(): void {
    if (this.#refusal === closing) return
    this.#refusal = null
    this.#grow()
  }

  /** Opens a connection if none is being opened: null when it stands, or why not. */
  probe(): Promise<Fault | null> {
    const [opening] = this.#openings
    return opening ?? this.#open()
  }

  /** The same, in place of an unused one if there is no room. */
  renew(): void {
    const [oldest] = this.#idle
    if (this.#connections.size < this.#settings.connections) void this.probe()
    else if (oldest !== undefined) {
      this.#end(oldest)
      void this.probe()
    }
  }

  /** Others go on in its place: ends each connection as soon as it is unused: the server may have no room for both. */
  retire(): void {
    this.#lastTakenAt = -Infinity
    for (const connection of this.#connections) connection.retireAt = -Infinity
    this.#endUnused()
  }

  /** Ends the connections; those in use are cut off. */
  close(): void {
    if (this.#refusal === closing) return
    this.#refusal = closing
    clearInterval(this.#sweep)
    clearTimeout(this.#retry)
    this.#waiting.close(closing)
    for (const connection of [...this.#idle]) this.#end(connection)
    for (const connection of this.#connections) this.#drop(connection)
  }

  /** How many connections stand ready; none once nobody has asked for a while. */
  get #standing(): number {
    const { standing, connections, maxAgeMs } = this.#settings
    return performance.now() - this.#lastTakenAt < maxAgeMs ? Math.min(standing, connections) : 0
  }

  get #used(): number {
    return this.#connections.size - this.#idle.length
  }

  /** Whether the server may get one more statement. */
  get #hasTurn(): boolean {
    return this.#used < this.#limit.value
  }

  #mayTake(query: Query): boolean {
    return this.#shares.mayTake(query, this.#limit.value)
  }

  /** An unused connection to a server that is wanted, if there is a turn. */
  #fitting(wanted: Wanted, query: Query): Connection | undefined {
    if (!this.#hasTurn || !this.#mayTake(query)) return undefined
    const index = this.#idle.findLastIndex(({ server }) => isWanted(wanted, server))
    const [connection] = index === -1 ? [] : this.#idle.splice(index, 1)
    if (connection !== undefined) this.#shares.take(connection, query)
    return connection
  }

  #serve(): void {
    if (this.#waiting.size > 0) {
      this.#waiting.serve(
        (wanted, query) => this.#fitting(wanted, query), () => this.#idle.length > 0 && this.#hasTurn)
    }
    this.#grow()
  }

  /** Opens connections for those who wait, and to stand ready: one at first, then as many at a time as stand. */
  #grow(): void {
    if (this.#refusal !== null) return
    const wasRefused = this.#retry !== undefined
    const ready = wasRefused ? 0 : this.#standing - this.#connections.size
    const turns = this.#hasTurn
      ? Math.min(this.#waiting.count(query => this.#mayTake(query)), this.#limit.value - this.#used) : 0
    // Those who wait don't try in vain what was just refused, as long as there are connections to wait for.
    const forWaiting = this.#connections.size > 0 && wasRefused ? 0 : turns
    const wanted = Math.max(ready, forWaiting)
    while (this.#openings.size < Math.min(wanted, Math.max(1, this.#connections.size))) {
      const [oldest] = this.#idle
      if (this.#connections.size + this.#openings.size >= this.#settings.connections) {
        if (oldest === undefined) return
        // It leads to a server that those who wait don't want.
        this.#end(oldest)
      }
      void this.#open()
    }
  }

  #open(): Promise<Fault | null> {
    this.#hooks.onAsk()
    const from = performance.now()
    const opening = this.#hooks.open().then(opened => {
      this.#openings.delete(opening)
      if (opened instanceof Connection) {
        this.#add(opened, performance.now() - from)
        return null
      }
      this.#refused(opened)
      return opened
    })
    this.#openings.add(opening)
    return opening
  }

  #add(connection: Connection, tookMs: number): void {
    if (this.#refusal === closing) return connection.end()
    connection.retireAt = performance.now() + this.#settings.maxAgeMs * (0.9 + Math.random() * 0.2)
    this.#connections.add(connection)
    this.#shares.stood(this.#connections.size)
    this.#behind.seen(connection.server)
    this.#idle.push(connection)
    connection.onLost = () => {
      this.#forget(connection)
      this.#serve()
    }
    this.#hooks.onOpened(tookMs)
    for (const wanted of this.#waiting.opened(connection.server, elsewhere)) this.#behind.forget(wanted)
    this.#serve()
  }

  #refused(fault: Fault): void {
    if (this.#refusal === closing) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#grow()
    }, restMs).unref()
    // The server takes no more than stand: its own limit, or ours there.
    if (this.#connections.size > 0) return this.#shares.refusedMore(this.#connections.size)
    this.#waiting.dismissAll(fault)
    this.#hooks.onRefused(fault)
  }

  #endUnused(): void {
    const now = performance.now()
    for (const connection of [...this.#idle]) {
      const isOld = now > connection.retireAt
      const isSpare = this.#connections.size > this.#standing
      if (isOld || (isSpare && now - connection.idleSince > this.#settings.idleMs)) this.#end(connection)
    }
    this.#grow()
  }

  #end(connection: Connection): void {
    this.#forget(connection)
    connection.end()
  }

  #drop(connection: Connection): void {
    this.#forget(connection)
    connection.destroy()
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    this.#shares.give(connection)
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
  }
}
