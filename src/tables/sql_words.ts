/**
 * SQL text -> its words, and what one asks about a run of words: where it splits,
 * which parentheses enclose it, what its text is. No grammar beyond that.
 *
 * A word's depth counts the parentheses around it, and each CASE ... END as one
 * pair more. A run is some words one after the other, balanced in this sense.
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
