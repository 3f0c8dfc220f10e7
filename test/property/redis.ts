/** The Redis that the nodes share, simulated: its content, its faults, and the part of its protocol Holdfast uses. */
import type { Line, Machines, Service } from './machine.js'

export type RedisFault = 'none' | 'down' | 'hung' | 'slow' | 'read-only'

type Hash = Map<string, Buffer>
type Stored = { readonly value: Buffer | Hash, readonly until: number }
type Reply = Buffer | number | string | null | readonly Reply[] | Error

/** Encodes a reply: a string becomes a status, a Buffer a value. */
const encode = (reply: Reply): Buffer => {
  if (reply === null) return Buffer.from('$-1\r\n')
  if (typeof reply === 'number') return Buffer.from(`:${reply}\r\n`)
  if (typeof reply === 'string') return Buffer.from(`+${reply}\r\n`)
  if (reply instanceof Error) return Buffer.from(`-${reply.message}\r\n`)
  if (Buffer.isBuffer(reply)) return Buffer.concat([Buffer.from(`$${reply.length}\r\n`), reply, Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${reply.length}\r\n`), ...reply.map(encode)])
}

/** Decodes the complete commands; `rest` is the beginning of one that has not arrived in full. */
const decode = (bytes: Buffer): { readonly commands: Buffer[][], readonly rest: Buffer } => {
  const commands: Buffer[][] = []
  let rest = 0
  for (let at = 0; at < bytes.length; rest = at) {
    const number = (): number => {
      const start = at + 1
      at = bytes.indexOf('\r\n', start) + 2
      return at === 1 ? NaN : Number(bytes.toString('latin1', start, at - 2))
    }
    const command: Buffer[] = []
    for (let words = number(); words > 0; words--) {
      const length = number()
      if (!(at + length + 2 <= bytes.length)) return { commands, rest: bytes.subarray(rest) }
      command.push(bytes.subarray(at, at + length))
      at += length + 2
    }
    commands.push(command)
  }
  return { commands, rest: bytes.subarray(rest) }
}

const writes = new Set(['set', 'del', 'hset', 'hsetnx'])

export class RedisServer implements Service {
  readonly #data = new Map<string, Stored>()
  readonly #machines: Machines
  readonly #lines = new Set<Line>()
  readonly #subscribers = new Set<Line>()
  #owed: (() => void)[] = []
  #fault: RedisFault = 'none'

  constructor(machines: Machines) {
    this.#machines = machines
  }

  get fault(): RedisFault {
    return this.#fault
  }

  set fault(fault: RedisFault) {
    this.#fault = fault
    if (fault === 'down') {
      for (const line of this.#lines) line.cut('ECONNRESET')
      this.#owed = []
    } else if (fault !== 'hung') for (const run of this.#owed.splice(0)) run()
  }

  get door(): Service['door'] {
    return this.#fault === 'down' ? 'closed' : 'open'
  }

  empty(): void {
    this.#data.clear()
  }

  /** Drops each key with a chance of one half. */
  evict(): void {
    for (const key of this.#data.keys()) if (this.#machines.random() < 0.5) this.#data.delete(key)
  }

  open(line: Line): void {
    this.#lines.add(line)
    let waiting: Buffer = Buffer.alloc(0)
    let freeAt = 0
    line.once('close', () => {
      this.#lines.delete(line)
      this.#subscribers.delete(line)
    })
    line.onBytes = bytes => {
      const { commands, rest } = decode(Buffer.concat([waiting, bytes]))
      waiting = rest
      for (const command of commands) freeAt = this.#receive(line, command, freeAt)
    }
  }

  /** Replies not before `freeAt`, so that replies keep the order of the commands; returns when it does (elapsed ms). */
  #receive(line: Line, command: readonly Buffer[], freeAt: number): number {
    const { clock, random } = this.#machines
    const run = (): void => {
      if (this.#fault === 'hung') this.#owed.push(run)
      else if (!line.destroyed) line.reply(encode(this.#run(line, command)))
    }
    const now = clock.elapsed()
    const at = Math.max(freeAt, now + (this.#fault === 'slow' ? 150 + random() * 700 : 0))
    if (at > now) clock.after(at - now, run)
    else process.nextTick(run)
    return at
  }

  #run(line: Line, [first, ...args]: readonly Buffer[]): Reply {
    const name = first?.toString().toLowerCase() ?? ''
    const [key = '', ...more] = args.map(String)
    if (this.#fault === 'read-only' && writes.has(name)) {
      return new Error('READONLY You can\'t write against a read only replica.')
    }
    const hash = (): Hash => this.#get(key) as Hash | null ?? new Map<string, Buffer>()
    const string = (of: string): Buffer | null => this.#get(of) as Buffer | null
    switch (name) {
      case 'info': return Buffer.from('redis_version:7.2.0\r\nloading:0\r\n')
      case 'hello': return new Error('ERR unknown command \'HELLO\'')
      case 'client': case 'select': return 'OK'
      case 'ping': return this.#subscribers.has(line) ? [Buffer.from('pong'), Buffer.alloc(0)] : 'PONG'
      case 'get': return string(key)
      case 'mget': return [key, ...more].map(string)
      case 'set': return this.#set(key, args[1] ?? Buffer.alloc(0), Number(more[2]), more.includes('NX'))
      case 'del': return Number(this.#data.delete(key))
      case 'scan': {
        const prefix = more[1]?.replace(/\*$/, '') ?? ''
        const keys = [...this.#data.keys()].filter(each => each.startsWith(prefix))
        return [Buffer.from('0'), keys.map(each => Buffer.from(each))]
      }
      case 'hset': case 'hsetnx': {
        const fields = hash()
        const isNew = !fields.has(more[0] ?? '')
        if (isNew || name === 'hset') fields.set(more[0] ?? '', args[2] ?? Buffer.alloc(0))
        this.#data.set(key, { value: fields, until: Infinity })
        return Number(isNew)
      }
      case 'hmget': return more.map(field => hash().get(field) ?? null)
      case 'hgetall': return [...hash()].flatMap(([field, value]) => [Buffer.from(field), value])
      case 'subscribe':
        this.#subscribers.add(line)
        return [first ?? null, Buffer.from(key), 1]
      case 'publish':
        for (const each of this.#subscribers) {
          process.nextTick(() => each.reply(encode([Buffer.from('message'), Buffer.from(key), args[1] ?? null])))
        }
        return this.#subscribers.size
      default: throw new Error(`this stand-in for Redis has no command ${name}`)
    }
  }

  #get(key: string): Stored['value'] | null {
    const stored = this.#data.get(key)
    return stored !== undefined && stored.until > this.#machines.clock.elapsed() ? stored.value : null
  }

  #set(key: string, value: Buffer, ttlMs: number, isNew: boolean): Reply {
    if (isNew && this.#get(key) !== null) return null
    // Copies the value, because it is a view of the whole chunk that the client sent.
    this.#data.set(key, { value: Buffer.from(value), until: this.#machines.clock.elapsed() + ttlMs })
    return 'OK'
  }
}
