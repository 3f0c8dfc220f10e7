/**
 * A mysql_table(5) file -> its parameters, or every problem at once. Only the
 * file's format; definition.ts knows what the parameters mean.
 *
 * The format is main.cf's without its `$name` expansion: `name = value`, without
 * the blanks around either, no comments at the end of a line, no quoting. If two
 * lines have one name, the later one counts.
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { firstBlank, logicalLines, orphanProblem, trimBlanks } from '../postfix/logical_lines.js'
import type { Problem } from '../log.js'

/** The files that a definition names. They are read at start, never while a lookup waits. */
export type Files = {
  /** The whole file; throws an Error with a message for people. */
  read(path: string): Buffer
  /** When the file last changed (epoch ms); null if there is none. */
  modifiedMs(path: string): number | null
  /** The names in a folder, sorted; none if it can't be read. */
  list(folder: string): readonly string[]
  /** MySQL's own option files on this machine, read when a definition names none. */
  readonly defaultOptionFiles: readonly string[]
}

export const diskFiles: Files = {
  read: path => readFileSync(path),
  modifiedMs: path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null,
  list: folder => {
    try {
      return readdirSync(folder).sort()
    } catch {
      return []
    }
  },
  defaultOptionFiles: ['/etc/my.cnf', '/etc/mysql/my.cnf'],
}

export type Parameter = { readonly value: string, readonly line: number }

export type CfFile = {
  readonly parameters: ReadonlyMap<string, Parameter>
  readonly warnings: readonly Problem[]
  /** Not empty: the file must not be used, even where Postfix would take it. */
  readonly errors: readonly Problem[]
}

const byteOrderMark = '\xef\xbb\xbf'

/** In quotes as a whole, as a shell or YAML would take off. */
const isQuoted = (value: string): boolean => value.length > 1 && /^(["']).*\1$/s.test(value)

/** Reads the bytes of a file; `path` is for the places only. */
export const parseCf = (bytes: Buffer, path: string): CfFile => {
  const parameters = new Map<string, Parameter>()
  const warnings: Problem[] = []
  const errors: Problem[] = []
  let file = bytes.toString('latin1')
  if (file.startsWith(byteOrderMark)) {
    file = file.slice(byteOrderMark.length)
    warnings.push({
      place: `${path}:1`,
      text: 'begins with a byte order mark, which is ignored here, while Postfix takes it for a part of the first '
        + 'name; save the file without it',
    })
  }
  for (const { number: line, text, orphan } of logicalLines(file)) {
    const place = `${path}:${line}`
    if (orphan) {
      warnings.push({ place, text: orphanProblem })
      continue
    }
    // The name ends at the first blank; what follows it must be the equals sign.
    const equals = text.indexOf('=')
    const end = Math.min(firstBlank(text), equals === -1 ? text.length : equals)
    const name = printable(text.slice(0, end))
    const rest = trimBlanks(text.slice(end))
    if (name === '' || !rest.startsWith('=')) {
      const missing = name === '' ? 'has no name before the \'=\'' : `has no '=' after '${name}'`
      errors.push({ place, text: `${missing}; write NAME = VALUE` })
      continue
    }
    const raw = Buffer.from(trimBlanks(rest.slice(1)), 'latin1')
    if (!isUtf8(raw) || raw.includes(0)) {
      errors.push({ place, text: `${name}: the value is not UTF-8 text; save the file as UTF-8` })
      continue
    }
    const value = raw.toString('utf8')
    const earlier = parameters.get(name)
    if (earlier !== undefined && earlier.value !== value) {
      warnings.push({ place, text: `${name}: overrides the one on line ${earlier.line}; remove one of the two` })
    }
    if (isQuoted(value)) {
      const text = `${name}: the quotes around the value are a part of it, since this format has no quoting; `
        + 'remove them, unless they are meant'
      warnings.push({ place, text })
    }
    parameters.set(name, { value, line })
  }
  return { parameters, warnings, errors }
}

/** The value of a parameter that a file itself has; '' if it has none, or can't be read. */
export const valueInFile = (path: string, parameter: string): string => {
  try {
    return parseCf(readFileSync(path), path).parameters.get(parameter)?.value ?? ''
  } catch {
    return ''
  }
}

/** A name from the file as it can be shown: bounded, in ASCII, as all that mean anything are. */
const printable = (name: string): string => name.slice(0, 60).replaceAll(/[^\x20-\x7e]/g, '?')
