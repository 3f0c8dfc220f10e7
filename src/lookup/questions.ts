/**
 * Questions to the tables of a map: one for each step, however many lookups wait
 * for it (`@example.com` is asked once for all its users). Of several tables the
 * first that has the key answers, as Postfix asks those of one parameter; one
 * that can't be asked, isn't believed, or contradicts a known row of its own, ends
 * the search: what it holds may not be passed over.
 */
import { clockSkewMs, isForeign, isFresh, unexpiredFound } from '../caches/entry.js'
import type { Entry } from '../caches/entry.js'
import type { Found, Outcome, Unavailable } from '../outcome.js'
import { absent, unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import { UnderWay } from '../runtime/under_way.js'
import type { TableTrust } from '../trust/table_trust.js'
import type { Known } from './known.js'
import { contradict, contradictWhole, evidenceOf, giverOf } from './known_evidence.js'
import type { Objection } from './known_evidence.js'
import type { Walk } from './search.js'

/** A slow server fails now and then: an answer ends that trouble only so long (ms) after the last failure. */
const slowMs = 60_000

/** Of more contradicted rows at once, the second statement comes when somebody asks for them. */
const maxToConfirm = 10_000
/** The second statement is asked for so long (ms) after it first counts, and may take so long (ms). */
const confirmLateMs = 1_000
const confirmBudgetMs = 5_000

/** What a step came to, with the time (epoch ms) at which the table was asked. */
export type StepAnswer = { readonly outcome: Outcome, readonly verifiedAt: number }

/** What goes wrong when the tables are asked. */
export type Trouble = {
  readonly reason: Unavailable['reason']
  readonly detail: string
  /** The first and the last failure (epoch ms). */
  readonly since: number
  readonly lastAt: number
}

export type QuestionParts = {
  /** In the order in which they are asked. */
  readonly tables: readonly TableTrust[]
  readonly known: Known
  readonly clock: Clock
  /** Is called for an exception, which is a bug. */
  readonly onBug: (error: unknown) => void
}

/** A question under way; one that began before a flush says nothing about what the flush is for. */
type StepQuestion = { isFlushed: boolean, answer: Promise<StepAnswer> | null }

export class Questions {
  readonly #parts: QuestionParts
  /** By step key. */
  readonly #underWay = new UnderWay<string, StepQuestion>()
  /** How many keys the tables were asked for. */
  count = 0
  /** Whether a table has answered since the start, and was believed. */
  hasAnswered = false
  #trouble: Trouble | null = null
  /** When the clock was last found to have been set (epoch ms). */
  #setAt = -1
  /** By how much it is ahead of the time that nobody sets (ms). */
  #aheadMs: number
  /** How many contradicted rows wait for their second statement. */
  #toConfirm = 0

  constructor(parts: QuestionParts) {
    this.#parts = parts
    this.#aheadMs = parts.clock.now() - parts.clock.elapsed()
  }

  /** null while the tables answer. */
  get trouble(): Trouble | null {
    return this.#trouble
  }

  /**
   * The answer of one step: from memory if it is fresh and not older than `verifiedSince` (epoch ms), else from the
   * tables, until `deadline` (elapsed ms). Rejects only for a bug.
   */
  ask(stepKey: string, verifiedSince: number, deadline: number): Promise<StepAnswer> | StepAnswer {
    const { clock, known } = this.#parts
    const now = clock.now()
    const entry = known.memory.get(stepKey)
    if (entry !== undefined && isFresh(entry, now) && entry.verifiedAt >= verifiedSince) return entry
    const underWay = this.#underWay.get(stepKey)?.answer
    if (underWay != null) return underWay
    if (clock.elapsed() >= deadline) {
      return { outcome: unavailable('timeout', 'no time left for the next search step'), verifiedAt: now }
    }
    const question: StepQuestion = { isFlushed: false, answer: null }
    this.#underWay.set(stepKey, question)
    question.answer = this.#askTables(stepKey, now, deadline, question)
    return question.answer
  }

  /** Lets nobody join the questions about steps that are flushed. */
  flush(isFlushed: (stepKey: string) => boolean): void {
    for (const [stepKey, question] of this.#underWay) {
      if (!isFlushed(stepKey)) continue
      question.isFlushed = true
      this.#underWay.delete(stepKey)
    }
  }

  async #askTables(stepKey: string, askedAt: number, deadline: number, question: StepQuestion): Promise<StepAnswer> {
    const { tables, known, clock } = this.#parts
    this.count++
    // Memory may lose it while the tables are asked; it is evidence all the same.
    const before = known.memory.peekFound(stepKey)
    try {
      for (const [index, table] of tables.entries()) {
        const { outcome, server } = await table.ask(stepKey, deadline, () => {
          const row = evidenceOf(known, stepKey, before, clock.now())
          return row?.table === index ? { giver: giverOf(known, row) } : null
        })
        this.#note(outcome)
        if (outcome.kind !== 'unavailable' && server !== '') this.hasAnswered = true
        if (outcome.kind === 'absent' && tables[index + 1] !== undefined) {
          // What the next table has for this key may be a catch-all.
          const served = this.#contradict(stepKey, askedAt, before, question,
            row => row.table === index && !isForeign(row) && !known.isNewerThan(stepKey, askedAt))
          if (served !== null) return { outcome: served, verifiedAt: askedAt }
        }
        if (outcome.kind === 'absent') continue
        if (outcome.kind === 'found' && !known.isNewerThan(stepKey, askedAt)) {
          known.keep(stepKey, outcome, askedAt, index, server)
        }
        return { outcome, verifiedAt: askedAt }
      }
      return { outcome: this.#learnAbsence(stepKey, askedAt, before, question), verifiedAt: askedAt }
    } finally {
      // After a flush another one may have taken its place.
      if (this.#underWay.get(stepKey) === question) this.#underWay.delete(stepKey)
    }
  }

  #note(outcome: Outcome): void {
    if (outcome.kind === 'unavailable') {
      const now = this.#parts.clock.now()
      const { reason, detail } = outcome
      this.#trouble = { reason, detail, since: this.#trouble?.since ?? now, lastAt: now }
    } else if (this.#trouble !== null) {
      const { reason, lastAt } = this.#trouble
      const isSlow = reason === 'timeout' || reason === 'overloaded'
      if (!isSlow || this.#parts.clock.now() - lastAt >= slowMs) this.#trouble = null
    }
  }

  /** An administrator has dealt with what went wrong. */
  endTrouble(): void {
    this.#trouble = null
  }

  /**
   * Keeps an absence that all tables stated, unless it contradicts a known row; gives what is to be answered with it.
   * `before`: what memory knew as found before the question.
   */
  #learnAbsence(stepKey: string, askedAt: number, before: Entry | undefined, question: StepQuestion): Outcome {
    const { known, clock } = this.#parts
    // A flush came meanwhile, and somebody who asked after it already has the answer.
    if (known.isNewerThan(stepKey, askedAt)) {
      return unexpiredFound(known.memory.peekFound(stepKey), clock.now()) ?? absent
    }
    const served = this.#contradict(stepKey, askedAt, before, question)
    if (served !== null) return served
    known.forget(stepKey)
    known.keep(stepKey, absent, askedAt)
    return absent
  }

  /** What is answered in place of an absence that contradicts a known row that `isMeant`; null: the absence counts. */
  #contradict(
    stepKey: string, askedAt: number, before: Entry | undefined, question: StepQuestion,
    isMeant: (row: Entry) => boolean = () => true,
  ): Outcome | null {
    const { known, clock } = this.#parts
    const row = evidenceOf(known, stepKey, before, clock.now())
    if (row === undefined || !isMeant(row)) return null
    const objection = this.#objection(askedAt, question.isFlushed)
    const served = contradict(known, stepKey, row, objection)
    if (served !== null && row.contradictedAt === objection.askedAt) this.#confirmLater(stepKey)
    return served
  }

  /** Asks again as soon as a second statement counts: a row that is back by then has nothing held against it. */
  #confirmLater(stepKey: string): void {
    const { known, clock, onBug } = this.#parts
    if (this.#toConfirm >= maxToConfirm) return
    this.#toConfirm++
    clock.after(known.confirmForMs + confirmLateMs, () => {
      this.#toConfirm--
      void Promise.resolve(this.ask(stepKey, clock.now(), clock.elapsed() + confirmBudgetMs)).catch(onBug)
    })
  }

  #objection(askedAt: number, isFromBefore: boolean): Objection {
    const { tables, clock } = this.#parts
    const now = clock.now()
    const aheadMs = now - clock.elapsed()
    if (Math.abs(aheadMs - this.#aheadMs) > clockSkewMs) this.#setAt = now - 1
    this.#aheadMs = aheadMs
    return {
      askedAt: Math.max(askedAt, this.#setAt + 1), now,
      evidenceSince: of => tables[of]?.evidenceSince ?? Math.min(...tables.map(each => each.evidenceSince)),
      // While the clock is set on, or the machine sleeps, nobody asks.
      firstSince: Math.max(this.#setAt, ...tables.map(each => each.doubtChangedAt)),
      // In doubt on another server, perhaps: this one may be the copy of that. Or asked before the key was flushed.
      mayNotConfirm: isFromBefore || tables.some(each => each.doubts.size > 0),
    }
  }

  /**
   * The tables lack every step of a walk, or contradict what is known of one, by statements asked for since `askedAt`
   * (epoch ms), before the walk began or after: what was put together from the steps before, as long as that is served
   * on, or why it is not to be denied yet; else null.
   */
  contradictWhole(walk: Walk, startedAt: number, askedAt: number): Found | Unavailable | null {
    return contradictWhole(this.#parts.known, walk, startedAt, this.#objection(askedAt, false))
  }
}
