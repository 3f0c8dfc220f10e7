/**
 * What is known of one map: its answers in memory and in Redis, how old they
 * are, and since when a flush has made them stale. It asks no table and waits
 * for nobody but Redis.
 */
import { bridge, clockSkewMs, isFresh, isKnownAbsent, makeEntry } from '../caches/entry.js'
import type { Decoded, Entry } from '../caches/entry.js'
import type { Memory } from '../caches/memory.js'
import type { MapIdentity, RedisCache } from '../caches/redis.js'
import type { Lifetimes } from '../config/config.js'
import type { Absent, ByteString, Found } from '../outcome.js'
import { absent, found } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import type { Clock } from '../runtime/clock.js'
import { FlushTimes, domainOf } from './flush_times.js'
import type { Plan } from './search.js'
import { complete, foldedWholeKey, keyOfWhole, walkOf, wholeKey } from './walk.js'
import type { Walk } from './walk.js'

export type KnownSettings = {
  /** The map's name, and the hash of all that decides its answers: records of another definition are not used. */
  readonly identity: MapIdentity
  readonly plan: Plan
  readonly lifetimes: Lifetimes
}

export type KnownParts = {
  readonly memory: Memory
  /** null: no Redis, or a map whose answers must not leave this process. */
  readonly redis: RedisCache | null
  /** Whether another map decides about this folded key, so that its absence here may bridge an outage. */
  readonly isKnownElsewhere: (key: string) => boolean
  /** Is told of each found answer that comes into memory. */
  readonly onFound?: (value: ByteString) => void
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
  readonly memory: Memory
  readonly redis: RedisCache | null
  /** False while flushes by other nodes may have been missed: nothing from Redis counts as fresh then. */
  knowsFlushes = true
  readonly #plan: Plan
  readonly #parts: KnownParts
  readonly #flushTimes: FlushTimes

  constructor({ identity, plan, lifetimes }: KnownSettings, parts: KnownParts) {
    this.identity = identity
    this.lifetimes = lifetimes
    this.memory = parts.memory
    this.redis = parts.redis
    this.#plan = plan
    this.#parts = parts
    this.#flushTimes = new FlushTimes(Math.max(lifetimes.freshForMs, lifetimes.absentForMs) + clockSkewMs)
  }

  /** What memory can answer alone: each step fresh up to a hit, a fresh whole answer, or a stale one that just failed to be renewed. */
  answer(walk: Walk, now: number): { readonly outcome: Found | Absent, readonly dueEntry: Entry | null } | null {
    let hasFailed = false
    let verifiedAt = Infinity
    let isAbsent = true
    for (const [index, step] of walk.steps.entries()) {
      const entry = this.memory.peek(step.key)
      this.noteUse(step.key, entry, now)
      if (entry === undefined || !isFresh(entry, now)) {
        hasFailed = entry !== undefined && hasJustFailed(entry, now)
        isAbsent = false
        break
      }
      verifiedAt = Math.min(verifiedAt, entry.verifiedAt)
      if (entry.outcome.kind === 'found') {
        return { outcome: this.completeWalk(walk, index, entry.outcome, verifiedAt), dueEntry: null }
      }
    }
    if (isAbsent) return { outcome: absent, dueEntry: null }
    const key = wholeKey(walk)
    const whole = this.memory.peek(key)
    this.noteUse(key, whole, now)
    if (whole?.outcome.kind === 'found') {
      if (isFresh(whole, now) && walk.steps.every(step => whole.verifiedAt >= this.#flushTimes.lastAt(step.key))) {
        return { outcome: whole.outcome, dueEntry: now >= whole.askAgainAt ? whole : null }
      }
      hasFailed ||= hasJustFailed(whole, now)
    }
    const bridged = hasFailed ? this.bridge(walk, now) : null
    return bridged === null ? null : { outcome: bridged, dueEntry: null }
  }

  /** The known answer that may stand in while the table can't be asked; null if there is none. */
  bridge(walk: Walk, now: number): Found | Absent | null {
    return this.bridgeFound(walk, now) ?? (this.#isStillAbsent(walk, now) ? absent : null)
  }

  /** Every step was absent when it was last asked, and if that has changed, nobody is refused for it. */
  #isStillAbsent(walk: Walk, now: number): boolean {
    return walk.steps.every(step => isKnownAbsent(this.memory.get(step.key), now)) && this.#parts.isKnownElsewhere(walk.key)
  }

  /** The found answer at hand, fresh or stale; null if there is none. */
  bridgeFound(walk: Walk, now: number): Found | null {
    for (const step of walk.steps) {
      const entry = this.memory.get(step.key)
      if (entry?.outcome.kind === 'absent' && isFresh(entry, now)) continue
      const bridged = bridge(entry, now)
      if (bridged !== null) return complete(bridged, step)
      break
    }
    const whole = bridge(this.memory.peekFound(wholeKey(walk)), now)
    if (whole !== null) return whole
    // An answer with its extension in another case is better than none.
    const alike = bridge(this.memory.peekFound(foldedWholeKey(walk.key)), now)
    return alike === null ? null : found(alike.value, 'stale')
  }

  /** Whether a found answer for this folded key is at hand, fresh or stale. Asks nobody. */
  has(key: string): boolean {
    return this.bridgeFound(walkOf(this.#plan, key, key), this.#parts.clock.now()) !== null
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
    const step = walk.steps[index]
    if (index === 0 || step === undefined) return outcome
    const whole = complete(outcome, step)
    const key = wholeKey(walk)
    const known = this.memory.peekFound(key)
    if (known?.verifiedAt !== verifiedAt && !this.isNewerThan(key, verifiedAt)) this.keep(key, whole, verifiedAt)
    return whole
  }

  /** Keeps what the table answered to a question that was asked at `verifiedAt` (epoch ms), here and in Redis. */
  keep(key: string, outcome: Found | Absent, verifiedAt: number): void {
    const now = this.#parts.clock.now()
    const outlivesOutage = outcome.kind === 'found' || this.#parts.isKnownElsewhere(key)
    // The answer to a question from before a flush is not fresh, even if it comes after it.
    const isCurrent = verifiedAt >= this.#flushedAt(key)
    this.memory.set(key, this.entryOf({ outcome, verifiedAt }, isCurrent, now), outlivesOutage)
    if (outcome.kind === 'found') this.#parts.onFound?.(outcome.value)
    if (!outlivesOutage) return
    const ttlMs = verifiedAt + Math.max(this.lifetimes.staleForMs, this.lifetimes.freshForMs) - now
    this.redis?.write(this.identity, key, outcome, verifiedAt, ttlMs)
  }

  /** Forgets a found answer, here and in Redis. */
  forget(key: string): void {
    if (this.memory.peekFound(key) === undefined) return
    this.memory.delete(key)
    this.redis?.remove(this.identity, key)
  }

  /** Every step is absent by questions asked since `askedAt` (epoch ms): forgets whole answers from before. */
  forgetWhole(walk: Walk, askedAt: number): void {
    for (const key of [wholeKey(walk), foldedWholeKey(walk.key)]) if (!this.isNewerThan(key, askedAt)) this.forget(key)
  }

  /** Whether memory has the answer to a question that was asked after `askedAt` (epoch ms). */
  isNewerThan(key: string, askedAt: number): boolean {
    const entry = this.memory.peek(key)
    // Not one from the future: then the clock was set back.
    return entry !== undefined && entry.verifiedAt > askedAt && entry.verifiedAt <= this.#parts.clock.now()
  }

  /** The table could not be asked: what is known for this walk is good enough until the failure recheck timer has run. */
  pause(walk: Walk, now: number): void {
    for (const key of [...walk.steps.map(step => step.key), wholeKey(walk), foldedWholeKey(walk.key)]) {
      const entry = this.memory.get(key)
      // A fresh entry that is due for its refresh later stays due then.
      if (entry !== undefined && (!isFresh(entry, now) || now >= entry.askAgainAt)) entry.askAgainAt = now + failureRecheckMs
    }
  }

  /**
   * Brings into memory what Redis knows of this walk; true if anything came. Most keys are found at their first
   * step, so that one is read alone, and the others in a second trip only if it isn't there.
   */
  async readRedis(walk: Walk, now: number): Promise<boolean> {
    if (this.redis === null) return false
    const [first, ...later] = walk.steps.map(step => step.key)
    const came = await this.readKeys([first ?? walk.key], now)
    if (later.length === 0 || this.memory.peekFound(first ?? walk.key) !== undefined) return came
    return await this.readKeys([...later, wholeKey(walk)], now) || came
  }

  /** Brings into memory what Redis knows of those cache keys that aren't fresh here; true if anything came. */
  async readKeys(keys: readonly string[], now: number): Promise<boolean> {
    const wanted = keys.filter(key => {
      const entry = this.memory.get(key)
      return entry === undefined || !isFresh(entry, now)
    })
    const reading = wanted.length === 0 ? null : this.redis?.read(this.identity, wanted) ?? null
    return reading === null ? false : this.#adoptAll(wanted, await reading)
  }

  /** The same from a Redis that is resting, for a walk that nothing else can answer, within `budgetMs`. */
  async readRedisPatiently(walk: Walk, budgetMs: number): Promise<boolean> {
    const keys = [...walk.steps.map(step => step.key), wholeKey(walk)]
    const reading = this.redis === null || budgetMs <= 0 ? null : this.redis.readPatiently(this.identity, keys, budgetMs)
    return reading === null ? false : this.#adoptAll(keys, await reading)
  }

  /** Adopts the entries for `keys`, which come in the same order; true if anything was of use. */
  #adoptAll(keys: readonly string[], entries: readonly (Decoded | null)[]): boolean {
    let isOfUse = false
    for (const [index, decoded] of entries.entries()) {
      const key = keys[index]
      if (decoded !== null && key !== undefined && this.adopt(key, decoded)) isOfUse = true
    }
    return isOfUse
  }

  /**
   * Takes an entry from Redis, the snapshot or a load into memory, if it is newer than ours and not expired. It
   * counts as asked for at `askedAt` (epoch ms), or now.
   */
  adopt(key: string, decoded: Decoded, askedAt = Infinity): boolean {
    const now = this.#parts.clock.now()
    const ours = this.memory.get(key)
    if (ours !== undefined && ours.verifiedAt >= decoded.verifiedAt) return false
    // An absence that another node or process found is not fresh here: its clock may differ.
    const isCurrent = this.knowsFlushes && decoded.outcome.kind === 'found'
      && decoded.verifiedAt >= this.#flushedAt(key) + clockSkewMs
    const entry = this.entryOf(decoded, isCurrent, now)
    if (now >= entry.expiredAt) return false
    entry.askedAt = Math.min(askedAt, now)
    this.put(key, entry)
    return true
  }

  /** Puts an entry that may bridge an outage into memory. */
  put(key: string, entry: Entry): void {
    this.memory.set(key, entry, true)
    if (entry.outcome.kind === 'found') this.#parts.onFound?.(entry.outcome.value)
  }

  /** The entry for an answer; one that is not current is stale from the start. */
  entryOf({ outcome, verifiedAt }: Decoded, isCurrent: boolean, now: number): Entry {
    const lifetimes = isCurrent ? this.lifetimes : { ...this.lifetimes, freshForMs: 0, absentForMs: 0 }
    return makeEntry(outcome, verifiedAt, lifetimes, now, this.#parts.random())
  }

  /**
   * Makes stale what was verified before `at` (epoch ms), in whatever cache: all keys (null), those of a domain
   * (`@example.com`), or one folded key. Gives the test by which a step's key is among them.
   */
  flush(what: string | null, at: number): (stepKey: string) => boolean {
    const key = what === null ? null : fold(what)
    this.#flushTimes.note(key, at)
    const domain = key?.startsWith('@') === true ? key.slice(1) : null
    const isFlushed = (stepKey: string): boolean =>
      key === null || stepKey === key || (domain !== null && domainOf(stepKey) === domain)
    if (key !== null && domain === null) {
      // Whole answers that came by way of this key are judged when somebody asks for them.
      const entry = this.memory.peek(key)
      if (entry !== undefined) this.#makeStale(entry, at)
    } else {
      for (const [cacheKey, entry] of this.memory.all()) {
        if (domain === null || domainOf(keyOfWhole(cacheKey) ?? cacheKey) === domain) this.#makeStale(entry, at)
      }
    }
    return isFlushed
  }

  /** Makes everything in memory stale: changes elsewhere may have been missed. It still bridges an outage. */
  expire(): void {
    const now = this.#parts.clock.now()
    for (const [, entry] of this.memory.all()) this.#makeStale(entry, now)
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
    if (key === null) return this.#flushTimes.lastAt(cacheKey)
    return Math.max(...this.#plan.steps(key, key).map(step => this.#flushTimes.lastAt(step.key)))
  }
}

/** A stale entry that could not be renewed within the failure recheck time. False if the clock was set back meanwhile. */
const hasJustFailed = (entry: Entry, now: number): boolean =>
  now < entry.askAgainAt && entry.askAgainAt <= now + failureRecheckMs
