/** `holdfast import`: sends the rows of a text table to the running daemon. */
import { readFileSync, statSync } from 'node:fs'
import type { Row } from '../admin/rows.js'
import { parseTextTable } from '../postfix/text_table.js'
import type { TextTable } from '../postfix/text_table.js'
import { cantRead } from '../runtime/hidden.js'
import { adminAt, call } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure, exitNoInput, exitTempfail } from './terminal.js'

/** At most so many rows, and about so many bytes, in one request. */
const batchRows = 1_000
const batchBytes = 1_000_000


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
  const value = typeof reply === 'object' && reply !== null ? (reply as Record<string, unknown>)[name] : undefined
  return typeof value === 'number' ? value : 0
}

type FileTable = { readonly rows: TextTable['entries'], /** Last change, epoch ms. */ readonly madeAt: number }

/** The rows of the text table. Throws Failure (66) if it can't be read. */
const readTable = (file: string, complain: (text: string) => void): FileTable => {
  try {
    const { entries, warnings } = parseTextTable(readFileSync(file), file)
    for (const { place, text } of warnings) complain(`${place}: ${text}`)
    return { rows: entries, madeAt: statSync(file).mtimeMs }
  } catch (error) {
    throw new Failure(exitNoInput, `${file} ${cantRead(error, file, 'a Postfix text table')}`)
  }
}

/**
 * Exit code: 0, 75 if the daemon has no room for some rows. Throws Failure: 66 if the file can't be read, 75 if the
 * daemon can't be asked, or refuses.
 */
export const importMap = async (
  map: string, file: string, options: DaemonOptions, process: NodeJS.Process,
): Promise<number> => {
  const complain = (text: string): void => {
    process.stderr.write(`holdfast import: ${text}\n`)
  }
  const address = await adminAt(options, process)
  const { rows, madeAt } = readTable(file, complain)
  const total = { kept: 0, known: 0, noRoom: 0, unfit: 0 }
  for (const batch of batches(rows)) {
    const reply = await call(address, '/import', { map, rows: batch, madeAt })
    for (const name of ['kept', 'known', 'noRoom', 'unfit'] as const) total[name] += numberAt(reply, name)
  }
  process.stdout.write(`${map}: ${total.kept} rows taken, for an outage; `
    + `${total.known} were known already and stay as they were\n`)
  if (total.unfit > 0) complain(`${total.unfit} rows left out: an empty or too long value`)
  if (total.noRoom > 0) complain(`${total.noRoom} rows left out: memory is full (\`memory:\`), and there is no Redis`)
  return total.noRoom > 0 ? exitTempfail : 0
}
