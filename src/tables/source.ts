/** One table behind a map: a source that can say found or absent of one exact key. */
import { absent, unavailable } from '../outcome.js'
import type { Outcome, Unavailable } from '../outcome.js'
import type { Database } from '../mysql/database.js'
import type { Wanted } from '../mysql/behind_address.js'
import type { HeldConnection } from '../mysql/server.js'
import type { Rows } from '../mysql/sql.js'
import type { TableDefinition } from './definition.js'

/** An answer, and the server that gave it (its own identity, not its address); '' if nobody had to be asked. */
export type Answer = { readonly outcome: Outcome, readonly server: string }

export type AskOptions = Wanted & {
  /**
   * Is called when a server says absent, while its connection is still held; gives why that is not believed, or null.
   * The answer waits for it.
   */
  readonly onAbsent?: (server: string, held: HeldSource) => Promise<Unavailable | null>
}

/** The connection on which a server said absent. */
export type HeldSource = {
  /** What it says of another key, of this table or of another one in the same database. */
  again(key: string, of?: Source): Promise<Outcome>
  /**
   * When the tables that the query names were created, as a text that changes when one of them is made anew (DROP and
   * CREATE, a restore; not TRUNCATE). null: it can't be known.
   */
  createdAt(): Promise<string | null>
}

export type Source = {
  /**
   * One exact key, no search steps. `absent` only if a server answered in full; every fault is `unavailable`. Settles
   * within `budgetMs` (ms) and never rejects.
   */
  ask(key: string, budgetMs: number, options?: AskOptions): Promise<Answer>
  /** For how long (ms) all of its servers have been out, whether or not anybody asked; null if one of them is not. */
  readonly outMs?: () => number | null
  /** What it asks, so that another source's connection can ask it. */
  readonly asks?: AskedTable
}

/**
 * What several tables say of a key, in the way that Postfix asks those of one parameter: the first that has it
 * answers, and one that can't be asked ends the search. An absence is the servers' word, and nobody has judged it.
 */
export const askInOrder = async (sources: readonly Source[], key: string, budgetMs: number): Promise<Outcome> => {
  const until = performance.now() + budgetMs
  for (const source of sources) {
    const { outcome } = await source.ask(key, until - performance.now())
    if (outcome.kind !== 'absent') return outcome
  }
  return absent
}

/** What it takes of a table's definition to ask for a key. */
export type AskedTable = Pick<TableDefinition, 'texts' | 'unfitModes' | 'bind' | 'answer' | 'requireResultSet'>

/** The source of one table. `onEmpty` is called for each empty value, of which Postfix warns. */
export const mysqlSource = (
  definition: AskedTable, database: Pick<Database, 'ask' | 'outMs'>, onEmpty?: () => void,
): Source => ({
  outMs: () => database.outMs(),
  asks: definition,
  ask: async (key, budgetMs, { avoid, only, onAbsent } = {}) => {
    try {
      const values = definition.bind(key)
      // The key lacks what the query needs: Postfix, too, answers "not found" without a query.
      if (values === null) return { outcome: absent, server: '' }
      // Of the last server that answered: one that was given up before may still be judged.
      let answer: { outcome: Outcome, readonly server: string } = { outcome: unread, server: '' }
      const reply = await database.ask(definition, values, budgetMs, {
        avoid, only,
        onReply: ({ rows, server }, held) => {
          const given = answer = { outcome: outcomeOf(definition, rows, key, onEmpty), server }
          if (given.outcome.kind !== 'absent') return undefined
          return judge(definition, server, held, onAbsent).then(doubt => { given.outcome = doubt ?? absent })
        },
      })
      if (reply.kind !== 'unavailable') return answer
      const outMs = database.outMs()
      return { outcome: outMs === null ? reply : { ...reply, outMs }, server: '' }
    } catch (error) {
      return { outcome: bugAsOutcome(error), server: '' }
    }
  },
})

const unread = unavailable('internal-error', 'nobody has read the reply')

/** Why a server is not believed when it says absent; null if it is. */
const judge = async (
  definition: AskedTable, server: string, held: HeldConnection, onAbsent: AskOptions['onAbsent'],
): Promise<Unavailable | null> =>
  await held.doubtAbsence() ?? await onAbsent?.(server, heldSource(definition, held)) ?? null

const heldSource = (definition: AskedTable, held: HeldConnection): HeldSource => ({
  again: async (key, of) => {
    const asked = of?.asks ?? definition
    const values = asked.bind(key)
    if (values === null) return absent
    const answer = await held.again(asked, values)
    return answer.kind === 'unavailable' ? answer : outcomeOf(asked, answer.rows, key)
  },
  createdAt: async () => {
    const names = [...new Set(definition.texts.join(' ').match(/[\w$\x80-\uffff]+/g) ?? [])].slice(0, maxNames)
    const answer = await held.again({ texts: createdTexts(names.length) }, [...names, ...names])
    return answer.kind === 'unavailable' || answer.rows?.length === 0 ? null : JSON.stringify(answer.rows)
  },
})

/** A query has fewer words. */
const maxNames = 100

/** The creation times of tables, for so many words that may be their names or their schemas'. */
const createdTexts = (count: number): readonly string[] => {
  const commas = Array.from({ length: count - 1 }, () => ',')
  return [
    'SELECT TABLE_SCHEMA, TABLE_NAME, CREATE_TIME FROM information_schema.TABLES WHERE CREATE_TIME IS NOT NULL '
      + 'AND TABLE_SCHEMA IN (DATABASE(),', ...commas, ') AND TABLE_NAME IN (', ...commas, ') ORDER BY 1, 2',
  ]
}

const outcomeOf = (definition: AskedTable, rows: Rows | null, key: string, onEmpty?: () => void): Outcome => {
  if (rows !== null) return definition.answer(rows, key, onEmpty)
  return definition.requireResultSet ? unavailable('query-error', 'the query returned no result set') : absent
}

/** The place of a bug, without its message, which could hold the key. */
const bugAsOutcome = (error: unknown): Unavailable => {
  const place = error instanceof Error ? /\n\s+at (.*)/.exec(error.stack ?? '')?.[1] : undefined
  const name = error instanceof Error ? error.name : 'error'
  return unavailable('internal-error', `${name} at ${place ?? 'unknown place'}`)
}
