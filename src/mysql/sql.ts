/**
 * A statement as MySQL gets it, and its result as the driver gives it.
 *
 * Keys go into the text as hexadecimal literals. These have nothing to escape in any
 * sql_mode or character set, so a key can't end its literal. With the session's character
 * set in front they compare as quoted text does, and use the same indexes: both have the
 * default collation of the character set that `SET NAMES` named.
 */
import type { FieldPacket } from 'mysql2'
import { byteString } from '../outcome.js'
import type { ByteString } from '../outcome.js'
import { queryFault, strangeReply } from './fault.js'
import type { Fault } from './fault.js'

export type Query = {
  /** The SQL around the values: one piece more than there are values. */
  readonly texts: readonly string[]
  /** In a session with one of these in its sql_mode, the statement would mean something else. */
  readonly unfitModes?: readonly string[]
}

/** The bytes of each column as the server sent them; null: NULL. */
export type RawRow = readonly (ByteString | null)[]
export type Rows = readonly RawRow[]

/** `rows` is null if the statement has no result set. The driver makes a column's name when it is read. */
export type Result = {
  readonly kind: 'rows'
  readonly rows: Rows | null
  readonly columns: readonly { readonly name: string }[]
}

const noResultSet: Result = { kind: 'rows', rows: null, columns: [] }

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

const isColumn = (field: unknown): field is FieldPacket =>
  typeof field === 'object' && field !== null && 'columnType' in field

/**
 * What the driver called back with -> the one result set. The driver gives one as rows and
 * columns, several as lists of these, and none without columns.
 */
export const resultOf = (result: unknown, fields: readonly unknown[] | undefined): Result | Fault => {
  if (fields === undefined) return noResultSet
  if (fields.length > 0 && fields.every(isColumn)) return resultSet(result, fields)
  const withColumns = [...fields.entries()].filter(([, columns]) => Array.isArray(columns))
  if (withColumns.length > 1) return queryFault('multiple result sets')
  const [only] = withColumns
  if (only === undefined) return noResultSet
  const [index, columns] = only
  if (!Array.isArray(columns) || !columns.every(isColumn) || !Array.isArray(result)) return strangeReply
  return resultSet(result[index], columns)
}

const resultSet = (rows: unknown, columns: readonly FieldPacket[]): Result | Fault => {
  if (!Array.isArray(rows)) return strangeReply
  const all: RawRow[] = []
  for (const row of rows as readonly unknown[]) {
    if (!Array.isArray(row) || row.length !== columns.length) return strangeReply
    all.push(rowOf(row))
  }
  return { kind: 'rows', rows: all, columns }
}

/** A row as the driver gives it. */
export const rowOf = (row: readonly unknown[]): RawRow =>
  row.map(column => Buffer.isBuffer(column) ? column.toString('latin1') as ByteString : null)
