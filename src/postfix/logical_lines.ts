/**
 * The logical lines of Postfix's files, as postconf(5), mysql_table(5) and
 * postmap(1) have them: a line that starts with white space continues the one
 * before, without a character between them but that white space; comment lines
 * and blank lines are skipped, within a continued line too.
 *
 * Works on bytes (latin1 strings), so that a table passes through unchanged.
 */

export type LogicalLine = {
  /** Of its first physical line, from 1. */
  readonly number: number
  readonly text: string
  /** Starts with white space, yet continues nothing: Postfix warns and skips it. */
  readonly orphan: boolean
}

/** What to say of a line that is an orphan. */
export const orphanProblem =
  'starts with white space but continues nothing, so it is skipped, as Postfix does; remove the white space'

/** C's isspace() for a code unit of ASCII. */
export const isBlank = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d)

/** `text` without white space (C's isspace) around it. */
export const trimBlanks = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** The first white space (C's isspace) in `text`; its length if there is none. */
export const firstBlank = (text: string): number => {
  let at = 0
  while (at < text.length && !isBlank(text.charCodeAt(at))) at++
  return at
}

/** Goes through the logical lines of a file given as a latin1 string. The last one needs no newline. */
export function* logicalLines(file: string): Generator<LogicalLine> {
  let text = ''
  let number = 0
  let lineNumber = 0
  for (let start = 0; start < file.length;) {
    const newline = file.indexOf('\n', start)
    const end = newline === -1 ? file.length : newline
    const line = file.slice(start, end)
    start = end + 1
    lineNumber++
    const content = trimBlanks(line)
    if (content !== '' && !content.startsWith('#')) {
      if (text !== '' && !isBlank(line.charCodeAt(0))) {
        yield { number, text, orphan: isBlank(text.charCodeAt(0)) }
        text = ''
      }
      if (text === '') number = lineNumber
      text += line
    }
  }
  if (text !== '') yield { number, text, orphan: isBlank(text.charCodeAt(0)) }
}
