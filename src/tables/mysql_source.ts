/**
 * A map's definition and the database behind it, as a source: bind the key, ask,
 * and read the answer out of the rows.
 */
import { absent, unavailable } from '../outcome.js'
import type { Outcome, Unavailable } from '../outcome.js'
import type { Source } from './source.js'
import type { Database } from '../mysql/database.js'
import type { TableDefinition } from './definition.js'
import type { Reply } from '../mysql/server.js'

/** What is needed of a map's definition. */
export type Definition = Pick<TableDefinition, 'texts' | 'unfitModes' | 'bind' | 'answer' | 'requireResultSet' | 'fingerprint'>

/** `onEmpty` hears of each empty value, which Postfix warns of. */
export const mysqlSource = (definition: Definition, database: Pick<Database, 'ask'>, onEmpty?: () => void): Source => ({
  definition: definition.fingerprint,
  lookup: (key, budgetMs) => {
    const values = definition.bind(key)
    return values === null ? absent : lookup(definition, database, key, values, budgetMs, onEmpty)
  },
})

const lookup = (
  definition: Definition, database: Pick<Database, 'ask'>, key: string, values: readonly string[], budgetMs: number, onEmpty?: () => void,
): Promise<Outcome> => {
  const until = performance.now() + budgetMs
  return database.ask(definition, values, budgetMs).then(answer => {
    try {
      return outcomeOf(definition, answer, key, until, onEmpty)
    } catch (error) {
      return bugAsOutcome(error)
    }
  }, bugAsOutcome)
}

const outcomeOf = (
  definition: Definition, answer: Reply | Unavailable, key: string, until: number, onEmpty?: () => void,
): Outcome | Promise<Outcome> => {
  if (answer.kind === 'unavailable') return answer
  if (answer.rows === null && definition.requireResultSet) return unavailable('query-error', 'the query returned no result set')
  const outcome = answer.rows === null ? absent : definition.answer(answer.rows, key, onEmpty)
  return outcome.kind === 'absent' ? answer.from.doubtAbsence(until).then(doubt => doubt ?? outcome, bugAsOutcome) : outcome
}

/** Where a bug is can be told; its message could hold the key. */
const bugAsOutcome = (error: unknown): Unavailable => {
  const place = error instanceof Error ? /\n\s+at (.*)/.exec(error.stack ?? '')?.[1] : undefined
  return unavailable('internal-error', `${error instanceof Error ? error.name : 'error'} at ${place ?? 'unknown place'}`)
}
