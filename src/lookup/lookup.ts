/**
 * One lookup in a map, from key to outcome, in the order in which it happens:
 * known and fresh in memory? else in Redis? else the table is asked; and if it
 * can't be, what is known bridges the outage. The node's role has the last word.
 *
 * A key is looked up in the steps of its map's search (search.ts). A step that
 * can't be answered ends the walk: a catch-all must not take the mail of a user
 * whose own row could not be read.
 */
import { isFresh } from '../caches/entry.js'
import type { Entry } from '../caches/entry.js'
import type { Policy } from '../config/config.js'
import type { Outcome, Unavailable } from '../outcome.js'
import { absent, absentInOutage, unavailable } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import type { Clock } from '../runtime/clock.js'
import type { TableTrust } from '../trust/table_trust.js'
import { answerFromMemory, answerInOutage, dependsOnOtherMaps, foundAtHand, pause } from './answers.js'
import { Flights } from './flights.js'
import type { Known } from './known.js'
import { hasRow } from './known_evidence.js'
import { Questions } from './questions.js'
import { readRedis, readRedisPatiently } from './read_redis.js'
import { applyRole } from './role.js'
import type { Plan } from './search.js'
import { Walk } from './search.js'

export type LookupSettings = {
  readonly plan: Plan
  readonly policy: Policy
  /** No lookup takes longer than this (ms). */
  readonly deadlineMs: number
  /** When a stale answer is at hand, the table gets this long (ms) to give a better one. */
  readonly softDeadlineMs: number
}

export type LookupParts = {
  readonly known: Known
  /** The map's tables in the order in which they are asked. */
  readonly tables: readonly TableTrust[]
  readonly clock: Clock
  /** Brings into memory what Redis knows of this folded key and its domain in other maps, until then (elapsed ms). */
  readonly readElsewhere?: (key: string, deadline: number) => Promise<void>
  /** Is called for an exception, which is a bug; the lookup ends in a temporary error, or with what is known. */
  readonly onBug: (error: unknown) => void
}

/** With more distinct keys than this under way in one map, the next is deferred, unless something is known of it. */
const maxFlights = 10_000
/** Work that nobody waits for gives way when this many lookups are under way. */
const maxFlightsForUpkeep = 100
/** An answer that comes so much (ms) after the deadline shows that this process was held up. */
const lateMs = 250
/** A fresh entry whose renewal was begun is not tried again before (ms). */
const renewalRetryMs = 5_000

export class MapLookup {
  readonly known: Known
  readonly questions: Questions
  readonly #origins = { memory: 0, redis: 0, table: 0 }
  #savedAbsences = 0
  readonly #settings: LookupSettings
  readonly #parts: LookupParts
  readonly #flights: Flights

  constructor(settings: LookupSettings, parts: LookupParts) {
    this.#settings = settings
    this.#parts = parts
    this.known = parts.known
    this.questions = new Questions(parts)
    this.#flights = new Flights({
      clock: parts.clock, deadlineMs: settings.deadlineMs, softDeadlineMs: settings.softDeadlineMs,
      answerLate: (walk, isSoft) => this.#answerLate(walk, isSoft),
    })
  }

  /**
   * Where found and absent answers came from, counted once an answer; the questions that the table was sent; and the
   * absent answers that stood in while the table could not be asked.
   */
  get origins() {
    return { ...this.#origins, queries: this.questions.count, savedAbsences: this.#savedAbsences }
  }

  /** How many lookups wait for Redis or the table. */
  get flights(): number {
    return this.#flights.size
  }

  /** Whether a found answer for this folded key is at hand, fresh or stale. Asks nobody. */
  has(key: string): boolean {
    return foundAtHand(this.known, new Walk(this.#settings.plan, key, key), this.#parts.clock.now()) !== null
  }

  /** Whether no table has answered since the start, no answer is at hand, and no copy says that there are no rows. */
  get hasNoAnswers(): boolean {
    const { known, questions } = this
    const { found, absent: absences } = known.memory.size()
    // A list without rows has said absent at most; a reload takes that over.
    return !questions.hasAnswered && found + absences === 0
      && this.#parts.tables.some((_, index) => known.copies.evidence(index) === null)
  }

  /** Brings into memory what Redis knows of this folded key, until `deadline` (elapsed ms). */
  readRedis(key: string, deadline: number): Promise<void> {
    return this.#readRedis(new Walk(this.#settings.plan, key, key), deadline)
  }

  async #readRedis(walk: Walk, deadline: number): Promise<void> {
    const { known, clock } = this.#parts
    await readRedis(known, walk, clock.now())
    await readRedisPatiently(known, walk, deadline - clock.elapsed())
  }

  /** Whether so few lookups are under way that some may be done in the background. */
  get isIdle(): boolean {
    return this.#flights.size < maxFlightsForUpkeep
  }

  /** The outcome for a key as Postfix sent it: at once if memory knows it, else within the deadline. Never rejects. */
  lookup(asked: string): Outcome | Promise<Outcome> {
    const { known, clock } = this.#parts
    const { policy } = this.#settings
    const key = fold(asked)
    // Postfix's own tables answer such keys "not found" without a query: they can't be asked.
    if (key === '' || key.includes('\0')) return applyRole(absent, policy)
    const now = clock.now()
    const entry = known.memory.peek(key)
    if (entry?.outcome.kind === 'found' && isFresh(entry, now)) {
      this.#origins.memory++
      known.noteUse(key, entry, now)
      if (now >= entry.askAgainAt) this.#refresh(asked, entry, now)
      return entry.outcome
    }
    const elapsed = clock.elapsed()
    // Nothing is fresh then, whenever it was verified.
    if (known.flushTimes.wasClockSetBack(now, elapsed)) this.flush(null, Infinity)
    const lateAt = elapsed + this.#settings.deadlineMs + lateMs
    const outcome = this.#answer(asked, key, now)
    return outcome instanceof Promise ? outcome.then(settled => this.#conclude(settled, lateAt, asked))
      : this.#conclude(outcome, lateAt, asked)
  }

  #conclude(outcome: Outcome, lateAt: number, asked: string): Outcome {
    const { policy } = this.#settings
    if (outcome !== absentInOutage) {
      return applyRole(outcome, policy, outcome.kind === 'unavailable' && this.#isOwnTrouble(lateAt, asked))
    }
    this.#savedAbsences++
    return applyRole(absent, policy)
  }

  /**
   * Whether this node is not the one to reject: this process was held up, or Redis can't be read; it began in
   * the outage, and what was known before is lost, of another definition, or nothing; or this key was found before,
   * however long ago.
   */
  #isOwnTrouble(lateAt: number, asked: string): boolean {
    const { known, clock } = this.#parts
    if (this.#settings.policy.outage !== 'reject') return false
    const lacksFormerRows = !known.isWhole || (known.memory.size().found === 0 && !known.copies.hasRows)
    return clock.elapsed() > lateAt || known.redis?.isUsable() === false
      || (!this.questions.hasAnswered && lacksFormerRows) || hasRow(known, new Walk(this.#settings.plan, asked))
  }

  /** What the table says of a key now, whatever is cached, and whatever the role makes of it. Never rejects. */
  renew(asked: string): Outcome | Promise<Outcome> {
    return this.#joinOrStart(new Walk(this.#settings.plan, asked), this.#parts.clock.now())
  }

  /**
   * Makes stale what was verified before `at` (epoch ms): all keys (null), those of a domain (`@example.com`) or one.
   * It still bridges an outage.
   */
  flush(what: string | null, at: number): void {
    const isFlushed = this.known.flush(what, at)
    this.#flights.flush(isFlushed)
    this.questions.flush(isFlushed)
  }

  #answer(asked: string, key: string, now: number): Outcome | Promise<Outcome> {
    const walk = new Walk(this.#settings.plan, asked, key)
    try {
      const inMemory = answerFromMemory(this.known, walk, now)
      if (inMemory === null) return this.#joinOrStart(walk, null)
      this.#origins.memory++
      if (inMemory.dueEntry !== null) this.#refresh(asked, inMemory.dueEntry, now)
      return inMemory.outcome
    } catch (error) {
      return this.#bug(walk, error)
    }
  }

  /** Renews an answer that is still good, behind the reply that it gave. */
  #refresh(asked: string, entry: Entry, now: number): void {
    // Whether it succeeds or not, not every lookup until then should try.
    entry.askAgainAt = Math.min(now + renewalRetryMs, entry.staleAt)
    if (!this.isIdle || this.#flights.joining(asked) !== null) return
    void this.#joinOrStart(new Walk(this.#settings.plan, asked), now)
  }

  /**
   * Joins the flight for this key, or starts one. `verifiedSince` (epoch ms): only what the table says from then on is
   * good enough, so Redis is not read; null: whatever is fresh will do.
   */
  #joinOrStart(walk: Walk, verifiedSince: number | null): Outcome | Promise<Outcome> {
    const joining = this.#flights.joining(walk.asked)
    if (joining !== null) return joining
    if (this.#flights.size >= maxFlights) {
      return answerInOutage(this.known, walk, this.#parts.clock.now(), 'overloaded')
        ?? unavailable('overloaded', `more than ${maxFlights} lookups under way`)
    }
    return this.#flights.start(walk, () => this.#findOut(walk, verifiedSince))
  }

  /** Redis, unless the table's own word is wanted; then the table; then what bridges an outage. Never rejects. */
  async #findOut(walk: Walk, verifiedSince: number | null): Promise<Outcome> {
    const { known, clock } = this.#parts
    const startedAt = clock.now()
    const deadline = clock.elapsed() + this.#settings.deadlineMs
    try {
      if (verifiedSince === null && known.redis !== null && await readRedis(known, walk, startedAt)) {
        const answer = answerFromMemory(known, walk, clock.now())
        if (answer !== null) {
          this.#origins.redis++
          return answer.outcome
        }
      }
      let verifiedAt = Infinity
      for (let index = 0, key: string | undefined = walk.key; key !== undefined; key = walk.steps[++index]?.key) {
        const { outcome, verifiedAt: at } = await this.questions.ask(key, verifiedSince ?? 0, deadline)
        verifiedAt = Math.min(verifiedAt, at)
        if (outcome.kind === 'absent') continue
        if (outcome.kind === 'unavailable') return await this.#bridgeOutage(walk, outcome, deadline)
        // A known answer that the table contradicts: it is served on, and stays as old as it is.
        if (outcome.age === 'stale') {
          this.questions.contradictWhole(walk, startedAt, verifiedAt)
          return walk.complete(index, outcome)
        }
        this.#origins.table++
        return known.completeWalk(walk, index, outcome, verifiedAt)
      }
      this.#origins.table++
      const whole = this.questions.contradictWhole(walk, startedAt, verifiedAt) ?? absent
      return whole.kind === 'unavailable' ? await this.#bridgeOutage(walk, whole, deadline) : whole
    } catch (error) {
      return this.#bug(walk, error)
    }
  }

  /** The table could not be asked: Redis and the other maps get the time that is left, then something may stand in. */
  async #bridgeOutage(walk: Walk, failure: Unavailable, deadline: number): Promise<Outcome> {
    const { known, clock, readElsewhere } = this.#parts
    // Only a Redis that rests, since it was slow, may know the key now: it gets the time that is left.
    const isNeeded = answerInOutage(known, walk, clock.now()) === null
    if (isNeeded && await readRedisPatiently(known, walk, deadline - clock.elapsed())) this.#origins.redis++
    if (dependsOnOtherMaps(known, walk, clock.now())) await readElsewhere?.(walk.key, deadline)
    return this.#standInOr(walk, failure)
  }

  /** What stands in for the answer, and a pause before that key is tried again; else the failure itself. */
  #standInOr(walk: Walk, failure: Unavailable): Outcome {
    const now = this.#parts.clock.now()
    const standIn = answerInOutage(this.known, walk, now, failure.reason)
    // What stands in is given again until then, whatever the reason was.
    if (standIn !== null) pause(this.known, walk, now)
    return standIn ?? failure
  }

  /** A server that is slow, but not out, may yet say found: before the deadline no absence stands in for that. */
  #answerLate(walk: Walk, isSoft: boolean): Outcome | null {
    const { clock, tables } = this.#parts
    const now = clock.now()
    const isSlow = isSoft && !tables.some(({ isOut }) => isOut)
    const standIn = isSlow ? foundAtHand(this.known, walk, now)?.answer ?? null : answerInOutage(this.known, walk, now)
    // The next caller need not wait as long as this one.
    if (isSoft && standIn !== null) pause(this.known, walk, now)
    // Another node may have learned it since, or Redis was slow: what Redis says now is the reply at the deadline.
    const { deadlineMs, softDeadlineMs } = this.#settings
    if (isSoft && standIn === null) void this.#readRedis(walk, clock.elapsed() + deadlineMs - softDeadlineMs)
    return standIn
  }

  /** An exception is a bug; the caller gets what is known, or a temporary error. */
  #bug(walk: Walk, error: unknown): Outcome {
    this.#parts.onBug(error)
    try {
      return this.#standInOr(walk, internalError)
    } catch {
      // The same bug, in the steps.
      return internalError
    }
  }
}

/** Its words go to the mail log, so they hold nothing of the error: that could be a key. */
const internalError = unavailable('internal-error', 'internal error, see the log')
