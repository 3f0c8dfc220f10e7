/**
 * A listing in the order of its keys, for a load that hands each key on with its
 * answer and holds few rows: of a query whose one search is by the whole key, or
 * of an administrator's own query.
 *
 * MySQL finds by collation: `info@a.test` finds the rows `Info@a.test` and, in
 * some collations, `înfo@a.test`. So each row is listed with what the server
 * itself says of its key: in lower case, whether that still finds the row, and a
 * checksum that is the same for all keys which find each other. Rows come in the
 * collation's order, in which these stand together.
 *
 * Wherever the lookup could give something else than the listed rows say, the key
 * is left out, and asked for when its turn comes: keys that another key finds too
 * by the collation, keys that their folding doesn't find (a binary column with
 * capitals), keys that Postfix could not ask for, answers that are none or too many.
 */
import { onlyPart } from './expansion.js'
import type { Listing } from './listing.js'
import { isUtf8 } from 'node:buffer'
import type { ByteString, Found } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import { maxResultBytes } from '../mysql/connection.js'
import type { RawRow } from '../mysql/sql.js'
import type { TableDefinition } from './definition.js'

/** The parts of the statement; all are SQL. */
export type OrderedListing = {
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

/** The listing in the order of its keys; a text says why there is none. */
export const orderedListing = ({ searches, selects }: Listing): OrderedListing | string => {
  const [search] = searches
  const [select] = selects
  if (search === undefined || select === undefined || searches.length > 1) {
    return 'it puts several queries or alternatives together'
  }
  const { columns: [key], ways: [texts, ...otherWays], from, where, order } = search
  const isWhole = texts?.length === 1 && otherWays.length === 0 && texts.every(text => onlyPart(text) === 'all')
  if (key === undefined || !isWhole) return 'it asks for a part of the key, or for more than the key'
  if (search.tests.length > 0 || search.requirements.length > 0) return 'it has conditions on the key alone'
  if (search.clock !== null) return 'its answer depends on the clock'
  if (search.isDistinct) return 'it makes one row of several'
  const values = search.values.flatMap(value => typeof value === 'string' ? [value] : [])
  if (values.length < search.values.length) return 'the key is a part of its answer'
  const conditions = where.map(condition => `(${condition}\n)`).join(' AND ') || 'TRUE'
  return { key, values: values.join(', '), from, where: conditions, order, maxRows: select.limit }
}

/** For people: the query that lists, on a line. */
export const describeListing = ({ key, values, from, where }: OrderedListing): string =>
  `SELECT ${key}, ${values} FROM ${from} WHERE ${where}`.replace(/\s+/g, ' ')

/** The listing of an administrator's query, whose first column is the key. A text says what is wrong. */
export const listingOf = (query: string, columns: readonly string[]): OrderedListing | string => {
  const [key, ...values] = columns.map(name => `listed.\`${name.replaceAll('`', '``')}\``)
  if (key === undefined || values.length === 0) return 'it must give the key and, after that, what is answered'
  return { key, values: values.join(', '), from: `(${query}\n) AS listed`, where: 'TRUE', order: '', maxRows: Infinity }
}

/** A query that tells the columns of an administrator's. */
export const columnsSql = (query: string): string => `SELECT * FROM (${query}\n) AS listed LIMIT 0`

/** How many columns come before those of the answer. */
export const keyColumns = 4

/**
 * The statement that lists: the key as it is, in lower case, 1 if that finds the
 * row, a number that keys which find each other share, and the answer's columns, in
 * the order of the key's collation.
 */
export const orderedSql = ({ key, values, from, where, order }: OrderedListing): string =>
  // By its place, since a column of the answer may have the name of the key's. And with a limit of its own,
  // for a session's sql_select_limit would cut the list short without a word.
  `SELECT ${key}, LOWER(${key}), ${key} = LOWER(${key}), CRC32(WEIGHT_STRING(RTRIM(${key}))), ${values}\n`
    + `FROM ${from}\nWHERE (${where}\n)\nORDER BY 1${order === '' ? '' : `, ${order}`}`
    + '\nLIMIT 18446744073709551615'

/** The statement that gives up to three keys whose answers are longer than `bytes`; they may be made of many rows. */
export const longAnswersSql = ({ key, values, from, where }: OrderedListing, bytes: number): string =>
  `SELECT ${key} FROM ${from}\nWHERE (${where}\n)\nGROUP BY ${key}\n`
    + `HAVING SUM(LENGTH(CONCAT_WS(',', ${values})) + 1) > ${bytes + 1} LIMIT 3`

export type ListedEntry = { readonly key: string, readonly outcome: Found }

/** Longer keys (bytes) are left out: the server sorts by the first part of a key alone (max_sort_length). */
const maxKeyBytes = 128
const notAscii = /[^\x00-\x7f]/
/** More rows than this for one key are not gathered. */
const maxRows = 10_000

export type Entries = {
  /** Takes the next row; gives the entry that is complete before it, if there is one. */
  push(row: RawRow): ListedEntry | null
  /** There are no more rows. */
  end(): ListedEntry | null
}

/** `limit`: the lookup takes no more rows of a key than this. */
export const collectEntries = (
  { bind, answer, login: { charset } }: Pick<TableDefinition, 'bind' | 'answer' | 'login'>, limit: number,
): Entries => {
  // In another session's character set only ASCII has the bytes that Postfix would send.
  const isUtf8Session = charset.startsWith('utf8')
  const rowLimit = Math.min(limit, maxRows)
  let sum: string | null = null
  let key: ByteString | null = null
  let rows: (readonly (ByteString | null)[])[] = []
  let bytes = 0
  let isUsable = true

  const keyOf = (bytes: ByteString): string | null => {
    if (bytes.length === 0 || bytes.length > maxKeyBytes) return null
    const text = notAscii.test(bytes) ? textOf(bytes) : bytes
    return text === null || text.includes('\0') || fold(text) !== text || bind(text) === null ? null : text
  }
  const textOf = (bytes: ByteString): string | null => {
    const buffer = Buffer.from(bytes, 'latin1')
    return isUtf8Session && isUtf8(buffer) ? buffer.toString('utf8') : null
  }
  const finish = (): ListedEntry | null => {
    const text = isUsable && key !== null ? keyOf(key) : null
    const outcome = text === null ? null : answer(rows, text)
    return text === null || outcome?.kind !== 'found' ? null : { key: text, outcome }
  }

  return {
    push: row => {
      const [, rowKey = null, finds = null, rowSum = null] = row
      const isNext = sum !== (rowSum ?? '')
      const entry = isNext ? finish() : null
      if (isNext) {
        sum = rowSum ?? ''
        key = rowKey
        rows = []
        bytes = 0
        isUsable = rowKey !== null
      } else if (rowKey === null || rowKey !== key) isUsable = false
      // 1: the folded key finds this row.
      if (finds !== '1') isUsable = false
      for (const column of row) bytes += column?.length ?? 0
      // The lookup would not read so many or so much.
      if (rows.length === rowLimit || bytes > maxResultBytes) isUsable = false
      if (isUsable) rows.push(row.slice(keyColumns))
      else rows = []
      return entry
    },
    end: () => {
      const entry = finish()
      key = null
      return entry
    },
  }
}
