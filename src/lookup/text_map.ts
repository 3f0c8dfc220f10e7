/**
 * One lookup in a table that is whole in memory (a text table): the search
 * steps, and nothing to cache, wait for or doubt.
 */
import type { Outcome } from '../outcome.js'
import { absent, found } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import { completeValue } from './search.js'
import type { Plan } from './search.js'
import { applyRole } from './role.js'
import type { Policy } from '../config/config.js'

export class TextLookup {
  readonly name: string
  readonly #plan: Plan
  readonly #policy: Policy
  readonly #table: (key: string) => Outcome

  constructor(name: string, plan: Plan, policy: Policy, table: (key: string) => Outcome) {
    this.name = name
    this.#plan = plan
    this.#policy = policy
    this.#table = table
  }

  /** The outcome for a key as Postfix sent it, at once. */
  lookup(asked: string): Outcome {
    const key = fold(asked)
    if (key === '') return applyRole(absent, this.#policy)
    for (const step of this.#plan.steps(key, asked)) {
      const outcome = this.#table(step.key)
      if (outcome.kind === 'found') return found(completeValue(step, outcome.value))
      if (outcome.kind === 'unavailable') return applyRole(outcome, this.#policy)
    }
    return applyRole(absent, this.#policy)
  }

  /** Whether the table has this folded key, by the search steps. */
  has(key: string): boolean {
    return this.#plan.steps(key, key).some(step => this.#table(step.key).kind === 'found')
  }
}
