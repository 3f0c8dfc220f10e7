/**
 * Keeps a map's table in the caches: loads it at start, at intervals, and on
 * request. A load that fails takes nothing away, and is tried again soon.
 * While the table's server is not believed, nothing is loaded from it.
 */
import { messageOf } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import type { Table } from '../tables/open.js'
import { loadTable, findListing } from './load_table.js'
import type { LoadTarget, LoadTurn } from './load_target.js'

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
  #state: LoadState = { state: 'idle', rows: 0, keys: 0, startedAt: null, loadedAt: null, totalRows: 0, failures: 0, problem: '' }
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
      write: async entries => { left += await turn.write(entries, startedAt) },
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
