/** One measurement: the generator asks, the server's accounts are read before and after. */
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
  /** With one `%d`, for numbers from `first` on. */
  readonly key: string
  readonly first: number
  readonly count: number
  /** Any key again and again, or each key once. */
  readonly order: 'random' | 'once'
  readonly connections: number
  /** Lookups a second, of all connections; without it each connection asks again at once. */
  readonly rate?: number
  readonly warmupSeconds: number
  readonly seconds: number
}

/** What the generator saw. */
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
  /** CPU µs a lookup, user and system, of the server under test. */
  readonly serverCpuUs: number
  /** The same of what stands behind it: Redis, MySQL. */
  readonly behindCpuUs: number
  /** Share of one core that the generator used: near 1, it was itself the limit. */
  readonly generatorShare: number
  /** The server's resident bytes while all connections were open. */
  readonly residentBytes: number
}

/**
 * Puts `load` on a server and resolves with what it took. `server` and
 * `behind` are the processes whose CPU is counted. Rejects if a connection is
 * lost or a reply is malformed.
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
