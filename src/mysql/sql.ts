/**
 * A statement as MySQL gets it, and its result.
 *
 * Keys go into the text as hexadecimal literals. These have nothing to escape in any
 * sql_mode or character set, so a key can't end its literal. With the session's character
 * set in front they compare as quoted text does, and use the same indexes: both have the
 * default collation of the character set that `SET NAMES` named.
 */
import { byteString } from '../outcome.js'
import type { ByteString } from '../outcome.js'

export type Query = {
  /** The SQL around the values: one piece more than there are values. */
  readonly texts: readonly string[]
  /** In a session with one of these in its sql_mode, the statement would mean something else. */
  readonly unfitModes?: readonly string[]
}

/** The bytes of each column as the server sent them; null: NULL. */
export type RawRow = readonly (ByteString | null)[]
export type Rows = readonly RawRow[]

/** The one result set of a statement; `rows` is null if it has none. */
export type Result = {
  readonly kind: 'rows'
  readonly rows: Rows | null
  readonly columns: readonly { readonly name: string }[]
}

/** A letter that would become a part of the literal beside it. */
const wordEnd = /[\w$\x80-\uffff]$/
const wordStart = /^[\w$\x80-\uffff]/

/**
 * The statement's SQL with each value as a literal, for a session of the character set `charset`.
 * Quotes keep words apart (LIKE'%s'AND); what takes their place needs a blank there, and only
 * there: after `--` a blank would begin a comment.
 */
export const sqlOf = ({ texts }: Query, values: readonly string[], charset: string): string => {
  let sql = texts[0] ?? ''
  for (const [index, value] of values.entries()) {
    const hex = Buffer.from(byteString(value), 'latin1').toString('hex')
    const next = texts[index + 1] ?? ''
    const literal = `_${charset} ${hex === '' ? '\'\'' : `0x${hex}`}`
    sql += `${wordEnd.test(sql) ? ' ' : ''}${literal}${wordStart.test(next) ? ' ' : ''}${next}`
  }
  return sql
}

/** A row as the driver gives it. */
export const rowOf = (row: readonly unknown[]): RawRow =>
  row.map(column => Buffer.isBuffer(column) ? column.toString('latin1') as ByteString : null)
