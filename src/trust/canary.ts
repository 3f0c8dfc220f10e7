/**
 * A key that must always be found. While the server says that it is absent,
 * something is wrong with the whole server (an empty replica, the wrong
 * database, a restore under way), and every map on it counts as unavailable.
 *
 * It is asked on an interval, and anew before any absence from its server is believed.
 */
import type { Outcome, Unavailable } from '../outcome.js'
import { absent, unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import { askInOrder } from '../tables/source.js'
import type { HeldSource, Source } from '../tables/source.js'

export type CanaryState = { readonly map: string, readonly missing: boolean, readonly since: number }

const askEveryMs = 10_000
const budgetMs = 2_000

export class Canary {
  readonly #sources: readonly Source[]
  readonly #key: string
  readonly #map: string
  readonly #clock: Clock
  readonly #onChange: (state: CanaryState) => void
  #missing = false
  #isClosed = false
  #since: number
  #cancel: () => void

  /** `key` is folded, `sources` are the map's tables. Starts at once. */
  constructor(
    map: string, key: string, sources: readonly Source[], clock: Clock, onChange: (state: CanaryState) => void,
  ) {
    this.#sources = sources
    this.#key = key
    this.#map = map
    this.#clock = clock
    this.#onChange = onChange
    this.#since = clock.now()
    this.#cancel = clock.after(0, () => void this.#askAndAgain())
  }

  get state(): CanaryState {
    return { map: this.#map, missing: this.#missing, since: this.#since }
  }

  /** Asks now: null if the canary is there, else why an absence can't be believed. */
  async check(withinMs: number): Promise<Unavailable | null> {
    return this.#conclude(await askInOrder(this.#sources, this.#key, withinMs))
  }

  /** The same by way of a connection that just stated an absence. */
  async checkBy(held: HeldSource): Promise<Unavailable | null> {
    let outcome: Outcome = absent
    for (const source of this.#sources) {
      outcome = await held.again(this.#key, source)
      if (outcome.kind !== 'absent') break
    }
    return this.#conclude(outcome)
  }

  #conclude(outcome: Outcome): Unavailable | null {
    switch (outcome.kind) {
      case 'found':
        this.#enter(false)
        return null
      case 'absent':
        this.#enter(true)
        return this.doubt
      case 'unavailable':
        // Says nothing about the canary, and the breaker sees to the rest.
        return outcome
      default: return outcome satisfies never
    }
  }

  /** Why nothing of this server counts now; null if the canary was there when last asked. */
  get doubt(): Unavailable | null {
    return this.#missing ? missing : null
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  async #askAndAgain(): Promise<void> {
    await this.check(budgetMs)
    if (!this.#isClosed) this.#cancel = this.#clock.after(askEveryMs, () => void this.#askAndAgain())
  }

  #enter(isMissing: boolean): void {
    if (isMissing === this.#missing) return
    this.#missing = isMissing
    this.#since = this.#clock.now()
    this.#onChange(this.state)
  }
}

const missing = unavailable('distrusted', 'the canary is missing: the server answers, but not with our data')
