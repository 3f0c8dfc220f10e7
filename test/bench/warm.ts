/** Loading a table into Redis ahead of demand: how long it takes, what it costs, how much it slows lookups down. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { call } from '../../src/cli/daemon_at.js'
import type { Report } from '../../src/admin/summary.js'
import type { WarmStatus } from '../../src/admin/status.js'
import { startRedis } from '../fixtures/redis.js'
import { cpuSeconds, residentBytes } from './accounts.js'
import { measure } from './load.js'
import type { Measured } from './load.js'
import type { Programs } from './programs.js'
import { knownKey, map, startServed, startTable } from './stage.js'
import { fill } from './suite.js'

const sampleMs = 20
/** The number of keys in memory. */
const known = 1_000
/** As many lookups per second as on a busy mail server. */
const pacedRate = 1_000
const loaded = /warm: (\d+) keys of \d+ rows loaded into Redis.*took_ms=(\d+)/

type Say = (text: string) => void
type Stage = Awaited<ReturnType<typeof startStage>>

/** The figures of one load; `cpu` has µs for a row, by program. */
type TableLoad = {
  readonly seconds: number, readonly rowsPerSecond: number, readonly residentMb: number, readonly growthMb: number
  readonly cpu: Readonly<Record<string, number>>
}
/** What the lookups ask for. `rate`: lookups per second; 0: each connection asks again at once. */
type Asked = { readonly what: string, readonly count: number, readonly connections: number, readonly rate: number }
type Case = Asked & { readonly loading: boolean, readonly measured: Measured, readonly rowsPerSecond: number | null }

/** Starts a MariaDB, a Redis, and a Holdfast that loads the table from the one into the other. */
export const startStage = async (programs: Programs, rows: number) => {
  const table = await startTable(rows)
  const redis = await startRedis()
  const client = new Redis({ path: redis.socket })
  const served = await startServed({ table, redis, memoryEntries: known, warm: true })
  const { daemon } = served
  const admin = { kind: 'unix', path: join(daemon.dir, 'admin') } as const
  const status = async (): Promise<WarmStatus> => {
    const { maps } = await call(admin, '/status') as Report
    const warm = maps[0]?.warm
    if (warm === undefined || warm === null) throw new Error('not a warm map')
    return warm
  }
  // The daemon begins a first load at its start, which has to end before any other counts.
  while ((await status()).loadedAt === null) await setTimeout(20)
  return {
    programs, rows, table, redis, client, served,
    pids: [daemon.pid()],
    log: () => daemon.log(),
    /** Tells Holdfast to load the table; resolves when it has. */
    load: async (): Promise<void> => {
      await call(admin, '/warm', { map })
      for (;;) {
        const { state, problem } = await status()
        if (problem !== '') throw new Error(problem)
        if (state === 'idle') return
        await setTimeout(100)
      }
    },
    /** Asks for keys that exist. Rejects if an answer is anything but found. */
    ask: async ({ count, connections, rate }: Asked, seconds: number): Promise<Measured> => {
      const measured = await measure(programs.generator, {
        endpoint: served.endpoint('unix'), dialect: 'socketmap', map, key: knownKey, first: 0, count, order: 'random',
        connections, rate, warmupSeconds: 0.3, seconds,
      }, [daemon.pid()])
      if (measured.absent + measured.temporary + measured.permanent > 0) {
        throw new Error(`wrong answers: ${JSON.stringify(measured)}`)
      }
      return measured
    },
    close: async (): Promise<void> => {
      client.disconnect()
      await served.close()
      await redis.stop()
      await table.stop()
    },
  }
}

/** Loads the whole table into an empty Redis. */
const measureLoad = async ({ rows, table, redis, client, pids, log, load }: Stage): Promise<TableLoad> => {
  await client.flushall()
  const before = residentBytes(pids)
  const used = Object.entries({ Holdfast: pids, Redis: [redis.pid()], MariaDB: [table.pid()] })
    .map(([name, of]) => [name, of, cpuSeconds(of)] as const)
  let most = before
  const sampling = setInterval(() => { most = Math.max(most, residentBytes(pids)) }, sampleMs)
  const from = log().length
  await load()
  clearInterval(sampling)
  const [, keys, tookMs] = loaded.exec(log().slice(from)) ?? []
  if (Number(keys) !== rows) throw new Error(`${keys ?? 'no'} keys of ${rows}`)
  return {
    seconds: Number(tookMs) / 1e3, rowsPerSecond: rows / Number(tookMs) * 1e3,
    residentMb: most / 1e6, growthMb: (most - before) / 1e6,
    cpu: Object.fromEntries(used.map(([name, of, then]) => [name, (cpuSeconds(of) - then) * 1e6 / rows])),
  }
}

/** Measures the same lookups without a load, then during loads. */
export const measureCase = async (stage: Stage, asked: Asked, seconds: number, say: Say): Promise<readonly Case[]> => {
  const cases: Case[] = []
  for (const loading of [false, true]) {
    const from = stage.log().length
    const over = new AbortController()
    const keepLoading = (async () => { while (loading && !over.signal.aborted) await stage.load() })()
    const measured = await stage.ask(asked, seconds).finally(() => over.abort())
    await keepLoading
    const took = [...stage.log().slice(from).matchAll(new RegExp(loaded, 'g'))].map(([, , ms]) => Number(ms))
    // The last load may have continued after the lookups, and was faster then, so the slowest one counts.
    const rowsPerSecond = loading ? stage.rows / Math.max(...took) * 1e3 : null
    cases.push({ ...asked, loading, measured, rowsPerSecond })
    say(describe(`${asked.what}${loading ? ', during a load' : ''}`, asked.rate, measured)
      + (rowsPerSecond === null ? '' : `   ${rowsPerSecond.toFixed(0)} rows/s or more`))
  }
  return cases
}

const describe = (what: string, rate: number, { connections, lookupsPerSecond, p50Us, p99Us, p999Us }: Measured): string =>
  `${what.padEnd(48)}${String(connections).padStart(5)} conns ${rate === 0 ? 'at once' : 'paced  '}`
  + `${lookupsPerSecond.toFixed(0).padStart(9)} lookups/s   `
  + `p50 ${(p50Us / 1e3).toFixed(2)}  p99 ${(p99Us / 1e3).toFixed(2)}  p99.9 ${(p999Us / 1e3).toFixed(2)} ms`

// A connection stands for a process of Postfix that waits for its answer. Several connections that ask again at once
// keep both cores busy even without a load. Postfix has other work between two lookups, which `pacedRate` imitates.
export const fromMemory: readonly Asked[] = [
  { what: 'known keys, from memory', count: known, connections: 1, rate: 0 },
  { what: 'known keys, from memory', count: known, connections: 16, rate: pacedRate },
]
const fromRedis = (rows: number): readonly Asked[] => [
  { what: 'any key, from Redis', count: rows, connections: 1, rate: 0 },
  { what: 'any key, from Redis', count: rows, connections: 16, rate: 0 },
  { what: 'any key, from Redis', count: rows, connections: 16, rate: pacedRate },
]

/** Resolves with the figures; rejects if a lookup of a key that exists gets another answer than found. */
export const runWarm = async (programs: Programs, rows: number, seconds: number, say: Say): Promise<unknown> => {
  const stage = await startStage(programs, rows)
  try {
    const loads: TableLoad[] = []
    for (let round = 0; round < 3; round++) {
      const load = await measureLoad(stage)
      loads.push(load)
      say(`loaded ${rows} rows in ${load.seconds.toFixed(2)} s: ${load.rowsPerSecond.toFixed(0)} rows/s; Holdfast ${load.residentMb.toFixed(0)} MB at most, `
        + `${load.growthMb.toFixed(0)} more than before; CPU a row: ${Object.entries(load.cpu).map(([name, us]) => `${name} ${us.toFixed(2)} µs`).join(', ')}`)
    }
    await fill(programs, stage.served, knownKey, known)
    const cases: Case[] = []
    for (const asked of [...fromMemory, ...fromRedis(rows)]) cases.push(...await measureCase(stage, asked, seconds, say))
    await stage.table.kill()
    const outage = await stage.ask({ what: '', count: rows, connections: 16, rate: 0 }, seconds)
    say(describe('any key, MariaDB killed, most never asked for', 0, outage))
    return { rows, loads, cases, outage }
  } finally {
    await stage.close()
  }
}
