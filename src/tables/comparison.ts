/**
 * How a lookup's key is compared with the column that has the keys: what the
 * server itself says of the column, read so that a list of its keys can be said
 * to lack a key. MySQL finds by collation, which takes more for equal than bytes
 * do; and a column that is no text by rules of its own.
 *
 * A column's collation counts, whatever the connection's is: a parameter and a
 * literal are weaker (MySQL manual, "Collation coercibility in expressions"). Of
 * keys and rows in printable ASCII, the collations named here take none for equal
 * that differ in more than case. Those of single languages aren't among them: y is
 * i in Lithuanian, v is w in some Swedish ones, ccs is cscs in Hungarian.
 */
import { messageOf } from '../log.js'
import type { Database } from '../mysql/database.js'
import type { Listing } from './listing.js'

/** bytes: only a row of the same bytes, but for blanks at its end. folded: that holds, but for case, if there are no rows but of printable ASCII. */
export type Comparison = 'bytes' | 'folded'

/** Character sets in which a byte of ASCII is that letter and nothing else. */
const byteCollation = /^(binary|(utf8|utf8mb3|utf8mb4|latin1|ascii)(_0900)?(_nopad)?_bin)$/
const foldedCollation = new RegExp('^('
  + '(utf8|utf8mb3|utf8mb4)_(general|general_mysql500|unicode|unicode_520)(_nopad)?_ci'
  + '|(utf8mb3|utf8mb4)_uca1400(_nopad)?_a[is]_c[is]'
  + '|utf8mb4_0900_a[is]_c[is]'
  + '|latin1_(swedish|general|german1)(_nopad)?_c[is]'
  + '|ascii_general(_nopad)?_ci'
  + ')$')

/** What a collation, as the server names it, makes of keys in printable ASCII; null if that isn't known. */
export const comparisonOf = (collation: string): Comparison | null =>
  byteCollation.test(collation) ? 'bytes' : foldedCollation.test(collation) ? 'folded' : null

/** In a session of these, what the driver sends for a key of ASCII is that key. */
const plainCharset = /^(utf8|utf8mb3|utf8mb4|latin1|ascii)$/i
const textType = /^(var)?(char|binary)\(\d+\)|^(tiny|medium|long)?(text|blob)\b/i
/** A column, and not an expression that its column in a view stands for. */
const columnCoercibility = '2'

const askBudgetMs = 5_000

/** How the keys of a listing are compared; a text says why that is no use. Never rejects. */
export const askComparison = async (database: Pick<Database, 'ask'>, charset: string, { column, key, from }: Listing): Promise<{ readonly comparison: Comparison } | string> => {
  if (column === null) return 'only a query that is derived (warm: auto) is known to list what the lookup finds'
  if (!plainCharset.test(charset)) return `in a session of the character set ${charset} a key may be another one`
  const ask = async (sql: string): Promise<readonly Readonly<Record<string, string | null>>[] | string> => {
    const answer = await database.ask({ sql, texts: [sql] }, [], askBudgetMs)
    if (answer.kind === 'unavailable') return answer.detail
    return (answer.rows ?? []).map(row => Object.fromEntries(answer.columns.map(({ name }, index) => [name.toLowerCase(), row[index] ?? null])))
  }
  try {
    const columns = await ask(`SHOW FULL COLUMNS FROM ${column.table}`)
    if (typeof columns === 'string') return columns
    const type = columns.find(({ field }) => field?.toLowerCase() === column.name.toLowerCase())?.['type']
    if (type === undefined || type === null) return `the server doesn't say of which type ${key} is`
    if (!textType.test(type)) return `${key} is of the type ${type}, which is not compared as text`
    const compared = await ask(`SELECT COLLATION(${key}) AS collation_of, COERCIBILITY(${key}) AS strength FROM ${from} LIMIT 1`)
    if (typeof compared === 'string') return compared
    const [said] = compared
    if (said === undefined) return 'the table is empty'
    const collation = said['collation_of'] ?? 'none'
    if (said['strength'] !== columnCoercibility) return `${key} is no column with a collation of its own`
    const comparison = comparisonOf(collation)
    return comparison === null ? `of the collation ${collation} it is not known which keys it takes for equal` : { comparison }
  } catch (error) {
    return messageOf(error)
  }
}
