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

type Export = {
  readonly rows: AsyncIterable<readonly Row[]>
  /** Why rows may be missing, null if none are. Known once `rows` has ended. */
  readonly missing: () => string | null
  readonly close: () => void
}

/** The entries of the daemon at `address`. Throws Failure if it can't be asked, or refuses. */
const fromDaemon = async (address: Endpoint, map: string): Promise<Export> => {
  const lines = await callLines(address, '/export', { map })
  let missing: string | null = 'the daemon ended its answer early'
  const rows = async function* (): AsyncGenerator<readonly Row[]> {
    for await (const line of lines) {
      if (Array.isArray(line)) yield line as readonly Row[]
      else if (typeof line === 'object' && line !== null && 'missing' in line) {
        missing = typeof line.missing === 'string' ? line.missing : null
      }
    }
  }
  return { rows: rows(), missing: () => missing, close: () => undefined }
}

/** The entries that the last daemon left in its snapshot and in Redis. Throws Failure if it left neither. */
const fromCaches = async (config: Config, name: string, process: NodeJS.Process): Promise<Export> => {
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
  const map = cachedMap(open.maps, name)
  if (typeof map === 'string') {
    open.close()
    throw new Failure(exitTempfail, map)
  }
  await open.evidence.all
  let missing: string | null = null
  const rows = async function* (): AsyncGenerator<readonly Row[]> {
    missing = yield* knownRows(map)
  }
  return { rows: rows(), missing: () => missing, close: () => open.close() }
}

/** No daemon listens there. */
const isNobody = (error: unknown): boolean => {
  const { cause } = error instanceof Failure ? error : {}
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED')
}

/** The entries of the daemon if it runs, else of the caches, unless --at names the daemon. Throws Failure. */
const openExport = async (map: string, options: DaemonOptions, process: NodeJS.Process): Promise<Export> => {
  if (options.at !== undefined) return fromDaemon(await adminAt(options, process.env), map)
  const config = await configOf(options, process.env)
  const admin = adminIn(config)
  if (admin !== undefined) {
    try {
      return await fromDaemon(admin, map)
    } catch (error) {
      if (!isNobody(error)) throw error
    }
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
  const source = await openExport(map, options, process)
  process.stdout.write(`# ${map}: what Holdfast knew on ${new Date().toISOString()}\n`)
  let total = 0
  try {
    for await (const rows of source.rows) {
      const { text, count } = linesOf(rows, complain)
      total += count
      if (!process.stdout.write(text)) await once(process.stdout, 'drain')
    }
  } catch (error) {
    throw new Failure(exitTempfail, `ended early: ${messageOf(error)}; run it again`)
  } finally {
    source.close()
  }
  const missing = source.missing()
  if (missing !== null) complain(`rows may be missing: ${missing}`)
  complain(`${total} rows`)
  return missing === null ? 0 : exitTempfail
}
