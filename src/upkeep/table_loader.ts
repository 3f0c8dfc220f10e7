/**
 * Keeps a map's table in the caches: loads it at start, at intervals, and on
 * request. A load that fails takes nothing away, and is tried again soon.
 * While the table's server is not believed, nothing is loaded from it.
 */
import { bugOf, messageOf } from '../log.js'
import type { Table } from '../tables/open.js'
import { findListing, loadTable, memoryTarget, redisTarget } from './load_table.js'
import type { LoadTarget, LoadTurn } from './load_table.js'
import { statement } from '../caches/entry.js'
import type { RedisAnswers } from '../caches/redis.js'
import type { Config, RedisSettings } from '../config/config.js'
import type { Log } from '../log.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import { systemClock } from '../runtime/clock.js'
import type { Clock } from '../runtime/clock.js'
import { describeListing, orderedListing } from '../tables/ordered_listing.js'
import type { Canary } from '../trust/canary.js'

/** How far the load of a map's table is; times are epoch ms. */
export type LoadState = {
  /** waiting: for its turn. elsewhere: another node loads. */
  readonly state: 'idle' | 'waiting' | 'loading' | 'elsewhere'
  /** Of the load under way, or of the last one here. */
  readonly rows: number
  readonly keys: number
  readonly startedAt: number | null
  /** When the last complete load began, on any node; null: there was none. */
  readonly loadedAt: number | null
  /** Rows that this node has read since its start. */
  readonly totalRows: number
  readonly failures: number
  /** Why the last attempt failed; '' if it did not. */
  readonly problem: string
}

export type LoaderParts = {
  readonly table: Table
  readonly target: LoadTarget
  /** `auto`, or a query that gives keys and answers. */
  readonly warm: string
  readonly everyMs: number
  /** Finds out whether the table's server is believed: null if it is, else why not. Never rejects. */
  readonly check: () => Promise<string | null>
  /** The same, as far as it is known now. */
  readonly doubt: () => string | null
  /** Nothing is loaded before this resolves. */
  readonly ready: Promise<unknown>
  /** Loads of several maps take turns. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  /** `left`: keys for which there was no room. */
  readonly onLoaded: (state: LoadState, tookMs: number, left: number) => void
  readonly onProblem: (problem: string) => void
  readonly clock: Clock
  /** In [0, 1); spreads the times of nodes and maps. */
  readonly random: () => number
}

/** Whether a load is due is looked at so often (ms); one that failed is tried again then. */
const lookMs = 60_000
/** Maps and nodes differ by up to this share of their intervals. */
const jitter = 0.1

type Attempt =
  | { readonly kind: 'not-due' | 'elsewhere', readonly loadedAt: number | null }
  | { readonly kind: 'loaded', readonly loadedAt: number, readonly left: number }
  | { readonly kind: 'failed', readonly problem: string }

export class TableLoader {
  readonly #parts: LoaderParts
  readonly #spread: number
  #state: LoadState = {
    state: 'idle', rows: 0, keys: 0, startedAt: null, loadedAt: null, totalRows: 0, failures: 0, problem: '',
  }
  /** A load is wanted now, due or not. */
  #isRequested = false
  #isRunning = false
  #isClosed = false
  #cancelLook: () => void = () => undefined

  /** Starts as soon as `ready` allows. */
  constructor(parts: LoaderParts) {
    this.#parts = parts
    this.#spread = 1 + jitter * (2 * parts.random() - 1)
    void parts.ready.then(() => this.#look())
  }

  get state(): LoadState {
    return this.#state
  }

  /** Has the table loaded now; after the load under way, if there is one. */
  load(): void {
    this.#isRequested = true
    if (this.#state.state !== 'loading') this.#set({ state: 'waiting' })
    void this.#look()
  }

  /** The load under way ends with its next batch. */
  close(): void {
    this.#isClosed = true
    this.#cancelLook()
  }

  #set(changes: Partial<LoadState>): void {
    this.#state = { ...this.#state, ...changes }
  }

  async #look(): Promise<void> {
    if (this.#isRunning || this.#isClosed) return
    this.#cancelLook()
    this.#isRunning = true
    await this.#parts.inTurn(() => this.#loadIfDue())
    this.#isRunning = false
    this.#lookLater()
  }

  #lookLater(): void {
    if (this.#isClosed) return
    const delayMs = this.#isRequested ? 0 : lookMs * this.#spread
    this.#cancelLook = this.#parts.clock.after(delayMs, () => void this.#look())
  }

  async #loadIfDue(): Promise<void> {
    if (this.#isClosed) return
    const { clock, target } = this.#parts
    const startedAt = clock.now()
    const isRequested = this.#isRequested
    this.#isRequested = false
    const attempt = await this.#attempt(isRequested)
      .catch((error: unknown): Attempt => ({ kind: 'failed', problem: `${target.name}: ${messageOf(error)}` }))
    this.#conclude(attempt, clock.now() - startedAt)
  }

  #conclude(attempt: Attempt, tookMs: number): void {
    if (this.#isClosed) return
    const { onLoaded, onProblem } = this.#parts
    const rest = this.#isRequested ? 'waiting' : 'idle'
    switch (attempt.kind) {
      case 'failed':
        this.#set({ state: rest, problem: attempt.problem, failures: this.#state.failures + 1 })
        return onProblem(attempt.problem)
      case 'loaded':
        this.#set({ state: rest, problem: '', loadedAt: attempt.loadedAt })
        return onLoaded(this.#state, tookMs, attempt.left)
      case 'not-due':
        return this.#set({ state: rest, problem: '', loadedAt: attempt.loadedAt })
      case 'elsewhere':
        return this.#set({ state: 'elsewhere', problem: '', loadedAt: attempt.loadedAt })
      default: attempt satisfies never
    }
  }

  async #attempt(isRequested: boolean): Promise<Attempt> {
    const { target } = this.#parts
    const loadedAt = await target.loadedAt()
    if (!isRequested && !this.#isDue(loadedAt)) return { kind: 'not-due', loadedAt }
    const turn = await target.takeTurn()
    if (turn === null) return { kind: 'elsewhere', loadedAt }
    return this.#loadTable(turn).finally(() => turn.end())
  }

  async #loadTable(turn: LoadTurn): Promise<Attempt> {
    const { table, warm, check, doubt, clock } = this.#parts
    const objection = (): string | null => this.#isClosed ? 'stopping' : doubt() ?? turn.objection()
    const listing = await check() ?? await findListing(table, warm)
    if (typeof listing === 'string') return { kind: 'failed', problem: listing }
    const startedAt = clock.now()
    this.#set({ state: 'loading', rows: 0, keys: 0, startedAt })
    let left = 0
    const problem = await loadTable({
      table, listing, objection,
      write: async (entries, server) => { left += await turn.write(entries, startedAt, server) },
      onProgress: (rows, keys) => {
        const { state } = this
        this.#set({ rows: state.rows + rows, keys: state.keys + keys, totalRows: state.totalRows + rows })
      },
    })
    if (problem !== null) return { kind: 'failed', problem }
    await turn.finish(startedAt)
    return { kind: 'loaded', loadedAt: startedAt, left }
  }

  #isDue(loadedAt: number | null): boolean {
    const ageMs = loadedAt === null ? Infinity : this.#parts.clock.now() - loadedAt
    // An age below zero comes from a clock that was set back: how old the load is can't be known.
    return ageMs < -lookMs || ageMs >= this.#parts.everyMs * this.#spread
  }
}

/** By the name of the map. */
export type Loaders = ReadonlyMap<string, TableLoader>

export type LoadersParts = {
  readonly config: Config
  readonly maps: readonly MysqlMap[]
  readonly redis: { readonly settings: RedisSettings, readonly cache: Pick<RedisAnswers, 'client' | 'tried'> } | null
  /** By the `authority` of the tables. */
  readonly canaries: ReadonlyMap<string, readonly Canary[]>
  /** Of the configuration before this one. */
  readonly previous: { readonly maps: Maps, readonly loaders: Loaders } | null
  readonly log: Log
}

const canaryBudgetMs = 2_000

/** They begin once Redis, if there is one, has been reached or has failed once. One of them loads at a time. */
export const openLoaders = (parts: LoadersParts): Loaders => {
  const { log } = parts
  let loading = Promise.resolve()
  const inTurn = (work: () => Promise<void>): Promise<void> => loading = loading.then(work)
    .catch((error: unknown) => log.error(bugOf(error)))
  const loaders = new Map<string, TableLoader>()
  for (const map of parts.maps) {
    const loader = openLoader(map, parts, inTurn)
    if (loader !== null) loaders.set(map.name, loader)
  }
  return loaders
}

const openLoader = (
  map: MysqlMap, parts: LoadersParts, inTurn: (work: () => Promise<void>) => Promise<void>,
): TableLoader | null => {
  const { name, trust, config: { warm } } = map
  const { config, redis, log } = parts
  const [table, ...others] = map.tables
  if (warm === null || table === undefined) return null
  if (warm === 'auto' && !logListing(name, table, log)) return null
  if (others.length > 0) log.info(`map ${name}: warm: only the first of its ${others.length + 1} tables is loaded`)
  const target = targetOf(map, parts)
  const canaries = parts.canaries.get(table.authority) ?? []
  const doubt = (): string | null => canaries.find(({ state }) => state.missing)?.doubt.detail
    ?? (trust.doubts.length === 0 ? null : 'the table is in doubt')
  return new TableLoader({
    table, target, warm, everyMs: config.file.warm_every,
    check: async () => {
      const missing = await Promise.all(canaries.map(canary => canary.check(canaryBudgetMs)))
      return missing.find(each => each !== null)?.detail ?? doubt()
    },
    doubt,
    ready: redis?.cache.tried ?? Promise.resolve(), clock: systemClock, random: Math.random, inTurn,
    onLoaded: ({ rows, keys }, took_ms, left) => {
      const noRoom = left === 0 ? '' : `; there was no room for ${left} of them (memory.entries, memory.bytes)`
      log.info(
        `map ${name}: warm: ${keys} keys of ${rows} rows loaded into ${target.name}${noRoom}`, { map: name, took_ms },
      )
    },
    onProblem: problem => log.repeated(`warm ${name}`, `map ${name}: warm: not loaded: ${problem}`, { map: name }),
  })
}

/** Whether the table of a map with `warm: auto` can be listed. */
const logListing = (name: string, { definition }: Table, log: Log): boolean => {
  const listing = typeof definition.listing === 'string' ? definition.listing : orderedListing(definition.listing)
  if (typeof listing === 'string') {
    log.warn(`map ${name}: warm: auto: its keys can't be listed: ${listing}; name a query that gives keys and answers, `
      + 'or remove this')
    return false
  }
  log.info(`map ${name}: warm: auto: ${describeListing(listing)}`)
  return true
}

/** Redis if the map uses it, else memory. */
const targetOf = (map: MysqlMap, { redis, previous }: LoadersParts): LoadTarget => {
  const { name, identity, lookup, memory, config: { warm, lifetimes } } = map
  if (map.redis !== null && redis !== null) {
    return redisTarget({
      client: redis.cache.client, redis: redis.settings, map: identity, warm: warm ?? '',
      keepMs: Math.max(lifetimes.staleForMs, lifetimes.freshForMs),
    })
  }
  const earlier = previous?.maps.get(name)
  // A memory that was taken over has the table in it.
  const isTakenOver = earlier?.kind === 'mysql' && earlier.memory === memory && earlier.config.warm === warm
  return memoryTarget(({ key, outcome }, verifiedAt, server) => {
    const known = memory.peekFound(key)
    const hasRoom = known !== undefined || memory.hasRoom()
    // A load does not count as somebody asking for the key.
    if (hasRoom) lookup.known.adopt(key, statement(outcome, verifiedAt, 0, server), known?.askedAt ?? 0)
    return hasRoom
  }, isTakenOver ? previous?.loaders.get(name)?.state.loadedAt ?? null : null)
}
