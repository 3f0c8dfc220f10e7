/** A table loaded ahead of demand: how long that takes, what it costs, and what lookups feel of it. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { call } from '../../src/cli/control.js'
import type { Report } from '../../src/health/health.js'
import type { WarmStatus } from '../../src/health/status.js'
import { startRedis } from '../fixtures/redis.js'
import { cpuSeconds, residentBytes } from './accounts.js'
import { measure } from './load.js'
import type { Measured } from './load.js'
import type { Programs } from './programs.js'
import { knownKey, map, startServed, startTable } from './stage.js'
import { fill } from './suite.js'

const sampleMs = 20
/** Known by heart: asked for before, so that memory has them. */
const known = 1_000

/** Resolves with the figures; rejects if a lookup of a key that exists is answered with anything but its value. */
export const runWarm = async (programs: Programs, rows: number, seconds: number, say: (text: string) => void): Promise<unknown> => {
  const table = await startTable(rows)
  const redis = await startRedis()
  const client = new Redis({ path: redis.socket })
  const redisBytes = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
  const emptyBytes = await redisBytes()
  const daemon = await startServed({ table, redis, memoryEntries: known, warm: true })
  try {
    const admin = { kind: 'unix', path: join(daemon.daemon.dir, 'admin') } as const
    const status = async (): Promise<WarmStatus> => {
      const { maps } = await call(admin, '/status') as Report
      const warm = maps[0]?.warm
      if (warm === undefined || warm === null) throw new Error('not a warm map')
      return warm
    }
    const load = async (): Promise<void> => {
      await call(admin, '/warm', { map })
      for (;;) {
        const { state, problem } = await status()
        if (problem !== '') throw new Error(problem)
        if (state === 'idle') return
        await setTimeout(100)
      }
    }
    const ask = async (count: number, connections: number): Promise<Measured> => {
      const measured = await measure(programs.generator, {
        endpoint: daemon.endpoint('unix'), dialect: 'socketmap', map, key: knownKey, first: 0, count, order: 'random', connections, warmupSeconds: 0.3, seconds,
      }, daemon.pids())
      if (measured.absent + measured.temporary + measured.permanent > 0) throw new Error(`wrong answers: ${JSON.stringify(measured)}`)
      return measured
    }
    const tell = (what: string, { connections, lookupsPerSecond, p50Us, p99Us, p999Us }: Measured): void =>
      say(`${what.padEnd(52)}${String(connections).padStart(5)} conns${lookupsPerSecond.toFixed(0).padStart(9)} lookups/s   p50 ${(p50Us / 1e3).toFixed(2)}  p99 ${(p99Us / 1e3).toFixed(2)}  p99.9 ${(p999Us / 1e3).toFixed(2)} ms`)

    // The first load began with the daemon: an old one, from before it counts as none.
    while ((await status()).loadedAt === null) await setTimeout(20)
    const loads: { readonly seconds: number, readonly rowsPerSecond: number, readonly residentMb: number, readonly growthMb: number, readonly cpu: Readonly<Record<string, number>> }[] = []
    for (let round = 0; round < 3; round++) {
      await client.flushall()
      const before = residentBytes(daemon.pids())
      const cpu = { Holdfast: daemon.pids(), MariaDB: [table.pid()], Redis: [redis.pid()] }
      const used = Object.entries(cpu).map(([name, pids]) => [name, pids, cpuSeconds(pids)] as const)
      const over = new AbortController()
      let most = before
      const sampling = (async () => {
        while (!over.signal.aborted) {
          most = Math.max(most, residentBytes(daemon.pids()))
          await setTimeout(sampleMs, undefined, { signal: over.signal }).catch(() => undefined)
        }
      })()
      const from = daemon.daemon.log().length
      await load()
      over.abort()
      await sampling
      const [, keys, tookMs] = await daemon.daemon.logged(/warm: (\d+) keys of \d+ rows loaded into Redis.*took_ms=(\d+)/, from)
      if (Number(keys) !== rows) throw new Error(`${keys ?? 'no'} keys of ${rows}`)
      const made = {
        seconds: Number(tookMs) / 1e3, rowsPerSecond: rows / Number(tookMs) * 1e3, residentMb: most / 1e6, growthMb: (most - before) / 1e6,
        cpu: Object.fromEntries(used.map(([name, pids, then]) => [name, (cpuSeconds(pids) - then) * 1e6 / rows])),
      }
      loads.push(made)
      say(`loaded ${rows} rows in ${made.seconds.toFixed(2)} s: ${made.rowsPerSecond.toFixed(0)} rows/s; process at most ${made.residentMb.toFixed(0)} MB, ${made.growthMb.toFixed(0)} MB more than before; `
        + `CPU a row: ${Object.entries(made.cpu).map(([name, us]) => `${name} ${us.toFixed(2)} µs`).join(', ')}`)
    }
    const redisMb = (await redisBytes() - emptyBytes) / 1e6
    say(`Redis: ${redisMb.toFixed(0)} MB for ${await client.dbsize()} keys, ${(redisMb * 1e6 / rows).toFixed(0)} bytes a key`)

    await fill(programs, daemon, knownKey, known)
    const cases: { readonly what: string, readonly loading: boolean, readonly measured: Measured }[] = []
    const compare = async (what: string, count: number, connections: number): Promise<void> => {
      for (const loading of [false, true]) {
        const over = new AbortController()
        const keepLoading = (async () => { while (loading && !over.signal.aborted) await load() })()
        const measured = await ask(count, connections).finally(() => over.abort())
        await keepLoading
        cases.push({ what, loading, measured })
        tell(`${what}${loading ? ', during a load' : ''}`, measured)
      }
    }
    // One connection is one process of Postfix, which waits for its answer; with several, both cores are busy without a load.
    await compare('known keys, from memory', known, 1)
    await compare('any key, from Redis', rows, 1)
    await compare('any key, from Redis', rows, 16)
    await table.kill()
    const outage = await ask(rows, 16)
    tell('any key, MariaDB killed, most never asked for', outage)
    return { rows, loads, redisMb, cases, outage }
  } finally {
    client.disconnect()
    await daemon.close()
    await redis.stop()
    await table.stop()
  }
}
