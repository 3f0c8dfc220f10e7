/**
 * Whether one table may be believed when it says absent, judged for each server
 * by itself: behind a name, a VIP or a balancer stand several, and one of them
 * may be empty, half restored or behind.
 *
 * A server that says absent must show that its table is whole, by a known key that
 * is asked on the same connection right then. If that one is missing too, more
 * known keys are asked; if too many are missing, a doubt begins (doubt.ts), and the
 * server is not believed until it ends. The known keys are what the caches hold:
 * there is no list of witnesses beside them. Where nothing is known of a table yet,
 * its word counts.
 */
import { unavailable } from '../outcome.js'
import type { Outcome, Unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import type { Answer, Source } from '../tables/source.js'
import type { Canary } from './canary.js'
import { isShrunk, maxDoubtKeys, recheck } from './doubt.js'
import type { Doubt, DoubtCause } from './doubt.js'

export type TrustSettings = {
  /** A larger share of known keys missing begins a doubt; 1 switches that off. */
  readonly maxShrink: number
}

export type TrustParts = {
  readonly source: Source
  /** Up to `count` random keys that the caches know as found in this table, verified after `since` (epoch ms). */
  readonly sample: (count: number, since: number) => readonly string[]
  /** Keys that must always be found by the table's servers, whatever map they are of. */
  readonly canaries: readonly Canary[]
  readonly clock: Clock
  /** Is told of each doubt that begins, ends, or is checked again. */
  readonly onChange: (server: string, doubt: Doubt | null, before: Doubt | null) => void
}

/** How many known keys are asked when one is missing. */
const sampleSize = 16
/** While there is a doubt, its keys are asked again so often (ms), so many at once. */
const recheckMs = 5_000
const recheckBudgetMs = 4_000
const atOnce = 8

export class TableTrust {
  readonly #settings: TrustSettings
  readonly #parts: TrustParts
  /** By server. */
  readonly #doubts = new Map<string, Doubt>()
  /**
   * When an administrator last said that the table is right as it is (epoch ms): what was found before is no evidence.
   */
  #trustedAt = 0
  #cancelRecheck: (() => void) | null = null
  #isClosed = false

  constructor(settings: TrustSettings, parts: TrustParts) {
    this.#settings = settings
    this.#parts = parts
  }

  /** The doubts there are, by server. */
  get doubts(): ReadonlyMap<string, Doubt> {
    return this.#doubts
  }

  get trustedAt(): number {
    return this.#trustedAt
  }

  /**
   * Asks for a key until `deadline` (epoch ms): found, an absence that may be believed, or why there is no answer.
   * Rejects only for a bug.
   */
  async ask(key: string, deadline: number): Promise<Answer> {
    const { source, clock, canaries } = this.#parts
    // What the servers say while a canary is missing may be from the wrong database.
    for (const { doubt } of canaries) if (doubt !== null) return { outcome: doubt, server: '' }
    const judged: { doubt: Unavailable | null } = { doubt: null }
    const answer = await source.ask(key, deadline - clock.now(), {
      avoid: server => this.#doubts.has(server),
      onAbsent: async (server, again) => { judged.doubt = await this.#lookAt(server, again, key, deadline) },
    })
    return judged.doubt === null ? answer : { ...answer, outcome: judged.doubt }
  }

  /** A doubt that did not come from a question: a new copy, or a table that was created anew. */
  doubt(server: string, cause: DoubtCause): void {
    if (!this.#doubts.has(server)) this.#enter(server, this.#newDoubt(cause))
  }

  /** An administrator says that the table is right as it is, on every server. Without a doubt it changes nothing. */
  trust(): void {
    if (this.doubts.size === 0) return
    this.#trustedAt = this.#parts.clock.now()
    for (const server of [...this.#doubts.keys()]) this.#enter(server, null)
  }

  /** Goes on with what another process, or this one before a restart, knew. */
  adopt(doubts: Iterable<readonly [server: string, doubt: Doubt]>, trustedAt: number): void {
    this.#trustedAt = Math.max(this.#trustedAt, trustedAt)
    for (const [server, doubt] of doubts) {
      if (doubt.since > this.#trustedAt && !this.#doubts.has(server)) this.#enter(server, doubt)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#cancelRecheck?.()
  }

  /** Looks at the table by way of the connection that just said absent: null if that may be believed. */
  async #lookAt(
    server: string, again: (key: string) => Promise<Outcome>, key: string, deadline: number,
  ): Promise<Unavailable | null> {
    const { sample, canaries, clock } = this.#parts
    if (this.#doubts.has(server)) return doubted
    for (const canary of canaries) {
      const doubt = await canary.check(deadline - clock.now())
      if (doubt !== null) return doubt
    }
    if (this.#settings.maxShrink >= 1) return null
    const known = sample(sampleSize + 1, this.#trustedAt).filter(each => each !== key).slice(0, sampleSize)
    let missing = 0
    for (const [index, each] of known.entries()) {
      const outcome = await again(each)
      if (outcome.kind === 'unavailable') return outcome
      if (outcome.kind === 'absent') missing++
      // The first one is there: the table is whole as far as one key can tell.
      else if (index === 0) break
    }
    if (isShrunk(missing, known.length, this.#settings.maxShrink)) {
      this.#enter(server, this.#newDoubt('shrunk'))
      return doubted
    }
    return null
  }

  #newDoubt(cause: DoubtCause): Doubt {
    const { sample, clock } = this.#parts
    return { cause, since: clock.now(), keys: sample(maxDoubtKeys, this.#trustedAt), missing: null }
  }

  #enter(server: string, doubt: Doubt | null): void {
    const before = this.#doubts.get(server) ?? null
    if (doubt === null) this.#doubts.delete(server)
    else this.#doubts.set(server, doubt)
    if (!this.#isClosed && (doubt !== null || before !== null)) this.#parts.onChange(server, doubt, before)
    this.#planRecheck()
  }

  #planRecheck(): void {
    if (this.#isClosed || this.#cancelRecheck !== null || this.doubts.size === 0) return
    this.#cancelRecheck = this.#parts.clock.after(recheckMs, () => {
      void this.#recheckAll().finally(() => {
        this.#cancelRecheck = null
        this.#planRecheck()
      })
    })
  }

  async #recheckAll(): Promise<void> {
    for (const [server, doubt] of [...this.#doubts]) {
      const missing = await this.#countMissing(server, doubt.keys)
      // Meanwhile an administrator may have ended it.
      if (missing !== null && this.#doubts.get(server) === doubt) this.#enter(server, recheck(doubt, missing))
    }
  }

  /** How many of the keys this server misses; null if it can't be asked. */
  async #countMissing(server: string, keys: readonly string[]): Promise<number | null> {
    const { source, clock } = this.#parts
    const until = clock.now() + recheckBudgetMs
    let missing = 0
    for (let start = 0; start < keys.length; start += atOnce) {
      const answers = await Promise.all(keys.slice(start, start + atOnce)
        .map(key => source.ask(key, until - clock.now(), { only: server })))
      for (const { outcome } of answers) {
        if (outcome.kind === 'unavailable') return null
        if (outcome.kind === 'absent') missing++
      }
    }
    return missing
  }
}

const doubted =
  unavailable('distrusted', 'the table lacks too many keys that it had: it is not believed until they are back')
