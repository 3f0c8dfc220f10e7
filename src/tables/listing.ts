/**
 * A lookup query -> the query that lists all its keys with their rows, where its
 * shape is plain: one table, one column equal to '%s', and conditions on the row
 * alone. Anything else is refused with the reason: a pattern, a clock or a part
 * of the key has no list of keys.
 *
 * MySQL finds by collation: `info@a.test` finds the rows `Info@a.test` and, in
 * some collations, `înfo@a.test`. So each row is listed with what the server
 * itself says of its key: in lower case, whether that still finds the row, and a
 * checksum that is the same for all keys which find each other. Rows come in the
 * collation's order, in which these stand together (entries.ts sorts out the rest).
 *
 * Bugs: without ORDER BY in the lookup query the rows of one key may come in
 * another order than the lookup gives them in. SQL promises neither.
 */
import { tokenAt } from './query_template.js'
import type { Statement } from './query_template.js'

/** The parts of the query that lists a table; all are SQL. */
export type Listing = {
  /** The column that the key is compared with. */
  readonly key: string
  /** The columns that make the answer. */
  readonly values: string
  readonly from: string
  readonly where: string
  /** Of the rows of one key; '' for none. */
  readonly order: string
  /** The lookup takes no more rows of a key than this. */
  readonly maxRows: number
}

type Word = {
  /** plain: a word or a number. name: in back quotes. parameter: where the key goes. */
  readonly kind: 'plain' | 'name' | 'literal' | 'symbol' | 'parameter'
  readonly text: string
  /** Of parentheses around it. */
  readonly depth: number
  readonly start: number
  readonly end: number
}

/** Functions of their arguments alone, row by row. */
const rowFunctions: ReadonlySet<string> = new Set([
  'CONCAT', 'CONCAT_WS', 'REPLACE', 'LOWER', 'LCASE', 'UPPER', 'UCASE', 'TRIM', 'LTRIM', 'RTRIM', 'SUBSTRING', 'SUBSTR', 'SUBSTRING_INDEX',
  'LEFT', 'RIGHT', 'LENGTH', 'CHAR_LENGTH', 'IF', 'IFNULL', 'NULLIF', 'COALESCE', 'JSON_VALUE', 'JSON_UNQUOTE', 'JSON_EXTRACT', 'HEX', 'UNHEX',
])
/** Words before a parenthesis that are no functions. */
const beforeParenthesis: ReadonlySet<string> = new Set(['IN', 'FROM', 'EXISTS', 'AND', 'OR', 'NOT', 'WHERE', 'SELECT', 'THEN', 'ELSE', 'WHEN', 'CASE', 'BY', 'AS', 'IS', 'XOR'])

/** Words that no plain query holds, and what they make of it. */
const refusals: ReadonlyMap<string, string> = new Map([
  ...['JOIN', 'STRAIGHT_JOIN'].map(word => [word, 'it joins tables'] as const),
  ...['UNION', 'EXCEPT', 'INTERSECT', 'WITH'].map(word => [word, 'it puts several queries together'] as const),
  ...['GROUP', 'HAVING', 'DISTINCT', 'DISTINCTROW', 'OVER'].map(word => [word, 'it makes one row of several'] as const),
  ...['CURRENT_TIMESTAMP', 'CURRENT_DATE', 'CURRENT_TIME', 'LOCALTIME', 'LOCALTIMESTAMP', 'UTC_DATE', 'UTC_TIME', 'UTC_TIMESTAMP']
    .map(word => [word, 'its answer depends on the clock'] as const),
  ...['CURRENT_USER', 'CURRENT_ROLE'].map(word => [word, 'its answer depends on the session'] as const),
  ...['BETWEEN', 'INTO', 'FOR', 'LOCK', 'PROCEDURE', 'COLLATE', 'BINARY'].map(word => [word, `it has ${word}`] as const),
])
const clocks = /^(NOW|SYSDATE|CURDATE|CURTIME|UNIX_TIMESTAMP|UTC_|CURRENT_|LOCALTIME)/

const wordsOf = (sql: string): Word[] | string => {
  const words: Word[] = []
  let depth = 0
  for (let at = 0; at < sql.length;) {
    const token = tokenAt(sql, at)
    if (token === null) return 'a quote or a comment is not closed'
    const plain = token.kind === 'text' ? /^[\w$\x80-\uffff]+/.exec(sql.slice(at))?.[0] : undefined
    const end = plain === undefined ? token.end : at + plain.length
    const text = sql.slice(at, end)
    if (token.kind === 'text' && text === ')') depth--
    if (token.kind !== 'comment' && text.trim() !== '') {
      words.push({ kind: plain !== undefined ? 'plain' : token.kind === 'literal' || token.kind === 'name' ? token.kind : 'symbol', text, depth, start: at, end })
    }
    if (token.kind === 'text' && text === '(') depth++
    at = end
  }
  return words
}

const isWord = (word: Word | undefined, ...texts: readonly string[]): boolean => word?.kind === 'plain' && texts.includes(word.text.toUpperCase())
const isSymbol = (word: Word | undefined, text: string): boolean => word?.kind === 'symbol' && word.text === text
const isName = (word: Word | undefined): boolean => word?.kind === 'name' || (word?.kind === 'plain' && !/^\d/.test(word.text))

/** Why one of these words keeps a query from being listed; null if none does. */
const refusalOf = (words: readonly Word[]): string | null => {
  for (const [index, word] of words.entries()) {
    const next = words[index + 1]
    if (word.kind === 'plain') {
      const upper = word.text.toUpperCase()
      // After a dot or in back quotes it is the name of a column.
      const isColumn = isSymbol(words[index - 1], '.')
      if (upper === 'SELECT' && index > 0) return 'it has a query within'
      const refusal = isColumn ? undefined : refusals.get(upper)
      if (refusal !== undefined) return refusal
      if (isSymbol(next, '(') && !rowFunctions.has(upper) && !beforeParenthesis.has(upper)) {
        return clocks.test(upper) ? 'its answer depends on the clock' : `it calls ${upper}(), which may not give each row its own answer`
      }
    } else if (word.kind === 'symbol' && '@:;?'.includes(word.text)) return word.text === '@' ? 'it has a variable' : `it has a ${word.text}`
    if (word.depth === 0 && (isWord(word, 'OR', 'XOR') || (isSymbol(word, '|') && isSymbol(next, '|')))) return 'its conditions are joined by OR'
  }
  return null
}

/** Where a word of these stands outside parentheses; -1 for nowhere. */
const indexOf = (words: readonly Word[], ...texts: readonly string[]): number => words.findIndex(word => word.depth === 0 && isWord(word, ...texts))

/** The name by which the columns of a table are called; null for anything more than one table. */
const tableNameOf = (words: readonly Word[]): string | null => {
  const isQualified = isSymbol(words[1], '.')
  const name = words[isQualified ? 2 : 0]
  const rest = words.slice(isQualified ? 3 : 1)
  if (isWord(rest[0], 'AS')) rest.shift()
  const [alias, ...more] = rest
  if (!isName(words[0]) || name === undefined || !isName(name) || more.length > 0) return null
  if (alias === undefined) return name.text
  return isName(alias) ? alias.text : null
}

const limitOf = (words: readonly Word[]): number | null =>
  words.length === 1 && /^[1-9]\d{0,8}$/.test(words[0]?.text ?? '') ? Number(words[0]?.text) : null

/** The listing of a lookup query; a text says why it has none. */
export const deriveListing = ({ texts, parameters, expansions }: Pick<Statement, 'texts' | 'parameters' | 'expansions'>): Listing | string => {
  const [before = '', after = ''] = texts
  const [pieces = [], ...moreParameters] = parameters
  const [piece, ...morePieces] = pieces
  if (!/^\s*SELECT\b/i.test(before)) return /^\s*CALL\b/i.test(before) ? 'it calls a procedure' : 'it is no plain SELECT'
  if (expansions.length === 0) return 'the key does not stand in it'
  if (expansions.some(({ part }) => part !== 'all')) return 'it asks for a part of the key (%u, %d or %1 to %9)'
  if (moreParameters.length > 0 || expansions.length > 1) return 'the key stands in it more than once'
  if (typeof piece !== 'object' || morePieces.length > 0) return 'the key is only a part of what is compared'

  const [first, second] = [wordsOf(before), wordsOf(after)]
  if (typeof first === 'string') return first
  if (typeof second === 'string') return second
  const depth = first.reduce((sum, word) => sum + (isSymbol(word, '(') ? 1 : isSymbol(word, ')') ? -1 : 0), 0)
  const parameter: Word = { kind: 'parameter', text: '', depth, start: 0, end: 0 }
  const refusal = refusalOf([...first, parameter, ...second])
  if (refusal !== null) return refusal

  const fromAt = indexOf(first, 'FROM')
  const whereAt = indexOf(first, 'WHERE')
  if (fromAt === -1 || whereAt === -1) return 'the key is not compared with a column'
  const values = first.slice(1, fromAt)
  if (values.some(word => isSymbol(word, '*'))) return 'it names no columns'
  const table = tableNameOf(first.slice(fromAt + 1, whereAt))
  if (table === null) return 'it joins tables'

  const equals = first.at(-1)
  if (isWord(equals, 'LIKE', 'REGEXP', 'RLIKE')) return 'it compares with a pattern'
  const column = first.at(-2)
  const isQualified = isSymbol(first.at(-3), '.')
  const joint = first.at(isQualified ? -5 : -3)
  const isPlain = depth === 0 && isSymbol(equals, '=') && isName(column) && (joint === first[whereAt] || isWord(joint, 'AND'))
  const follower = second[0]
  // Between CASE and its END an AND is part of what is weighed there.
  if (first.slice(whereAt).some(word => word.depth === 0 && isWord(word, 'CASE'))) return 'the key is not compared with a column alone'
  if (!isPlain || column === undefined || !(follower === undefined || isWord(follower, 'AND', 'ORDER', 'LIMIT'))) return 'the key is not compared with a column alone'

  const orderAt = indexOf(second, 'ORDER')
  const limitAt = indexOf(second, 'LIMIT')
  const limit = limitAt === -1 ? Infinity : limitOf(second.slice(limitAt + 1))
  if (limit === null) return 'its LIMIT is more than a number'
  const endOf = (at: number): number => at === -1 ? after.length : second[at]?.start ?? after.length
  const conditionsEnd = Math.min(endOf(orderAt), endOf(limitAt))
  const keyStart = first.at(isQualified ? -4 : -2)?.start ?? 0
  return {
    // Whatever the answer's columns are called, this is the table's.
    key: `${table}.${column.text}`,
    values: before.slice(first[0]?.end ?? 0, first[fromAt]?.start),
    from: before.slice(first[fromAt]?.end, first[whereAt]?.start),
    where: `${before.slice(first[whereAt]?.end, keyStart)}TRUE${after.slice(0, conditionsEnd)}`,
    order: orderAt === -1 ? '' : after.slice(second[orderAt + 1]?.end, endOf(limitAt)),
    maxRows: limit,
  }
}

/** For people: the query that lists, on a line. */
export const describeListing = ({ key, values, from, where }: Listing): string => `SELECT ${key}, ${values} FROM ${from} WHERE ${where}`.replace(/\s+/g, ' ')

/** The listing of a query of the administrator's, whose first column is the key; `columns` are its names. A text says what is wrong. */
export const listingOf = (query: string, columns: readonly string[]): Listing | string => {
  const [key, ...values] = columns.map(name => `listed.\`${name.replaceAll('`', '``')}\``)
  if (key === undefined || values.length === 0) return 'it must give the key and, after that, what is answered'
  return { key, values: values.join(', '), from: `(${query}\n) AS listed`, where: 'TRUE', order: '', maxRows: Infinity }
}

/** A query that tells the columns of an administrator's. */
export const columnsSql = (query: string): string => `SELECT * FROM (${query}\n) AS listed LIMIT 0`

/** How many columns come before those of the answer. */
export const keyColumns = 3

/**
 * The statement that lists: the key in lower case, 1 if that finds the row, a
 * number that keys which find each other share, and the answer's columns. Only
 * keys beyond `after`, if it is given, in the order of the key's collation.
 */
export const listingSql = ({ key, values, from, where, order }: Listing, after: string | null): string => {
  const beyond = after === null ? '' : ` AND ${key} > _utf8mb4 0x${Buffer.from(after, 'utf8').toString('hex')}`
  // A limit of its own, for a session's sql_select_limit would cut the list short without a word.
  return `SELECT LOWER(${key}), ${key} = LOWER(${key}), CRC32(WEIGHT_STRING(RTRIM(${key}))), ${values}\n`
    + `FROM ${from}\nWHERE (${where}\n)${beyond}\nORDER BY ${key}${order === '' ? '' : `, ${order}`}\nLIMIT 18446744073709551615`
}
