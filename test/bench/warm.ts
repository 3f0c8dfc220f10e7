/** A table loaded ahead of demand: how long that takes, what it costs, and what lookups feel of it. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { call } from '../../src/cli/call.js'
import type { Report } from '../../src/admin/report.js'
import type { WarmStatus } from '../../src/admin/status.js'
import { loadersOf } from '../fixtures/loaders.js'
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

/** Lookups a second of a busy mail server. */
const pacedRate = 1_000
const loaded = /warm: (\d+) keys of \d+ rows loaded into Redis.*took_ms=(\d+)/

/** CPU in µs a row. */
type Load = {
  readonly seconds: number, readonly rowsPerSecond: number, readonly loadingMb: number, readonly servingMb: number, readonly growthMb: number, readonly togetherMb: number
  readonly cpu: Readonly<Record<string, number>>
}
/** `rate`: lookups a second; 0: each connection asks again at once. */
type Case = { readonly what: string, readonly rate: number, readonly loading: boolean, readonly measured: Measured, readonly rowsPerSecond: number | null }

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
    const serving = [daemon.daemon.pid()]
    const ask = async (count: number, connections: number, rate: number): Promise<Measured> => {
      const measured = await measure(programs.generator, {
        endpoint: daemon.endpoint('unix'), dialect: 'socketmap', map, key: knownKey, first: 0, count, order: 'random', connections, rate, warmupSeconds: 0.3, seconds,
      }, serving)
      if (measured.absent + measured.temporary + measured.permanent > 0) throw new Error(`wrong answers: ${JSON.stringify(measured)}`)
      return measured
    }
    const tell = (what: string, rate: number, { connections, lookupsPerSecond, p50Us, p99Us, p999Us }: Measured, more = ''): void =>
      say(`${what.padEnd(48)}${String(connections).padStart(5)} conns ${rate === 0 ? 'at once' : 'paced  '}${lookupsPerSecond.toFixed(0).padStart(9)} lookups/s   `
        + `p50 ${(p50Us / 1e3).toFixed(2)}  p99 ${(p99Us / 1e3).toFixed(2)}  p99.9 ${(p999Us / 1e3).toFixed(2)} ms${more}`)

    // The first load began with the daemon: an old one, from before it counts as none.
    while ((await status()).loadedAt === null) await setTimeout(20)
    const loads: Load[] = []
    for (let round = 0; round < 3; round++) {
      await client.flushall()
      const before = residentBytes(serving)
      const behind = { MariaDB: [table.pid()], Redis: [redis.pid()], 'what serves': serving }
      const used = Object.entries(behind).map(([name, pids]) => [name, pids, cpuSeconds(pids)] as const)
      const over = new AbortController()
      const most = { loading: 0, serving: before, together: before }
      let loadingCpu = 0
      const sampling = (async () => {
        while (!over.signal.aborted) {
          const bytes = residentBytes(serving)
          const loaders = loadersOf(daemon.daemon.pid())
          try {
            const more = residentBytes(loaders)
            most.loading = Math.max(most.loading, more)
            most.together = Math.max(most.together, bytes + more)
            loadingCpu = Math.max(loadingCpu, cpuSeconds(loaders))
          } catch {
            // It has ended meanwhile.
          }
          most.serving = Math.max(most.serving, bytes)
          await setTimeout(sampleMs, undefined, { signal: over.signal }).catch(() => undefined)
        }
      })()
      const from = daemon.daemon.log().length
      await load()
      over.abort()
      await sampling
      const [, keys, tookMs] = await daemon.daemon.logged(loaded, from)
      if (Number(keys) !== rows) throw new Error(`${keys ?? 'no'} keys of ${rows}`)
      const made: Load = {
        seconds: Number(tookMs) / 1e3, rowsPerSecond: rows / Number(tookMs) * 1e3,
        loadingMb: most.loading / 1e6, servingMb: most.serving / 1e6, growthMb: (most.serving - before) / 1e6, togetherMb: most.together / 1e6,
        cpu: Object.fromEntries([['what loads', loadingCpu * 1e6 / rows], ...used.map(([name, pids, then]) => [name, (cpuSeconds(pids) - then) * 1e6 / rows] as const)]),
      }
      loads.push(made)
      say(`loaded ${rows} rows in ${made.seconds.toFixed(2)} s: ${made.rowsPerSecond.toFixed(0)} rows/s; memory at most: the process that loads ${made.loadingMb.toFixed(0)} MB, `
        + `the one that serves ${made.servingMb.toFixed(0)} (${made.growthMb.toFixed(0)} more than before), both ${made.togetherMb.toFixed(0)}; `
        + `CPU a row: ${Object.entries(made.cpu).map(([name, us]) => `${name} ${us.toFixed(2)} µs`).join(', ')}`)
    }
    const redisMb = (await redisBytes() - emptyBytes) / 1e6
    say(`Redis: ${redisMb.toFixed(0)} MB for ${await client.dbsize()} keys, ${(redisMb * 1e6 / rows).toFixed(0)} bytes a key`)

    await fill(programs, daemon, knownKey, known)
    const cases: Case[] = []
    const compare = async (what: string, count: number, connections: number, rate: number): Promise<void> => {
      for (const loading of [false, true]) {
        const from = daemon.daemon.log().length
        const over = new AbortController()
        const keepLoading = (async () => { while (loading && !over.signal.aborted) await load() })()
        const measured = await ask(count, connections, rate).finally(() => over.abort())
        await keepLoading
        const took = [...daemon.daemon.log().slice(from).matchAll(new RegExp(loaded, 'g'))].map(([, , ms]) => Number(ms))
        // The last one may have gone on after the lookups, the others did not.
        const rowsPerSecond = loading ? rows / Math.max(...took) * 1e3 : null
        cases.push({ what, rate, loading, measured, rowsPerSecond })
        tell(`${what}${loading ? ', during a load' : ''}`, rate, measured, rowsPerSecond === null ? '' : `   ${rowsPerSecond.toFixed(0)} rows/s or more`)
      }
    }
    // One connection is one process of Postfix, which waits for its answer; several that ask again at once keep both cores busy without a load.
    await compare('known keys, from memory', known, 1, 0)
    await compare('any key, from Redis', rows, 1, 0)
    await compare('any key, from Redis', rows, 16, 0)
    // A mail server has something else to do between two lookups.
    await compare('known keys, from memory', known, 16, pacedRate)
    await compare('any key, from Redis', rows, 16, pacedRate)
    await table.kill()
    const outage = await ask(rows, 16, 0)
    tell('any key, MariaDB killed, most never asked for', 0, outage)
    return { rows, loads, redisMb, cases, outage }
  } finally {
    client.disconnect()
    await daemon.close()
    await redis.stop()
    await table.stop()
  }
}
