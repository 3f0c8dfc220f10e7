/** A database server of the site, simulated: its tables, its faults, and the part of MySQL's protocol Holdfast uses. */
import type { Line, Machines, Service } from './machine.js'

export type ServerFault = 'none' | 'down' | 'hung' | 'slow' | 'flaky'
export type TableName = 'alias' | 'domains' | 'timed'

/** By key: the number of the row's version, which is in its value, too. */
export type Rows = Map<string, number>

export type SiteHooks = {
  /** When that version of a row was written (elapsed ms). */
  readonly changedAt: (version: number) => number
  /** Called when a node's `changes` query has returned these keys of `alias`. */
  readonly onChanges: (node: number, keys: readonly string[]) => void
}

type Answer = readonly (readonly string[])[] | 'ok' | 'deadlock'

const packet = (number: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUIntLE(payload.length, 0, 3)
  head[3] = number
  return Buffer.concat([head, payload])
}

/** A length-encoded string of MySQL's protocol; only for less than 251 bytes, which is enough here. */
const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')])

const ok = Buffer.from([0, 0, 0, 2, 0, 0, 0])
const end = Buffer.from([0xfe, 0, 0, 2, 0])
const deadlock = Buffer.concat([Buffer.from([0xff, 0xbd, 0x04]), Buffer.from('#40001Deadlock')])
const greeting = Buffer.concat([
  Buffer.from('\n11.4.0-MariaDB\0'), Buffer.from([1, 0, 0, 0]), Buffer.from('12345678\0'),
  // PROTOCOL_41, SECURE_CONNECTION, CONNECT_WITH_DB, TRANSACTIONS, MULTI_RESULTS, PLUGIN_AUTH; nothing newer.
  Buffer.from([0x09, 0xa2, 45, 2, 0, 0x0a, 0x00, 21]), Buffer.alloc(10),
  Buffer.from('123456789012\0mysql_native_password\0'),
])
/** The definition of a text column that has no name. */
const column = Buffer.concat([text('def'), ...Array.from({ length: 5 }, () => text('')),
  Buffer.from([0x0c, 45, 0, 0xff, 0, 0, 0, 253, 0, 0, 0, 0, 0])])

const encode = (answer: Answer): Buffer => {
  if (answer === 'ok') return packet(1, ok)
  if (answer === 'deadlock') return packet(1, deadlock)
  const columns = answer[0]?.length ?? 1
  let number = 1
  return Buffer.concat([
    packet(number, Buffer.from([columns])), ...Array.from({ length: columns }, () => packet(++number, column)),
    packet(++number, end), ...answer.map(row => packet(++number & 0xff, Buffer.concat(row.map(text)))),
    packet(++number & 0xff, end),
  ])
}

export class DatabaseServer implements Service {
  readonly name: string
  readonly tables: Record<TableName, Rows> = { alias: new Map(), domains: new Map(), timed: new Map() }
  readonly createdAt: Record<TableName, number> = { alias: 0, domains: 0, timed: 0 }
  /** Whether this server gets no changes any more, like a replica that has stopped. */
  isStale = false
  /** The tables that have lost rows. */
  readonly broken = new Set<TableName>()
  readonly #machines: Machines
  readonly #hooks: SiteHooks
  readonly #lines = new Set<Line>()
  /** The replies to send when the server no longer hangs. */
  readonly #owed: (() => void)[] = []
  #fault: ServerFault = 'none'

  constructor(name: string, machines: Machines, hooks: SiteHooks) {
    this.name = name
    this.#machines = machines
    this.#hooks = hooks
  }

  get fault(): ServerFault {
    return this.#fault
  }

  set fault(fault: ServerFault) {
    this.#fault = fault
    if (fault === 'down') {
      for (const line of this.#lines) line.cut('ECONNRESET')
      this.#owed.length = 0
    } else if (fault !== 'hung') for (const reply of this.#owed.splice(0)) reply()
  }

  get door(): Service['door'] {
    return this.#fault === 'down' ? 'closed' : this.#fault === 'hung' ? 'silent' : 'open'
  }

  open(line: Line): void {
    this.#lines.add(line)
    line.once('close', () => this.#lines.delete(line))
    let isIn = false
    line.onBytes = bytes => {
      // The driver writes a packet at once. The first one is the log-in, which always succeeds.
      if (!isIn) process.nextTick(() => line.reply(packet(2, ok)))
      else if (bytes[4] === 1) line.end()
      else this.#answer(line, bytes.toString('latin1', 5))
      isIn = true
    }
    process.nextTick(() => line.reply(packet(0, greeting)))
  }

  #answer(line: Line, sql: string): void {
    const { clock, random } = this.#machines
    const reply = (answer: Answer): void => {
      if (this.#fault === 'hung') this.#owed.push(() => line.reply(encode(answer)))
      else line.reply(encode(answer))
    }
    const isSlow = this.#fault === 'slow'
    if (this.#fault === 'flaky' && random() < 0.3) return void clock.after(random() * 100, () => reply('deadlock'))
    if (!isSlow && random() < 0.5) return process.nextTick(() => reply(this.#rows(sql)))
    // A real server reads the rows at some moment between question and answer: here, at the one or the other.
    const early = random() < 0.5 ? this.#rows(sql) : null
    clock.after(isSlow ? 200 + random() * 2_000 : 1 + random() * 49, () => reply(early ?? this.#rows(sql)))
  }

  #rows(sql: string): Answer {
    if (sql.startsWith('SET ')) return 'ok'
    if (sql.startsWith('SELECT @@')) return [['', this.name, '3306', '1']]
    if (sql.startsWith('SHOW ')) return []
    if (sql.includes('information_schema')) {
      return Object.entries(this.createdAt).flatMap(([table, at]) =>
        sql.includes(Buffer.from(table).toString('hex')) ? [['mail', table, String(at)]] : [])
    }
    const [, seconds] = /^SELECT CAST\(NOW\(\) - INTERVAL (\d+)/.exec(sql) ?? []
    if (seconds !== undefined) return [[String(Math.floor(this.#machines.clock.elapsed() - Number(seconds) * 1_000))]]
    const [, node, since] = /WHERE (\d)<9 AND modified>= ?_utf8mb4 0x(\w+)/.exec(sql) ?? []
    if (node !== undefined) {
      const from = Number(Buffer.from(since ?? '', 'hex').toString())
      const keys = [...this.tables.alias].flatMap(([key, version]) => this.#hooks.changedAt(version) >= from ? [key] : [])
      this.#hooks.onChanges(Number(node), keys)
      return keys.map(key => [key])
    }
    const [, letter, table, hex] = /^SELECT \w+_(\w) FROM (\w+) WHERE \w+= ?_utf8mb4 0x(\w+)/.exec(sql) ?? []
    if (letter !== undefined && table !== undefined) {
      const version = this.#table(table).get(Buffer.from(hex ?? '', 'hex').toString())
      return version === undefined ? [] : [[`v${version}${letter}@box`]]
    }
    // The query that lists a whole table, as tables/listing.ts makes it.
    const [, of, listed] = /^SELECT 0, .*, \w+_(\w)\nFROM (\w+)/s.exec(sql) ?? []
    if (of === undefined || listed === undefined) throw new Error(`this stand-in for MySQL has no answer to ${sql}`)
    return [...this.#table(listed)].map(([key, version]) => ['0', '1', '', key, `v${version}${of}@box`])
  }

  #table(name: string): Rows {
    return this.tables[name as TableName]
  }
}
