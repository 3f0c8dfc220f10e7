/**
 * A query as it is asked of the server: with one blank for several, none beside `=`, commas and within parentheses, and
 * keywords in capitals. So an edit that changes nothing else is no other definition, and what the map knows stays what
 * it is. Quotes and comments stay as they are, and so do names, of which the server may tell capitals.
 */
import { tokenAt } from './query_template.js'

/** Reserved words: without quotes none is a name, but after a dot. */
const keywords = [
  'ALL', 'AND', 'AS', 'ASC', 'BETWEEN', 'BY', 'CASE', 'CROSS', 'DESC', 'DISTINCT', 'ELSE', 'EXISTS', 'FROM', 'GROUP',
  'HAVING', 'IN', 'INNER', 'IS', 'JOIN', 'LEFT', 'LIKE', 'LIMIT', 'NOT', 'NULL', 'ON', 'OR', 'ORDER', 'RIGHT', 'SELECT',
  'THEN', 'UNION', 'USING', 'WHEN', 'WHERE',
]
const keyword = new RegExp(`(?<![\\w$.@%\\x80-\\uffff])(?:${keywords.join('|')})(?![\\w$\\x80-\\uffff])`, 'gi')

const normalText = (text: string): string => text.replace(/\s+/g, ' ').replace(/ ?([=,]) ?/g, '$1')
  .replace(/\( /g, '(').replace(/ \)/g, ')').replace(keyword, word => word.toUpperCase())

/** The same statement; as it is if a quote or a comment is not closed. */
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
