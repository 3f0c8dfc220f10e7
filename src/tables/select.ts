/**
 * SQL text -> its words, the SELECTs that UNION joins, and the clauses of each. No
 * grammar beyond that. A query that this can't read, or that makes one row of
 * several, is refused with the reason.
 *
 * A word's depth counts the parentheses around it; each CASE ... END counts as one
 * pair more. A run is a sequence of words in which all of these are closed.
 */
import { tokenAt } from './query_template.js'

export type SqlWord = {
  /** plain: a keyword, a name or a number. name: in back quotes. parameter: a `?`, where a part of the key goes. */
  readonly kind: 'plain' | 'name' | 'literal' | 'symbol' | 'parameter'
  readonly text: string
  /** The text in capitals if it is plain, else ''. Compare keywords with it. */
  readonly keyword: string
  readonly depth: number
  /** The place in the SQL text; `end` is the offset after the word. */
  readonly start: number
  readonly end: number
  /** Which parameter it is, from 0; -1 if it is none. */
  readonly parameter: number
}

export type Run = readonly SqlWord[]

/** A keyword, a name or a number. */
const plainWord = /[\w$\x80-\uffff]+/y

/** The words of `sql` without its comments; null if something is not closed, or if a comment holds code. */
export const sqlWords = (sql: string): Run | null => {
  const words: SqlWord[] = []
  const open: ('(' | 'CASE')[] = []
  let parameters = 0
  for (let at = 0; at < sql.length;) {
    const token = tokenAt(sql, at)
    if (token === null || /^\/\*M?!/.test(sql.slice(at, at + 4))) return null
    plainWord.lastIndex = at
    const plain = token.kind === 'text' ? plainWord.exec(sql)?.[0] : undefined
    const end = plain === undefined ? token.end : at + plain.length
    const text = sql.slice(at, end)
    // After a dot it is the name of a column, whatever it looks like.
    const keyword = plain === undefined || words.at(-1)?.text === '.' ? '' : plain.toUpperCase()
    if (text === ')' && open.pop() !== '(') return null
    if (keyword === 'END' && open.at(-1) === 'CASE') open.pop()
    if (token.kind !== 'comment' && text.trim() !== '') {
      const isParameter = text === '?'
      const ofText = plain !== undefined ? 'plain' : isParameter ? 'parameter' : 'symbol'
      const kind = token.kind === 'text' ? ofText : token.kind
      const parameter = isParameter ? parameters++ : -1
      words.push({ kind, text, keyword, depth: open.length, start: at, end, parameter })
    }
    if (text === '(' || keyword === 'CASE') open.push(text === '(' ? '(' : 'CASE')
    at = end
  }
  return open.length === 0 ? words : null
}

export const isWord = (word: SqlWord | undefined, ...keywords: readonly string[]): boolean =>
  word !== undefined && keywords.includes(word.keyword)
export const isSymbol = (word: SqlWord | undefined, text: string): boolean =>
  word?.kind === 'symbol' && word.text === text
export const isName = (word: SqlWord | undefined): boolean =>
  word?.kind === 'name' || (word?.kind === 'plain' && !/^\d/.test(word.text))

export const hasParameter = (run: Run): boolean => run.some(({ kind }) => kind === 'parameter')

/** Words of the run that no parentheses within it enclose. */
export const outerWords = (run: Run): Run => {
  const depth = run[0]?.depth ?? 0
  return run.filter(word => word.depth === depth)
}

/** The runs between the outer words that `separates` says are separators; never none. */
export const splitAt = (run: Run, separates: (word: SqlWord) => boolean): readonly Run[] => {
  const depth = run[0]?.depth ?? 0
  const runs: SqlWord[][] = [[]]
  for (const word of run) {
    if (word.depth === depth && separates(word)) runs.push([])
    else runs.at(-1)?.push(word)
  }
  return runs
}

/** What stands between the parentheses, if the run is `( ... )` and nothing more; else null. */
export const inParentheses = (run: Run): Run | null => {
  const outer = outerWords(run)
  return outer.length === 2 && isSymbol(outer[0], '(') && isSymbol(outer[1], ')') ? run.slice(1, -1) : null
}

/** The run without the parentheses around all of it, however many. */
export const unwrap = (run: Run): Run => {
  const inner = inParentheses(run)
  return inner === null ? run : unwrap(inner)
}

/** The arguments, if the run is a call of this function and nothing more; else null. */
export const argumentsOf = (run: Run, ...names: readonly string[]): readonly Run[] | null => {
  if (!isWord(run[0], ...names)) return null
  const inner = inParentheses(run.slice(1))
  return inner === null ? null : splitAt(inner, word => isSymbol(word, ','))
}

/** The run as it stands in `sql`, comments too. `parameterText` gives what stands for a parameter. */
export const sqlText = (sql: string, run: Run, parameterText: (parameter: number) => string = () => '?'): string => {
  let text = ''
  let at = run[0]?.start ?? 0
  for (const word of run) {
    if (word.kind !== 'parameter') continue
    text += sql.slice(at, word.start) + parameterText(word.parameter)
    at = word.end
  }
  return text + sql.slice(at, run.at(-1)?.end ?? at)
}

/** Why a query can't be listed. It is thrown and caught within the derivation of a listing (listing.ts). */
export class NotListable extends Error {}

export const refuse = (reason: string): never => {
  throw new NotListable(reason)
}

export type Select = {
  readonly isDistinct: boolean
  /** What is selected, item by item. */
  readonly items: readonly Run[]
  /** The clauses without their keywords; empty if they are not there. */
  readonly from: Run
  readonly where: Run
  readonly order: Run
  /** Infinity: no LIMIT. */
  readonly limit: number
}

export type Union = {
  readonly selects: readonly Run[]
  /** UNION, not UNION ALL. */
  readonly isDistinct: boolean
}

const clauseWords = ['FROM', 'WHERE', 'ORDER', 'LIMIT'] as const

/** Keywords outside parentheses that no listable SELECT has, and what they do. */
const refusals: ReadonlyMap<string, string> = new Map([
  ...['EXCEPT', 'INTERSECT', 'WITH'].map(word => [word, 'it puts queries together otherwise than by UNION'] as const),
  ...['GROUP', 'HAVING', 'WINDOW'].map(word => [word, 'it makes one row of several'] as const),
  ...['INTO', 'FOR', 'LOCK', 'PROCEDURE', 'OFFSET'].map(word => [word, `it has ${word}`] as const),
])

/** Words after SELECT that change nothing about the rows. */
const hints = [
  'ALL', 'SQL_CACHE', 'SQL_NO_CACHE', 'SQL_SMALL_RESULT', 'SQL_BIG_RESULT', 'SQL_BUFFER_RESULT', 'HIGH_PRIORITY',
  'STRAIGHT_JOIN',
]

const isUnion = (word: SqlWord): boolean => isWord(word, 'UNION')

/** The SELECTs of a query, without the parentheses around them. */
export const readUnion = (run: Run): Union => {
  const [first = [], ...more] = splitAt(unwrap(run), isUnion)
  if (more.length === 0) return { selects: [first], isDistinct: false }
  const kinds = new Set(more.map(([word]) => isWord(word, 'ALL') ? 'ALL' : 'DISTINCT'))
  if (kinds.size > 1) refuse('it mixes UNION and UNION ALL')
  if (outerWords(more.at(-1) ?? []).some(word => isWord(word, 'ORDER', 'LIMIT'))) {
    refuse('it orders or limits what several queries give together')
  }
  const selects = [first, ...more.map(part => isWord(part[0], 'ALL', 'DISTINCT') ? part.slice(1) : part)].map(unwrap)
  if (selects.some(select => outerWords(select).some(isUnion))) refuse('it unites queries within queries')
  return { selects, isDistinct: kinds.has('DISTINCT') }
}

const limitOf = (run: Run): number => {
  if (run.length === 0) return Infinity
  const [word, ...more] = run
  const isNumber = more.length === 0 && /^[1-9]\d{0,8}$/.test(word?.text ?? '')
  return isNumber ? Number(word?.text) : refuse('its LIMIT is more than a number')
}

/** The clauses of one SELECT. */
export const readSelect = (run: Run): Select => {
  const [start, ...words] = run
  if (!isWord(start, 'SELECT')) return refuse(isWord(start, 'CALL') ? 'it calls a procedure' : 'it is no plain SELECT')
  const depth = start?.depth ?? 0
  for (const word of words) {
    const refusal = word.depth === depth ? refusals.get(word.keyword) : undefined
    if (refusal !== undefined) refuse(refusal)
  }
  const starts = clauseWords.map(keyword => words.findIndex(word => word.depth === depth && isWord(word, keyword)))
  const clause = (index: number): Run => {
    const at = starts[index] ?? -1
    if (at === -1) return []
    const next = Math.min(...starts.slice(index + 1).filter(start => start !== -1), words.length)
    return words.slice(at + 1, next)
  }
  const listEnd = Math.min(...starts.filter(start => start !== -1), words.length)
  let listStart = 0
  let isDistinct = false
  for (; isWord(words[listStart], 'DISTINCT', 'DISTINCTROW', ...hints); listStart++) {
    if (isWord(words[listStart], 'DISTINCT', 'DISTINCTROW')) isDistinct = true
  }
  const order = clause(2)
  if (order.length > 0 && !isWord(order[0], 'BY')) refuse('it has ORDER without BY')
  return {
    isDistinct,
    items: splitAt(words.slice(listStart, listEnd), word => isSymbol(word, ',')),
    from: clause(0), where: clause(1), order: order.slice(1), limit: limitOf(clause(3)),
  }
}
