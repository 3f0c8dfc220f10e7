/**
 * Which keys of a table changed lately: a `changes` query with `'%s'` where the
 * time goes, bound as a value. The time is the database's own, whatever the
 * clock of this machine says.
 *
 * Bugs: a row that is deleted is in no such list; nor is one whose transaction
 * took longer than the overlap.
 */
import { readable, unavailable } from '../outcome.js'
import type { Unavailable } from '../outcome.js'
import type { Database } from '../mysql/database.js'
import type { Query } from '../mysql/sql.js'
import type { Piece } from './expansion.js'
import { scanQuery } from './query_template.js'

/** More keys than this at once are taken for the whole table. */
const maxKeys = 1_000
/** So much (s) further back is asked than necessary: transactions commit later than they set the time. */
const overlapSeconds = 10

export type ChangesQuery = Query & { readonly parameters: number }

/** The query as a statement, or what is wrong with it. */
export const parseChanges = (query: string): ChangesQuery | string => {
  const scanned = scanQuery(query)
  if (!scanned.ok) return scanned.problems.join('; ')
  const { texts, parameters, unfitModes } = scanned.statement
  const isTime = ([piece, ...more]: readonly Piece[]): boolean =>
    typeof piece === 'object' && piece.part === 'all' && more.length === 0
  if (parameters.length === 0 || !parameters.every(isTime)) {
    return 'has no place for the time; write one, such as SELECT address FROM alias WHERE modified >= \'%s\''
  }
  const end = `\n) AS changed LIMIT ${maxKeys + 1}`
  const whole = texts.map((text, index) =>
    `${index === 0 ? 'SELECT * FROM (' : ''}${text}${index === texts.length - 1 ? end : ''}`)
  return { texts: whole, unfitModes, parameters: parameters.length }
}

/** The keys that changed in the last `seconds`; null: too many to name. Settles within `budgetMs`, never rejects. */
export const askChanges = async (
  database: Database, query: ChangesQuery, seconds: number, budgetMs: number,
): Promise<readonly string[] | null | Unavailable> => {
  const until = performance.now() + budgetMs
  const sql = `SELECT CAST(NOW() - INTERVAL ${Math.ceil(seconds) + overlapSeconds} SECOND AS CHAR)`
  const clock = await database.ask({ texts: [sql] }, [], budgetMs)
  if (clock.kind === 'unavailable') return clock
  const since = clock.rows?.[0]?.[0]
  if (since === undefined || since === null) {
    return unavailable('query-error', 'the database does not say what time it is')
  }
  const times = Array.from({ length: query.parameters }, () => since)
  const answer = await database.ask(query, times, until - performance.now())
  if (answer.kind === 'unavailable') return answer
  const keys = (answer.rows ?? [])
    .flatMap(([key]) => key === undefined || key === null || key === '' ? [] : [readable(key)])
  return keys.length > maxKeys ? null : keys
}
