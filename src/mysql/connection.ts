/**
 * One connection to a MySQL server, for one question at a time. It says what
 * came of it as a value, within the time given, whatever the server does; after
 * anything odd it is destroyed and not to be used again.
 *
 * Keys go into the text of the query as hexadecimal literals. These have nothing to
 * escape in any sql_mode or character set, so a key can't end its literal. With the
 * session's character set in front they compare as quoted literals do, and use the same
 * indexes. They need the collation that `SET NAMES` sets, which is the default one of the
 * character set, as that of a literal with an introducer is.
 */
import { Socket, connect, isIP } from 'node:net'
import type { OnReadOpts } from 'node:net'
import type { Connection as Driver, FieldPacket, SslOptions } from 'mysql2'
import { Alarm, systemTiming } from '../runtime/alarm.js'
import type { ByteString } from '../outcome.js'
import type { Host } from './hosts.js'
import type { Rows } from '../tables/result.js'
import { faultOf, statementFault, timeoutFault, tooLargeFault } from './fault.js'
import type { Fault } from './fault.js'

/** Whom to connect to, and as whom. */
export type Target = {
  readonly host: Host
  readonly user: string
  readonly password: string
  readonly dbname: string
  /** The name of a character set, letters and digits only. */
  readonly charset: string
  readonly ssl: SslOptions | null
}

export type Statement = {
  /** The SQL around the values: one piece more than there are values. */
  readonly texts: readonly string[]
  /** With one of these in the session's sql_mode the statement means something else, and is not sent. */
  readonly unfitModes?: readonly string[]
}

/** `rows` is null if the statement has no result set. The driver makes a column's name when it is looked at. */
export type Result = { readonly kind: 'rows', readonly rows: Rows | null, readonly columns: readonly { readonly name: string }[] }

/** A row as the text protocol brings it. */
export type RawRow = readonly (ByteString | null)[]

const noResultSet: Result = { kind: 'rows', rows: null, columns: [] }

/** A result of more bytes on the wire is not read to its end. */
export const maxResultBytes = 1_048_576

/** Rows of a list are handed over in batches; with one at work and another one waiting, the server waits too. */
const listBatch = 100

/** A server has so long to close a connection that took leave of it. */
const leaveMs = 1_000

/** What the driver would ask for besides, and no lookup needs; IGNORE_SPACE even makes columns named like functions an error. */
const unwantedFlags = [
  '-LOCAL_FILES', '-IGNORE_SPACE', '-ODBC', '-FOUND_ROWS', '-SESSION_TRACK', '-CLIENT_QUERY_ATTRIBUTES',
]

/** Reads the driver's code, which a node without MySQL needn't wait for. */
export const loadDriver = () => import('./driver.js')

/**
 * Connects, logs in and sets up the session within `timeoutMs`. `onLost` is
 * called once when an open connection ends for whatever reason.
 */
export const openConnection = async (target: Target, timeoutMs: number, onLost: (connection: Connection) => void): Promise<Connection | Fault> => {
  const until = performance.now() + timeoutMs
  const { createConnection } = await loadDriver()
  const { host, charset } = target
  const socket = connectTo(target)
  // Node checks a certificate against this name, but leaves it out for addresses and would take any certificate for `localhost`.
  if (host.kind === 'inet' && isIP(host.host) !== 0) Object.assign(socket, { _host: host.host })
  const driver = createConnection({
    stream: () => socket,
    ...host.kind === 'unix' ? { socketPath: host.path } : { host: host.host },
    user: target.user, password: target.password, database: target.dbname,
    // Keys are UTF-8, whatever the session's character set says: as with Postfix's own client.
    charset: 'utf8mb4_general_ci',
    ...target.ssl === null ? {} : { ssl: host.kind === 'unix' ? { ...target.ssl, verifyIdentity: false } : target.ssl },
    connectTimeout: 0,
    // Each column as the bytes that the server sent.
    rowsAsArray: true, typeCast: false,
    flags: unwantedFlags,
    connectAttributes: { program_name: 'holdfast' },
  })
  return new Promise(resolve => {
    let phaseOver = false
    const settle = (opened: Connection | Fault): void => {
      if (phaseOver) return
      phaseOver = true
      clearTimeout(timer)
      if (opened instanceof Connection) opened.onLost = onLost
      else {
        driver.destroy()
        socket.destroy()
      }
      resolve(opened)
    }
    const timer = setTimeout(() => settle(timeoutFault('connect')), until - performance.now())
    // Stays for good: an error event without a listener would end the process.
    driver.on('error', (error: unknown) => settle(withRemedy(faultOf(error, 'connect'), target)))
    driver.once('connect', () => {
      const connection = new Connection(driver, target)
      // Without autocommit all lookups would read from the state of the table at the first one.
      const setUp = ['SET autocommit = 1', `SET NAMES ${charset}`]
      void (async () => {
        for (const sql of setUp) {
          const result = await connection.command(sql, timeoutMs)
          if (result !== null) return settle(setUpFault(result))
        }
        const result = await connection.readModes(timeoutMs)
        settle(result === null ? connection : setUpFault(result))
      })()
    })
  })
}

/** So many bytes at most come with one read. */
const readBytes = 65_536

/**
 * Node takes new memory of that size for each read of a socket, unless it is
 * given some to read into. The driver keeps pieces of what came, so it gets a
 * copy. TLS reads in its own way.
 */
const connectTo = ({ host, ssl }: Target): Socket => {
  const onread: OnReadOpts = {
    buffer: Buffer.allocUnsafeSlow(ssl === null ? readBytes : 0),
    callback: (bytes, buffer) => socket.emit('data', Buffer.from(buffer.subarray(0, bytes))),
  }
  const reading = ssl === null ? { onread } : {}
  const socket: Socket = host.kind === 'unix' ? connect({ path: host.path, ...reading })
    : connect({ host: host.host, port: host.port, noDelay: true, keepAlive: true, ...reading })
  return socket
}

/** Without its session a connection is as good as none. */
const setUpFault = (fault: Fault): Fault => ({ ...fault, blame: 'server', reason: 'source-down', broken: true, again: 'no' })

/** What to look at after a refused log-in. To an account that needs TLS, too, the servers say only "access denied". */
const withRemedy = (fault: Fault, { ssl, host }: Target): Fault => {
  const [, code] = /^error (1045|1698|3159)\b/.exec(fault.detail) ?? []
  if (code === undefined) return fault
  const account = code === '3159' ? '' : '; check user and password'
  const tls = ssl === null && host.kind === 'inet' ? '; if the account needs TLS, set tls_CAfile' : ''
  return { ...fault, detail: `${fault.detail}${account}${tls}` }
}

export class Connection {
  readonly #driver: Driver
  readonly #socket: Socket
  readonly #target: Target
  #isOpen = true
  #resultBytes = 0
  /** A list may be of any length. */
  #isList = false
  #sqlModes: readonly string[] = []
  /** When the question under way has had its time (of `performance.now()`). */
  #until = Infinity
  readonly #alarm = new Alarm(systemTiming, now => this.#endIfOver(now))
  /** Gets the answer to the question under way; null: there is none, or it is a list. */
  #resolve: ((result: Result | Fault) => void) | null = null
  /** Ends what is under way. */
  #fail: ((fault: Fault) => void) | null = null
  onLost: ((connection: Connection) => void) | null = null
  /** When its server put it aside (of `performance.now()`). */
  idleSince = 0

  constructor(driver: Driver, target: Target) {
    this.#driver = driver
    this.#target = target
    // The TLS socket, where there is one; the driver doesn't declare it.
    const stream: unknown = Reflect.get(driver, 'stream')
    if (!(stream instanceof Socket)) throw new TypeError('the driver has no stream')
    this.#socket = stream
    driver.on('error', (error: unknown) => this.#lose(faultOf(error, 'query')))
    driver.on('end', () => this.#lose(lost))
    // Packets out of order: what comes now may be another question's answer.
    driver.on('warn', (error: unknown) => this.#lose(faultOf(error, 'query')))
    stream.on('close', () => this.#lose(lost))
    stream.on('data', (chunk: Buffer) => {
      this.#resultBytes += chunk.length
      if (this.#resultBytes > maxResultBytes && this.#fail !== null && !this.#isList) this.#lose(tooLargeFault(maxResultBytes))
    })
  }

  /** The server's number for this connection, for KILL. */
  get threadId(): number {
    return this.#driver.threadId
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Asks with the values as literals. After a `broken` fault the connection is gone. */
  ask(statement: Statement, values: readonly string[], timeoutMs: number): Promise<Result | Fault> {
    const unfit = this.#unfitMode(statement.unfitModes)
    return unfit === null ? this.#run(sqlOf(statement.texts, values, this.#target.charset), timeoutMs) : Promise.resolve(unfit)
  }

  /** Runs a statement of our own; null if it went well. */
  async command(sql: string, timeoutMs: number): Promise<Fault | null> {
    const result = await this.#run(sql, timeoutMs)
    return result.kind === 'fault' ? result : null
  }

  /** Learns the session's sql_mode; null if that went well. */
  async readModes(timeoutMs: number): Promise<Fault | null> {
    const result = await this.#run('SELECT @@SESSION.sql_mode', timeoutMs)
    if (result.kind === 'fault') return result
    const modes = result.rows?.[0]?.[0]
    if (typeof modes !== 'string') return oddResult()
    this.#sqlModes = modes.split(',')
    return null
  }

  /**
   * Hands over the rows of a statement without parameters, in batches, one batch
   * after the other; `onRows` says whether it wants more. However many rows there
   * are, few are held. Null if all have been handed over, or no more were wanted.
   * The server may let `idleMs` pass without a word. Settles when no batch is at work. The connection is of no use
   * afterwards unless all rows came. Rejects if `onRows` does.
   */
  list({ texts, unfitModes }: Statement, idleMs: number, onRows: (rows: readonly RawRow[]) => Promise<boolean>): Promise<Fault | null> {
    const unfit = this.#unfitMode(unfitModes)
    if (unfit !== null) return Promise.resolve(unfit)
    if (!this.#isOpen) return Promise.resolve(lost)
    return new Promise((resolve, reject) => {
      let rows: RawRow[] = []
      let isBusy = false
      let isOver = false
      let handing: Promise<unknown> = Promise.resolve()
      const settle = (fault: Fault | null): void => {
        if (this.#fail !== fail) return
        this.#fail = null
        clearTimeout(timer)
        if (fault?.broken === true) this.#lose(fault)
        else if (!isOver) this.destroy()
        // Not before the last batch is done with.
        handing.then(() => resolve(fault), reject)
      }
      const fail = (fault: Fault): void => settle(fault)
      this.#fail = fail
      this.#isList = true
      const timer = setTimeout(() => setImmediate(() => settle(timeoutFault('query'))), idleMs)
      const handOver = (): void => {
        if (isBusy || (rows.length === 0 && !isOver)) return
        if (rows.length === 0) return settle(null)
        const batch = rows
        rows = []
        isBusy = true
        handing = onRows(batch)
        // Lookups get their turn between two batches.
        handing.then(wantsMore => setImmediate(() => {
          if (this.#fail !== fail) return
          isBusy = false
          if (!wantsMore) return settle(null)
          timer.refresh()
          this.#driver.resume()
          if (isOver || rows.length >= listBatch) handOver()
        }), () => settle(null))
      }
      const query = this.#driver.query({ sql: sqlOf(texts, [], this.#target.charset) })
      query.on('error', (error: unknown) => settle(faultOf(error, 'query')))
      query.on('result', (row: unknown) => {
        if (this.#fail !== fail) return
        // A statement without a result set says how many rows it changed.
        if (!Array.isArray(row)) return settle(oddResult())
        rows.push(row.map(textOf))
        timer.refresh()
        if (rows.length < listBatch) return
        handOver()
        if (isBusy && rows.length >= listBatch) this.#driver.pause()
      })
      query.on('end', () => {
        isOver = true
        handOver()
      })
    })
  }

  #unfitMode(unfitModes: readonly string[] = []): Fault | null {
    if (unfitModes.length === 0) return null
    const unfit = unfitModes.find(mode => this.#sqlModes.includes(mode))
    return unfit === undefined ? null : statementFault(`the query's quotes or backslashes mean something else in the server's sql_mode ${unfit}`)
  }

  /** Takes leave of the server; for a connection that is not in use. */
  end(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#driver.end()
    this.#socket.end()
    // A server that hangs doesn't get to keep it.
    const timer = setTimeout(() => this.#socket.destroy(), leaveMs).unref()
    this.#socket.once('close', () => clearTimeout(timer))
  }

  /** Drops it at once, with whatever is under way. */
  destroy(): void {
    this.#isOpen = false
    this.#driver.destroy()
    this.#socket.destroy()
  }

  #lose(fault: Fault): void {
    const wasOpen = this.#isOpen
    this.destroy()
    this.#fail?.(fault)
    if (wasOpen) this.onLost?.(this)
  }

  #run(sql: string, timeoutMs: number): Promise<Result | Fault> {
    if (!this.#isOpen) return Promise.resolve(lost)
    this.#resultBytes = 0
    this.#isList = false
    return new Promise(resolve => {
      this.#resolve = resolve
      this.#fail = this.#settle
      const now = performance.now()
      this.#until = now + timeoutMs
      this.#alarm.setFor(this.#until, now)
      this.#driver.query({ sql }, this.#onDone)
    })
  }

  /** What came of the question under way; nobody asks any more after a fault that breaks the connection. */
  readonly #settle = (result: Result | Fault): void => {
    const resolve = this.#resolve
    if (resolve === null) return
    this.#resolve = null
    this.#fail = null
    this.#until = Infinity
    if (result.kind === 'fault' && result.broken) this.#lose(result)
    resolve(result)
  }

  readonly #onDone: Done = (error, result, fields) => this.#settle(error === null ? resultOf(result, fields) : faultOf(error, 'query'))

  /** Ends the question under way if its time is over; gives the end of the time that it has. */
  #endIfOver(now: number): number {
    if (now < this.#until) return this.#until
    // After this process was held up, the reply may have come long ago: what there is to read is read first.
    setImmediate(() => { if (performance.now() >= this.#until) this.#fail?.(timeoutFault('query')) })
    return Infinity
  }
}

const lost = faultOf(Object.assign(new Error(), { code: 'PROTOCOL_CONNECTION_LOST' }), 'query')

type Done = (error: Error | null, result: unknown, fields?: readonly unknown[]) => void

/** The statement's text with each value as a literal. */
const sqlOf = (texts: readonly string[], values: readonly string[], charset: string): string => {
  let sql = texts[0] ?? ''
  for (const [index, value] of values.entries()) {
    const hex = Buffer.from(value, 'utf8').toString('hex')
    sql += `_${charset} ${hex === '' ? '\'\'' : `0x${hex}`}${texts[index + 1] ?? ''}`
  }
  return sql
}

const isColumn = (field: unknown): field is FieldPacket => typeof field === 'object' && field !== null && 'columnType' in field

/**
 * The driver gives one result as rows and columns, several as lists of these;
 * a statement without a result set has no columns.
 */
const resultOf = (result: unknown, fields: readonly unknown[] | undefined): Result | Fault => {
  if (fields === undefined) return noResultSet
  if (fields.length > 0 && fields.every(isColumn)) return textRows(result, fields)
  const withColumns = [...fields.entries()].filter(([, columns]) => Array.isArray(columns))
  if (withColumns.length > 1) return statementFault('multiple result sets')
  const [only] = withColumns
  if (only === undefined) return noResultSet
  const [index, columns] = only
  if (!Array.isArray(columns) || !columns.every(isColumn) || !Array.isArray(result)) return oddResult()
  return textRows(result[index], columns)
}

const textRows = (rows: unknown, columns: readonly FieldPacket[]): Result | Fault => {
  if (!Array.isArray(rows)) return oddResult()
  const texts: (ByteString | null)[][] = []
  for (const row of rows as readonly unknown[]) {
    if (!Array.isArray(row) || row.length !== columns.length) return oddResult()
    texts.push(row.map(textOf))
  }
  return { kind: 'rows', rows: texts, columns }
}

const textOf = (column: unknown): ByteString | null => Buffer.isBuffer(column) ? column.toString('latin1') as ByteString : null

const oddResult = (): Fault => faultOf(null, 'query')
