/** How the cost of a memory hit grows with entries and connections, and how much memory these take. */
import { residentBytes } from './accounts.js'
import { measure } from './load.js'
import type { Measured } from './load.js'
import type { Programs } from './programs.js'
import { knownKey, map, startServed, startTable } from './stage.js'
import type { Served } from './stage.js'
import { fill } from './suite.js'

const entrySteps = [1_000, 10_000, 100_000]
/** Holdfast loads so many ahead of demand, because asking for them one by one takes minutes. */
const mostEntries = 1_000_000
const connectionSteps = [1, 16, 256, 1_000, 4_000, 10_000]

type Step = {
  readonly of: string, readonly n: number, readonly lookupsPerSecond: number, readonly serverCpuUs: number,
  readonly residentMb: number,
}

const step = (of: string, n: number, measured: Measured): Step => ({
  of, n, lookupsPerSecond: Math.round(measured.lookupsPerSecond), serverCpuUs: measured.serverCpuUs,
  residentMb: Math.round(measured.residentBytes / 1e6),
})

/** Resolves with the steps, and with the memory for 1,000 connections and 100,000 entries computed from them. */
export const runGrowth = async (programs: Programs, seconds: number, say: (text: string) => void): Promise<unknown> => {
  const steps: Step[] = []
  const add = (made: Step): void => {
    steps.push(made)
    say(`${String(made.n).padStart(9)} ${made.of.padEnd(12)}${String(made.lookupsPerSecond).padStart(9)} lookups/s`
      + `${made.serverCpuUs.toFixed(2).padStart(8)} µs${String(made.residentMb).padStart(6)} MB`)
  }
  const table = await startTable(mostEntries)
  const served: Served[] = []
  try {
    const daemon = await startServed({ table, memoryEntries: mostEntries })
    served.push(daemon)
    const idleMb = residentBytes(daemon.pids()) / 1e6
    const at = (count: number, connections: number, served: Served = daemon): Promise<Measured> => measure(programs.generator, {
      endpoint: served.endpoint('unix'), dialect: 'socketmap', map, key: knownKey, first: 0, count,
      order: 'random', connections, warmupSeconds: 1, seconds,
    }, served.pids())
    await fill(programs, daemon, knownKey, 1_000)
    for (const connections of connectionSteps) add(step('connections', connections, await at(1_000, connections)))
    for (const entries of entrySteps) {
      await fill(programs, daemon, knownKey, entries)
      add(step('entries', entries, await at(entries, 16)))
    }
    const loaded = await startServed({ table, memoryEntries: mostEntries, warm: true })
    served.push(loaded)
    await loaded.daemon.logged(new RegExp(`warm: ${mostEntries} keys`))
    // Asks for each entry once, because its first lookup costs more and must not count.
    await fill(programs, loaded, knownKey, mostEntries)
    add(step('entries', mostEntries, await at(mostEntries, 16, loaded)))
    const residentMb = (of: string, n: number): number =>
      steps.find(each => each.of === of && each.n === n)?.residentMb ?? NaN
    const mbPer1000Connections = (residentMb('connections', 10_000) - residentMb('connections', 1_000)) / 9
    const mbPer100000Entries = (residentMb('entries', mostEntries) - idleMb) / (mostEntries / 100_000)
    say(`memory: ${mbPer1000Connections.toFixed(1)} MB for 1,000 connections more, `
      + `${mbPer100000Entries.toFixed(1)} MB for 100,000 entries`)
    return { steps, mbPer1000Connections, mbPer100000Entries }
  } finally {
    for (const each of served) await each.close()
    await table.stop()
  }
}
