/**
 * MySQL at a distance: the fault proxy delays each chunk from the server by the time of a round trip. Measures
 * Holdfast and a plain mysql2 pool, with and without TLS: the time to the first answer while no connection is open, and
 * the lookups per second once all connections are.
 */
import { makeCertificates } from '../fixtures/certificates.js'
import { startProxy } from '../fixtures/proxy.js'
import { socketmapAsk } from '../fixtures/wire.js'
import { measure } from './load.js'
import { median } from './median.js'
import type { Programs } from './programs.js'
import { knownKey, map, startPoolFloor, startServed, startTable } from './stage.js'

const connections = 16
const entries = 10_000
/** After this time V8 has compiled the hot code, and Holdfast has taken its copy of the table. */
const warmupSeconds = 6
/** So small that only one lookup in a hundred is a memory hit: MySQL answers the others. */
const memoryEntries = entries / 100

export type DistanceExtent = {
  readonly distancesMs: readonly number[], readonly rounds: number, readonly seconds: number,
}

export type DistanceRow = {
  readonly server: string
  readonly distanceMs: number
  readonly hasTls: boolean
  readonly firstAnswerMs: number
  /** Temporary errors before the first answer. */
  readonly deferred: number
  readonly lookupsPerSecond: number
  readonly p50Ms: number
}

const heading = 'round trip         server        first answer        lookups/s    p50'

const line = ({ server, distanceMs, hasTls, firstAnswerMs, deferred, lookupsPerSecond, p50Ms }: DistanceRow): string =>
  `${`${distanceMs} ms${hasTls ? ', TLS' : ''}`.padEnd(19)}${server.padEnd(14)}`
  + `${firstAnswerMs.toFixed(0).padStart(6)} ms`
  + (deferred === 0 ? '' : ` (${deferred} deferred)`).padEnd(16)
  + `${lookupsPerSecond.toFixed(0).padStart(6)}${p50Ms.toFixed(1).padStart(8)} ms`

/** Asks until an answer comes. Resolves with the time that took, and the number of temporary errors before it. */
const firstAnswer = async (socket: string): Promise<Pick<DistanceRow, 'firstAnswerMs' | 'deferred'>> => {
  const begin = performance.now()
  let deferred = 0
  while (!(await socketmapAsk(socket, map, knownKey.replace('%d', String(deferred)))).startsWith('OK ')) deferred++
  return { firstAnswerMs: performance.now() - begin, deferred }
}


/** Takes the median of each figure, because other programs slow some rounds down. */
const medianOf = (rows: readonly [DistanceRow, ...DistanceRow[]]): DistanceRow => ({
  ...rows[0],
  firstAnswerMs: median(rows.map(row => row.firstAnswerMs)), deferred: median(rows.map(row => row.deferred)),
  lookupsPerSecond: median(rows.map(row => row.lookupsPerSecond)), p50Ms: median(rows.map(row => row.p50Ms)),
})

export const runDistance = async (
  programs: Programs, { distancesMs, rounds, seconds }: DistanceExtent, say: (text: string) => void,
): Promise<readonly DistanceRow[]> => {
  const certificates = await makeCertificates()
  await certificates.certificate('server', 'IP:127.0.0.1')
  const caFile = certificates.file('ca.pem')
  const table = await startTable(entries, [
    `--ssl-ca=${caFile}`, `--ssl-cert=${certificates.file('server.pem')}`, `--ssl-key=${certificates.file('server.key')}`,
  ])
  const proxy = await startProxy({ path: table.socket })
  const rows: DistanceRow[] = []
  say(heading)
  try {
    for (const hasTls of [false, true]) {
      for (const distanceMs of distancesMs) {
        await proxy.pass()
        if (distanceMs > 0) proxy.slow(distanceMs)
        const way = { hosts: `127.0.0.1:${proxy.port}`, caFile: hasTls ? caFile : '' }
        const servers = [
          () => startServed({ table, memoryEntries, ...way }), () => startPoolFloor(programs.floorPool, table, way),
        ]
        const measured = servers.map(start => ({ start, all: [] as DistanceRow[] }))
        for (let round = 0; round < rounds; round++) {
          for (const { start, all } of measured) {
            const served = await start()
            const endpoint = served.endpoint('unix')
            const first = await firstAnswer(endpoint.slice('unix:'.length))
            const { lookupsPerSecond, p50Us } = await measure(programs.generator, {
              endpoint, dialect: 'socketmap', map, key: knownKey, first: 0, count: entries, order: 'random', connections,
              warmupSeconds, seconds,
            }, served.pids())
            all.push({ server: served.name, distanceMs, hasTls, ...first, lookupsPerSecond, p50Ms: p50Us / 1e3 })
            await served.close()
          }
        }
        for (const { all: [first, ...others] } of measured) {
          if (first === undefined) continue
          const row = medianOf([first, ...others])
          rows.push(row)
          say(line(row))
        }
      }
    }
    return rows
  } finally {
    await proxy.stop()
    await table.stop()
    certificates.remove()
  }
}
