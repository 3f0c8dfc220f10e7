/** One table behind a map: an authority that can say found or absent of one exact key. */
import { absent } from '../outcome.js'
import type { Outcome } from '../outcome.js'

/** An answer, and the server that gave it (its own identity, not its address); '' if nobody had to be asked. */
export type Answer = { readonly outcome: Outcome, readonly server: string }

export type AskOptions = {
  /** Servers to pass over, like one that is out, as long as there is another one. */
  readonly avoid?: (server: string) => boolean
  /** The server to ask; no other one is. */
  readonly only?: string
  /**
   * Is called when a server says absent, while its connection is still held: `again` asks that very connection for
   * other keys. The answer waits for it.
   */
  readonly onAbsent?: (server: string, again: (key: string) => Promise<Outcome>) => Promise<void>
}

export type Source = {
  /**
   * One exact key, no search steps. `absent` only if a server answered in full; every fault is `unavailable`. Settles
   * within `budgetMs` (ms) and never rejects.
   */
  ask(key: string, budgetMs: number, options?: AskOptions): Promise<Answer>
  /**
   * Identifies everything that decides the answers (user, database, query, result_format, domain...), not secrets: a
   * changed definition must not be served what the old one said.
   */
  readonly definition: string
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
