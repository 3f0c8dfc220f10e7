/**
 * One lookup, from key to outcome: memory, then Redis, then the table, within
 * one deadline. There is one MapLookup for each map.
 *
 * A key is looked up in the steps that its map's search order gives
 * (search.ts). Each step is cached under its own key; an answer found beyond
 * the first step is also kept whole, so that a catch-all's or a plus
 * address's known answer survives an outage. A step that is in doubt ends the
 * walk: a catch-all must not take the mail of a user whose row can't be read.
 */
import type { RedisCache, MapIdentity } from '../caches/redis.js'
import { bridge, clockSkewMs, decodeEntry, encodeEntry, isFresh, isKnownAbsent, makeEntry } from '../caches/entry.js'
import type { Decoded, Entry } from '../caches/entry.js'
import type { Lifetimes } from '../config/config.js'
import type { Memory } from '../caches/memory.js'
import type { Absent, ByteString, Found, Later, Outcome } from '../outcome.js'
import { absent, found, unavailable } from '../outcome.js'
import { Alarm } from '../runtime/alarm.js'
import { Place, Queue } from '../runtime/queue.js'
import { UnderWay } from '../runtime/under_way.js'
import { fold } from '../postfix/fold.js'
import type { Source } from '../tables/source.js'
import type { Clock } from '../runtime/clock.js'
import { Flushes, domainOf } from './flush_times.js'
import type { Flushed } from './flush_times.js'
import type { Guard } from '../trust/guard.js'
import { completeValue } from './search.js'
import type { Plan, Step } from './search.js'
import { verdict } from './role.js'
import type { Policy } from '../config/config.js'

export type MapSettings = {
  readonly name: string
  /** Hash of all that decides the answers: the source's definition and the search. Cached answers of another one are not used. */
  readonly definition: string
  readonly plan: Plan
  readonly policy: Policy
  readonly lifetimes: Lifetimes
  /** No lookup takes longer than this (ms). */
  readonly deadlineMs: number
  /** When a stale answer is at hand, the table gets this long (ms) to give a better one. */
  readonly softDeadlineMs: number
}

export type MapParts = {
  readonly source: Source
  readonly memory: Memory
  /** null: no Redis, or a map whose answers must not leave this process. */
  readonly redis: RedisCache | null
  readonly guard: Guard
  /** Whether another map has the last word on this folded key (vouch.ts): its absence here, once verified, may bridge an outage. */
  readonly isVouchedFor: (key: string) => boolean
  /** Hears of each found answer that comes into memory. */
  readonly onFound?: (value: ByteString) => void
  /** Hears of what should not have been thrown; the lookup ends in a temporary error, or with what is known. */
  readonly onBug: (error: unknown) => void
  readonly clock: Clock
  /** In [0, 1); spreads lifetimes. */
  readonly random: () => number
}

/** Where answers came from, and what it took; counted here, once an answer. */
export type Origins = { memory: number, redis: number, table: number, queries: number }

/** RFC 8767's failure recheck timer: a key that has a stale answer is asked again only so long (ms) after a failure. */
const failureRecheckMs = 5_000
/** More distinct keys than this under way for one map: the next is told to come again. */
const maxFlights = 10_000
/** That an entry was asked for is noted at most so often (ms): to note it is to write to memory all over the LRU's lists. */
const noteUseMs = 60_000
/** Refresh-ahead gives way when the table already has this many questions. */
const maxFlightsForRefresh = 100

/** What may bridge an outage is verified anew, though nobody asks, after this share of the time for which it may: a day of a week. */
const verifyShare = 1 / 7

/** What is being looked up. The first step is the key itself; the others are made when they are wanted, for most keys are found at the first. */
class Walk {
  /** The key as Postfix sent it. */
  readonly asked: string
  /** Folded. */
  readonly key: string
  readonly #plan: Plan
  #steps: readonly Step[] | null = null

  constructor(asked: string, key: string, plan: Plan) {
    this.asked = asked
    this.key = key
    this.#plan = plan
  }

  get steps(): readonly Step[] {
    return this.#steps ??= this.#plan.steps(this.key, this.asked)
  }

  /** The key of a step, by number; undefined after the last. */
  keyAt(at: number): string | undefined {
    return at === 0 ? this.key : this.steps[at]?.key
  }
}

/**
 * The cache key of a whole answer: the folded key, and what goes into the
 * answer from the key as it was asked, for an extension keeps the sender's
 * case. No key from Postfix holds a NUL (its keys are C strings).
 */
const wholeKey = (walk: Walk): string => {
  if (walk.asked !== walk.key) {
    for (const { extension, localpart } of walk.steps) {
      const kept = extension + localpart
      if (kept !== '' && kept !== fold(kept)) return `\0${walk.key}\0${kept}`
    }
  }
  return foldedWholeKey(walk.key)
}
const foldedWholeKey = (key: string): string => `\0${key}`
/** The folded key of a whole answer's cache key; null for the cache key of a step. */
const keyOfWhole = (cacheKey: string): string | null => cacheKey.charCodeAt(0) === 0 ? cacheKey.split('\0', 2)[1] ?? '' : null

/** The cache key of a step is a row's key. */
export const isRowKey = (cacheKey: string): boolean => cacheKey.charCodeAt(0) !== 0

/** A whole lookup under way, and those who wait for it: callers for one key share it. */
type Flight = { readonly walk: Walk, waiters: Waiter[] }

/** What a lookup gives when memory doesn't know. */
class Waiter extends Place<Waiter> implements Later {
  readonly kind = 'later'
  readonly flight: Flight
  /** Of the clock's `elapsed()`. */
  readonly since: number
  readonly #policy: Policy | null
  /** null until it has come. */
  outcome: Outcome | null = null
  #tell: ((outcome: Outcome) => void) | null = null

  /** `policy`: null to be told as it is. */
  constructor(flight: Flight, since: number, policy: Policy | null) {
    super()
    this.flight = flight
    this.since = since
    this.#policy = policy
  }

  settle(outcome: Outcome): void {
    this.outcome = this.#policy === null ? outcome : verdict(outcome, this.#policy)
    this.#tell?.(this.outcome)
  }

  then(tell: (outcome: Outcome) => void): void {
    if (this.outcome === null) this.#tell = tell
    else tell(this.outcome)
  }
}

/** What one step came to, with the time at which the table vouched for it. */
type StepResult = { readonly outcome: Outcome, readonly verifiedAt: number }

export class MapLookup {
  readonly name: string
  readonly origins: Origins = { memory: 0, redis: 0, table: 0, queries: 0 }
  readonly #settings: MapSettings
  readonly #parts: MapParts
  readonly #identity: MapIdentity
  /** By the key as asked. */
  readonly #flights = new UnderWay<string, Flight>()
  /** Who waits for a flight, in the order of asking: before the soft deadline, and after it. */
  readonly #waiting = new Queue<Waiter>()
  readonly #late = new Queue<Waiter>()
  readonly #alarm: Alarm
  /** Questions to the table under way, by step key: `@example.com` is asked once for all its users. */
  readonly #questions = new UnderWay<string, Promise<StepResult>>()

  /** The latest time that a lookup has seen (epoch ms). */
  #latest = 0
  readonly #flushes: Flushes
  /** Whether all flushes of the nodes that share a Redis are known; until then nothing of it counts as fresh. */
  knowsFlushes = true

  constructor(settings: MapSettings, parts: MapParts) {
    this.name = settings.name
    this.#settings = settings
    this.#parts = parts
    this.#identity = { name: settings.name, definition: settings.definition }
    this.#alarm = new Alarm(parts.clock, now => this.#answerLate(now))
    this.#flushes = new Flushes(Math.max(settings.lifetimes.freshForMs, settings.lifetimes.absentForMs) + clockSkewMs)
  }

  /**
   * The outcome for a key as Postfix sent it. At once when memory knows,
   * otherwise within the deadline.
   */
  lookup(asked: string): Outcome | Later {
    const { clock, memory } = this.#parts
    const key = fold(asked)
    const now = clock.now()
    if (now >= this.#latest) this.#latest = now
    else if (now < this.#latest - clockSkewMs) this.#disquiet(now)
    // The hot path: most lookups are for a key that is known and fresh.
    const entry = memory.peek(key)
    if (entry !== undefined && now < entry.quietUntil * 1_000) {
      this.origins.memory++
      return entry.outcome
    }
    if (entry !== undefined && entry.outcome.kind === 'found' && isFresh(entry, now) && key.charCodeAt(0) !== 0) {
      this.origins.memory++
      this.#noteUse(key, entry, now)
      if (now >= entry.askAgainAt) this.#refresh(new Walk(asked, key, this.#settings.plan), entry, now)
      else entry.quietUntil = Math.floor(Math.min(entry.staleAt, entry.askAgainAt, entry.askedAt + noteUseMs) / 1_000)
      return entry.outcome
    }
    const policy = this.#settings.policy
    // An empty key or one with a NUL can't be asked of Postfix's own tables: it says "not found" without a query.
    if (key === '' || key.includes('\0')) return verdict(absent, policy)
    const walk = new Walk(asked, key, this.#settings.plan)
    const known = this.#fromMemory(walk, entry, now)
    if (known !== null) {
      this.origins.memory++
      return verdict(known, policy)
    }
    return this.#wait(walk, 0, policy)
  }

  /** That what memory has under a cache key was asked for. */
  #noteUse(cacheKey: string, entry: Entry | undefined, now: number): void {
    if (entry === undefined || Math.abs(now - entry.askedAt) < noteUseMs) return
    entry.askedAt = now
    this.#parts.memory.get(cacheKey)
  }

  /** The clock was set back: how old an entry is has to be looked at again. */
  #disquiet(now: number): void {
    this.#latest = now
    for (const [, entry] of this.#parts.memory.all()) entry.quietUntil = 0
  }

  /** What the table says of a key now, whatever is cached; what is known stays at hand for an outage. */
  renew(asked: string): Outcome | Later {
    const key = fold(asked)
    const walk = new Walk(asked, key, this.#settings.plan)
    return this.#wait(walk, this.#parts.clock.now(), null)
  }

  /**
   * What was verified before `at` (epoch ms) counts as fresh no more, for all
   * keys, those of a domain or one, in whatever cache: it is asked anew when its
   * turn comes. It stays at hand for an outage.
   */
  flush(what: Flushed, at: number): void {
    const { memory } = this.#parts
    const key = what === null ? null : fold(what)
    this.#flushes.note(key, at)
    const domain = key === null || !key.startsWith('@') ? null : key.slice(1)
    // Nobody joins a question that was asked before.
    const isFlushed = (stepKey: string): boolean => key === null || stepKey === key || (domain !== null && domainOf(stepKey) === domain)
    for (const [asked, { walk }] of this.#flights) if (walk.steps.some(step => isFlushed(step.key))) this.#flights.delete(asked)
    for (const [stepKey] of this.#questions) if (isFlushed(stepKey)) this.#questions.delete(stepKey)
    if (key !== null && domain === null) {
      // Whole answers that came by way of this key are judged when they are asked for.
      const entry = memory.peek(key)
      if (entry !== undefined) this.#age(entry, at)
      return
    }
    for (const [cacheKey, entry] of memory.all()) {
      if (domain === null || domainOf(keyOfWhole(cacheKey) ?? cacheKey) === domain) this.#age(entry, at)
    }
  }

  /** Lets nothing in memory count as fresh: changes elsewhere may have been missed. It stays at hand for an outage. */
  expire(): void {
    const now = this.#parts.clock.now()
    for (const [, entry] of this.#parts.memory.all()) this.#age(entry, now)
  }

  /** Makes an entry stale now if it was verified before `at` (epoch ms), be it by another node's clock. */
  #age(entry: Entry, at: number): void {
    if (entry.verifiedAt >= at + clockSkewMs) return
    const now = this.#parts.clock.now()
    entry.staleAt = Math.min(entry.staleAt, now)
    entry.askAgainAt = now
    entry.quietUntil = 0
  }

  /** The last flush (epoch ms) of what goes into the answer of this cache key. */
  #flushedAt(cacheKey: string): number {
    const key = keyOfWhole(cacheKey)
    if (key === null) return this.#flushes.lastAt(cacheKey)
    return Math.max(...this.#settings.plan.steps(key, key).map(step => this.#flushes.lastAt(step.key)))
  }

  /** Cache keys of found answers that were asked for in the last `rememberForMs`, and not verified for too long. */
  due(rememberForMs: number): string[] {
    const now = this.#parts.clock.now()
    const keys: string[] = []
    for (const [cacheKey, { outcome, verifiedAt, askedAt, expiredAt }] of this.#parts.memory.known()) {
      const isDue = outcome.kind === 'found' && now - verifiedAt >= this.#verifyAfterMs && now - askedAt <= rememberForMs && now < expiredAt
      // An answer that has an extension's capitals can't be asked for again: who sent them is forgotten.
      if (isDue && cacheKey.indexOf('\0', 1) === -1) keys.push(cacheKey)
    }
    return keys
  }

  /**
   * Verifies what is known under a cache key that `due` gave: by a recent answer
   * in Redis, else by the table. Doesn't count as asking for it, and takes nothing
   * away: what is found no more is judged when somebody asks. False if the table
   * can't be asked now. Never rejects.
   */
  async verify(cacheKey: string): Promise<boolean> {
    const { clock, memory, guard } = this.#parts
    const now = clock.now()
    const known = memory.peekFound(cacheKey)
    if (known === undefined) return true
    if (!guard.state.trusted) return false
    const key = keyOfWhole(cacheKey)
    const steps = key === null ? [] : this.#settings.plan.steps(key, key)
    const before = [cacheKey, ...steps.map(step => step.key)].map(each => [each, memory.peek(each)] as const)
    await this.#readKeys([cacheKey], now)
    let isAsked = true
    if (now - (memory.peek(cacheKey)?.verifiedAt ?? now) >= this.#verifyAfterMs) {
      isAsked = await (key === null ? this.#verifyStep(cacheKey, now) : this.#verifyWhole(cacheKey, known, steps, now)) !== null
    }
    for (const [each, entry] of before) {
      const renewed = memory.peek(each)
      if (entry !== undefined && renewed !== undefined) renewed.askedAt = entry.askedAt
    }
    return isAsked
  }

  /** What the table says of a step, kept if it is found; undefined: it says absent; null: it can't be asked. */
  async #verifyStep(stepKey: string, now: number): Promise<Found | undefined | null> {
    const { source, guard } = this.#parts
    this.origins.queries++
    const said = guard.doubt ?? await source.lookup(stepKey, this.#settings.deadlineMs)
    switch (said.kind) {
      case 'found':
        guard.noteFound(stepKey)
        this.#store(stepKey, said, now)
        return said
      case 'absent': return undefined
      case 'unavailable': return null
      default: return said satisfies never
    }
  }

  /** A whole answer is verified if the steps still lead to the same: another one would take absences that nobody has judged. */
  async #verifyWhole(cacheKey: string, known: Entry, steps: readonly Step[], now: number): Promise<Found | undefined | null> {
    for (const step of steps) {
      const said = await this.#verifyStep(step.key, now)
      if (said === undefined) continue
      if (said === null) return null
      const whole = complete(said, step)
      if (known.outcome.kind === 'found' && known.outcome.value === whole.value) this.#store(cacheKey, whole, now)
      return whole
    }
    return undefined
  }

  /** Whether the table has so few questions that some may be asked in the background. */
  get isIdle(): boolean {
    return this.#flights.size < maxFlightsForRefresh
  }

  /** What was verified longer ago (ms) is verified anew, if it is remembered. */
  get #verifyAfterMs(): number {
    const { freshForMs, staleForMs } = this.#settings.lifetimes
    return Math.max(freshForMs, staleForMs * verifyShare)
  }

  /** Whether a found answer for this folded key is at hand, fresh or stale. Asks nobody. */
  knows(key: string): boolean {
    return this.#bridgeFound(new Walk(key, key, this.#settings.plan), this.#parts.clock.now()) !== null
  }

  /** What may still bridge an outage, as records for a snapshot, by cache key. */
  *known(): Generator<readonly [key: string, record: string, askedAt: number]> {
    const now = this.#parts.clock.now()
    for (const [key, { outcome, verifiedAt, askedAt, expiredAt }] of this.#parts.memory.known()) {
      if (now < expiredAt) yield [key, encodeEntry(outcome, verifiedAt, this.#identity.definition), askedAt]
    }
  }

  /** Takes a record of `known` back into memory. False if it is of no use now: expired, older than ours, or of another definition. */
  recall(key: string, record: string, askedAt: number): boolean {
    const decoded = decodeEntry(record, this.#identity.definition)
    return typeof decoded !== 'string' && this.adopt(key, decoded, askedAt)
  }

  /** The keys of the rows that memory knows: those of steps, not of whole answers. */
  rowKeys(): string[] {
    const keys: string[] = []
    for (const [key, { outcome }] of this.#parts.memory.known()) if (outcome.kind === 'found' && isRowKey(key)) keys.push(key)
    return keys
  }

  /** What a row says that memory knows, or Redis if its record is newer; null if it may not bridge an outage now. */
  row(key: string, inRedis: Decoded | null = null): ByteString | null {
    const now = this.#parts.clock.now()
    const ours = this.#parts.memory.peek(key)
    const isTheirs = inRedis !== null && (ours === undefined || ours.verifiedAt < inRedis.verifiedAt)
    return bridge(isTheirs ? this.#entryOf(inRedis, true, now) : ours, now)?.value ?? null
  }

  /**
   * Keeps a row that somebody says the table has, as if the table had given it at
   * `verifiedAt` (epoch ms): stale from the start, so that the table is asked first.
   * It never takes the place of what is known, here or in Redis, nor pushes any of
   * that out of memory.
   */
  async offer(key: string, value: ByteString, verifiedAt: number): Promise<'kept' | 'known' | 'no room'> {
    const { clock, memory, redis } = this.#parts
    const [inRedis = null] = await redis?.read(this.#identity, [key]) ?? []
    const now = clock.now()
    const known = memory.peek(key)
    if (this.row(key, inRedis) !== null || (known !== undefined && isFresh(known, now))) return 'known'
    const offered = found(value)
    const entry = this.#entryOf({ outcome: offered, verifiedAt }, false, now)
    const isShared = redis?.isUsable() === true
    if (isShared) redis.offer(this.#identity, key, offered, verifiedAt, entry.expiredAt - now)
    if (memory.hasRoom()) memory.set(key, entry)
    else if (!isShared) return 'no room'
    this.#parts.onFound?.(value)
    return 'kept'
  }

  get flights(): number {
    return this.#flights.size
  }

  /**
   * What memory can answer alone: every step fresh up to a hit, the whole answer, or a stale one while its failure is
   * recent. `first` is what it has for the first step.
   */
  #fromMemory(walk: Walk, first: Entry | undefined, now: number): Found | Absent | null {
    const { memory } = this.#parts
    let recheckLater = false
    let verifiedAt = Infinity
    for (let at = 0, stepKey: string | undefined = walk.key; ; stepKey = walk.keyAt(++at)) {
      if (stepKey === undefined) return absent
      const entry = at === 0 ? first : memory.peek(stepKey)
      this.#noteUse(stepKey, entry, now)
      if (entry === undefined || !isFresh(entry, now)) {
        recheckLater = entry !== undefined && hasJustFailed(entry, now)
        break
      }
      verifiedAt = Math.min(verifiedAt, entry.verifiedAt)
      if (entry.outcome.kind === 'found') return this.#complete(walk, at, entry.outcome, verifiedAt)
    }
    const key = wholeKey(walk)
    const whole = memory.peek(key)
    this.#noteUse(key, whole, now)
    if (whole !== undefined && whole.outcome.kind === 'found') {
      if (isFresh(whole, now) && walk.steps.every(step => whole.verifiedAt >= this.#flushes.lastAt(step.key))) {
        if (now >= whole.askAgainAt) this.#refresh(walk, whole, now)
        return whole.outcome
      }
      if (hasJustFailed(whole, now)) recheckLater = true
    }
    return recheckLater ? this.#bridge(walk, now) : null
  }

  /** The known answer that may stand in while the table can't be asked; null if there is none. */
  #bridge(walk: Walk, now: number): Found | Absent | null {
    return this.#bridgeFound(walk, now) ?? (this.#isStillAbsent(walk, now) ? absent : null)
  }

  /** Every step was once absent, and nobody is refused if that is no longer so. */
  #isStillAbsent(walk: Walk, now: number): boolean {
    const { memory, isVouchedFor } = this.#parts
    return walk.steps.every(step => isKnownAbsent(memory.get(step.key), now)) && isVouchedFor(walk.key)
  }

  #bridgeFound(walk: Walk, now: number): Found | null {
    const { memory } = this.#parts
    for (const step of walk.steps) {
      const entry = memory.get(step.key)
      if (entry?.outcome.kind === 'absent' && isFresh(entry, now)) continue
      const bridged = bridge(entry, now)
      if (bridged !== null) return complete(bridged, step)
      break
    }
    const whole = bridge(memory.peekFound(wholeKey(walk)), now)
    if (whole !== null) return whole
    // An answer whose extension is in another case is better than none.
    const alike = bridge(memory.peekFound(foldedWholeKey(walk.key)), now)
    return alike === null ? null : found(alike.value, 'stale')
  }

  /** Renews an answer that is still good, behind the reply that it gave. */
  #refresh(walk: Walk, entry: Entry, now: number): void {
    // Whatever comes of it, not every lookup until then should try.
    entry.askAgainAt = Math.min(now + failureRecheckMs, entry.staleAt)
    if (this.isIdle && this.#flights.get(walk.asked) === undefined) void this.#fly(this.#begin(walk), now)
  }

  #begin(walk: Walk): Flight {
    const flight: Flight = { walk, waiters: [] }
    this.#flights.set(walk.asked, flight)
    return flight
  }

  #land(flight: Flight, outcome: Outcome): void {
    // After a flush it may be another one.
    if (this.#flights.get(flight.walk.asked) === flight) this.#flights.delete(flight.walk.asked)
    for (const waiter of flight.waiters) if (this.#waiting.remove(waiter) || this.#late.remove(waiter)) waiter.settle(outcome)
  }

  /**
   * The outcome of the flight for a key, the one under way or a new one, but what is known at the soft deadline, and in
   * any case one at the deadline. `olderThan` (epoch ms): entries verified before it count as stale.
   */
  #wait(walk: Walk, olderThan: number, policy: Policy | null): Outcome | Later {
    const standing = this.#flights.get(walk.asked)
    if (standing === undefined && this.#flights.size >= maxFlights) {
      return unavailable('overloaded', `more than ${maxFlights} lookups under way`)
    }
    const flight = standing ?? this.#begin(walk)
    const since = this.#parts.clock.elapsed()
    const waiter = new Waiter(flight, since, policy)
    // Mostly there is one; what is pushed to an empty array gets room for seventeen.
    if (flight.waiters.length === 0) flight.waiters = [waiter]
    else flight.waiters.push(waiter)
    this.#waiting.add(waiter)
    this.#alarm.setFor(since + this.#settings.softDeadlineMs, since)
    // Not before somebody waits: it may land at once.
    if (standing === undefined) void this.#fly(flight, olderThan)
    return waiter.outcome ?? waiter
  }

  /** Answers those whose deadline is over; gives the next one. */
  #answerLate(now: number): number {
    const { softDeadlineMs, deadlineMs } = this.#settings
    const { clock } = this.#parts
    let next = Infinity
    for (let waiter = this.#waiting.first; waiter !== null; waiter = this.#waiting.first) {
      const { flight: { walk }, since } = waiter
      if (now < since + softDeadlineMs) {
        next = since + softDeadlineMs
        break
      }
      this.#waiting.remove(waiter)
      const bridged = this.#bridge(walk, clock.now())
      if (bridged === null) this.#late.add(waiter)
      else {
        // The next caller need not wait as long as this one.
        this.#pause(walk, clock.now())
        waiter.settle(bridged)
      }
    }
    for (let waiter = this.#late.first; waiter !== null; waiter = this.#late.first) {
      const { flight: { walk }, since } = waiter
      if (now < since + deadlineMs) return Math.min(next, since + deadlineMs)
      this.#late.remove(waiter)
      waiter.settle(this.#bridge(walk, clock.now()) ?? unavailable('timeout', `no answer within ${deadlineMs} ms`))
    }
    return next
  }

  /** One walk through the steps: Redis for all of them in one trip, then the table for each in turn. Never rejects. */
  async #fly(flight: Flight, olderThan: number): Promise<void> {
    const { walk } = flight
    try {
      const { clock, memory, redis } = this.#parts
      const startedAt = clock.now()
      // A refresh wants the table's own word.
      if (olderThan === 0 && redis !== null && await this.#readRedis(walk, startedAt)) {
        const known = this.#fromMemory(walk, memory.peek(walk.key), clock.now())
        if (known !== null) {
          this.origins.redis++
          return this.#land(flight, known)
        }
      }
      let verifiedAt = Infinity
      // By number: an iterator would be one more thing to keep while the table is asked.
      let at = 0
      for (let stepKey: string | undefined = walk.key; stepKey !== undefined; stepKey = walk.keyAt(++at)) {
        const resolved = this.#resolve(stepKey, startedAt, olderThan)
        const result = resolved instanceof Promise ? await resolved : resolved
        // After a flush it may be another one.
        if (this.#questions.get(stepKey) === resolved) this.#questions.delete(stepKey)
        switch (result.outcome.kind) {
          case 'absent':
            verifiedAt = Math.min(verifiedAt, result.verifiedAt)
            continue
          case 'found':
            this.origins.table++
            return this.#land(flight, this.#complete(walk, at, result.outcome, Math.min(verifiedAt, result.verifiedAt)))
          case 'unavailable':
            await this.#askRestingRedis(walk, startedAt)
            return this.#land(flight, this.#failed(walk, result.outcome))
          default: return result.outcome satisfies never
        }
      }
      this.origins.table++
      // Every step was absent. What was known whole from before is no longer so.
      for (const whole of [wholeKey(walk), foldedWholeKey(walk.key)]) if (!this.#isOvertaken(whole, startedAt)) this.#forget(whole)
      this.#land(flight, absent)
    } catch (error) {
      this.#land(flight, this.#bug(walk, error))
    }
  }

  /** The whole answer of a walk that found something at that step; `verifiedAt` is the oldest of its steps. Kept if it isn't. */
  #complete(walk: Walk, at: number, outcome: Found, verifiedAt: number): Found {
    const step = at === 0 ? undefined : walk.steps[at]
    if (step === undefined) return outcome
    const whole = complete(outcome, step)
    const key = wholeKey(walk)
    const known = this.#parts.memory.peekFound(key)
    if (known?.verifiedAt !== verifiedAt && !this.#isOvertaken(key, verifiedAt)) this.#store(key, whole, verifiedAt)
    return whole
  }

  /** The table could not be asked: the stale answer if there is one, and a pause before that key is tried again. */
  #failed(walk: Walk, outcome: Outcome): Outcome {
    const now = this.#parts.clock.now()
    this.#pause(walk, now)
    return this.#bridge(walk, now) ?? outcome
  }

  #bug(walk: Walk, error: unknown): Outcome {
    this.#parts.onBug(error)
    const outcome = unavailable('internal-error', 'internal error, see the log')
    try {
      for (const step of walk.steps) this.#questions.delete(step.key)
      return this.#failed(walk, outcome)
    } catch {
      // The bug is in the steps themselves.
      return outcome
    }
  }

  /** What is known for this walk is good enough until the failure recheck timer has run. */
  #pause(walk: Walk, now: number): void {
    const { memory } = this.#parts
    for (const known of [...walk.steps.map(step => step.key), wholeKey(walk), foldedWholeKey(walk.key)]) {
      const entry = memory.get(known)
      // A fresh one that is due for its refresh later than that stays due.
      if (entry !== undefined && (!isFresh(entry, now) || now >= entry.askAgainAt)) entry.askAgainAt = now + failureRecheckMs
    }
  }

  /**
   * Brings what Redis knows of this walk into memory; true if anything came.
   * Most keys are found at their first step, so that one is read alone, and the
   * others, in a second trip, only if it isn't.
   */
  async #readRedis(walk: Walk, now: number): Promise<boolean> {
    if (this.#parts.redis === null) return false
    const [first, ...later] = walk.steps.map(step => step.key)
    const came = await this.#readKeys([first ?? walk.key], now)
    if (later.length === 0 || this.#parts.memory.peekFound(first ?? walk.key) !== undefined) return came
    return await this.#readKeys([...later, wholeKey(walk)], now) || came
  }

  async #readKeys(keys: readonly string[], now: number): Promise<boolean> {
    const { redis, memory } = this.#parts
    const wanted = keys.filter(each => !isKnownFresh(memory.get(each), now))
    const reading = wanted.length === 0 ? null : redis?.read(this.#identity, wanted)
    return reading === null || reading === undefined ? false : this.#adoptAll(wanted, await reading)
  }

  /** The table can't be asked, memory doesn't know, and Redis is left alone since it was slow: now it is all there is, and gets the time that is left. */
  async #askRestingRedis(walk: Walk, startedAt: number): Promise<void> {
    const { clock, redis } = this.#parts
    const now = clock.now()
    if (redis === null || redis.isUsable() || this.#bridge(walk, now) !== null) return
    const keys = [...walk.steps.map(step => step.key), wholeKey(walk)]
    const leftMs = startedAt + this.#settings.deadlineMs - now
    const reading = leftMs > 0 ? redis.readPatiently(this.#identity, keys, leftMs) : null
    if (reading !== null && this.#adoptAll(keys, await reading)) this.origins.redis++
  }

  /** Takes what came for `keys`, in their order; true if anything was of use. */
  #adoptAll(keys: readonly string[], came: readonly (Decoded | null)[]): boolean {
    let isOfUse = false
    for (const [index, decoded] of came.entries()) {
      const key = keys[index]
      if (decoded !== null && key !== undefined && this.adopt(key, decoded)) isOfUse = true
    }
    return isOfUse
  }

  /** Takes an entry of another cache, or of a load, into memory if it is newer than ours and not expired; as asked for then (epoch ms), or now. */
  adopt(key: string, decoded: Decoded, askedAt = Infinity): boolean {
    const { clock, memory } = this.#parts
    const now = clock.now()
    const ours = memory.get(key)
    if (ours !== undefined && ours.verifiedAt >= decoded.verifiedAt) return false
    // An absence of another node or process is not taken for fresh: its clock may differ.
    const isFound = decoded.outcome.kind === 'found'
    const isCurrent = this.knowsFlushes && isFound && decoded.verifiedAt >= this.#flushedAt(key) + clockSkewMs
    const entry = this.#entryOf(decoded, isCurrent, now)
    if (now >= entry.expiredAt) return false
    entry.askedAt = Math.min(askedAt, now)
    memory.set(key, entry, true)
    if (isFound) this.#parts.onFound?.(decoded.outcome.value)
    return true
  }

  /** The entry for an answer; one that is not current is stale from the start. */
  #entryOf({ outcome, verifiedAt }: Decoded, isCurrent: boolean, now: number): Entry {
    const { lifetimes } = this.#settings
    return makeEntry(outcome, verifiedAt, isCurrent ? lifetimes : { ...lifetimes, freshForMs: 0, absentForMs: 0 }, now, this.#parts.random())
  }

  /** One step: memory if fresh, else the table, asked once however many wait for it. */
  #resolve(stepKey: string, startedAt: number, olderThan: number): Promise<StepResult> | StepResult {
    const { clock, memory } = this.#parts
    const now = clock.now()
    const entry = memory.get(stepKey)
    if (entry !== undefined && isFresh(entry, now) && entry.verifiedAt >= olderThan) return entry
    const asked = this.#questions.get(stepKey)
    if (asked !== undefined) return asked
    const budgetMs = startedAt + this.#settings.deadlineMs - now
    if (budgetMs <= 0) return { outcome: unavailable('timeout', 'no time left for the next search step'), verifiedAt: now }
    const result = this.#ask(stepKey, now, budgetMs)
    if (result instanceof Promise) this.#questions.set(stepKey, result)
    return result
  }

  // Here and below there are no async functions: what waits for its turn at the server is to hold little memory.

  /** Asks the table, lets the guard judge an absence, and remembers what came of it. */
  #ask(stepKey: string, now: number, budgetMs: number): Promise<StepResult> | StepResult {
    const { source, guard } = this.#parts
    this.origins.queries++
    const said = guard.doubt ?? source.lookup(stepKey, budgetMs)
    return said instanceof Promise ? said.then(heard => this.#judge(stepKey, heard, now, budgetMs)) : this.#judge(stepKey, said, now, budgetMs)
  }

  #judge(stepKey: string, said: Outcome, now: number, budgetMs: number): Promise<StepResult> | StepResult {
    if (said.kind !== 'absent') return this.#learn(stepKey, said, now)
    const { clock, memory, guard } = this.#parts
    return guard.judgeAbsent(stepKey, memory.peekFound(stepKey)?.verifiedAt ?? null, now + budgetMs - clock.now())
      .then(outcome => this.#learn(stepKey, outcome, now))
  }

  #learn(stepKey: string, outcome: Outcome, now: number): StepResult {
    const result = { outcome, verifiedAt: now }
    // A flush came meanwhile, and who asked after it has had the answer to that.
    if (this.#isOvertaken(stepKey, now)) return result
    switch (outcome.kind) {
      case 'found':
        this.#parts.guard.noteFound(stepKey)
        this.#store(stepKey, outcome, now)
        break
      case 'absent':
        this.#forget(stepKey)
        this.#store(stepKey, outcome, now)
        break
      case 'unavailable': break
      default: outcome satisfies never
    }
    return result
  }

  /** Memory has the answer to a question that was asked after `askedAt` (epoch ms). */
  #isOvertaken(key: string, askedAt: number): boolean {
    const { clock, memory } = this.#parts
    const entry = memory.peek(key)
    // Not one from the future: the clock was set back.
    return entry !== undefined && entry.verifiedAt > askedAt && entry.verifiedAt <= clock.now()
  }

  #store(key: string, outcome: Found | Absent, verifiedAt: number): void {
    const { clock, memory, redis, isVouchedFor } = this.#parts
    const { lifetimes } = this.#settings
    const now = clock.now()
    const isKept = outcome.kind === 'found' || isVouchedFor(key)
    // What was asked before a flush, and answered after it, is no longer fresh.
    const isCurrent = verifiedAt >= this.#flushedAt(key)
    memory.set(key, this.#entryOf({ outcome, verifiedAt }, isCurrent, now), isKept)
    if (outcome.kind === 'found') this.#parts.onFound?.(outcome.value)
    if (!isKept) return
    const ttlMs = verifiedAt + Math.max(lifetimes.staleForMs, lifetimes.freshForMs) - now
    redis?.write(this.#identity, key, outcome, verifiedAt, ttlMs)
  }

  #forget(key: string): void {
    const { memory, redis } = this.#parts
    if (memory.peekFound(key) === undefined) return
    memory.delete(key)
    redis?.remove(this.#identity, key)
  }
}

/** A stale entry whose question failed within the failure recheck time. False when the clock was set back meanwhile. */
const hasJustFailed = (entry: Entry, now: number): boolean =>
  now < entry.askAgainAt && entry.askAgainAt <= now + failureRecheckMs

const isKnownFresh = (entry: Entry | undefined, now: number): boolean => entry !== undefined && isFresh(entry, now)

/** The answer of a step as Postfix would have completed it: an extension that the key had lost goes back onto each result. */
const complete = (outcome: Found, step: Step): Found => {
  if (step.extension === '' && step.localpart === '') return outcome
  return found(completeValue(step, outcome.value), outcome.age)
}
