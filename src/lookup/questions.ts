/**
 * Questions to a map's table: one for each step, however many lookups wait for
 * it (`@example.com` is asked once for all its users). Each answer is judged,
 * if it is an absence, and kept.
 */
import { isFresh } from '../caches/entry.js'
import type { Outcome } from '../outcome.js'
import { unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import type { Source } from '../tables/source.js'
import type { Guard } from '../trust/guard.js'
import type { Known } from './known.js'

/** What a step came to, with the time (epoch ms) at which the table was asked. */
export type StepAnswer = { readonly outcome: Outcome, readonly verifiedAt: number }

export type QuestionParts = {
  readonly source: Source
  readonly guard: Guard
  readonly known: Known
  readonly clock: Clock
}

export class Questions {
  readonly #parts: QuestionParts
  /** By step key. */
  readonly #underWay = new Map<string, Promise<StepAnswer>>()
  /** How many were sent to the table. */
  count = 0

  constructor(parts: QuestionParts) {
    this.#parts = parts
  }

  /**
   * The answer of one step: from memory if it is fresh and was verified since `olderThan` (epoch ms), else from the
   * table, until `deadline` (epoch ms). Rejects only for a bug.
   */
  ask(stepKey: string, olderThan: number, deadline: number): Promise<StepAnswer> | StepAnswer {
    const { clock, known } = this.#parts
    const now = clock.now()
    const entry = known.memory.get(stepKey)
    if (entry !== undefined && isFresh(entry, now) && entry.verifiedAt >= olderThan) return entry
    const question = this.#underWay.get(stepKey)
    if (question !== undefined) return question
    if (now >= deadline) return { outcome: unavailable('timeout', 'no time left for the next search step'), verifiedAt: now }
    const asking = this.#askTable(stepKey, now, deadline).finally(() => {
      // After a flush another one may have taken its place.
      if (this.#underWay.get(stepKey) === asking) this.#underWay.delete(stepKey)
    })
    this.#underWay.set(stepKey, asking)
    return asking
  }

  /** Lets nobody join the questions about steps that are flushed. */
  flush(isFlushed: (stepKey: string) => boolean): void {
    for (const stepKey of this.#underWay.keys()) if (isFlushed(stepKey)) this.#underWay.delete(stepKey)
  }

  async #askTable(stepKey: string, now: number, deadline: number): Promise<StepAnswer> {
    const { source, guard, known, clock } = this.#parts
    this.count++
    const said = guard.doubt ?? await source.lookup(stepKey, deadline - now)
    const outcome = said.kind !== 'absent' ? said
      : await guard.judgeAbsent(stepKey, known.memory.peekFound(stepKey)?.verifiedAt ?? null, deadline - clock.now())
    this.#learn(stepKey, outcome, now)
    return { outcome, verifiedAt: now }
  }

  #learn(stepKey: string, outcome: Outcome, askedAt: number): void {
    const { guard, known } = this.#parts
    // A flush came meanwhile, and somebody who asked after it already has the answer.
    if (known.isNewerThan(stepKey, askedAt)) return
    switch (outcome.kind) {
      case 'found':
        guard.noteFound(stepKey)
        known.keep(stepKey, outcome, askedAt)
        return
      case 'absent':
        known.forget(stepKey)
        known.keep(stepKey, outcome, askedAt)
        return
      case 'unavailable': return
      default: outcome satisfies never
    }
  }
}
