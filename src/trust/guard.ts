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
 * In doubt, all witnesses are asked every few seconds, and until they are
 * found again each absence is refused at once.
 *
 * Bugs: with fewer than two known keys nothing can be told from a normal
 * deletion; a canary covers that. A key that is not known here is believed
 * absent if it was asked for just before a lost table was whole again and the
 * witnesses just after.
 */
import type { Outcome, Unavailable } from '../outcome.js'
import { absent, unavailable } from '../outcome.js'
import type { Source } from '../tables/source.js'
import type { Canary } from './canary.js'
import type { Clock } from '../runtime/clock.js'

export type GuardSettings = {
  /** More than this share of the witnesses gone: the table is not believed. 1 switches the guard off. */
  readonly maxShrink: number
  /** A key counts as a witness for so long (ms) after it was last found. */
  readonly windowMs: number
  /** Keys that must be found on the same server, whatever map they are of. */
  readonly canaries: readonly Canary[]
}

export type GuardState = { readonly trusted: boolean, readonly since: number, readonly witnesses: number, readonly gone: number }

/** How many witnesses are kept. */
const maxWitnesses = 64
/** How many are asked: normally, once a second, and when one is gone or the absent key itself was known. */
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
  #isClosed = false
  #since: number
  #gone = 0
  #sampledAt = -Infinity
  /** The next check is to be a thorough one: a known key was said to be absent. */
  #thorough = false
  /** When an operator last vouched for the table (epoch ms): what was found before then is no evidence. */
  #vouchedAt = -Infinity
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

  /** Asks for the canaries anew: null if all are there, else why nothing of this server counts. Settles within `budgetMs`. */
  async checkCanaries(budgetMs: number): Promise<Unavailable | null> {
    const doubts = await Promise.all(this.#settings.canaries.map(canary => canary.check(budgetMs)))
    return doubts.find(doubt => doubt !== null) ?? null
  }

  /** The table just said found for this key. */
  noteFound(key: string): void {
    if (!this.#witnesses.has(key)) {
      // In doubt, the old ones decide: a table that has lost half is not whole because the other half is found.
      if (!this.#trusted) return
      if (this.#witnesses.size >= maxWitnesses) {
        // Keep the set mixed: mostly steady, now and then a newer key for the oldest one.
        if (this.#random() > 0.1) return
        for (const oldest of this.#witnesses.keys()) {
          this.#witnesses.delete(oldest)
          break
        }
      }
    }
    this.#witnesses.delete(key)
    this.#witnesses.set(key, this.#clock.now())
  }

  /**
   * The table just said absent for `key`, which it last said found for at
   * `foundAt` (epoch ms; null if that isn't known), with `budgetMs` of time
   * left: absent if that can be believed, else 'distrusted', or whatever kept
   * the witnesses from being asked. Found, if the table says so when asked again.
   */
  async judgeAbsent(key: string, foundAt: number | null, budgetMs: number): Promise<Outcome> {
    const { maxShrink, canaries } = this.#settings
    if (maxShrink >= 1 && canaries.length === 0) return absent
    // The recheck alone ends the doubt. Sample upon sample would, by chance, find a half-lost table whole.
    if (!this.#trusted) return distrusted
    const until = this.#clock.now() + budgetMs
    const wasKnown = foundAt !== null && foundAt > this.#vouchedAt
    if (wasKnown) {
      this.#thorough = true
      if (this.#witnesses.size < maxWitnesses && !this.#witnesses.has(key)) this.#witnesses.set(key, foundAt)
    }
    const believed = await this.#joinCheck(budgetMs)
    if (believed !== true) return believed === false ? distrusted : believed
    // Its absence may be from before a restore, and the witnesses from after it.
    const again = wasKnown ? await this.#askAgain(key, until) : absent
    if (again.kind === 'absent') this.#witnesses.delete(key)
    return again
  }

  /** An operator vouches for the table as it is now. */
  trust(): void {
    this.#witnesses.clear()
    this.#vouchedAt = this.#clock.now()
    this.#enter(true, 0)
  }

  /** Goes on with what the guard of an earlier configuration knows of the same table. */
  inherit(earlier: Guard): void {
    for (const [key, foundAt] of earlier.#witnesses) this.#witnesses.set(key, foundAt)
    this.#vouchedAt = earlier.#vouchedAt
    this.#since = earlier.#since
    this.#trusted = earlier.#trusted
    this.#enter(earlier.#trusted, earlier.#gone)
  }

  /** Asks and tells nothing more of itself, also if a check is under way; what is asked of it, it still answers. */
  close(): void {
    this.#isClosed = true
    this.#cancelRecheck()
  }

  #askAgain(key: string, until: number): Outcome | Promise<Outcome> {
    const budgetMs = until - this.#clock.now()
    return budgetMs > 0 ? this.#source.lookup(key, budgetMs) : unavailable('timeout', 'no time left to ask again')
  }

  #joinCheck(budgetMs: number): Promise<boolean | Unavailable> {
    this.#next ??= (() => {
      const check = this.#running.then(() => {
        this.#next = null
        return this.#check(budgetMs)
      })
      // One that fails by a bug must not fail all that come after it.
      this.#running = check.catch(() => undefined)
      return check
    })()
    return this.#next
  }

  /** True: believe. False: the table has shrunk. Unavailable: the witnesses could not be asked. */
  async #check(budgetMs: number): Promise<boolean | Unavailable> {
    const unsound = await this.checkCanaries(budgetMs)
    if (unsound !== null) return unsound
    if (this.#settings.maxShrink >= 1) return true
    const startedAt = this.#clock.now()
    const vouchedAt = this.#vouchedAt
    const known = this.#witnesses.size
    const asked = new Set<string>()
    const gone: string[] = []
    let doubt = false
    // A few are asked; more when one of these is gone; all before the table is no longer believed, or is again.
    for (const count of this.#trusted ? [this.#firstSample(startedAt), fullSample, known] : [known]) {
      const answers = await this.#askWitnesses(this.#pick(count, asked), startedAt + budgetMs)
      if ('kind' in answers) return answers
      // An operator has vouched for the table meanwhile: these witnesses count no more.
      if (vouchedAt !== this.#vouchedAt) return true
      const isFirst = asked.size === 0
      for (const key of [...answers.found, ...answers.gone]) asked.add(key)
      gone.push(...answers.gone)
      doubt = this.#isShrunk(gone.length, asked.size)
      if (!(doubt || (isFirst && gone.length > 0))) break
    }
    if (doubt || !this.#trusted) this.#enter(!doubt, gone.length)
    if (!doubt) for (const key of gone) this.#witnesses.delete(key)
    return !doubt
  }

  #firstSample(now: number): number {
    const thorough = this.#thorough
    this.#thorough = false
    if (!thorough && now - this.#sampledAt < sampleEveryMs) return quickSample
    this.#sampledAt = now
    return thorough ? fullSample : sample
  }

  #isShrunk(gone: number, asked: number): boolean {
    const share = gone / Math.max(1, asked)
    const limit = this.#settings.maxShrink
    // Once distrusted, it takes clearly better evidence to believe again.
    return this.#trusted ? gone >= minGone && share > limit : share > limit / 2
  }

  #pick(count: number, except: ReadonlySet<string>): string[] {
    const oldest = this.#clock.now() - this.#settings.windowMs
    const candidates: string[] = []
    for (const [key, foundAt] of this.#witnesses) {
      // In doubt, nobody leaves: a table that stays empty for longer than the window is no better for it.
      if (this.#trusted && foundAt < oldest) this.#witnesses.delete(key)
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

  /** Asks for `keys`, a few at a time, until `until` (epoch ms). */
  async #askWitnesses(keys: string[], until: number): Promise<{ found: string[], gone: string[] } | Unavailable> {
    const found: string[] = []
    const gone: string[] = []
    for (let start = 0; start < keys.length; start += fullSample) {
      const budgetMs = until - this.#clock.now()
      if (budgetMs <= 0) return unavailable('timeout', 'no time left to ask for known keys')
      const some = keys.slice(start, start + fullSample)
      const outcomes: Outcome[] = await Promise.all(some.map(async key => this.#source.lookup(key, budgetMs)))
      for (const [index, outcome] of outcomes.entries()) {
        const key = some[index] ?? ''
        switch (outcome.kind) {
          case 'found':
            if (this.#witnesses.has(key)) this.#witnesses.set(key, this.#clock.now())
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
    }
    return { found, gone }
  }

  #enter(trusted: boolean, gone: number): void {
    this.#gone = gone
    this.#cancelRecheck()
    if (!trusted && !this.#isClosed) {
      this.#cancelRecheck = this.#clock.after(recheckMs, () => {
        void this.#joinCheck(recheckBudgetMs).then(believed => {
          if (typeof believed !== 'boolean' && !this.#trusted) this.#enter(false, this.#gone)
        }, () => this.#enter(this.#trusted, this.#gone))
      })
    }
    if (trusted === this.#trusted) return
    this.#trusted = trusted
    this.#since = this.#clock.now()
    if (!this.#isClosed) this.#onChange(this.state)
  }
}

const distrusted = unavailable('distrusted', 'the table has lost too many keys that it had: not believed until it is whole again')
