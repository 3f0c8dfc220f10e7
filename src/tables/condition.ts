/**
 * A WHERE clause -> its alternatives (what OR joins), each a list of conditions
 * that all hold (what AND joins), with those recognised that say which keys find
 * a row: an equality of a text that the key gives with an expression of the row.
 */
import type { Part, Piece, KeyText, KeyTest } from './expansion.js'
import { hasPart, onlyPart } from './expansion.js'
import {
  refuse, argumentsOf, hasParameter, inParentheses, isSymbol, isWord, outerWords, splitAt, sqlText, unwrap,
} from './select.js'
import type { Run, SqlWord } from './select.js'

/** The key gives `text`, and the row `column`, which is SQL; `also`: and this holds of the row. */
export type Equality = {
  readonly kind: 'equality'
  readonly text: KeyText
  readonly column: string
  readonly also: string | null
}
/** The query within has rows for the key, or has none. `equals`: only rows count whose single value is this text. */
export type Exists = {
  readonly kind: 'exists'
  readonly query: Run
  readonly isNegated: boolean
  readonly equals: KeyText | null
}
export type Condition =
  | Equality
  | Exists
  /** On the row alone. */
  | { readonly kind: 'row', readonly run: Run }
  /** On the key alone. */
  | { readonly kind: 'test', readonly test: KeyTest }
  /** The key stands in it in another way. */
  | { readonly kind: 'other', readonly run: Run }

/** A query's text with a `?` for each parameter, and the pieces of each. */
export type QueryText = { readonly sql: string, readonly parameters: readonly (readonly Piece[])[] }

/** More alternatives than this are not listed. */
const maxAlternatives = 8

/** A literal's text, if nothing in it is escaped but quotes by doubling. */
const literalText = (word: SqlWord | undefined): string | null => {
  if (word?.kind !== 'literal' || word.text.includes('\\')) return null
  const quote = word.text.charAt(0)
  return word.text.slice(1, -1).replaceAll(quote + quote, quote)
}

/** The text that the key gives where this run stands; null if it isn't of the key and of literals alone. */
export const keyTextOf = (wrapped: Run, query: QueryText): KeyText | null => {
  const run = unwrap(wrapped)
  const [word] = run
  if (run.length === 1 && word !== undefined) {
    if (word.kind === 'parameter') return query.parameters[word.parameter] ?? null
    const text = literalText(word)
    return text === null ? null : text === '' ? [] : [text]
  }
  const lowered = argumentsOf(run, 'LOWER', 'LCASE')
  if (lowered?.length === 1) return keyTextOf(lowered[0] ?? [], query)
  const [text, delimiter, count, ...more] = argumentsOf(run, 'SUBSTRING_INDEX') ?? []
  if (text !== undefined && delimiter !== undefined && count !== undefined && more.length === 0) {
    const cut = keyTextOf(text, query)
    const at = delimiter.length === 1 ? literalText(delimiter[0]) : null
    const nth = /^-?[1-9]$/.exec(count.map(({ text }) => text).join(''))
    if (cut === null || at === null || at === '' || nth === null) return null
    return [{ cut, delimiter: at, count: Number(nth[0]) }]
  }
  const texts = argumentsOf(run, 'CONCAT')?.map(argument => keyTextOf(argument, query)) ?? [null]
  return texts.includes(null) ? null : texts.flatMap(text => text ?? [])
}

const comparing: readonly string[] = [
  'AND', 'OR', 'XOR', 'NOT', 'IS', 'IN', 'LIKE', 'REGEXP', 'RLIKE', 'BETWEEN', 'SOUNDS', 'COLLATE', 'EXISTS',
]
/** Whether it is a plain value: nothing is compared in it outside its parentheses. */
const isValue = (run: Run): boolean => {
  const compares = (word: SqlWord): boolean =>
    isWord(word, ...comparing) || (word.kind === 'symbol' && '<>!=&|'.includes(word.text))
  return run.length > 0 && !run.some(word => isWord(word, 'SELECT')) && !outerWords(run).some(compares)
}


/** What stands before the last @, in SQL. */
const beforeAt = (column: string): string =>
  `LEFT(${column}, CHAR_LENGTH(${column}) - CHAR_LENGTH(SUBSTRING_INDEX(${column}, '@', -1)) - 1)`

const isUser = (piece: KeyText[number] | undefined): boolean =>
  typeof piece === 'object' && 'part' in piece && piece.part === 'user'

/** `CONCAT(text, rest...) = column`, where only the text depends on the key: the column has it before the rest. */
const withRest = (side: Run, column: string, query: QueryText): Condition | null => {
  const parts = argumentsOf(side, 'CONCAT')
  const last = parts?.findLastIndex(hasParameter) ?? -1
  if (parts === null || last === -1) return null
  const text: KeyText = parts.slice(0, last + 1)
    .flatMap(part => keyTextOf(part, query) ?? refuse('a part of the key is joined with columns before it'))
  const rest = parts.slice(last + 1).map(part => sqlText(query.sql, part))
  const [at, domain, ...more] = rest
  if (at === '\'@\'' && domain !== undefined && more.length === 0 && isUser(text.at(-1))) {
    // In this form the server can use an index on the domain. No domain has an @.
    const also = `LOCATE('@', ${column}) > 0 AND SUBSTRING_INDEX(${column}, '@', -1) = ${domain}`
    return { kind: 'equality', text, column: beforeAt(column), also }
  }
  const end = `CONCAT(${rest.join(', ')})`
  return {
    kind: 'equality', text, column: `LEFT(${column}, CHAR_LENGTH(${column}) - CHAR_LENGTH(${end}))`,
    also: `RIGHT(${column}, CHAR_LENGTH(${end})) = ${end}`,
  }
}

const equality = (side: Run, column: Run, query: QueryText): Condition | null => {
  if (hasParameter(column) || !isValue(column) || !isValue(side)) return null
  const text = keyTextOf(side, query)
  const columnText = sqlText(query.sql, unwrap(column))
  if (text === null) return withRest(unwrap(side), columnText, query)
  return { kind: 'equality', text, column: columnText, also: null }
}

const readEquality = (run: Run, query: QueryText): Condition | null => {
  const [left = [], right = [], ...more] = splitAt(run, word => isSymbol(word, '='))
  if (more.length > 0) return null
  return hasParameter(left) ? equality(left, right, query) : equality(right, left, query)
}

/** `text LIKE 'pattern'`, `text <> 'other'` and their opposites. */
const readTest = (run: Run, query: QueryText): Condition | null => {
  const [before, between, pattern] = run.slice(-3)
  const literal = literalText(pattern)
  const isLike = isWord(between, 'LIKE')
  const isNegated = isLike ? isWord(before, 'NOT') : true
  const differs = (isSymbol(before, '<') && isSymbol(between, '>')) || (isSymbol(before, '!') && isSymbol(between, '='))
  if (literal === null || !(isLike || (differs && !/[%_]/.test(literal)))) return null
  const text = keyTextOf(run.slice(0, isLike && !isNegated ? -2 : -3), query)
  return text === null || !hasPart(text) ? null : { kind: 'test', test: { text, pattern: literal, isNegated } }
}

const isQuery = (run: Run): boolean => isWord(unwrap(run)[0], 'SELECT')

const readExists = (run: Run, query: QueryText): Condition | null => {
  const isNegated = isWord(run[0], 'NOT')
  const [exists, ...rest] = isNegated ? run.slice(1) : run
  if (isWord(exists, 'EXISTS')) {
    return inParentheses(rest) === null ? null : { kind: 'exists', query: rest, isNegated, equals: null }
  }
  const [side = [], list = [], ...more] = splitAt(run, word => isWord(word, 'IN'))
  if (more.length > 0 || !isQuery(list)) return null
  const equals = keyTextOf(side, query)
  return equals === null || !hasPart(equals) ? null : { kind: 'exists', query: list, isNegated: false, equals }
}

/** `column IN ('%s', '@%d')` or the other way round: one alternative for each. */
const readList = (run: Run, query: QueryText): readonly Condition[] | null => {
  const [side = [], list = [], ...more] = splitAt(run, word => isWord(word, 'IN'))
  const inner = inParentheses(list)
  if (inner === null || more.length > 0 || isQuery(list)) return null
  const alternatives = splitAt(inner, word => isSymbol(word, ','))
    .map(item => hasParameter(side) ? equality(side, item, query) : equality(item, side, query))
  return alternatives.includes(null) ? null : alternatives.filter(alternative => alternative !== null)
}

/** The runs that AND joins. The AND of BETWEEN ... AND joins none. */
const conjuncts = (run: Run): readonly Run[] => {
  let isBetween = false
  return splitAt(run, word => {
    if (isWord(word, 'BETWEEN')) isBetween = true
    if (!isWord(word, 'AND')) return false
    const separates = !isBetween
    isBetween = false
    return separates
  })
}

type Alternatives = readonly (readonly Condition[])[]

const both = (one: Alternatives, other: Alternatives): Alternatives =>
  one.flatMap(left => other.map(right => [...left, ...right]))

/** The alternatives of a condition; a row is found by a key for which one of them holds. */
export const readAlternatives = (wrapped: Run, query: QueryText): Alternatives => {
  const run = unwrap(wrapped)
  if (run.length === 0) return [[]]
  const any = splitAt(run, word => isWord(word, 'OR', 'XOR'))
  if (!hasParameter(run)) return [(any.length > 1 ? [run] : conjuncts(run)).map(row => ({ kind: 'row', run: row }))]
  if (outerWords(run).some(word => isWord(word, 'XOR'))) refuse('its conditions are joined by XOR')
  const all = conjuncts(run)
  let alternatives: Alternatives
  if (any.length > 1) alternatives = any.flatMap(part => readAlternatives(part, query))
  else if (all.length > 1) alternatives = all.map(part => readAlternatives(part, query)).reduce(both)
  else {
    const list = readList(run, query)
    alternatives = list?.map(each => [each])
      ?? [[readExists(run, query) ?? readEquality(run, query) ?? readTest(run, query) ?? { kind: 'other', run }]]
  }
  return alternatives.length > maxAlternatives ? refuse('it has too many alternatives') : alternatives
}

/** Why a key can't be read off such a condition. */
export const reasonOf = (run: Run): string => {
  const has = (...keywords: readonly string[]): boolean => run.some(word => isWord(word, ...keywords))
  if (has('LIKE', 'REGEXP', 'RLIKE', 'REGEXP_LIKE')) return 'it compares the key, or a part of it, with a pattern'
  if (has('SELECT')) return 'the key stands in a query within whose rows can\'t be listed by themselves'
  return 'the key, or a part of it, is not compared by = with what stands in a row'
}

/** What each part of the key is in SQL, by the equalities that hold; null for one that they don't tell. */
export const partsOf = (equalities: readonly Equality[]): (part: Part) => string | null => {
  const columns = new Map(equalities.map(({ text, column }) => [onlyPart(text), `LOWER(${column})`]))
  const [all, user, domain] = [columns.get('all'), columns.get('user'), columns.get('domain')]
  const userOf = (address: string): string => `IF(LOCATE('@', ${address}) = 0, ${address}, ${beforeAt(address)})`
  const whole = all ?? (user !== undefined && domain !== undefined ? `CONCAT(${user}, '@', ${domain})` : null)
  return part => {
    switch (part) {
      case 'all': return whole
      case 'domain': return domain ?? (whole === null ? null : `SUBSTRING_INDEX(${whole}, '@', -1)`)
      case 'user': return user ?? (whole === null ? null : userOf(whole))
      default: return null
    }
  }
}
