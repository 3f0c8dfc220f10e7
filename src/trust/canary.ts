/**
 * A key that must always be found. While a server says that it is absent,
 * something is wrong with all of that server (an empty replica, the wrong
 * database, a restore under way), and nothing that it says is believed. Behind one
 * address several servers may stand: each is judged by itself, by its identity.
 *
 * It is asked on an interval, and anew before any absence from its server is believed.
 */
import type { Outcome, Unavailable } from '../outcome.js'
import { absent, unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import type { Answer, AskOptions, HeldSource, Source } from '../tables/source.js'

/** `missing`: on some server. */
export type CanaryState = { readonly map: string, readonly missing: boolean, readonly since: number }

const askEveryMs = 10_000
const budgetMs = 2_000
/** A server that could not be asked for so long (ms) is forgotten: it may have another identity by now. */
const forgetMs = 3_600_000

export class Canary {
  readonly #sources: readonly Source[]
  readonly #key: string
  readonly #map: string
  readonly #clock: Clock
  readonly #onChange: (state: CanaryState) => void
  /** The servers on which it is missing, with the time (epoch ms) at which they last said so. */
  readonly #missing = new Map<string, number>()
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
    return { map: this.#map, missing: this.#missing.size > 0, since: this.#since }
  }

  /** Why nothing counts that a server says while it lacks the canary. */
  readonly doubt: Unavailable =
    unavailable('distrusted', 'the canary is missing: the server answers, but not with our data')

  /** Whether it was missing on this server when last asked. */
  isMissingOn(server: string): boolean {
    return this.#missing.has(server)
  }

  /** Asks now, of a server where it is not known to be missing: null if it is there, else why nothing is believed. */
  async check(withinMs: number): Promise<Unavailable | null> {
    const { outcome, server } = await this.#ask(withinMs, { avoid: each => this.isMissingOn(each) })
    return this.#conclude(server, outcome)
  }

  /** The same by way of a connection to `server` that just stated an absence. */
  async checkBy(server: string, held: HeldSource): Promise<Unavailable | null> {
    let outcome: Outcome = absent
    for (const source of this.#sources) {
      outcome = await held.again(this.#key, source)
      if (outcome.kind !== 'absent') break
    }
    return this.#conclude(server, outcome)
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  async #ask(withinMs: number, whom: Pick<AskOptions, 'avoid' | 'only'>): Promise<Answer> {
    const until = this.#clock.elapsed() + withinMs
    let answer: Answer = { outcome: absent, server: '' }
    for (const source of this.#sources) {
      answer = await source.ask(this.#key, until - this.#clock.elapsed(), whom)
      if (answer.outcome.kind !== 'absent') break
    }
    return answer
  }

  #conclude(server: string, outcome: Outcome): Unavailable | null {
    switch (outcome.kind) {
      case 'found':
        this.#note(() => this.#missing.delete(server))
        return null
      case 'absent':
        this.#note(() => this.#missing.set(server, this.#clock.now()))
        return this.doubt
      case 'unavailable':
        // Says nothing about the canary, and the breaker sees to the rest.
        return outcome
      default: return outcome satisfies never
    }
  }

  async #askAndAgain(): Promise<void> {
    await Promise.all([this.check(budgetMs), ...[...this.#missing].map(async ([server, at]) => {
      const { outcome } = await this.#ask(budgetMs, { only: server })
      this.#conclude(server, outcome)
      const isOld = outcome.kind === 'unavailable' && this.#clock.now() - at > forgetMs
      if (isOld) this.#note(() => this.#missing.delete(server))
    })])
    if (!this.#isClosed) this.#cancel = this.#clock.after(askEveryMs, () => void this.#askAndAgain())
  }

  /** Makes a change, and reports it if the canary is missing now and was not, or the other way round. */
  #note(change: () => unknown): void {
    const before = this.state.missing
    change()
    if (this.state.missing === before || this.#isClosed) return
    this.#since = this.#clock.now()
    this.#onChange(this.state)
  }
}
