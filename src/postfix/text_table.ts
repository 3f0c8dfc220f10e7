/**
 * A Postfix text table, held in memory: the source form of postmap(1), as a
 * texthash: table reads it. `key`, white space, `value`; logical lines as in
 * logical_lines.ts. A key in double quotes keeps them, since Postfix asks by the
 * quoted form; a backslash stays, and the character after it has no meaning. The
 * first of two lines with one key counts. Keys are folded; values are bytes.
 *
 * Postfix drops a line whose value isn't UTF-8; here it stays, and Postfix answers
 * with an error for that key, which is safer than "not found".
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { absent, byteString, found } from '../outcome.js'
import type { ByteString, Outcome } from '../outcome.js'
import { fold } from './fold.js'
import { firstBlank, isBlank, logicalLines, orphanProblem, trimBlanks } from './logical_lines.js'
import type { Problem } from '../log.js'

export type TextTable = {
  readonly entries: ReadonlyMap<string, ByteString>
  readonly warnings: readonly Problem[]
}

/** The end of the key, at white space outside quotes. Null if a quote isn't closed. */
const keyEnd = (line: string): number | null => {
  const simple = firstBlank(line)
  if (!/["\\]/.test(line.slice(0, simple))) return simple
  let inQuotes = false
  let at = 0
  for (; at < line.length; at++) {
    const letter = line[at]
    if (letter === '\\') at++
    else if (letter === '"') inQuotes = !inQuotes
    else if (!inQuotes && isBlank(line.charCodeAt(at))) break
  }
  return inQuotes ? null : Math.min(at, line.length)
}

/** Reads a table's bytes; `path` is for the warnings, `foldKey` makes equal keys equal. */
export const parseTextTable = (bytes: Buffer, path: string, foldKey: (key: string) => string = fold): TextTable => {
  const entries = new Map<string, ByteString>()
  const warnings: Problem[] = []
  for (const { number, text, orphan } of logicalLines(bytes.toString('latin1'))) {
    const warn = (problem: string): void => {
      warnings.push({ place: `${path}:${number}`, text: problem })
    }
    if (orphan) {
      warn(orphanProblem)
      continue
    }
    const end = keyEnd(text)
    if (end === null) {
      warn('has a double quote that isn\'t closed, so it is skipped, as Postfix does; close the quote')
      continue
    }
    const rawKey = Buffer.from(text.slice(0, end), 'latin1')
    const value = trimBlanks(text.slice(end)) as ByteString
    if (value === '') {
      warn('has a key but no value, so it is skipped, as Postfix does; write KEY VALUE, or remove the line')
      continue
    }
    if (!isUtf8(rawKey)) {
      warn('has a key that isn\'t UTF-8, so it is skipped, as Postfix does; save the file as UTF-8')
      continue
    }
    const key = foldKey(rawKey.toString('utf8'))
    if (key.endsWith(':')) {
      warn('has a key that ends in a colon, as in an alias file (`key: value`), which a text table is not; '
        + 'remove the colon')
    }
    if (entries.has(key)) {
      warn('has the key of an earlier line, and the first line counts, as in Postfix; remove one of the two')
    }
    else entries.set(key, value)
  }
  return { entries, warnings }
}

/**
 * The line of a text table with this key and value, without its end; null if no line can hold them: blanks around them,
 * a newline, bytes that aren't UTF-8.
 */
export const textLine = (key: string, value: ByteString): string | null => {
  const bytes = Buffer.from(byteString(key), 'latin1')
  const line = Buffer.concat([bytes, Buffer.from('\t'), Buffer.from(value, 'latin1')])
  const { entries } = parseTextTable(line, '', text => text)
  const isWhole = entries.size === 1 && entries.get(bytes.toString('utf8')) === value
  return isWhole && isUtf8(line) ? line.toString('utf8') : null
}

/** A Source that always answers at once. `content` is another text whenever an answer could be another. */
export type TextSource = { lookup(key: string): Outcome, readonly content: string }

/** Comments and the order of the entries make no other table. */
const contentHash = (entries: TextTable['entries']): string => createHash('sha256')
  .update([...entries].map(([key, value]) => `${key}\t${value}\n`).sort().join('')).digest('base64url')

/** Answers folded keys from `table`. */
export const textSource = (table: TextTable): TextSource => ({
  lookup: key => {
    const value = table.entries.get(key)
    return value === undefined ? absent : found(value)
  },
  content: contentHash(table.entries),
})
