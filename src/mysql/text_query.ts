/**
 * One statement in MySQL's text protocol (COM_QUERY), and the reading of its result, as a command of the driver's
 * queue. The driver's own command makes a dozen objects and a parser for each statement: with it a statement takes 45
 * µs of CPU, with this one 31 (test/bench/NOTES.md).
 *
 * It counts on what session.ts agrees with the server: no query attributes, no compression, no local files.
 */
import type { Socket } from 'node:net'
import type { Connection as Driver } from 'mysql2'
import type { ByteString } from '../outcome.js'
import { faultOf, queryFault } from './fault.js'
import type { Fault } from './fault.js'
import type { RawRow, Result } from './sql.js'

/** A packet as the driver hands it to its commands: it is good until the next one comes, its buffer for longer. */
type Packet = {
  readonly buffer: Buffer
  /** Where the next thing to read begins. */
  offset: number
  readonly end: number
  isError(): boolean
  isEOF(): boolean
  eofStatusFlags(): number
  asError(encoding: string): Error
}

/** What the driver's types don't declare. */
export type CommandQueue = Driver & { addCommand(command: TextQuery): void }

const comQuery = 3
/** SERVER_MORE_RESULTS_EXISTS, a flag of the server's status. */
const moreResults = 8

/** What the next packet is, unless it is an error. */
type State = 'result' | 'column' | 'end of columns' | 'row'

/** The number that starts at the packet's offset; null: NULL. Throws if there is none. */
const readLength = (packet: Packet): number | null => {
  const { buffer } = packet
  const first = buffer[packet.offset++] ?? 0xff
  switch (first) {
    case 0xfb: return null
    case 0xfc: return buffer.readUInt16LE((packet.offset += 2) - 2)
    case 0xfd: return buffer.readUIntLE((packet.offset += 3) - 3, 3)
    case 0xfe: return Number(buffer.readBigUInt64LE((packet.offset += 8) - 8))
    case 0xff: throw new RangeError('not a number')
    default: return first
  }
}

const readColumn = (packet: Packet): ByteString | null => {
  const length = readLength(packet)
  if (length === null) return null
  packet.offset += length
  return packet.buffer.toString('latin1', packet.offset - length, packet.offset) as ByteString
}

/** A column's definition, of which hardly anybody wants to know the name. */
class Column {
  readonly #packet: Packet

  constructor({ buffer, offset, end }: Packet) {
    this.#packet = { buffer, offset, end } as Packet
  }

  get name(): string {
    const packet = { ...this.#packet }
    // The catalog, the schema, the table and its own name stand before it.
    for (let text = 0; text < 4; text++) readColumn(packet)
    return Buffer.from(readColumn(packet) ?? '', 'latin1').toString()
  }
}

export class TextQuery {
  readonly #sql: string
  readonly #socket: Socket
  readonly #settle: (result: Result | Fault) => void
  #state: State = 'result'
  /** Columns of which the definition is still to come. */
  #columnsLeft = 0
  /** Result sets that have begun; those without columns don't count. */
  #results = 0
  readonly #columns: Column[] = []
  readonly #rows: RawRow[] = []

  /** `settle` is called once. A connection that is lost is no result: it is broken. */
  constructor(sql: string, socket: Socket, settle: (result: Result | Fault) => void) {
    this.#sql = sql
    this.#socket = socket
    this.#settle = settle
  }

  /** Is called by the driver when the connection fails. */
  onResult(error: unknown): void {
    this.#settle(faultOf(error, 'query'))
  }

  /**
   * Is called by the driver: without a packet when it is this command's turn, then with each packet of the reply. True
   * if that was the last one. It throws if the reply is not what the protocol allows; the driver then ends the
   * connection.
   */
  execute(packet: Packet | undefined, driver: Driver): boolean {
    if (packet === undefined) {
      this.#send(driver)
      return false
    }
    if (packet.isError()) {
      this.#settle(faultOf(packet.asError('utf8'), 'query'))
      return true
    }
    switch (this.#state) {
      case 'result': return this.#beginResult(packet)
      case 'column':
        if (this.#results === 1) this.#columns.push(new Column(packet))
        if (--this.#columnsLeft === 0) this.#state = 'end of columns'
        return false
      case 'end of columns':
        if (!packet.isEOF()) throw new RangeError('more columns than announced')
        this.#state = 'row'
        return false
      case 'row':
        if (packet.isEOF()) return this.#endResult(packet.eofStatusFlags())
        if (this.#results === 1) this.#rows.push(this.#rowOf(packet))
        return false
      default: return this.#state satisfies never
    }
  }

  #send(driver: Driver): void {
    const bytes = Buffer.byteLength(this.#sql)
    const packet = Buffer.allocUnsafe(5 + bytes)
    packet.writeUIntLE(1 + bytes, 0, 3)
    packet[3] = 0
    packet[4] = comQuery
    packet.write(this.#sql, 5)
    // The reply's first packet has this number.
    driver.sequenceId = 1
    this.#socket.write(packet)
  }

  #beginResult(packet: Packet): boolean {
    const columns = readLength(packet)
    // NULL asks for a local file.
    if (columns === null) throw new RangeError('not a result')
    if (columns > 0) {
      this.#columnsLeft = columns
      this.#results++
      this.#state = 'column'
      return false
    }
    // Rows that changed, and the last id given to one.
    readLength(packet)
    readLength(packet)
    return this.#endResult(packet.buffer.readUInt16LE(packet.offset))
  }

  #endResult(status: number): boolean {
    if ((status & moreResults) !== 0) {
      this.#state = 'result'
      return false
    }
    if (this.#results > 1) this.#settle(queryFault('multiple result sets'))
    else this.#settle({ kind: 'rows', rows: this.#results === 0 ? null : this.#rows, columns: this.#columns })
    return true
  }

  #rowOf(packet: Packet): RawRow {
    const row = this.#columns.map(() => readColumn(packet))
    if (packet.offset !== packet.end) throw new RangeError('not a row')
    return row
  }
}
