/**
 * What stands behind a map: an authority that can say found or absent.
 * `mysql/` asks a server; `text.ts` holds a Postfix text table in memory.
 */
import type { Outcome } from '../outcome.js'
import { absent } from '../outcome.js'

export type Source = {
  /**
   * One exact key, no search steps. `absent` only if the authority answered in
   * full; every fault is `unavailable`. A source that answers from memory does
   * so at once, without a promise; one that asks a server settles within
   * `budgetMs` and never rejects.
   */
  lookup(key: string, budgetMs: number): Outcome | Promise<Outcome>
  /**
   * Identifies everything that decides the answers (query, result_format,
   * domain, table file...), not secrets: a changed definition must not be
   * served what the old one said.
   */
  readonly definition: string
}

/**
 * Several tables as one, in the way that Postfix asks those of one parameter:
 * the first that has the key answers, and one that can't be asked ends the
 * search: what it holds may not be passed over.
 */
export const inOrder = (sources: readonly Source[]): Source => {
  const [only] = sources
  if (sources.length === 1 && only !== undefined) return only
  return {
    definition: JSON.stringify(sources.map(({ definition }) => definition)),
    lookup: async (key, budgetMs) => {
      const until = performance.now() + budgetMs
      for (const source of sources) {
        const outcome = await source.lookup(key, until - performance.now())
        if (outcome.kind !== 'absent') return outcome
      }
      return absent
    },
  }
}
