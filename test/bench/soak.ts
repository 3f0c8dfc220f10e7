/** Minutes of lookups for unknown keys, each a new one: memory must not grow once the caches are full. */
import { setTimeout } from 'node:timers/promises'
import { residentBytes } from './accounts.js'
import { measure } from './load.js'
import type { Programs } from './programs.js'
import { knownKey, map, startServed, startTable, unknownKey } from './stage.js'
import { fill } from './suite.js'

const entries = 10_000
const sampleMs = 5_000

/**
 * Resolves with the samples (MB) and the growth from the second quarter of the
 * time to the last. It compares the lowest sample of each, because the others
 * include garbage not yet collected. Rejects if an answer is not absent.
 */
export const runSoak = async (programs: Programs, minutes: number, say: (text: string) => void): Promise<unknown> => {
  const table = await startTable(entries)
  const daemon = await startServed({ table, memoryEntries: entries })
  try {
    await fill(programs, daemon, knownKey, entries)
    const flood = measure(programs.generator, {
      endpoint: daemon.endpoint('unix'), dialect: 'socketmap', map, key: unknownKey,
      first: 0, count: 1_000_000_000, order: 'once', connections: 64, warmupSeconds: 0, seconds: minutes * 60,
    }, daemon.pids(), [table.pid()])
    const samplesMb: number[] = []
    const over = new AbortController()
    const sampling = (async () => {
      while (!over.signal.aborted) {
        await setTimeout(sampleMs, undefined, { signal: over.signal }).catch(() => undefined)
        samplesMb.push(Math.round(residentBytes(daemon.pids()) / 1e6))
        if (samplesMb.length % 12 === 0) say(`${samplesMb.length * sampleMs / 60_000} min: ${samplesMb.at(-1) ?? 0} MB`)
      }
    })()
    const measured = await flood.finally(() => over.abort())
    await sampling
    if (measured.found + measured.temporary + measured.permanent > 0) {
      throw new Error(`wrong answers: ${JSON.stringify(measured)}`)
    }
    const quarter = Math.floor(samplesMb.length / 4)
    const quarters = [0, 1, 2, 3].map(index => Math.min(...samplesMb.slice(index * quarter, (index + 1) * quarter)))
    const growth = (quarters[3] ?? NaN) / (quarters[1] ?? NaN) - 1
    say(`${measured.absent} distinct keys, ${measured.lookupsPerSecond.toFixed(0)} lookups/s; `
      + `at least ${quarters.join(', ')} MB in each quarter, at most ${Math.max(...samplesMb)}; `
      + `growth after warm-up ${(growth * 100).toFixed(1)} %`)
    return { minutes, distinctKeys: measured.absent, samplesMb, growth }
  } finally {
    await daemon.close()
    await table.stop()
  }
}
