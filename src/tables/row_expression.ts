/**
 * Which expressions give each row its own answer, at any time and for any
 * account: only such may stand in a query whose rows are listed ahead of demand.
 */
import { refuse, hasParameter, isSymbol, isWord } from './select.js'
import type { Run, SqlWord } from './select.js'

/** Functions of their arguments alone, row by row. */
const rowFunctions: ReadonlySet<string> = new Set([
  'CONCAT', 'CONCAT_WS', 'REPLACE', 'LOWER', 'LCASE', 'UPPER', 'UCASE', 'TRIM', 'LTRIM', 'RTRIM', 'LPAD',
  'RPAD', 'REVERSE', 'REPEAT', 'INSERT', 'SUBSTRING', 'SUBSTR', 'MID', 'SUBSTRING_INDEX', 'LEFT', 'RIGHT',
  'LENGTH', 'CHAR_LENGTH', 'CHARACTER_LENGTH', 'OCTET_LENGTH', 'LOCATE', 'INSTR', 'POSITION', 'FIELD',
  'FIND_IN_SET', 'ELT', 'STRCMP', 'REGEXP_REPLACE', 'REGEXP_SUBSTR', 'REGEXP_INSTR', 'REGEXP_LIKE', 'FORMAT',
  'HEX', 'UNHEX', 'IF', 'IFNULL', 'NULLIF', 'ISNULL', 'COALESCE', 'GREATEST', 'LEAST', 'ABS', 'CEIL',
  'CEILING', 'FLOOR', 'ROUND', 'TRUNCATE', 'MOD', 'SIGN', 'CAST', 'CONVERT', 'CHAR', 'ASCII', 'ORD', 'MD5',
  'SHA1', 'SHA', 'SHA2', 'TO_BASE64', 'FROM_BASE64', 'INET_ATON', 'INET_NTOA', 'INET6_ATON', 'INET6_NTOA',
  'DATE', 'DATE_FORMAT', 'DATE_ADD', 'DATE_SUB', 'FROM_UNIXTIME', 'JSON_VALUE', 'JSON_UNQUOTE',
  'JSON_EXTRACT', 'JSON_CONTAINS', 'JSON_OBJECT', 'JSON_ARRAY', 'JSON_KEYS', 'JSON_LENGTH',
])
/** Functions of several rows. A query within may have them: it stands for one row of the query around it. */
const aggregates: ReadonlySet<string> = new Set([
  'COUNT', 'MAX', 'MIN', 'SUM', 'AVG', 'GROUP_CONCAT', 'BIT_OR', 'BIT_AND',
])
/** Words before a parenthesis that are no functions. */
const beforeParenthesis: ReadonlySet<string> = new Set([
  'IN', 'FROM', 'EXISTS', 'AND', 'OR', 'NOT', 'XOR', 'WHERE', 'SELECT', 'DISTINCT', 'THEN', 'ELSE', 'WHEN',
  'CASE', 'BY', 'AS', 'IS', 'ON', 'USING', 'JOIN', 'UNION', 'ALL', 'ANY', 'SOME', 'LIKE', 'REGEXP', 'RLIKE',
  'BETWEEN', 'DIV', 'INDEX', 'KEY', 'BINARY', 'COLLATE', 'INTERVAL', 'VARCHAR', 'DECIMAL', 'DATETIME',
])

const clockWord = /^((CURRENT|UTC)_(TIMESTAMP|DATE|TIME)|LOCALTIME|LOCALTIMESTAMP)$/
const clockFunction = /^(NOW|SYSDATE|CURDATE|CURTIME)$/

const isClock = (run: Run, index: number): boolean => {
  const word = run[index]
  if (word === undefined) return false
  if (clockWord.test(word.keyword)) return true
  if (!isSymbol(run[index + 1], '(')) return false
  // With an argument it is that time, not the present one.
  return clockFunction.test(word.keyword) || (isWord(word, 'UNIX_TIMESTAMP') && isSymbol(run[index + 2], ')'))
}

/** Whether what it gives depends on when it is asked. */
export const hasClock = (run: Run): boolean => run.some((_, index) => isClock(run, index))

const askedTime = /\b(?:NOW|SYSDATE|CURDATE|CURTIME|UNIX_TIMESTAMP)\s*\(\s*\d*\s*\)/i
const timeWord = /\b(?:CURRENT_(?:DATE|TIME|TIMESTAMP)|LOCALTIME|LOCALTIMESTAMP|UTC_(?:DATE|TIME|TIMESTAMP))\b/i

/** Whether a query's text asks what time it is: its rows then count for a while only. */
export const asksTheTime = (text: string): boolean => askedTime.test(text) || timeWord.test(text)

const checkWord = (word: SqlWord, next: SqlWord | undefined, isWithin: boolean): void => {
  if (word.kind === 'symbol') {
    if ('@:;'.includes(word.text)) refuse(word.text === '@' ? 'it has a variable' : `it has a ${word.text}`)
    const isDoubled = '|&'.includes(word.text) && isSymbol(next, word.text)
    if (isDoubled) refuse(`it has ${word.text}${word.text}; write OR, AND or CONCAT`)
  }
  if (isWord(word, 'CURRENT_USER', 'CURRENT_ROLE')) refuse('its answer depends on the session')
  if (isWord(word, 'OVER')) refuse('it makes one row of several')
  if (word.keyword === '' || !isSymbol(next, '(')) return
  const { keyword } = word
  const isKnown = rowFunctions.has(keyword) || beforeParenthesis.has(keyword)
    || keyword === 'UNIX_TIMESTAMP' || clockFunction.test(keyword) || clockWord.test(keyword)
  if (aggregates.has(keyword)) {
    if (!isWithin) refuse('it makes one row of several')
  } else if (!isKnown) refuse(`it calls ${keyword}(), which may not give each row its own answer`)
}

/** Where the query within ends (the index of its closing parenthesis) that begins at this index; -1 if none does. */
const queryEnd = (run: Run, index: number): number => {
  let first = index + 1
  while (isSymbol(run[first], '(')) first++
  if (!isSymbol(run[index], '(') || !isWord(run[first], 'SELECT')) return -1
  const depth = run[index]?.depth
  return run.findIndex((word, at) => at > index && word.depth === depth)
}

/**
 * Refuses a SELECT in which something else than its rows has a say, but for the
 * clock. Queries within that have parameters are left to whoever lists them.
 */
export const checkRowExpressions = (select: Run): void => {
  for (let index = 0; index < select.length; index++) {
    const word = select[index]
    const end = queryEnd(select, index)
    if (end !== -1) {
      const query = select.slice(index, end + 1)
      if (!hasParameter(query)) {
        for (const [at, within] of query.entries()) checkWord(within, query[at + 1], true)
      }
      index = end
    } else if (word !== undefined) checkWord(word, select[index + 1], false)
  }
}
