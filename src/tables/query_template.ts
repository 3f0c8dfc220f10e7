/**
 * A `query` template of mysql_table(5) -> a statement with `?` for parameters,
 * and the values that a key gives them. The key never becomes SQL text.
 *
 * Postfix pastes the escaped key into the text of the query. Here a quoted literal
 * with expansions is one parameter: its text is what the server would have read
 * (`''` and backslash escapes taken off, %% one percent sign), with the key's parts
 * in it. A literal without expansions stays in the statement as it is, but for %%.
 * An expansion outside quotes is a parameter too (Postfix pastes it bare, open to
 * injection), if it can be a value there; as a name, or a part of one, it is
 * refused. A comment with an expansion is left out, but still counts for which keys
 * are asked.
 *
 * Quotes and backslashes are read as in the server's default sql_mode. Where
 * another mode would read a template otherwise, the statement says so, and must
 * not be sent to such a server: what it would find is not what was meant.
 */
import { addressOf, expansionOf, labelsOf, noExpansion, partOf, satisfies } from './expansion.js'
import type { Expansion, Needs, Piece } from './expansion.js'

export type KeyedStatement = {
  /** The statement's text around its parameters: one more than there are parameters. */
  readonly texts: readonly string[]
  /** For each parameter, the pieces of its value. */
  readonly parameters: readonly (readonly Piece[])[]
  /** Every expansion in the template, those in comments too. */
  readonly expansions: readonly Expansion[]
  /** In a server with one of these modes the template means something else. */
  readonly unfitModes: readonly SqlMode[]
}

/** ANSI_QUOTES: double quotes make a name. NO_BACKSLASH_ESCAPES: a backslash in a literal is one. */
export type SqlMode = 'ANSI_QUOTES' | 'NO_BACKSLASH_ESCAPES'

export type ScannedQuery =
  | { readonly ok: true, readonly statement: KeyedStatement }
  | { readonly ok: false, readonly problems: readonly string[] }

/** What a backslash and a letter mean in a literal; others mean the letter itself. */
const escapes: ReadonlyMap<string, string> = new Map([
  ['0', '\0'], ['b', '\b'], ['n', '\n'], ['r', '\r'], ['t', '\t'], ['Z', '\x1a'],
])

/** A token of SQL as far as it matters here: `end` is the offset after it. */
export type Token = { readonly kind: 'literal' | 'name' | 'comment' | 'text', readonly end: number }

/** Where the quoted token that starts at `start` ends; -1 if it doesn't. */
const quotedEnd = (sql: string, start: number): number => {
  const quote = sql[start]
  for (let at = start + 1; at < sql.length; at++) {
    if (sql[at] === '\\' && quote !== '`') at++
    else if (sql[at] === quote) {
      if (sql[at + 1] !== quote) return at + 1
      at++
    }
  }
  return -1
}

/** The token at `start`; null for a quote or a comment that isn't closed. Plain text comes letter by letter. */
export const tokenAt = (sql: string, start: number): Token | null => {
  const first = sql[start]
  const toLineEnd = (): number => {
    const newline = sql.indexOf('\n', start)
    return newline === -1 ? sql.length : newline
  }
  if (first === '\'' || first === '"' || first === '`') {
    const end = quotedEnd(sql, start)
    return end === -1 ? null : { kind: first === '`' ? 'name' : 'literal', end }
  }
  if (first === '#') return { kind: 'comment', end: toLineEnd() }
  // Two dashes begin a comment only before a blank or a control character.
  if (first === '-' && sql[start + 1] === '-' && !(sql.charCodeAt(start + 2) > 0x20)) {
    return { kind: 'comment', end: toLineEnd() }
  }
  // What stands between /*! or /*M! and its end is code, not comment.
  if (first === '/' && sql[start + 1] === '*' && !/^M?!/.test(sql.slice(start + 2, start + 4))) {
    const end = sql.indexOf('*/', start + 2)
    return end === -1 ? null : { kind: 'comment', end: end + 2 }
  }
  return { kind: 'text', end: start + 1 }
}

/** Reserved words: without quotes none is a name, but after a dot. */
const keywords = [
  'ALL', 'AND', 'AS', 'ASC', 'BETWEEN', 'BY', 'CASE', 'CROSS', 'DESC', 'DISTINCT', 'ELSE', 'EXISTS', 'FROM', 'GROUP',
  'HAVING', 'IN', 'INNER', 'IS', 'JOIN', 'LEFT', 'LIKE', 'LIMIT', 'NOT', 'NULL', 'ON', 'OR', 'ORDER', 'RIGHT', 'SELECT',
  'THEN', 'UNION', 'USING', 'WHEN', 'WHERE',
]
const keyword = new RegExp(`(?<![\\w$.@%\\x80-\\uffff])(?:${keywords.join('|')})(?![\\w$\\x80-\\uffff])`, 'gi')

const normalText = (text: string): string => text.replace(/\s+/g, ' ').replace(/ ?([=,]) ?/g, '$1')
  .replace(/\( /g, '(').replace(/ \)/g, ')').replace(keyword, word => word.toUpperCase())

/**
 * The query as it is asked of the server: with one blank for several, none beside `=`, commas and within parentheses,
 * and keywords in capitals. So an edit that changes nothing else is no other definition, and what the map knows stays
 * what it is. Quotes and comments stay as they are, and so do names, of which the server may tell capitals; all of it
 * does if a quote or a comment is not closed.
 */
export const normalQuery = (query: string): string => {
  let normal = ''
  let text = ''
  for (let at = 0; at < query.length;) {
    const token = tokenAt(query, at)
    if (token === null) return query
    const whole = query.slice(at, token.end)
    at = token.end
    if (token.kind === 'text') {
      text += whole
      continue
    }
    normal += normalText(text) + whole
    text = ''
    // Such a comment ends with its line.
    if (token.kind === 'comment' && !whole.startsWith('/')) {
      normal += '\n'
      at++
    }
  }
  return normal + normalText(text)
}

/** A token's text, cut at its expansions; `decode` takes off a literal's escapes. */
const piecesOf = (text: string, decode: '\'' | '"' | null, problem: (text: string) => void): readonly Piece[] => {
  const pieces: Piece[] = []
  let plain = ''
  for (let at = 0; at < text.length; at++) {
    const letter = text[at] ?? ''
    if (letter === '%') {
      at++
      if (text[at] === '%') {
        plain += '%'
        continue
      }
      const expansion = expansionOf(text[at] ?? '', 'query')
      if (expansion === null) {
        problem(noExpansion(text[at] ?? ''))
        continue
      }
      if (plain !== '') pieces.push(plain)
      plain = ''
      pieces.push(expansion)
    } else if (decode !== null && letter === '\\') {
      at++
      const escaped = text[at] ?? ''
      // In a LIKE pattern \% and \_ must stay escaped, so the server keeps their backslash everywhere.
      if (escaped === '%') {
        // It would escape the key's first letter.
        if (expansionOf(text[at + 1] ?? '', 'query') !== null) {
          problem('a backslash can\'t stand right before an expansion; write two for one')
        }
        plain += '\\'
        at--
      } else if (escaped === '_') plain += '\\_'
      else plain += escapes.get(escaped) ?? escaped
    } else if (decode !== null && letter === decode) {
      plain += letter
      at++
    } else plain += letter
  }
  if (plain !== '') pieces.push(plain)
  return pieces
}

/**
 * The modes that would read this literal, or where it ends, otherwise. One without expansions stays as it is, for the
 * server to read.
 */
const unfitModesOf = (literal: string, hasExpansions: boolean): readonly SqlMode[] => {
  const body = literal.slice(1, -1)
  const hidesQuote = /\\['"]/.test(body)
  const modes: SqlMode[] = []
  if (literal.startsWith('"') && (hasExpansions || hidesQuote)) modes.push('ANSI_QUOTES')
  if (hidesQuote || (hasExpansions && body.includes('\\'))) modes.push('NO_BACKSLASH_ESCAPES')
  return modes
}

/**
 * Whether an expansion outside quotes, between these texts, would have to be a
 * name or a part of one, which no parameter can be. FROM has a value after it
 * only in some functions.
 */
const isName = (before: string, after: string): boolean =>
  /[\w$.@`]$/.test(before) || /^[\w$.@`]/.test(after)
  || (/\b(?:from|join|into|update|table|use|call|as)\s+$/i.test(before)
    && !/\b(?:trim|substr|substring|mid|extract)\s*\([^()]*$/i.test(before))

/** What stands right before a token, but for blanks and comments. */
type TextBeside = 'literal' | 'keyed literal' | 'other'

const sideBySide = 'two literals side by side are one text to the server: write them as one literal'

/** Builds the statement, token by token. */
class Scanner {
  readonly problems: string[] = []
  readonly #texts: string[] = []
  readonly #parameters: (readonly Piece[])[] = []
  readonly #expansions: Expansion[] = []
  readonly #unfitModes = new Set<SqlMode>()
  #text = ''
  #before: TextBeside = 'other'

  problem(text: string): void {
    if (!this.problems.includes(text)) this.problems.push(text)
  }

  statement(): KeyedStatement {
    return {
      texts: [...this.#texts, this.#text], parameters: this.#parameters, expansions: this.#expansions,
      unfitModes: [...this.#unfitModes],
    }
  }

  /** Takes the token `whole`, which `after` follows. */
  take(kind: Token['kind'], whole: string, after: string): void {
    const isQuoted = kind === 'literal' || kind === 'name'
    const quote = kind !== 'literal' ? null : whole.startsWith('"') ? '"' : '\''
    const where = whole.length > 60 ? `${whole.slice(0, 60)}...` : whole
    const pieces = piecesOf(isQuoted ? whole.slice(1, -1) : whole, quote, text => this.problem(`in ${where}: ${text}`))
    const found = pieces.filter(piece => typeof piece !== 'string')
    this.#expansions.push(...found)
    const hasKey = found.length > 0
    switch (kind) {
      case 'literal':
        this.#literal(whole, pieces, hasKey)
        break
      case 'name':
        if (hasKey) this.problem('an expansion can\'t stand in back quotes: write the name itself')
        this.#plain(whole, 'other')
        break
      case 'comment':
        this.#text += hasKey ? ' ' : whole.replaceAll('%%', '%')
        break
      case 'text':
        if (whole === '?') this.problem('a ? outside quotes means a parameter to the server; write %s')
        if (hasKey) this.#bareKey(whole, pieces, after)
        else this.#plain(whole, whole.trim() === '' ? this.#before : 'other')
        break
      default: kind satisfies never
    }
  }

  #plain(text: string, kind: TextBeside): void {
    this.#text += text.replaceAll('%%', '%')
    this.#before = kind
  }

  #parameter(pieces: readonly Piece[], kind: TextBeside): void {
    if (/\b(?:limit|offset)\s+(?:\d+\s*,\s*)?$/i.test(this.#text)) {
      this.problem('the key can\'t stand after LIMIT or OFFSET; write a number')
    }
    this.#texts.push(this.#text)
    this.#text = ''
    this.#parameters.push(pieces)
    this.#before = kind
  }

  #literal(whole: string, pieces: readonly Piece[], hasKey: boolean): void {
    for (const mode of unfitModesOf(whole, hasKey)) this.#unfitModes.add(mode)
    if (this.#before === 'keyed literal' || (hasKey && this.#before === 'literal')) this.problem(sideBySide)
    if (!hasKey) this.#plain(whole, 'literal')
    else {
      if (/(?:^|[^\w$])(?:_\w+\s*|[nxb])$/i.test(this.#text)) {
        this.problem('an expansion can\'t stand in a literal that a character set or the letter N, X or B goes before; '
          + 'write a plain one')
      }
      this.#parameter(pieces, 'keyed literal')
    }
  }

  /** An expansion outside quotes. */
  #bareKey(whole: string, pieces: readonly Piece[], after: string): void {
    const isBeside = this.#text === '' && this.#parameters.length > 0
    if (isBeside || isName(this.#text, after.slice(0, 1)) || /^%[^%]/.test(after)) {
      this.problem(`${whole} outside quotes would be a name, or a part of one, and only values can be sent apart from `
        + 'the query: write the name itself, or put the value in quotes')
    }
    this.#parameter(pieces, 'other')
  }
}

/** Takes a `query` apart; every problem at once, each one a sentence without the parameter's name. */
export const scanQuery = (query: string): ScannedQuery => {
  // Blanks and a semicolon at the end go, as the server would take them off.
  const sql = query.replace(/[\s;]+$/, '')
  const scanner = new Scanner()
  for (let at = 0; at < sql.length;) {
    const token = tokenAt(sql, at)
    if (token === null) {
      scanner.problem(`the ${sql[at] === '/' ? 'comment' : 'quote'} at character ${at + 1} is not closed; close it`)
      break
    }
    // A percent sign in plain text brings its letter with it.
    const end = token.kind === 'text' && sql[at] === '%' ? Math.min(at + 2, sql.length) : token.end
    scanner.take(token.kind, sql.slice(at, end), sql.slice(end, end + 2))
    at = end
  }
  const { problems } = scanner
  return problems.length > 0 ? { ok: false, problems } : { ok: true, statement: scanner.statement() }
}

/**
 * The values of the statement's parameters for a key, in order; null if the key
 * lacks what the templates need, so that it is absent without a question.
 */
export type Bind = (key: string) => readonly string[] | null

/** `needs` are those of the query and of result_format together. */
export const bindKey = (statement: KeyedStatement, needs: Needs): Bind => key => {
  if (key === '') return null
  const address = addressOf(key)
  if (!satisfies(address, needs.keyUser, needs.keyDomain)) return null
  if (needs.labels > 0 && labelsOf(address.domain ?? '').length < needs.labels) return null
  return statement.parameters.map(pieces => {
    let value = ''
    for (const piece of pieces) value += typeof piece === 'string' ? piece : partOf(address, piece.part)
    return value
  })
}
