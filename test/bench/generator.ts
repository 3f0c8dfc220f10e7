/**
 * generator.c in Node, for machines without a C compiler: same arguments, same
 * output. It uses as much CPU as the server that it asks, so its rates and times
 * are those of both; the figure of the server's CPU is still right.
 */
import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'

const given = new Map(process.argv.slice(2).map(text => {
  const at = text.indexOf('=')
  return [text.slice(0, at), text.slice(at + 1)]
}))
const argument = (name: string): string => {
  const value = given.get(name)
  if (value === undefined) throw new Error(`${name}= is missing`)
  return value
}

const endpoint = argument('endpoint')
const table = argument('dialect') === 'tcp_table'
const map = argument('map')
const pattern = argument('key')
const inOrder = argument('order') === 'once'
const first = Number(argument('first'))
const count = Number(argument('count'))
const rate = Number(argument('rate'))

const outcomes = { found: 0, absent: 0, temporary: 0, permanent: 0 }
let latenciesUs: number[] = []
let asked = 0
let flying = 0
let until = 0
let landed: () => void = () => undefined
/** With a rate: the connections that wait for their next lookup, and when it is due. */
const idle: Asker[] = []
let due = 0

const request = (): string => {
  const number = first + (inOrder ? asked : Math.floor(Math.random() * count))
  asked++
  const key = pattern.replace('%d', String(number))
  return table ? `get ${key}\n` : `${map.length + 1 + key.length}:${map} ${key},`
}

/** Counts `text` and returns true if it is one whole reply; throws if it isn't even the beginning of one. */
const isReply = (text: string): boolean => {
  const colon = text.indexOf(':')
  const length = table ? text.indexOf('\n') + 1 : colon < 0 ? 0 : colon + 1 + Number(text.slice(0, colon)) + 1
  if (length === 0 || text.length < length) return false
  const kind = text.charAt(table ? 0 : colon + 1)
  if (kind === 'O' || kind === '2') outcomes.found++
  else if (kind === 'N' || kind === '5') outcomes.absent++
  else if (kind === 'T' || kind === '4') outcomes.temporary++
  else if (kind === 'P') outcomes.permanent++
  else throw new Error('not a reply')
  if (text.length > length) throw new Error('more than one reply')
  return true
}

const open = async (): Promise<Asker> => {
  const [, host = '', port] = /^inet:(.*):(\d+)$/.exec(endpoint) ?? []
  const socket = host === '' ? createConnection(endpoint.replace(/^unix:/, '')) : createConnection(Number(port), host)
  await once(socket, 'connect')
  return new Asker(socket)
}

/** One connection, with one lookup in flight at most. */
class Asker {
  readonly #socket: Socket
  #sentAt = 0
  #partial = ''

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#receive(chunk.toString('latin1')))
    socket.on('end', () => { throw new Error('connection lost') })
  }

  ask(sentAt: number): boolean {
    if (inOrder && asked >= count) return false
    this.#sentAt = sentAt
    this.#socket.write(request(), 'latin1')
    return true
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(text: string): void {
    this.#partial += text
    if (!isReply(this.#partial)) return
    this.#partial = ''
    const now = performance.now()
    latenciesUs.push((now - this.#sentAt) * 1e3)
    if (rate === 0 && now < until && this.ask(now)) return
    flying--
    if (rate > 0 && now < until) {
      idle.push(this)
      return
    }
    if (flying === 0) landed()
  }
}

const askFor = async (askers: readonly Asker[], seconds: number): Promise<void> => {
  until = performance.now() + seconds * 1e3
  const done = new Promise<void>(resolve => { landed = resolve })
  if (rate > 0) return askAtRate(askers, done)
  for (const asker of askers) if (asker.ask(performance.now())) flying++
  if (flying > 0) await done
}

/** The time of a lookup counts from when it was due, because Node's timers are a millisecond late or more. */
const askAtRate = async (askers: readonly Asker[], done: Promise<void>): Promise<void> => {
  idle.splice(0, Infinity, ...askers)
  due = performance.now()
  while (performance.now() < until) {
    while (due <= performance.now() && idle.length > 0 && idle.at(-1)?.ask(due) === true) {
      idle.pop()
      flying++
      due += 1e3 / rate
    }
    await setTimeout(1)
  }
  if (flying > 0) await done
}

const askers: Asker[] = []
for (let n = Number(argument('connections')); n > 0; n--) askers.push(await open())
const warmup = Number(argument('warmup'))
if (warmup > 0) await askFor(askers, warmup)
Object.assign(outcomes, { found: 0, absent: 0, temporary: 0, permanent: 0 })
latenciesUs = []

process.stdout.write('ready\n')
await once(process.stdin, 'data')
process.stdin.destroy()
const cpuBefore = process.cpuUsage()
const start = performance.now()
await askFor(askers, Number(argument('seconds')))
const seconds = (performance.now() - start) / 1e3
const cpu = process.cpuUsage(cpuBefore)
for (const asker of askers) asker.close()

latenciesUs.sort((a, b) => a - b)
const percentile = (share: number): number =>
  latenciesUs[Math.min(latenciesUs.length - 1, Math.floor(share * latenciesUs.length))] ?? 0
process.stdout.write(`${JSON.stringify({
  ...outcomes, seconds, cpuSeconds: (cpu.user + cpu.system) / 1e6,
  p50Us: percentile(0.5), p99Us: percentile(0.99), p999Us: percentile(0.999),
})}\n`)
