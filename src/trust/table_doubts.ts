/**
 * The doubts in one table, by server: from when each begins, its keys are asked again, until they are back or an
 * administrator says that the table is right. What another process knows of them, or this one knew before a restart,
 * counts here too.
 */
import type { Clock } from '../runtime/clock.js'
import type { Source } from '../tables/source.js'
import { recheck } from './doubt.js'
import type { Doubt } from './doubt.js'

export type DoubtsParts = {
  readonly source: Pick<Source, 'ask'>
  readonly clock: Clock
  /** Is called for each doubt that begins, or is over. */
  readonly onChange: (server: string, doubt: Doubt, isOver: boolean) => void
}

/** While there is a doubt, its keys are asked again so often (ms), so many at once. */
const recheckMs = 5_000
const recheckBudgetMs = 4_000
const atOnce = 8
/** A doubt in a server that can't be asked any more (installed anew, it has another identity) ends after this (ms). */
const longestUnheardMs = 7 * 86_400_000

export class TableDoubts {
  readonly #parts: DoubtsParts
  readonly #byServer = new Map<string, Doubt>()
  /** By server, when the doubt that ended last had begun (epoch ms): another process may repeat it. */
  readonly #ended = new Map<string, number>()
  /** When an administrator last said that the table is right as it is (epoch ms). */
  #trustedAt = 0
  /** The latest time that another process gave for that, which its clock may have put into the future. */
  #givenTrustedAt = 0
  #cancelRecheck: (() => void) | null = null
  /** A reload has replaced the table's map, or the process stops; lookups under way may still ask. */
  isClosed = false

  constructor(parts: DoubtsParts) {
    this.#parts = parts
  }

  get byServer(): ReadonlyMap<string, Doubt> {
    return this.#byServer
  }

  /** One that is later than now counts as of now from now on, or nothing would be evidence until then. */
  get trustedAt(): number {
    return this.#trustedAt = Math.min(this.#trustedAt, this.#parts.clock.now())
  }

  /** Begins a doubt, unless there is one; it is checked after so long (ms). */
  begin(server: string, doubt: Doubt, checkInMs = recheckMs): void {
    if (this.#byServer.has(server)) return
    this.#set(server, doubt)
    if (checkInMs < recheckMs) this.#planRecheck(checkInMs)
  }

  /** An administrator says that the table is right as it is, on every server. Without a doubt it changes nothing. */
  trust(): void {
    if (this.#byServer.size === 0) return
    this.#trustedAt = this.#parts.clock.now()
    for (const server of [...this.#byServer.keys()]) this.#set(server, null)
  }

  /** Goes on with what another process, or this one before a restart, knew. */
  adopt(doubts: Iterable<readonly [server: string, doubt: Doubt]>, trustedAt: number): void {
    // What was given before is no news, and nobody says it again by repeating it.
    if (trustedAt > this.#givenTrustedAt) this.#trustedAt = Math.max(this.#trustedAt, trustedAt)
    this.#givenTrustedAt = Math.max(this.#givenTrustedAt, trustedAt)
    for (const [server, doubt] of [...this.#byServer]) if (doubt.since <= this.trustedAt) this.#set(server, null)
    for (const [server, doubt] of doubts) {
      const isNews = doubt.since > this.trustedAt && doubt.since !== this.#ended.get(server)
      if (isNews) this.begin(server, doubt)
    }
  }

  close(): void {
    this.isClosed = true
    this.#cancelRecheck?.()
  }

  #set(server: string, doubt: Doubt | null): void {
    const before = this.#byServer.get(server) ?? null
    if (doubt === null && before !== null) this.#ended.set(server, before.since)
    if (doubt === null) this.#byServer.delete(server)
    else this.#byServer.set(server, doubt)
    const changed = doubt === null ? before : before === null ? doubt : null
    if (changed !== null) this.#parts.onChange(server, changed, doubt === null)
    if (this.#cancelRecheck === null) this.#planRecheck(recheckMs)
  }

  #planRecheck(inMs: number): void {
    this.#cancelRecheck?.()
    this.#cancelRecheck = null
    if (this.isClosed || this.#byServer.size === 0) return
    this.#cancelRecheck = this.#parts.clock.after(inMs, () => {
      void this.#recheckAll().finally(() => this.#planRecheck(recheckMs))
    })
  }

  async #recheckAll(): Promise<void> {
    for (const [server, doubt] of [...this.#byServer]) {
      const missing = await this.#countMissing(server, doubt.keys)
      // Meanwhile an administrator may have ended it.
      if (this.#byServer.get(server) !== doubt) continue
      if (missing !== null) this.#set(server, recheck(doubt, missing))
      else if (this.#parts.clock.now() - doubt.since > longestUnheardMs) this.#set(server, null)
    }
  }

  /** How many of the keys this server misses; null if it can't be asked. */
  async #countMissing(server: string, keys: readonly string[]): Promise<number | null> {
    const { source, clock } = this.#parts
    const until = clock.elapsed() + recheckBudgetMs
    let missing = 0
    for (let start = 0; start < keys.length; start += atOnce) {
      const answers = await Promise.all(keys.slice(start, start + atOnce)
        .map(key => source.ask(key, until - clock.elapsed(), { only: server })))
      if (answers.some(({ outcome }) => outcome.kind === 'unavailable')) return null
      missing += answers.filter(({ outcome }) => outcome.kind === 'absent').length
    }
    return missing
  }
}
