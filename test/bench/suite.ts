/** The main run: Holdfast and the floors, each case on each transport with each number of connections. */
import { startRedis } from '../fixtures/redis.js'
import { measure } from './load.js'
import type { Load, Measured } from './load.js'
import { knownKey, map, startFloor, startPoolFloor, startServed, startTable, unknownKey } from './stage.js'
import type { Served, Transport } from './stage.js'
import type { Programs } from './programs.js'

/** The figures of a case: those of the median round, and `rounds` with all of them. */
export type Row = {
  readonly what: string
  readonly server: string
  readonly transport: Transport
  /** Rows with the same number were measured in turns, so their rounds can be compared one by one. */
  readonly comparison: number
  readonly rounds: readonly Measured[]
} & Measured

export type Extent = {
  readonly transports: readonly Transport[]
  readonly connections: readonly number[]
  /** How often each case is measured, in turns with the others; the median round counts. */
  readonly rounds: number
  readonly seconds: number
  /** The load before each measurement; before the first one of a case four times as long, so that V8 has compiled. */
  readonly warmupSeconds: number
  /** The number of keys in the tables and caches. */
  readonly entries: number
}

type Case = {
  readonly what: string
  readonly served: Served
  readonly key: string
  readonly count: number
  readonly behind?: () => readonly number[]
  readonly expect: 'found' | 'absent'
}

const median = (rows: readonly Measured[]): Measured => {
  const row = rows.toSorted((a, b) => a.serverCpuUs - b.serverCpuUs)[Math.floor(rows.length / 2)]
  if (row === undefined) throw new Error('nothing was measured')
  return row
}

let comparisons = 0

const dialectOf = (transport: Transport): Load['dialect'] => transport === 'tcp_table' ? 'tcp_table' : 'socketmap'

/** Measures all cases in turns, so that other work of the machine slows all down alike. Rejects on a wrong answer. */
const compare = async (
  programs: Programs, cases: readonly Case[], extent: Extent, onRow: (row: Row) => void,
): Promise<void> => {
  const comparison = comparisons++
  for (const transport of extent.transports) {
    for (const connections of extent.connections) {
      const measured = new Map<Case, Measured[]>(cases.map(each => [each, []]))
      for (let round = 0; round < extent.rounds; round++) {
        for (const [{ what, served, key, count, behind, expect }, results] of measured) {
          const result = await measure(programs.generator, {
            endpoint: served.endpoint(transport), dialect: dialectOf(transport), map,
            key, first: 0, count, order: 'random', connections,
            warmupSeconds: round === 0 ? extent.warmupSeconds * 4 : extent.warmupSeconds, seconds: extent.seconds,
          }, served.pids(), behind?.())
          const answers = result.found + result.absent + result.temporary + result.permanent
          if (result[expect] === 0 || answers !== result[expect]) {
            throw new Error(`${served.name}, ${what}: not all ${expect}: ${JSON.stringify(result)}`)
          }
          results.push(result)
        }
      }
      for (const [{ what, served }, results] of measured) {
        onRow({ what, server: served.name, transport, comparison, rounds: results, ...median(results) })
      }
    }
  }
}

/** Asks for each key once, so that the caches have it. */
export const fill = async (
  programs: Programs, served: Served, key: string, count: number, connections = 16,
): Promise<Measured> =>
  measure(programs.generator, {
    endpoint: served.endpoint('unix'), dialect: 'socketmap', map,
    key, first: 0, count, order: 'once', connections, warmupSeconds: 0, seconds: 3_600,
  }, served.pids())

const unixOnly = (extent: Extent): Extent => ({ ...extent, transports: ['unix'] })

/** Only one lookup in a hundred is a memory hit. A smaller memory would drop answers that a lookup is about to use. */
const memoryOfMisses = (entries: number): number => Math.ceil(entries / 100)

/** Measures lookups that MySQL answers, and a plain pool that sends the same queries. */
export const runMisses = async (programs: Programs, extent: Extent, onRow: (row: Row) => void): Promise<void> => {
  const table = await startTable(extent.entries)
  const closers: (() => Promise<unknown>)[] = [() => table.stop()]
  try {
    const served = await startServed({ table, memoryEntries: memoryOfMisses(extent.entries) })
    closers.push(() => served.close())
    const pool = await startPoolFloor(programs.floorPool, table)
    closers.push(() => pool.close())
    const all = { key: knownKey, count: extent.entries, expect: 'found', behind: (): readonly number[] => [table.pid()] } as const
    await compare(programs, [
      { what: 'MySQL miss', served, ...all },
      { what: 'floor', served: pool, ...all },
    ], unixOnly(extent), onRow)
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

/** Runs all cases; `onRow` gets each row when it is measured. Resolves when all servers have stopped. */
export const runSuite = async (programs: Programs, extent: Extent, onRow: (row: Row) => void): Promise<void> => {
  const { entries } = extent
  const fewEntries = Math.min(entries, 10_000)
  const table = await startTable(entries)
  const redis = await startRedis()
  const floors = [await startFloor(programs.floorNode, entries)]
  if (programs.floorC !== null) floors.unshift(await startFloor(programs.floorC, entries))
  const closers: (() => Promise<unknown>)[] = [
    () => redis.stop(), () => table.stop(), ...floors.map(floor => () => floor.close()),
  ]
  try {
    const warm = await startServed({ table, memoryEntries: entries * 2 })
    closers.push(() => warm.close())
    await fill(programs, warm, knownKey, entries)
    await fill(programs, warm, unknownKey, fewEntries)
    const found = { key: knownKey, count: entries, expect: 'found' } as const
    await compare(programs, [
      ...floors.map(served => ({ what: 'floor', served, ...found })),
      { what: 'memory hit', served: warm, ...found },
      { what: 'absent hit', served: warm, key: unknownKey, count: fewEntries, expect: 'absent' },
    ], extent, onRow)

    const memoryEntries = memoryOfMisses(entries)
    const overUnix = unixOnly(extent)
    const throughRedis = await startServed({ table, redis, memoryEntries })
    closers.push(() => throughRedis.close())
    await fill(programs, throughRedis, knownKey, entries)
    await compare(programs, [
      { what: 'memory hit', served: warm, ...found },
      { what: 'Redis hit', served: throughRedis, ...found, behind: () => [redis.pid()] },
    ], overUnix, onRow)

    // Few keys, because Holdfast tries each again every few seconds, and that is part of the cost.
    const staleEntries = Math.min(entries, 1_000)
    const stale = await startServed({ table, memoryEntries: entries, freshFor: '1s' })
    closers.push(() => stale.close())
    await fill(programs, stale, knownKey, staleEntries)
    await table.kill()
    await compare(
      programs, [{ what: 'stale in an outage', served: stale, ...found, count: staleEntries }], overUnix, onRow,
    )
  } finally {
    for (const close of closers.reverse()) await close()
  }
  await runMisses(programs, extent, onRow)
}
