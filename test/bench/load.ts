/** One measurement: the generator asks, and the server's CPU time is read before and after. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { forgetGroup, guardGroup } from '../fixtures/guard.js'
import { cpuSeconds, residentBytes } from './accounts.js'
import type { Program } from './programs.js'

export type Load = {
  /** `unix:PATH` or `inet:HOST:PORT`. */
  readonly endpoint: string
  readonly dialect: 'socketmap' | 'tcp_table'
  readonly map: string
  /** The pattern of the keys: `%d` in it stands for a number from `first` on. */
  readonly key: string
  readonly first: number
  readonly count: number
  /** random: any of the keys, again and again. once: each key once. */
  readonly order: 'random' | 'once'
  readonly connections: number
  /** Lookups a second, of all connections; without it each connection asks again at once. */
  readonly rate?: number
  readonly warmupSeconds: number
  readonly seconds: number
}

/** What the generator reports. */
type Seen = {
  readonly found: number
  readonly absent: number
  readonly temporary: number
  readonly permanent: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
}

export type Measured = Seen & {
  readonly connections: number
  readonly lookupsPerSecond: number
  /** CPU time of the server under test for a lookup, user and system (µs). */
  readonly serverCpuUs: number
  /** CPU time for a lookup of the servers behind it, Redis and MySQL (µs). */
  readonly behindCpuUs: number
  /** The share of one core that the generator used; near 1, the generator was the limit, not the server. */
  readonly generatorShare: number
  /** The server's resident bytes while all connections were open. */
  readonly residentBytes: number
}

/**
 * Puts `load` on a server and resolves with the figures. `server` and `behind`
 * are the ids of the processes whose CPU time counts. Rejects if a connection
 * is lost or a reply is malformed.
 */
export const measure = async (
  generator: Program, load: Load, server: readonly number[], behind: readonly number[] = [],
): Promise<Measured> => {
  const child = spawn(generator.command, [
    ...generator.args,
    `endpoint=${load.endpoint}`, `dialect=${load.dialect}`, `map=${load.map}`, `key=${load.key}`,
    `first=${load.first}`, `count=${load.count}`, `order=${load.order}`,
    `connections=${load.connections}`, `rate=${load.rate ?? 0}`, `warmup=${load.warmupSeconds}`, `seconds=${load.seconds}`,
  ], { detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
  const { pid } = child
  if (pid === undefined) throw new Error(`can't start ${generator.command}`)
  guardGroup(pid)
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { complaint += text })
  const ended = once(child, 'close')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const line = async (): Promise<string> => {
    const next: IteratorResult<string, unknown> = await lines.next()
    if (next.done !== true) return next.value
    await ended
    throw new Error(`the generator ended early: ${complaint}`)
  }

  await line()
  const resident = residentBytes(server)
  const serverBefore = cpuSeconds(server)
  const behindBefore = cpuSeconds(behind)
  child.stdin.write('\n')
  const seen = JSON.parse(await line()) as Seen
  const serverCpu = cpuSeconds(server) - serverBefore
  const behindCpu = cpuSeconds(behind) - behindBefore
  await ended
  forgetGroup(pid)

  const lookups = seen.found + seen.absent + seen.temporary + seen.permanent
  return {
    ...seen,
    connections: load.connections,
    lookupsPerSecond: lookups / seen.seconds,
    serverCpuUs: serverCpu * 1e6 / lookups,
    behindCpuUs: behindCpu * 1e6 / lookups,
    generatorShare: seen.cpuSeconds / seen.seconds,
    residentBytes: resident,
  }
}
