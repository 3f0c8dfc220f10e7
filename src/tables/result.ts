/**
 * Rows of a table -> the one answer, as mysql_table(5)'s result_format,
 * expansion_limit and Postfix's own client (dict_mysql_lookup) have it: every
 * column of every row, in order, each through the format, joined with commas.
 * NULL, the empty string, and a value that lacks what the format wants of it
 * are skipped; nothing left is absent.
 */
import { absent, byteString, found, unavailable } from '../outcome.js'
import type { ByteString, Outcome } from '../outcome.js'
import type { Rows } from '../mysql/sql.js'
import { addressOf, expansionOf, noExpansion, partOf, satisfies } from './expansion.js'
import type { Expansion, Needs, Piece } from './expansion.js'

export type ScannedFormat =
  | { readonly ok: true, readonly pieces: readonly Piece[], readonly expansions: readonly Expansion[] }
  | { readonly ok: false, readonly problem: string }

/** Takes a `result_format` apart. Its plain text comes out as bytes, like the values. */
export const scanResultFormat = (format: string): ScannedFormat => {
  const pieces: Piece[] = []
  const expansions: Expansion[] = []
  for (const [token] of format.matchAll(/%[^]?|[^%]+/g)) {
    if (!token.startsWith('%')) pieces.push(byteString(token))
    else if (token === '%%') pieces.push('%')
    else {
      const letter = token.slice(1)
      const expansion = expansionOf(letter, 'result_format')
      if (expansion === null) return { ok: false, problem: noExpansion(letter) }
      pieces.push(expansion)
      expansions.push(expansion)
    }
  }
  return { ok: true, pieces, expansions }
}

/**
 * The answer that the rows of a complete result make for the folded key they
 * were asked with. `onEmpty` hears of each empty value, which Postfix warns of.
 */
export type AnswerRows = (rows: Rows, key: string, onEmpty?: () => void) => Outcome

/** `needs` are those of both templates together; `limit` is expansion_limit, below 1 for none. */
export const answerRows = (pieces: readonly Piece[], needs: Needs, limit: number): AnswerRows => {
  const [first, ...more] = pieces
  const isPlain = more.length === 0 && typeof first === 'object' && first.of === 'value' && first.part === 'all'

  const format = (value: string, key: string): string | null => {
    if (isPlain) return value
    const valueParts = addressOf(value)
    if (!satisfies(valueParts, needs.valueUser, needs.valueDomain)) return null
    const keyParts = addressOf(key)
    let text = ''
    for (const piece of pieces) {
      if (typeof piece === 'string') text += piece
      else text += piece.of === 'value' ? partOf(valueParts, piece.part) : byteString(partOf(keyParts, piece.part))
    }
    return text
  }

  return (rows, key, onEmpty) => {
    let answer = ''
    let values = 0
    for (const row of rows) {
      for (const column of row) {
        if (column === null) continue
        // The client reads C strings: a NUL ends the value.
        const nul = column.indexOf('\0')
        const value = nul === -1 ? column : column.slice(0, nul)
        if (value === '') {
          onEmpty?.()
          continue
        }
        const text = format(value, key)
        if (text === null) continue
        values++
        if (limit > 0 && values > limit) {
          return unavailable('bad-value', `more than expansion_limit = ${limit} results`)
        }
        answer += answer === '' ? text : `,${text}`
      }
    }
    return answer === '' ? absent : found(answer as ByteString)
  }
}
