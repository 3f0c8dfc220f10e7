/**
 * `holdfast export MAP`: what is known of a map as a text table, the source form
 * of postmap(1). The running daemon is asked on its admin socket; if there is
 * none, what it left behind is read: its snapshot, and Redis.
 */
import { once } from 'node:events'
import type { Config } from '../config/config.js'
import type { Endpoint } from '../config/endpoint.js'
import { loadClient } from '../caches/redis_client.js'
import { openGeneration } from '../daemon/generation.js'
import { createLog, messageOf } from '../log.js'
import type { ByteString } from '../outcome.js'
import { recallSnapshot } from '../upkeep/snapshots.js'
import { cachedMap, knownRows } from '../admin/rows.js'
import { textLine } from '../postfix/text_table.js'
import { sourcesOf } from '../daemon/watched.js'
import { callLines } from './control.js'

/** sysexits(3). */
const exitTempfail = 75

type Rows = AsyncIterable<readonly (readonly [key: string, value: string])[]>
type Known = { readonly rows: Rows, /** Why some may be missing; to be asked at the end. */ readonly missing: () => string | null, readonly close: () => void }

/** Of the daemon that listens there. Rejects if there is none. */
const fromDaemon = async (address: Endpoint, map: string): Promise<Known> => {
  const lines = await callLines(address, '/export', { map })
  let missing: string | null = 'the daemon ended its answer early'
  const rows = async function* (): Rows {
    for await (const line of lines) {
      if (Array.isArray(line)) yield line as readonly (readonly [string, string])[]
      else if (typeof line === 'object' && line !== null && 'missing' in line) missing = typeof line.missing === 'string' ? line.missing : null
    }
  }
  return { rows: rows(), missing: () => missing, close: () => undefined }
}

/** Of what a daemon with this configuration left behind; a sentence if there is nothing, or nothing to be had. */
const fromRest = async (config: Config, name: string, process: NodeJS.Process): Promise<Known | string> => {
  if (config.snapshotPath === null && config.redis === null) {
    return 'the daemon doesn\'t run, and the configuration names neither `redis:` nor `snapshot:` (under systemd: set STATE_DIRECTORY=/var/lib/holdfast)'
  }
  const log = createLog({ level: 'warn', format: 'text', journal: false }, line => process.stderr.write(line), Date.now)
  const opened = sourcesOf(config, log)
  if (!opened.ok) return `${config.fileName} has problems (see \`holdfast check\`)`
  if (config.redis !== null) await loadClient()
  const generation = openGeneration(config, opened.sources, log, null)
  const map = cachedMap(generation.maps, name)
  if (typeof map === 'string') {
    generation.close()
    return map
  }
  if (config.snapshotPath !== null) await recallSnapshot(config.snapshotPath, generation.maps, log)
  await generation.redisTried
  let missing: string | null = null
  const rows = async function* (): Rows {
    missing = yield* knownRows(map)
  }
  return { rows: rows(), missing: () => missing, close: () => generation.close() }
}

const isNobody = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')

/** `admin`: where the daemon is asked; null: it has no such socket. `config`: null if only the daemon is to be asked. */
const known = async (map: string, admin: Endpoint | null, config: Config | null, process: NodeJS.Process): Promise<Known | string> => {
  if (admin !== null) {
    try {
      return await fromDaemon(admin, map)
    } catch (error) {
      if (config === null || !isNobody(error)) return messageOf(error)
    }
  }
  return config === null ? 'no daemon to ask' : fromRest(config, map, process)
}

/** Writes the table to standard output. Exit code: 0, 75 if rows may be missing or nothing can be had. */
export const exportMap = async (map: string, admin: Endpoint | null, config: Config | null, process: NodeJS.Process): Promise<number> => {
  const complain = (text: string): void => {
    process.stderr.write(`holdfast export: ${text}\n`)
  }
  const source = await known(map, admin, config, process)
  if (typeof source === 'string') {
    complain(source)
    return exitTempfail
  }
  process.stdout.write(`# ${map}: what Holdfast knew on ${new Date().toISOString()}\n`)
  let count = 0
  try {
    for await (const rows of source.rows) {
      let text = ''
      for (const [key, value] of rows) {
        const line = textLine(key, value as ByteString)
        if (line === null) complain(`left out, since a text table can't say it: ${JSON.stringify(key)}`)
        else {
          text += `${line}\n`
          count++
        }
      }
      if (!process.stdout.write(text)) await once(process.stdout, 'drain')
    }
  } catch (error) {
    complain(`ended early: ${messageOf(error)}`)
    return exitTempfail
  } finally {
    source.close()
  }
  const missing = source.missing()
  if (missing !== null) complain(`rows may be missing: ${missing}`)
  complain(`${count} rows`)
  return missing === null ? 0 : exitTempfail
}
