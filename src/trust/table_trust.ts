/**
 * Whether one table may be believed when it says absent, judged for each server
 * by itself: behind a name, a VIP or a balancer stand several, and one of them
 * may be empty, half restored or behind.
 *
 * A server that says absent must show that its table is whole, by a known key that
 * is asked on the same connection right then. If that one is missing too, more
 * known keys are asked; if too many are missing, or the table was created anew, a
 * doubt begins (table_doubts.ts), and the server is not believed until it ends. The known
 * keys are what the caches hold: there is no list of witnesses beside them. A table
 * with too few of them to judge by takes over the doubt of the others in its
 * database. Where nothing is known of a table yet, its word counts, once all that is
 * known has been read (upkeep/evidence.ts).
 */
import { absent, unavailable } from '../outcome.js'
import type { Unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import type { Answer, AskOptions, HeldSource, Source } from '../tables/source.js'
import type { Canary } from './canary.js'
import { allowedShrink, isShrunk, maxDoubtKeys } from './doubt.js'
import type { Doubt, DoubtCause } from './doubt.js'
import { TableDoubts } from './table_doubts.js'

export type TrustSettings = {
  /** A larger share of known keys missing begins a doubt; 1 switches that off. */
  readonly maxShrink: number
  /** Rows count for a while only, by the clock: what was found longer ago than this (ms) is no evidence. */
  readonly evidenceForMs: number
}

export type TrustParts = {
  readonly source: Source
  /** Up to `count` random keys that the caches know as found in this table, verified after `since` (epoch ms). */
  readonly sample: (count: number, since: number) => readonly string[]
  /** By which shares of its keys the table usually shrinks from one copy to the next; left out: nobody knows. */
  readonly losses?: () => readonly number[]
  /** Whether the caches hold all that is known; left out: they do. */
  readonly isEvidenceRead?: () => boolean
  /** Keys that must always be found by the table's servers, whatever map they are of. */
  readonly canaries: readonly Canary[]
  /** What judges the tables of the same database, this one among them. */
  readonly siblings: readonly TableTrust[]
  readonly clock: Clock
  /** Has what this table said to be absent asked again, not repeated. */
  readonly dropAbsences: () => void
  /** Is called for each doubt that begins, or is over; not after `close`. */
  readonly onChange: (server: string, doubt: Doubt, isOver: boolean) => void
}

/** How many known keys are asked when one is missing. */
const sampleSize = 16
/** A table of which fewer keys are known can't be judged by them. */
const fewKeys = 5
/** Whether a table was created anew is asked so often (ms) at most. */
const createdEveryMs = 30_000

/** When a server's tables were created, as it says, and when it was asked (epoch ms; 0: by another process). */
type Created = { readonly text: string, readonly askedAt: number }

/** The row of a key that is known as found in this table. */
export type KnownRow = {
  /** The server whose word it takes to end it; null: any server's will do. */
  readonly giver: string | null
}

export class TableTrust {
  /** When a doubt in the table, or in one beside it, last began or ended (epoch ms). */
  doubtChangedAt = 0
  readonly #settings: TrustSettings
  readonly #parts: TrustParts
  readonly #doubts: TableDoubts
  /** By server. */
  readonly #created = new Map<string, Created>()

  constructor(settings: TrustSettings, parts: TrustParts) {
    this.#settings = settings
    this.#parts = parts
    const { source, clock, siblings, onChange } = parts
    this.#doubts = new TableDoubts({
      source, clock,
      onChange: (server, doubt, isOver) => {
        if (!this.#doubts.isClosed) onChange(server, doubt, isOver)
        // The other tables of the database may have said absent while this one was not in doubt yet.
        for (const table of new Set([this, ...siblings])) {
          table.doubtChangedAt = clock.now()
          table.#parts.dropAbsences()
        }
      },
    })
  }

  /** The share of known keys that may be gone from it; 1 or more: it is not doubted. */
  get maxShrink(): number {
    return allowedShrink(this.#settings.maxShrink, this.#parts.losses?.() ?? [])
  }

  /** The doubts there are, by server. */
  get doubts(): ReadonlyMap<string, Doubt> {
    return this.#doubts.byServer
  }

  /** Whether this server is passed over, and its table not copied now. */
  isDoubted(server: string): boolean {
    return this.doubts.has(server) || this.#parts.canaries.some(canary => canary.isMissingOn(server))
  }

  /** Whether all of its servers are out, as far as tries tell. */
  get isOut(): boolean {
    return (this.#parts.source.outMs?.() ?? null) !== null
  }

  /** When an administrator last said that it is right as it is (epoch ms); 0: never. */
  get trustedAt(): number {
    return this.#doubts.trustedAt
  }

  /** When its tables were created, as each server says. */
  get created(): readonly (readonly [server: string, text: string])[] {
    return [...this.#created].map(([server, { text }]) => [server, text])
  }

  /** What was found before (epoch ms) is no evidence against an absence. */
  get evidenceSince(): number {
    return Math.max(this.trustedAt, this.#parts.clock.now() - this.#settings.evidenceForMs)
  }

  /**
   * Asks for a key until `deadline` (elapsed ms): found, an absence that may be believed, or why there is no answer.
   * `rowOf` is asked when a server says absent. Rejects only for a bug.
   */
  async ask(key: string, deadline: number, rowOf: () => KnownRow | null = () => null): Promise<Answer> {
    const first = this.#checked(await this.#ask(key, deadline, rowOf, { avoid: server => this.isDoubted(server) }))
    const isDistrusted = first.outcome.kind === 'unavailable' && first.outcome.reason === 'distrusted'
    const answer = isDistrusted ? await this.#askElsewhere(first, key, deadline, rowOf) : first
    // Without a server it is the query that no row can answer.
    if (answer.outcome.kind !== 'absent' || answer.server === '') return answer
    const giver = rowOf()?.giver ?? answer.server
    if (giver === answer.server) return answer
    const own = this.#checked(await this.#ask(key, deadline, rowOf, { only: giver }))
    return own.outcome.kind === 'unavailable' ? { outcome: giverAway, server: '' } : own
  }

  /** A doubt in the first server shows only now: asks another one that isn't in doubt, if there is one. */
  async #askElsewhere(first: Answer, key: string, deadline: number, rowOf: () => KnownRow | null): Promise<Answer> {
    const second = this.#checked(await this.#ask(key, deadline, rowOf, {
      avoid: server => server === first.server || this.isDoubted(server),
    }))
    return second.outcome.kind === 'unavailable' ? first : second
  }

  #ask(
    key: string, deadline: number, rowOf: () => KnownRow | null, { avoid, only }: Pick<AskOptions, 'avoid' | 'only'>,
  ): Promise<Answer> {
    const { source, clock } = this.#parts
    return source.ask(key, deadline - clock.elapsed(), {
      avoid, only, onAbsent: (server, held) => this.#judge(server, held, key, rowOf() !== null),
    })
  }

  /** What a server says while a canary is missing there may be from the wrong database. */
  #checked(answer: Answer): Answer {
    const missing = this.#parts.canaries.find(canary => canary.isMissingOn(answer.server))
    return missing === undefined ? answer : { ...answer, outcome: missing.doubt }
  }

  /** A doubt that did not come from a question: a new copy of the table has lost too many keys. */
  doubt(server: string, cause: DoubtCause): void {
    if (!this.doubts.has(server)) this.#doubts.begin(server, this.#newDoubt(cause))
  }

  /** An administrator says that the table is right as it is, on every server. Without a doubt it changes nothing. */
  trust(): void {
    this.#doubts.trust()
  }

  /** Goes on with what another process, or this one before a restart, knew. */
  adopt(
    doubts: Iterable<readonly [server: string, doubt: Doubt]>, trustedAt: number,
    created: Iterable<readonly [server: string, text: string]>,
  ): void {
    this.#doubts.adopt(doubts, trustedAt)
    for (const [name, text] of created) if (!this.#created.has(name)) this.#created.set(name, { text, askedAt: 0 })
  }

  close(): void {
    this.#doubts.close()
  }

  /**
   * Judges the absence of a key by way of the connection that stated it: null if it may be believed. If the key is
   * known, it is the first one that is missing.
   */
  async #judge(server: string, held: HeldSource, key: string, isKnown: boolean): Promise<Unavailable | null> {
    if (this.doubts.has(server)) return doubted
    for (const canary of this.#parts.canaries) {
      const doubt = await canary.checkBy(server, held)
      if (doubt !== null) return doubt
    }
    if (this.maxShrink >= 1) return null
    const siblings = this.#parts.siblings.filter(sibling => sibling !== this)
    if (siblings.some(({ doubts }) => doubts.has(server)) && this.#isSmall(key)) return doubtedBeside
    return await this.#lookForKnown(server, held, siblings, key, isKnown) ?? this.#lookWhetherCreated(server, held)
  }

  /** Whether too few keys are known to judge the table by them. */
  #isSmall(except?: string): boolean {
    return this.#sample(fewKeys, except).length < fewKeys
  }

  #sample(count: number, except?: string): readonly string[] {
    const { sample } = this.#parts
    const keys = sample(count, this.evidenceSince)
    if (except === undefined || !keys.includes(except)) return keys
    return sample(count + 1, this.evidenceSince).filter(key => key !== except).slice(0, count)
  }

  /**
   * Asks for one known key: if it is there, the table is whole as far as one key can tell. Else it asks for more, and
   * for those of the `siblings` where too few are known; if too many are missing, a doubt begins. `isOneMissing`: the
   * key of `except` is known and missing already.
   */
  async #lookForKnown(
    server: string, held: HeldSource, siblings: readonly TableTrust[], except?: string, isOneMissing = false,
  ): Promise<Unavailable | null> {
    const [first] = isOneMissing ? [except] : this.#sample(1, except)
    const outcome = isOneMissing || first === undefined ? absent : await held.again(first, this.#parts.source)
    if (outcome.kind !== 'absent') return outcome.kind === 'found' ? null : outcome
    const more = this.#sample(sampleSize, except).filter(key => key !== first)
    const asked = more.length + (first === undefined ? 0 : 1)
    const verdict = asked < fewKeys ? await this.#judgeBySiblings(siblings, server, held) : null
    if (verdict !== null && verdict !== 'whole') return verdict
    let missing = asked - more.length
    for (const key of more) {
      const outcome = await held.again(key, this.#parts.source)
      if (outcome.kind === 'unavailable') return outcome
      if (outcome.kind === 'absent') missing++
    }
    if (isShrunk(missing, asked, this.maxShrink)) {
      this.doubt(server, 'shrunk')
      return doubted
    }
    // Nothing has shown that it is whole.
    return missing === asked && verdict === null && this.#parts.isEvidenceRead?.() === false ? unread : null
  }

  /** The tables of one database stand and fall together, where one of them can't be judged alone; null: nor can all. */
  async #judgeBySiblings(
    siblings: readonly TableTrust[], server: string, held: HeldSource,
  ): Promise<Unavailable | 'whole' | null> {
    for (const sibling of siblings) {
      if (sibling.maxShrink >= 1 || sibling.#isSmall()) continue
      const doubt = await sibling.#lookForKnown(server, held, [])
      if (doubt === null) return 'whole'
      // An account that may not read that table says nothing about it.
      if (doubt.reason !== 'query-error') return doubt === doubted ? doubtedBeside : doubt
    }
    return null
  }

  /** A table that was created anew since the last look is not believed until its known keys are back. */
  async #lookWhetherCreated(server: string, held: HeldSource): Promise<Unavailable | null> {
    const now = this.#parts.clock.now()
    const before = this.#created.get(server)
    if (before !== undefined && now >= before.askedAt && now - before.askedAt < createdEveryMs) return null
    // Others who ask meanwhile need not.
    if (before !== undefined) this.#created.set(server, { ...before, askedAt: now })
    const text = await held.createdAt()
    if (text === null) return null
    this.#created.set(server, { text, askedAt: now })
    if (before === undefined || before.text === text || this.doubts.has(server)) return null
    const doubt = this.#newDoubt('recreated')
    if (doubt.keys.length === 0) return null
    // It may have been an ALTER or OPTIMIZE: it is checked at once.
    this.#doubts.begin(server, doubt, 0)
    return doubted
  }

  #newDoubt(cause: DoubtCause): Doubt {
    return { cause, since: this.#parts.clock.now(), keys: this.#sample(maxDoubtKeys), missing: null }
  }
}

const giverAway = unavailable('distrusted', 'a server lacks a row that another one gave, which can\'t be asked now')
const unread = unavailable('distrusted', 'no known key is there, and what was known before could not be read')
const doubted =
  unavailable('distrusted', 'the table lacks too many keys that it had: it is not believed until they are back')
const doubtedBeside = unavailable('distrusted',
  'another table of its database lacks too many keys that it had, and of this one few keys are known')
