/**
 * What is known of one map: its answers in memory, in Redis and in the copies of
 * its tables, how old they are, which of them a server contradicts, and since
 * when a flush has made them stale. It asks no table and waits for nobody but
 * Redis.
 */
import {
  clockSkewMs, isEvidence, isForeign, longContradicted, makeEntry, statement,
} from '../caches/entry.js'
import type { Entry, Statement } from '../caches/entry.js'
import type { MapIdentity } from '../caches/map_identity.js'
import { MapCopies } from '../caches/map_copies.js'
import type { Copied } from '../caches/map_copies.js'
import type { Memory } from '../caches/memory.js'
import type { RedisCache } from '../caches/redis.js'
import { redisNameOf } from '../caches/redis_records.js'
import type { Absence, Lifetimes } from '../config/config.js'
import type { Absent, ByteString, Found } from '../outcome.js'
import { domainOf } from '../postfix/address.js'
import { fold } from '../postfix/fold.js'
import type { Clock } from '../runtime/clock.js'
import { inSlices } from '../runtime/slices.js'
import { FlushTimes } from './flush_times.js'
import type { Plan, Walk } from './search.js'
import { complete, hasSentLocalpart, isRowKey, keyOfWhole, wholeKey } from './search.js'

export type KnownSettings = {
  /** The map's name, and the hash of all that decides its answers: records of another definition are not used. */
  readonly identity: MapIdentity
  readonly plan: Plan
  readonly lifetimes: Lifetimes
  /** What an absence in this map does to mail. */
  readonly absence: Absence
  /** A found answer is absent only if a second statement says so, so long (ms) after the first one. */
  readonly confirmForMs: number
}

export type KnownParts = {
  readonly memory: Memory
  /** null: no Redis, or a map whose answers must not leave this process. */
  readonly redis: RedisCache | null
  /** Of the map's tables; else there are none. */
  readonly copies?: MapCopies
  /** What an earlier configuration of the same tables knew, to go on with. */
  readonly earlier?: Known | null
  /** Whether another map decides about this folded key, so that its absence here refuses nobody. */
  readonly isKnownElsewhere: (key: string) => boolean
  /** Whether a list of our domains is known to have the domain of this folded key. */
  readonly isKnownAsOurs: (key: string) => boolean
  /** Is called for each found answer that comes into memory. */
  readonly onFound?: (value: ByteString) => void
  /** Is called for each row of a table that nothing here knew before. */
  readonly onNewRow?: () => void
  readonly clock: Clock
  /** In [0, 1); spreads lifetimes. */
  readonly random: () => number
}

/** RFC 8767's failure recheck timer (ms): after a failure, a key with a stale answer is not asked again before. */
export const failureRecheckMs = 5_000
/** That an entry was asked for is noted at most this often (ms): each note moves it in the LRU's lists. */
const noteUseMs = 60_000

export class Known {
  readonly identity: MapIdentity
  readonly lifetimes: Lifetimes
  readonly absence: Absence
  readonly confirmForMs: number
  readonly isKnownElsewhere: (key: string) => boolean
  readonly isKnownAsOurs: (key: string) => boolean
  readonly memory: Memory
  readonly redis: RedisCache | null
  readonly copies: MapCopies
  readonly flushTimes: FlushTimes
  /** False while flushes by other nodes may have been missed: nothing from Redis counts as fresh then. */
  knowsFlushes = true
  /** False until all that Redis has of this map was brought into memory once: it may know what is unknown here. */
  isRedisRead: boolean
  /** False if what this node knew before could not be read, or another definition of the map found it. */
  isWhole = true
  readonly #plan: Plan
  /** Without the earlier one, which a reload must not keep. */
  readonly #parts: Omit<KnownParts, 'earlier'>

  constructor(settings: KnownSettings, { earlier = null, ...parts }: KnownParts) {
    this.identity = settings.identity
    this.lifetimes = settings.lifetimes
    this.absence = settings.absence
    this.confirmForMs = settings.confirmForMs
    this.isKnownElsewhere = parts.isKnownElsewhere
    this.isKnownAsOurs = parts.isKnownAsOurs
    this.memory = parts.memory
    this.redis = parts.redis
    this.copies = parts.copies ?? new MapCopies(0)
    // A reload may name a Redis where there was none, or another one; and there the map may be called otherwise now.
    const isSameThere = earlier !== null && redisNameOf(earlier.identity) === redisNameOf(settings.identity)
    this.isRedisRead = parts.redis === null || (parts.redis === earlier?.redis && earlier.isRedisRead && isSameThere)
    // The same object: lookups that began before a reload still write to the memory that they share.
    this.flushTimes = earlier?.flushTimes ?? new FlushTimes()
    this.#plan = settings.plan
    this.#parts = parts
  }

  /**
   * What the copies of the tables say of a step's key; null: they say nothing, or there are none. What a copy has
   * expires as records do, and what it lacks with it; not sooner, since an outage may take days. Else a copy grows old
   * only while none can be taken, as status says.
   */
  copied(stepKey: string): Copied | null {
    return this.copies.answer(stepKey, this.#parts.clock.now() - this.lifetimes.staleForMs)
  }

  /** What the copies say of a step's key, unless a table contradicted it after they were taken. */
  copiedUnlessGone(stepKey: string, entry: Entry | undefined, copied = this.copied(stepKey)): Copied | null {
    if (copied === null) return null
    const goneAt = copied.outcome.kind === 'found' && entry?.outcome.kind === 'absent' ? entry.verifiedAt : -Infinity
    // One from the future: the clock was set back, and the copy may be newer.
    return goneAt > copied.at && goneAt <= this.#parts.clock.now() ? null : copied
  }

  /** Who has a step's row by a copy, of any age and another definition's too; null: nobody, or contradicted since. */
  copiedRow(stepKey: string): Copied | null {
    const copied = this.copies.answer(stepKey) ?? this.copies.foreignRow(stepKey)
    return copied?.outcome.kind === 'found' ? this.copiedUnlessGone(stepKey, this.memory.peek(stepKey), copied) : null
  }

  /** Whether a flush since `at` (epoch ms) concerns a step of this walk. */
  isFlushedSince({ steps }: Walk, at: number): boolean {
    const now = this.#parts.clock.now()
    return steps.some(step => at < this.flushTimes.lastAt(step.key, now))
  }

  /** Notes that somebody asked for what memory has under a cache key. */
  noteUse(cacheKey: string, entry: Entry | undefined, now: number): void {
    if (entry === undefined || Math.abs(now - entry.askedAt) < noteUseMs) return
    entry.askedAt = now
    this.memory.get(cacheKey)
  }

  /**
   * The whole answer of a walk that found something at the step of that number. Keeps it, unless it is the first
   * step's own; `verifiedAt` is that of the oldest of its steps.
   */
  completeWalk(walk: Walk, index: number, outcome: Found, verifiedAt: number): Found {
    const step = index === 0 ? undefined : walk.steps[index]
    if (step === undefined) return outcome
    const whole = complete(outcome, step)
    if (hasSentLocalpart(outcome, step)) return whole
    const key = wholeKey(walk)
    const known = this.memory.peekFound(key)
    if (known?.verifiedAt !== verifiedAt && !this.isNewerThan(key, verifiedAt)) this.keep(key, whole, verifiedAt)
    return whole
  }

  /** Keeps what a table answered to a question that was asked at `verifiedAt` (epoch ms), here and in Redis. */
  keep(key: string, outcome: Found | Absent, verifiedAt: number, table = -1, server = ''): void {
    const now = this.#parts.clock.now()
    const outlivesOutage = outcome.kind === 'found' || this.isKnownElsewhere(key)
    const kept = statement(outcome, verifiedAt, table, server)
    const { onNewRow } = this.#parts
    const isNewRow = onNewRow !== undefined && table >= 0 && this.memory.peekFound(key) === undefined
      && this.copiedRow(key) === null
    // The answer to a question from before a flush is not fresh, even if it comes after it.
    this.put(key, this.entryOf(kept, verifiedAt >= this.#flushedAt(key), now), outlivesOutage)
    if (outlivesOutage) this.share(key, kept)
    if (isNewRow) onNewRow()
  }

  /**
   * Writes a statement to Redis, for the other nodes and for the time after a restart. Late: the other nodes may have
   * newer ones.
   */
  share(key: string, kept: Statement, isLate = false): void {
    const { staleForMs, freshForMs } = this.lifetimes
    const leftMs = kept.verifiedAt + Math.max(staleForMs, freshForMs) - this.#parts.clock.now()
    if (isLate) void this.redis?.writeLate(this.identity, key, kept, leftMs)
    else this.redis?.write(this.identity, key, kept, leftMs)
  }

  /** The last flush (epoch ms) that named a key of this walk; 0 if there was none. */
  namedAt({ steps }: Walk): number {
    const now = this.#parts.clock.now()
    return Math.max(...steps.map(step => this.flushTimes.keyAt(step.key, now)))
  }

  /** A doubt begins or ends: what a table said to be absent within `absent_for` is asked again, not repeated. */
  dropAbsences(): void {
    const { memory } = this
    const since = this.#parts.clock.now() - this.lifetimes.absentForMs
    void inSlices(memory.absentKeys(), key => {
      if ((memory.peek(key)?.verifiedAt ?? since) > since) memory.delete(key)
    })
  }

  /** Forgets a found answer, here and in Redis. */
  forget(key: string): void {
    if (this.memory.peekFound(key) === undefined) return
    this.memory.delete(key)
    this.redis?.remove(this.identity, key)
  }

  /** Whether memory has the answer to a question that was asked after `askedAt` (epoch ms). */
  isNewerThan(key: string, askedAt: number): boolean {
    const entry = this.memory.peek(key)
    // Not one from the future: then the clock was set back.
    return entry !== undefined && entry.verifiedAt > askedAt && entry.verifiedAt <= this.#parts.clock.now()
  }

  /**
   * Takes a statement from Redis, the snapshot or a load into memory, if it is newer than ours and not expired. It
   * counts as asked for at `askedAt` (epoch ms), or now. A neighbour's absence never replaces a found answer of ours:
   * it may come from a server that is empty.
   */
  adopt(key: string, theirs: Statement, askedAt = Infinity, mayBeFresh = true): boolean {
    const now = this.#parts.clock.now()
    const ours = this.memory.get(key)
    if (theirs.isForeign === true) {
      // Which of several tables of another definition it was, nobody knows.
      this.#keepForeign(key, this.copies.tables > 1 ? { ...theirs, table: -1 } : theirs, now)
      return false
    }
    // What a table said while Redis could not be read was not held against what is there.
    const isUnjudged = ours?.outcome.kind === 'absent' && !this.isRedisRead
    const isOlder = ours !== undefined && !isForeign(ours) && ours.verifiedAt >= theirs.verifiedAt
    if (isOlder && !isUnjudged) return false
    if (theirs.outcome.kind === 'absent' && isEvidence(ours)) return false
    const flushedAt = this.#flushedAt(key)
    // An absence that another node or process found is not fresh here: its clock may differ.
    const isCurrent =
      mayBeFresh && this.knowsFlushes && theirs.outcome.kind === 'found' && theirs.verifiedAt >= flushedAt + clockSkewMs
    const entry = this.entryOf(theirs, isCurrent, now)
    if (now >= entry.expiredAt) return false
    entry.askedAt = Math.min(askedAt, now)
    // The clock of whoever noted a contradiction may differ from ours: to us it is one from now.
    if (entry.contradictedAt > longContradicted) entry.contradictedAt = now
    this.put(key, entry)
    return true
  }

  /**
   * Takes back what this node saved before it started: a statement, or null for a key that it forgot. It is stale,
   * since flushes from before the start are not known any more. False if it is of no use.
   */
  recall(key: string, saved: Statement | null, askedAt: number, isKept: boolean): boolean {
    const ours = this.memory.peek(key)
    if (saved === null) {
      this.memory.delete(key)
      return false
    }
    const now = this.#parts.clock.now()
    if (saved.isForeign === true) {
      this.#keepForeign(key, saved, now)
      return true
    }
    const entry = this.entryOf(saved, false, now)
    if (ours !== undefined && !isForeign(ours) && ours.verifiedAt > saved.verifiedAt) return false
    // A row that may not be given any more still shows that nobody is to be refused for a key while no table answers.
    if (now >= entry.expiredAt && saved.outcome.kind === 'absent') return false
    entry.askedAt = Math.min(askedAt, now)
    this.put(key, entry, isKept)
    return true
  }

  /** Keeps a row that another definition found as evidence, unless more is known of its key. */
  #keepForeign(key: string, row: Statement, now: number): void {
    const ours = this.memory.peek(key)
    const isOurs = ours?.outcome.kind === 'found' && !isForeign(ours)
    if (!isRowKey(key) || isOurs || (ours !== undefined && ours.verifiedAt >= row.verifiedAt)) return
    this.memory.set(key, this.entryOf(row, false, now))
    this.isWhole = false
  }

  /** Puts an entry into memory; `outlivesOutage`: an absence, too, may bridge one. */
  put(key: string, entry: Entry, outlivesOutage = true): void {
    this.memory.set(key, entry, outlivesOutage)
    if (entry.outcome.kind === 'found') this.#parts.onFound?.(entry.outcome.value)
  }

  /** The entry for a statement; one that is not current is stale from the start. */
  entryOf(kept: Statement, isCurrent: boolean, now: number): Entry {
    const lifetimes = isCurrent ? this.lifetimes : { ...this.lifetimes, freshForMs: 0, absentForMs: 0 }
    return makeEntry(kept, lifetimes, now, this.#parts.random())
  }

  /**
   * Makes stale what was verified before `at` (epoch ms), in whatever cache: all keys (null), those of a domain
   * (`@example.com`), or one folded key. Gives the test by which a step's key is among them.
   */
  flush(what: string | null, at: number): (stepKey: string) => boolean {
    const key = what === null ? null : fold(what)
    this.flushTimes.note(key, at)
    const domain = key?.startsWith('@') === true ? key.slice(1) : null
    const isFlushed = (stepKey: string): boolean =>
      key === null || stepKey === key || (domain !== null && domainOf(stepKey) === domain)
    // Whole answers that came by way of this key are judged when somebody asks for them.
    const entry = key === null ? undefined : this.memory.peek(key)
    if (entry !== undefined) this.#makeStale(entry, at)
    // A person or the table says that this key changed: one statement is enough to confirm it.
    const isKnown = entry?.outcome.kind === 'found' && entry.verifiedAt < at + clockSkewMs
    if (isKnown) entry.contradictedAt = longContradicted
    if (key === null || domain !== null) {
      this.memory.changeAll((cacheKey, flushed) => {
        const isAmong = domain === null || domainOf(keyOfWhole(cacheKey) ?? cacheKey) === domain
        if (isAmong) this.#makeStale(flushed, at)
      })
    }
    return isFlushed
  }

  /** Makes an entry stale if it was verified before `at` (epoch ms), even by the clock of another node. */
  #makeStale(entry: Entry, at: number): void {
    if (entry.verifiedAt >= at + clockSkewMs) return
    const now = this.#parts.clock.now()
    entry.staleAt = Math.min(entry.staleAt, now)
    entry.askAgainAt = now
  }

  /** The last flush (epoch ms) of anything that goes into the answer of this cache key. */
  #flushedAt(cacheKey: string): number {
    const key = keyOfWhole(cacheKey)
    const now = this.#parts.clock.now()
    if (key === null) return this.flushTimes.lastAt(cacheKey, now)
    return Math.max(...this.#plan.steps(key, key).map(step => this.flushTimes.lastAt(step.key, now)))
  }
}
