/**
 * The machines of a mail site, simulated in this process. They replace what Node offers: a clock that moves only when
 * the test says so, a disk in memory, and sockets that lead to the site's servers. So everything from the
 * configuration to the answer is the real Holdfast with its real drivers, and a history plays the same each time.
 */
import { EventEmitter } from 'node:events'
import dns from 'node:dns/promises'
import files from 'node:fs/promises'
import net from 'node:net'
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'

/** Gives a generator of numbers in [0, 1) that repeats itself for the same `seed` (mulberry32). */
export const randomFrom = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A client's end of a connection: `onBytes` gets what the client writes, and `reply` brings it the server's bytes. */
export class Line extends net.Socket {
  onBytes: (bytes: Buffer) => void = () => undefined
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    super()
    this.#clock = clock
    // Without _writev Node calls _write for each write; its own _writev needs a system handle, and there is none.
    Object.assign(this, { connecting: true, _writev: null })
  }

  override _read(): void {
    // Nothing to do here: `reply` pushes bytes as they come.
  }

  override _write(bytes: Buffer | string, encoding: BufferEncoding, done: () => void): void {
    this.onBytes(typeof bytes === 'string' ? Buffer.from(bytes, encoding) : bytes)
    done()
  }

  override _final(done: () => void): void {
    done()
    process.nextTick(() => this.destroy())
  }

  override setTimeout(ms: number, run: () => void = () => undefined): this {
    if (ms > 0) this.#clock.after(ms, () => { if (this.connecting) run() })
    return this
  }

  connected(): void {
    Object.assign(this, { connecting: false })
    this.emit('connect')
  }

  reply(bytes: Buffer): void {
    if (!this.destroyed) this.push(bytes)
  }

  /** Ends the connection with an error of this code, as the operating system would report it. */
  cut(code: string): void {
    this.destroy(Object.assign(new Error(`${code} by the test`), { code, syscall: 'connect' }))
  }
}

/** A server of the site. */
export type Service = {
  /** What happens to a connection attempt: accepted, refused, or never answered. */
  readonly door: 'open' | 'closed' | 'silent'
  /** Accepts a connection. */
  open(line: Line): void
}

type SavedFile = { bytes: Buffer, mtimeMs: number }

const noFile = (code: string): Error => Object.assign(new Error(code), { code })

/** The disks of all machines. A killed process writes nothing any more, and its calls never return. */
class Disk {
  readonly #files = new Map<string, SavedFile>()
  readonly #killed = new Map<string, number>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** Stops, half done as they are, all writes by open handles below this folder. */
  kill(folder: string): void {
    this.#killed.set(folder, (this.#killed.get(folder) ?? 0) + 1)
  }

  erase(folder: string): void {
    for (const path of this.#files.keys()) if (path.startsWith(folder)) this.#files.delete(path)
  }

  /** The functions that replace those of node:fs/promises. */
  readonly calls = {
    open: async (path: string, flags: string) => {
      const file = this.#files.get(path)
      if (file !== undefined && flags === 'wx') throw noFile('EEXIST')
      if (file === undefined && flags !== 'wx') throw noFile('ENOENT')
      return this.#handle(path, file ?? this.#create(path))
    },
    mkdir: async () => undefined,
    readdir: async (folder: string) => {
      const paths = [...this.#files.keys()].filter(path => path.startsWith(`${folder}/`))
      if (paths.length === 0) throw noFile('ENOENT')
      return paths.map(path => path.slice(folder.length + 1)).filter(name => !name.includes('/'))
    },
    stat: async (path: string) => ({ mtimeMs: this.#of(path).mtimeMs }),
    rename: async (from: string, to: string) => {
      this.#files.set(to, this.#of(from))
      this.#files.delete(from)
    },
    rm: async (path: string) => { this.#files.delete(path) },
    unlink: async (path: string) => {
      this.#of(path)
      this.#files.delete(path)
    },
  }

  #of(path: string): SavedFile {
    const file = this.#files.get(path)
    if (file === undefined) throw noFile('ENOENT')
    return file
  }

  #create(path: string): SavedFile {
    const file = { bytes: Buffer.alloc(0), mtimeMs: this.#now() }
    this.#files.set(path, file)
    return file
  }

  #handle(path: string, file: SavedFile) {
    const folder = path.split('/').slice(0, 3).join('/')
    const kills = this.#killed.get(folder)
    const whileAlive = async <Result>(run: () => Result): Promise<Result> =>
      this.#killed.get(folder) === kills ? run() : new Promise<never>(() => undefined)
    let place = 0
    const write = (bytes: Buffer, at: number): void => {
      file.bytes = Buffer.concat([file.bytes.subarray(0, at), bytes, file.bytes.subarray(at + bytes.length)])
      file.mtimeMs = this.#now()
      place = at + bytes.length
    }
    return {
      read: async (buffer: Buffer, at: number, length: number) => {
        const bytesRead = file.bytes.copy(buffer, at, place, place + length)
        place += bytesRead
        return { bytesRead }
      },
      write: (bytes: Buffer, _from: number, _length: number, at: number) => whileAlive(() => write(bytes, at)),
      writeFile: (bytes: Buffer) => whileAlive(() => write(bytes, place)),
      sync: () => whileAlive(() => undefined), datasync: () => whileAlive(() => undefined),
      close: async () => undefined,
    }
  }
}

/** Behaves like a timer of Node's, on the test's clock. */
class Timer {
  #cancel: () => void = () => undefined
  readonly #start: () => void

  constructor(clock: FakeClock, ms: number, repeats: boolean, run: () => void) {
    this.#start = () => {
      this.#cancel()
      this.#cancel = clock.after(Math.max(1, ms), () => {
        if (repeats) this.#start()
        run()
      })
    }
    this.#start()
  }

  close(): void {
    this.#cancel()
  }

  refresh(): this {
    this.#start()
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

export class Machines {
  readonly clock: FakeClock
  readonly random: () => number
  readonly disk: Disk
  /** The servers of the site, by host name. */
  readonly services = new Map<string, Service>()
  /** How many callbacks of setImmediate have not run yet. */
  #turns = 0

  constructor(seed: number) {
    const turn = timers.setImmediate
    this.clock = fakeClock(undefined, async () => {
      do await turn()
      while (this.#turns > 0)
    })
    this.random = randomFrom(seed)
    this.disk = new Disk(() => this.clock.now())
  }

  /** Replaces Node's functions by those of the machines; returns a function that restores Node's. */
  take(): () => void {
    const { clock, random, disk } = this
    const { setImmediate } = globalThis
    const timer = (repeats: boolean) => (run: (...given: unknown[]) => void, ms = 1, ...given: unknown[]): Timer =>
      new Timer(clock, ms, repeats, () => run(...given))
    const clear = (real: (given: never) => void) => (given: unknown): void => {
      if (given instanceof Timer) given.close()
      else real(given as never)
    }
    const nextTurn = (run: (...given: unknown[]) => void, ...given: unknown[]): NodeJS.Immediate => {
      this.#turns++
      return setImmediate(() => {
        this.#turns--
        run(...given)
      })
    }
    const connect = (options: { readonly host: string }): Line => this.#connect(options.host)
    const restores = [
      // Whole milliseconds, as in Node: Holdfast rejects a record whose time has a fraction.
      put(Date, { now: () => Math.floor(clock.now()) }), put(performance, { now: () => clock.elapsed() }),
      put(Math, { random }),
      put(globalThis, {
        setTimeout: timer(false), setInterval: timer(true), setImmediate: nextTurn,
        clearTimeout: clear(globalThis.clearTimeout), clearInterval: clear(globalThis.clearInterval),
      }),
      put(timers, {
        setTimeout: (ms: number, value?: unknown) => new Promise(resolve => {
          clock.after(Math.max(1, ms), () => resolve(value))
        }),
        setImmediate: (value?: unknown) => new Promise(resolve => { nextTurn(() => resolve(value)) }),
      }),
      put(files, disk.calls), put(net, { connect, createConnection: connect }),
      put(dns, { lookup: async (name: string) => [{ address: name, family: 4 }] }),
    ]
    syncBuiltinESMExports()
    return () => {
      for (const restore of restores) restore()
      syncBuiltinESMExports()
    }
  }

  #connect(host: string): Line {
    const line = new Line(this.clock)
    process.nextTick(() => {
      const service = this.services.get(host)
      if (line.destroyed || service?.door === 'silent') return
      if (service?.door !== 'open') return line.cut('ECONNREFUSED')
      service.open(line)
      line.connected()
    })
    return line
  }
}

const put = (onto: object, given: Readonly<Record<string, unknown>>): (() => void) => {
  const before = Object.fromEntries(Object.keys(given).map(name => [name, Reflect.get(onto, name) as unknown]))
  Object.assign(onto, given)
  return () => { Object.assign(onto, before) }
}

// Redis' client adds a listener for each command that waits, and Node would warn of more than ten.
EventEmitter.defaultMaxListeners = 0
