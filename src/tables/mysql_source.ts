/**
 * A table's definition and the database behind it, as a source: bind the key,
 * ask, and read the answer out of the rows.
 */
import type { Database } from '../mysql/database.js'
import type { Reply } from '../mysql/server.js'
import { absent, unavailable } from '../outcome.js'
import type { Outcome, Unavailable } from '../outcome.js'
import type { TableDefinition } from './definition.js'
import type { Answer, AskOptions, Source } from './source.js'

/** What is needed of a table's definition. */
export type Definition = Pick<TableDefinition, 'texts' | 'unfitModes' | 'bind' | 'answer' | 'requireResultSet' | 'fingerprint'>

/** The source of one table. `onEmpty` is told of each empty value, of which Postfix warns. */
export const mysqlSource = (definition: Definition, database: Pick<Database, 'ask'>, onEmpty?: () => void): Source => ({
  definition: definition.fingerprint,
  ask: async (key, budgetMs, options) => {
    try {
      return await askTable(definition, database, key, performance.now() + budgetMs, options ?? {}, onEmpty)
    } catch (error) {
      return { outcome: bugAsOutcome(error), server: '' }
    }
  },
})

const askTable = async (
  definition: Definition, database: Pick<Database, 'ask'>, key: string, until: number,
  { avoid, only, onAbsent }: AskOptions, onEmpty?: () => void,
): Promise<Answer> => {
  const values = definition.bind(key)
  // The key lacks what the query needs: Postfix answers "not found" without a query.
  if (values === null) return { outcome: absent, server: '' }
  const reply = await database.ask(definition, values, until - performance.now(), { avoid, only })
  if (reply.kind === 'unavailable') return { outcome: reply, server: '' }
  const { name: server } = reply.from
  const outcome = outcomeOf(definition, reply, key, onEmpty)
  if (outcome.kind !== 'absent') return { outcome, server }
  const lag = await reply.from.doubtAbsence(until)
  if (lag !== null) return { outcome: lag, server }
  await onAbsent?.(server, async other => (await askTable(definition, database, other, until, { only: server })).outcome)
  return { outcome, server }
}

const outcomeOf = (definition: Definition, reply: Reply, key: string, onEmpty?: () => void): Outcome => {
  if (reply.rows !== null) return definition.answer(reply.rows, key, onEmpty)
  return definition.requireResultSet ? unavailable('query-error', 'the query returned no result set') : absent
}

/** Where a bug is can be told; its message could hold the key. */
const bugAsOutcome = (error: unknown): Unavailable => {
  const place = error instanceof Error ? /\n\s+at (.*)/.exec(error.stack ?? '')?.[1] : undefined
  return unavailable('internal-error', `${error instanceof Error ? error.name : 'error'} at ${place ?? 'unknown place'}`)
}
