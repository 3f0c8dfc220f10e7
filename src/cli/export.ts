/**
 * `holdfast export`: the cached entries of a map as a text table, the source form
 * of postmap(1). They come from the running daemon, by its admin socket, or, if no
 * daemon runs, from what the last one left: its snapshot, and Redis.
 */
import { once } from 'node:events'
import type { Config } from '../config/config.js'
import type { Endpoint } from '../config/endpoint.js'
import { loadClient } from '../caches/redis_client.js'
import { openMaps } from '../daemon/open_maps.js'
import { messageOf } from '../log.js'
import { recallSnapshot } from '../upkeep/snapshots.js'
import { cachedMap, knownRows } from '../admin/rows.js'
import type { Row } from '../admin/rows.js'
import { textLine } from '../postfix/text_table.js'
import { openMapSources } from '../daemon/open_sources.js'
import { adminAt, adminIn, callLines, configOf } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure, exitTempfail, terminalLog } from './terminal.js'

/** RowBatches in batches; returns why some may be missing, or null. */
type RowBatches = AsyncGenerator<readonly Row[], string | null>

/** The entries of the daemon at `address`. Throws Failure if it can't be asked, or refuses. */
const fromDaemon = async (address: Endpoint, map: string): Promise<RowBatches> => {
  const lines = await callLines(address, '/export', { map })
  return (async function* () {
    for await (const line of lines) {
      if (!Array.isArray(line)) return (line as { missing: string | null }).missing
      yield line as readonly Row[]
    }
    return 'the daemon ended its answer early'
  })()
}

/** The entries that the last daemon left in its snapshot and in Redis. Throws Failure if it left neither. */
async function* fromCaches(config: Config, name: string, process: NodeJS.Process): RowBatches {
  const { snapshotPath, redis } = config
  if (snapshotPath === null && redis === null) {
    throw new Failure(exitTempfail, 'the daemon is down, and the configuration names neither `redis:` nor `snapshot:`; '
      + 'under systemd, set STATE_DIRECTORY=/var/lib/holdfast for this command')
  }
  const log = terminalLog('warn', process)
  const opened = openMapSources(config, log)
  if (redis !== null) await loadClient()
  const maps = config.maps.filter(map => opened.sources.has(map.name))
  const open = openMaps({ ...config, maps }, opened.sources, log, null, {
    recall: async maps => { if (snapshotPath !== null) await recallSnapshot(snapshotPath, maps, log) },
  })
  try {
    const map = cachedMap(open.maps, name)
    if (typeof map === 'string') throw new Failure(exitTempfail, map)
    await open.evidence.all
    return yield* knownRows(map)
  } finally {
    open.close()
  }
}

/** No daemon listens there. */
const isNobody = (error: unknown): boolean => {
  const { cause } = error instanceof Failure ? error : {}
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED')
}

/** The entries of the daemon if it runs, else of the caches, unless --at names the daemon. Throws Failure. */
const openExport = async (map: string, options: DaemonOptions, process: NodeJS.Process): Promise<RowBatches> => {
  if (options.at !== undefined) return fromDaemon(await adminAt(options, process), map)
  const config = await configOf(options, process.env)
  const admin = adminIn(config)
  try {
    if (admin !== undefined) return await fromDaemon(admin, map)
  } catch (error) {
    if (!isNobody(error)) throw error
  }
  return fromCaches(config, map, process)
}

/** The rows as lines of a text table, those that it can't hold left out; and how many lines there are. */
const linesOf = (rows: readonly Row[], complain: (text: string) => void): { text: string, count: number } => {
  let text = ''
  let count = 0
  for (const [key, value] of rows) {
    const line = textLine(key, value)
    if (line === null) complain(`left out, since a text table can't say it: ${JSON.stringify(key)}`)
    else {
      text += `${line}\n`
      count++
    }
  }
  return { text, count }
}

/** Prints the table. Exit code: 0, 75 if rows may be missing. Throws Failure if there is nothing to print. */
export const exportMap = async (map: string, options: DaemonOptions, process: NodeJS.Process): Promise<number> => {
  const complain = (text: string): void => {
    process.stderr.write(`holdfast export: ${text}\n`)
  }
  const rows = await openExport(map, options, process)
  let total = 0
  try {
    let next = await rows.next()
    process.stdout.write(`# ${map}: what Holdfast knew on ${new Date().toISOString()}\n`)
    for (; next.done !== true; next = await rows.next()) {
      const { text, count } = linesOf(next.value, complain)
      total += count
      if (!process.stdout.write(text)) await once(process.stdout, 'drain')
    }
    if (next.value !== null) complain(`rows may be missing: ${next.value}`)
    complain(`${total} rows`)
    return next.value === null ? 0 : exitTempfail
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(exitTempfail, `ended early: ${messageOf(error)}; run it again`)
  }
}
