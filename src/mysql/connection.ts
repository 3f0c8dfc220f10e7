/**
 * An open connection to a MySQL server, for one statement at a time. What comes of it is a
 * value, in the time given, whatever the server does. After anything odd the connection is
 * destroyed.
 */
import { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Connection as Driver } from 'mysql2'
import { Alarm } from '../runtime/alarm.js'
import { connectionLost, faultOf, queryFault, strangeReply, timeoutFault, tooLargeFault } from './fault.js'
import type { Fault } from './fault.js'
import { rowOf, sqlOf } from './sql.js'
import type { RawRow, Result, Query } from './sql.js'
import { TextQuery } from './text_query.js'
import type { CommandQueue } from './text_query.js'

/** A lookup's result of more bytes on the wire is not read to its end. */
export const maxResultBytes = 1_048_576

/** The rows of a list are handed over in batches of so many, and so many more are read ahead. */
const listBatch = 100

/** The server has so long (ms) to close a connection that said good-bye. */
const leaveMs = 1_000

/**
 * The session as a lookup needs it, in one round trip. Without autocommit each lookup would
 * see the tables as the first one did. The limit is the server's own, so that it ends a
 * statement whose time is over, which nobody waits for any more.
 *
 * MySQL runs what stands in the first comment and MariaDB that in the second; servers too
 * old for a limit run neither. ProxySQL takes comments out of a SET, and limits by itself;
 * a SET of a variable that it doesn't know would tie the session to one group of servers.
 */
const setUpSql = (charset: string, limitMs: number): string => `SET NAMES ${charset}, autocommit = 1 `
  + `/*!50708 , max_execution_time = ${limitMs} *//*M!100101 , max_statement_time = ${limitMs / 1_000} */`

/**
 * What the session is like, and which server it is on: behind one address may stand several (a VIP, a balancer).
 * MariaDB has no server_uuid. ProxySQL keeps a session that reads an @@variable on one server.
 */
const sessionSql = 'SELECT @@SESSION.sql_mode, @@hostname, @@port, @@server_id /*!50708 , @@server_uuid */'

/** `HOST:PORT#ID`, and on MySQL `/UUID`; printable, without a blank. */
const identityOf = ([, host, port, id, uuid]: RawRow): string =>
  `${host ?? ''}:${port ?? ''}#${id ?? ''}${uuid === undefined || uuid === null ? '' : `/${uuid}`}`
    .replaceAll(/[^\x21-\x7e]/g, '?')

/** The time of whoever asked is over; `rest` is the statement's result when it comes. */
export type Late = { readonly kind: 'late', readonly rest: Promise<Result | Fault> }

export class Connection {
  readonly #driver: CommandQueue
  readonly #socket: Socket
  readonly #charset: string
  #isOpen = true
  #sqlModes: readonly string[] = []
  #server = ''
  /** Ends the statement under way; null: there is none. */
  #fail: ((fault: Fault) => void) | null = null
  /** When its time is over, and when nobody waits for it any more (of `performance.now()`); Infinity: never. */
  #dueAt = Infinity
  #lateAt = Infinity
  #onLate: (() => void) | null = null
  readonly #alarm = new Alarm(() => this.#look())
  /** How many bytes the statement under way may still bring. */
  #bytesLeft = Infinity
  /** Called once when the connection ends, unless by `end` or `destroy`. */
  onLost: ((connection: Connection) => void) | null = null
  /** When the server was last heard on it, when it was last used, and when it is too old (of `performance.now()`). */
  heardAt = performance.now()
  idleSince = performance.now()
  retireAt = Infinity

  /** Takes over a driver that has logged in. `charset` is the name of a character set, letters and digits only. */
  constructor(driver: Driver, charset: string) {
    this.#driver = driver as CommandQueue
    this.#charset = charset
    // The TLS socket, where there is one; the driver doesn't declare it.
    const stream: unknown = Reflect.get(driver, 'stream')
    if (!(stream instanceof Socket)) throw new TypeError('the driver has no stream')
    this.#socket = stream
    driver.on('error', (error: unknown) => this.#lose(faultOf(error, 'query')))
    driver.on('end', () => this.#lose(connectionLost))
    // Packets out of order: what comes next may be another statement's answer.
    driver.on('warn', (error: unknown) => this.#lose(faultOf(error, 'query')))
    stream.on('close', () => this.#lose(connectionLost))
    stream.on('data', (chunk: Buffer) => {
      this.heardAt = performance.now()
      this.#bytesLeft -= chunk.length
      if (this.#bytesLeft < 0 && this.#fail !== null) this.#lose(tooLargeFault(maxResultBytes))
    })
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** The identity of the server that it leads to, its own and not its address. */
  get server(): string {
    return this.#server
  }

  /**
   * Sets the session up; null if that went well. The server ends each statement after
   * `limitMs` (0: never), as far as it has such a limit.
   */
  async setUp(limitMs: number, timeoutMs: number): Promise<Fault | null> {
    const set = await this.ask({ texts: [setUpSql(this.#charset, limitMs)] }, [], timeoutMs)
    if (set.kind === 'fault') return set
    const answer = await this.ask({ texts: [sessionSql] }, [], timeoutMs)
    if (answer.kind === 'fault') return answer
    const [session] = answer.rows ?? []
    if (typeof session?.[0] !== 'string') return strangeReply
    this.#sqlModes = session[0].split(',')
    this.#server = identityOf(session)
    return null
  }

  /**
   * Asks with the values as literals. After a `broken` fault the connection is gone. At `until` (of
   * `performance.now()`) the answer is that it is late, while the statement goes on.
   */
  ask(query: Query, values: readonly string[], timeoutMs: number): Promise<Result | Fault>
  ask(query: Query, values: readonly string[], timeoutMs: number, until: number): Promise<Result | Fault | Late>
  ask(query: Query, values: readonly string[], timeoutMs: number, until = Infinity): Promise<Result | Fault | Late> {
    const unfit = this.#unfitMode(query)
    return unfit === null ? this.#run(sqlOf(query, values, this.#charset), timeoutMs, until) : Promise.resolve(unfit)
  }

  /**
   * Hands over the rows of a statement without values, in batches, one after the other;
   * `onRows` says whether it wants more. However many rows there are, few are held.
   *
   * Null if all rows were handed over, or no more were wanted. The server may be silent for
   * `idleMs`. Settles when no batch is at work; rejects if `onRows` does. Unless all rows
   * came, the connection is gone.
   */
  async list(
    query: Query, idleMs: number, onRows: (rows: readonly RawRow[]) => Promise<boolean>,
  ): Promise<Fault | null> {
    const unfit = this.#unfitMode(query) ?? (this.#isOpen ? null : connectionLost)
    if (unfit !== null) return unfit
    let fault = null as Fault | null
    let hasAll = false as boolean
    this.#bytesLeft = Infinity
    const command = this.#driver.query({ sql: sqlOf(query, [], this.#charset) })
    command.on('error', (error: unknown) => { fault ??= faultOf(error, 'query') })
    // It comes after an error too.
    command.on('end', () => { hasAll = true })
    const rows = command.stream({ highWaterMark: listBatch })
    this.#fail = why => {
      fault ??= why
      rows.destroy()
    }
    const timer = setTimeout(() => this.#fail?.(timeoutFault('query')), idleMs)
    try {
      let batch: RawRow[] = []
      for await (const row of rows as AsyncIterable<unknown>) {
        // A statement without a result set gives the number of rows that it changed.
        if (!Array.isArray(row)) return strangeReply
        timer.refresh()
        batch.push(rowOf(row))
        if (batch.length < listBatch) continue
        if (!await onRows(batch)) return null
        batch = []
        timer.refresh()
        // Lookups get their turn between two batches.
        await nextTurn()
      }
      // The driver's stream also ends when it is broken off.
      if (fault === null && !hasAll) fault = connectionLost
      if (fault === null && batch.length > 0) await onRows(batch)
      return fault
    } catch (error) {
      if (fault === null) throw error
      return fault
    } finally {
      clearTimeout(timer)
      this.#fail = null
      if (fault !== null || !hasAll) this.destroy()
    }
  }

  #unfitMode({ unfitModes = [] }: Query): Fault | null {
    const unfit = unfitModes.find(mode => this.#sqlModes.includes(mode))
    return unfit === undefined ? null : queryFault(
      `the query's quotes or backslashes mean something else in the server's sql_mode ${unfit}`)
  }

  #run(sql: string, timeoutMs: number, until: number): Promise<Result | Fault | Late> {
    if (!this.#isOpen) return Promise.resolve(connectionLost)
    return new Promise(resolve => {
      let take: (result: Result | Fault) => void = resolve
      const settle = (result: Result | Fault): void => {
        if (this.#fail !== settle) return
        this.#fail = null
        this.#dueAt = Infinity
        if (until < Infinity) this.#lateAt = Infinity
        if (result.kind === 'fault' && result.broken) this.#lose(result)
        take(result)
      }
      this.#fail = settle
      if (until < Infinity) {
        this.waitUntil(until, () => resolve({ kind: 'late', rest: new Promise(resolveRest => { take = resolveRest }) }))
      }
      this.#bytesLeft = maxResultBytes
      this.#dueAt = performance.now() + timeoutMs
      this.#alarm.set(this.#dueAt)
      this.#driver.addCommand(new TextQuery(sql, this.#socket, settle))
    })
  }

  /** Whoever waits for what the connection is used for leaves at `until` (of `performance.now()`), by `onLate`. */
  waitUntil(until: number, onLate: () => void): void {
    this.#lateAt = until
    this.#onLate = onLate
    this.#alarm.set(until)
  }

  /** Nobody waits any more. */
  stopWaiting(): void {
    this.#lateAt = Infinity
  }

  /** Has whoever waits leave now. */
  sendAway(): void {
    if (this.#lateAt === Infinity) return
    this.#lateAt = Infinity
    this.#onLate?.()
  }

  /** Sees to it that a statement ends when its time is over, and that nobody waits for too long. */
  #look(): number {
    const now = performance.now()
    if (now >= this.#dueAt) this.#fail?.(timeoutFault('query'))
    else if (now >= this.#lateAt) this.sendAway()
    return Math.min(this.#dueAt, this.#lateAt)
  }

  /** Says good-bye to the server; for a connection that is not in use. */
  end(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#alarm.stop()
    this.#driver.end()
    this.#socket.end()
    // A server that hangs doesn't get to keep it.
    const timer = setTimeout(() => this.#socket.destroy(), leaveMs).unref()
    this.#socket.once('close', () => clearTimeout(timer))
  }

  /** Drops it at once, with whatever is under way. */
  destroy(): void {
    this.#isOpen = false
    this.#alarm.stop()
    this.#driver.destroy()
    this.#socket.destroy()
  }

  #lose(fault: Fault): void {
    const wasOpen = this.#isOpen
    this.destroy()
    this.#fail?.(fault)
    if (wasOpen) this.onLost?.(this)
  }
}
