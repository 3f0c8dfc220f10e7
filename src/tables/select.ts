/**
 * A query -> the SELECTs that it unites, each cut into its clauses, in words
 * (sql_words.ts). What can't be read so, or makes one row of several, is
 * refused with the reason.
 */
import { isSymbol, isWord, outerWords, splitAt, unwrap } from './sql_words.js'
import type { Run, SqlWord } from './sql_words.js'

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
