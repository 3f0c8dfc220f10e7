/**
 * A listing in the order of its keys, for a load that hands each key on with its
 * answer and holds few rows (listed_rows.ts): of a query whose one search is by
 * the whole key, or of an administrator's own query.
 *
 * MySQL finds by collation: `info@a.test` finds the rows `Info@a.test` and, in
 * some collations, `înfo@a.test`. So each row is listed with what the server
 * itself says of its key: in lower case, whether that still finds the row, and a
 * checksum that is the same for all keys which find each other. Rows come in the
 * collation's order, in which these stand together.
 */
import { onlyPart } from './key_text.js'
import type { Listing } from './listing.js'

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

/** The listing in the order of its keys; a text says why it can't be had. */
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
