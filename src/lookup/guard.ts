/**
 * Whether to believe a table that says absent. A server can answer in full
 * and still be wrong: truncated, half restored, a new empty replica. Before an
 * absence counts, the guard asks the same table for witnesses: keys that were
 * found lately. A table that has lost a large share of them has shrunk in a
 * way that deletions don't explain; then no absence of it is believed until
 * enough witnesses are found again, or an operator says so.
 *
 * The witnesses are asked after the absence was heard, so that a table emptied
 * a moment ago is seen; absences that wait at the same time share one check.
 *
 * Bugs: with fewer than two known keys nothing can be told from a normal
 * deletion; a canary covers that.
 */
import type { Absent, Outcome, Unavailable } from '../outcome.js'
import { absent, unavailable } from '../outcome.js'
import type { Source } from '../sources/source.js'
import type { Canary } from './canary.js'
import type { Clock } from './clock.js'

export type GuardSettings = {
  /** More than this share of the witnesses gone: the table is not believed. 1 switches the guard off. */
  readonly maxShrink: number
  /** A key counts as a witness for so long (ms) after it was last found. */
  readonly windowMs: number
  /** Keys that must be found on the same server, whatever map they are of. */
  readonly canaries: readonly Canary[]
}

export type GuardState = { readonly trusted: boolean, readonly since: number, readonly witnesses: number, readonly gone: number }

/** How many witnesses are kept, and how many are asked: normally, once a second, and when one is gone. */
const maxWitnesses = 64
const quickSample = 1
const sample = 5
const fullSample = 16
const sampleEveryMs = 1_000
/** One missing key is a deletion; it takes two to doubt a table. */
const minGone = 2
/** While distrusted, the table is looked at again so often (ms). */
const recheckMs = 5_000
const recheckBudgetMs = 2_000

export class Guard {
  readonly #source: Source
  readonly #settings: GuardSettings
  readonly #clock: Clock
  readonly #random: () => number
  readonly #onChange: (state: GuardState) => void
  /** Key to the time it was last found (epoch ms). */
  readonly #witnesses = new Map<string, number>()
  #trusted = true
  #since: number
  #gone = 0
  #sampledAt = 0
  /** The check that absences heard from now on may join: it has not asked anything yet. */
  #next: Promise<boolean | Unavailable> | null = null
  #running: Promise<unknown> = Promise.resolve()
  #cancelRecheck: () => void = () => undefined

  constructor(
    source: Source, settings: GuardSettings, clock: Clock, random: () => number,
    onChange: (state: GuardState) => void,
  ) {
    this.#source = source
    this.#settings = settings
    this.#clock = clock
    this.#random = random
    this.#onChange = onChange
    this.#since = clock.now()
  }

  get state(): GuardState {
    return { trusted: this.#trusted, since: this.#since, witnesses: this.#witnesses.size, gone: this.#gone }
  }

  /** Why the table need not be asked at all now; null if it may be. */
  get doubt(): Unavailable | null {
    for (const canary of this.#settings.canaries) if (canary.doubt !== null) return canary.doubt
    return null
  }

  /** The table just said found for this key. */
  noteFound(key: string): void {
    if (!this.#witnesses.has(key) && this.#witnesses.size >= maxWitnesses) {
      // Keep the set mixed: mostly steady, now and then a newer key for the oldest one.
      if (this.#random() > 0.1) return
      for (const oldest of this.#witnesses.keys()) {
        this.#witnesses.delete(oldest)
        break
      }
    }
    this.#witnesses.delete(key)
    this.#witnesses.set(key, this.#clock.now())
  }

  /**
   * The table just said absent for `key`, within `budgetMs` of time left:
   * absent if that can be believed, else 'distrusted', or whatever kept the
   * witnesses from being asked.
   */
  async judgeAbsent(key: string, wasFound: boolean, budgetMs: number): Promise<Absent | Unavailable> {
    const { maxShrink, canaries } = this.#settings
    if (maxShrink >= 1 && canaries.length === 0) return absent
    if (wasFound) this.#witnesses.set(key, this.#witnesses.get(key) ?? this.#clock.now())
    const believed = await this.#joinCheck(budgetMs)
    if (believed === true) {
      this.#witnesses.delete(key)
      return absent
    }
    return believed === false ? distrusted : believed
  }

  /** An operator vouches for the table as it is now. */
  trust(): void {
    this.#witnesses.clear()
    this.#enter(true, 0)
  }

  close(): void {
    this.#cancelRecheck()
  }

  #joinCheck(budgetMs: number): Promise<boolean | Unavailable> {
    this.#next ??= (() => {
      const check = this.#running.then(() => {
        this.#next = null
        return this.#check(budgetMs)
      })
      this.#running = check
      return check
    })()
    return this.#next
  }

  /** True: believe. False: the table has shrunk. Unavailable: the witnesses could not be asked. */
  async #check(budgetMs: number): Promise<boolean | Unavailable> {
    for (const doubt of await Promise.all(this.#settings.canaries.map(canary => canary.check(budgetMs)))) {
      if (doubt !== null) return doubt
    }
    if (this.#settings.maxShrink >= 1) return true
    const now = this.#clock.now()
    const full = !this.#trusted
    const count = full ? fullSample : now - this.#sampledAt >= sampleEveryMs ? sample : quickSample
    if (count >= sample) this.#sampledAt = now
    const first = await this.#askWitnesses(this.#pick(count, now), budgetMs)
    if ('kind' in first) return first
    let { found, gone } = first
    if (gone.length > 0 && !full) {
      const asked = new Set([...found, ...gone])
      const second = await this.#askWitnesses(this.#pick(fullSample, now, asked), budgetMs)
      if ('kind' in second) return second
      found = [...found, ...second.found]
      gone = [...gone, ...second.gone]
    }
    const share = gone.length / Math.max(1, found.length + gone.length)
    const limit = this.#settings.maxShrink
    // Once distrusted, it takes clearly better evidence to believe again.
    const shrunk = this.#trusted ? gone.length >= minGone && share > limit : share > limit / 2
    if (shrunk !== !this.#trusted || shrunk) this.#enter(!shrunk, gone.length)
    if (!shrunk) for (const key of gone) this.#witnesses.delete(key)
    return !shrunk
  }

  #pick(count: number, now: number, except: ReadonlySet<string> = new Set()): string[] {
    const candidates: string[] = []
    for (const [key, foundAt] of this.#witnesses) {
      if (foundAt < now - this.#settings.windowMs) this.#witnesses.delete(key)
      else if (!except.has(key)) candidates.push(key)
    }
    for (let chosen = 0; chosen < Math.min(count, candidates.length); chosen++) {
      const other = chosen + Math.floor(this.#random() * (candidates.length - chosen))
      const swap = candidates[chosen]
      candidates[chosen] = candidates[other] ?? ''
      candidates[other] = swap ?? ''
    }
    return candidates.slice(0, count)
  }

  async #askWitnesses(keys: string[], budgetMs: number): Promise<{ found: string[], gone: string[] } | Unavailable> {
    const outcomes: Outcome[] = await Promise.all(keys.map(async key => this.#source.lookup(key, budgetMs)))
    const found: string[] = []
    const gone: string[] = []
    for (const [index, outcome] of outcomes.entries()) {
      const key = keys[index] ?? ''
      switch (outcome.kind) {
        case 'found':
          this.#witnesses.set(key, this.#clock.now())
          found.push(key)
          break
        case 'absent':
          gone.push(key)
          break
        case 'unavailable':
          return outcome
        default: outcome satisfies never
      }
    }
    return { found, gone }
  }

  #enter(trusted: boolean, gone: number): void {
    this.#gone = gone
    this.#cancelRecheck()
    if (!trusted) {
      this.#cancelRecheck = this.#clock.after(recheckMs, () => {
        void this.#joinCheck(recheckBudgetMs).then(believed => {
          if (typeof believed !== 'boolean') this.#enter(false, this.#gone)
        })
      })
    }
    if (trusted === this.#trusted) return
    this.#trusted = trusted
    this.#since = this.#clock.now()
    this.#onChange(this.state)
  }
}

const distrusted = unavailable('distrusted', 'the table has lost too many keys that it had: not believed until it is whole again')
