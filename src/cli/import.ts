/** `holdfast import MAP FILE`: hands the rows of a text table to the running daemon. */
import { readFileSync, statSync } from 'node:fs'
import type { Endpoint } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { parseTextTable } from '../postfix/text_table.js'
import { call } from './control.js'

/** sysexits(3). */
const exitNoInput = 66
const exitTempfail = 75

/** In one request: rows, and about so many bytes. */
const batchRows = 1_000
const batchBytes = 1_000_000

type Row = readonly [key: string, value: string]

function* batches(rows: Iterable<Row>): Generator<readonly Row[]> {
  let batch: Row[] = []
  let bytes = 0
  for (const row of rows) {
    const size = row[0].length + row[1].length
    if (batch.length > 0 && (batch.length === batchRows || bytes + size > batchBytes)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(row)
    bytes += size
  }
  if (batch.length > 0) yield batch
}

const numberAt = (reply: unknown, name: string): number => {
  const value: unknown = typeof reply === 'object' && reply !== null ? (reply as Record<string, unknown>)[name] : undefined
  return typeof value === 'number' ? value : 0
}

/** Exit code: 0, 66 if the file can't be read, 75 if the daemon can't be asked, refuses, or has no room. */
export const importMap = async (map: string, file: string, admin: Endpoint, process: NodeJS.Process): Promise<number> => {
  const complain = (text: string): void => {
    process.stderr.write(`holdfast import: ${text}\n`)
  }
  let rows: ReadonlyMap<string, string>
  let madeAt: number
  try {
    const { entries, warnings } = parseTextTable(readFileSync(file), file)
    for (const { place, text } of warnings) complain(`${place}: ${text}`)
    rows = entries
    madeAt = statSync(file).mtimeMs
  } catch (error) {
    complain(`${file} can't be read: ${messageOf(error)}`)
    return exitNoInput
  }
  const total = { kept: 0, known: 0, noRoom: 0, unfit: 0 }
  try {
    for (const batch of batches(rows)) {
      const reply = await call(admin, '/import', { map, rows: batch, madeAt })
      for (const name of ['kept', 'known', 'noRoom', 'unfit'] as const) total[name] += numberAt(reply, name)
    }
  } catch (error) {
    complain(messageOf(error))
    return exitTempfail
  }
  process.stdout.write(`${map}: ${total.kept} rows taken, for an outage; ${total.known} were known already and stay as they were\n`)
  if (total.unfit > 0) complain(`${total.unfit} rows left out: an empty or too long value`)
  if (total.noRoom > 0) complain(`${total.noRoom} rows left out: memory is full (\`memory:\`), and there is no Redis`)
  return total.noRoom > 0 ? exitTempfail : 0
}
