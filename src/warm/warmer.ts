/**
 * Keeps a map warm: loads its table at start, at intervals, and when it is told
 * to. Of the nodes that share a Redis one does the load; the others look now and
 * then whether it has been done. That is done by a process of its own (apart.ts).
 * Without Redis the table goes into this process's memory.
 *
 * A load that fails takes nothing away. While the table's server isn't believed,
 * nothing is loaded from it.
 */
import type { BulkEntry } from '../caches/bulk.js'
import { connectPatiently } from '../caches/redis_client.js'
import type { Client } from '../caches/redis_client.js'
import type { RedisSettings } from '../config/config.js'
import type { MapIdentity } from '../caches/redis.js'
import type { Clock } from '../runtime/clock.js'
import { messageOf } from '../log.js'
import type { OrderedListing } from '../tables/ordered_listing.js'
import type { Table } from '../tables/open.js'
import { loadApart } from './apart.js'
import type { Apart } from './apart.js'
import type { Told } from './job.js'
import { listOf } from './list_of.js'
import { load } from './table_load.js'
import { readProgress, takeTurn } from './shared.js'

/** Where a map stands; times are epoch ms. */
export type WarmState = {
  /** elsewhere: another node is at it. */
  readonly state: 'idle' | 'waiting' | 'loading' | 'elsewhere'
  /** Of the load under way, or of the last one here. */
  readonly rows: number
  readonly keys: number
  readonly startedAt: number | null
  /** The whole table was last loaded as of then, by whichever node. */
  readonly loadedAt: number | null
  /** Of this node, since its start. */
  readonly totalRows: number
  readonly failures: number
  /** Why the last attempt failed; '' if it didn't. */
  readonly problem: string
}

export type WarmSettings = {
  readonly identity: MapIdentity
  /** A query that lists keys and answers, or `auto`. */
  readonly warm: string
  readonly everyMs: number
  /** Entries are kept for so long. */
  readonly keepMs: number
}

export type WarmParts = {
  readonly table: Table
  /** null: into memory. */
  readonly redis: { readonly client: Client, readonly settings: RedisSettings } | null
  /** Keeps an entry in memory that was verified at epoch ms; false if there is no room. */
  readonly remember: (entry: BulkEntry, verifiedAt: number) => boolean
  /** Finds out whether the table's server is to be believed: null if it is, else why not. */
  readonly check: () => Promise<string | null>
  /** The same, as far as it is known by now. */
  readonly doubt: () => string | null
  /** Nothing starts before then. */
  readonly ready: Promise<unknown>
  readonly clock: Clock
  readonly random: () => number
  /** Loads of several maps take turns. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  /** `left`: keys for which memory had no room. */
  readonly onLoaded: (state: WarmState, tookMs: number, left: number) => void
  readonly onProblem: (problem: string) => void
}

export type Warmer = {
  state(): WarmState
  /** Has it loaded now; after the load under way, if there is one. */
  load(): void
  close(): void
}

/** Whether a load is due is looked at so often (ms); one that failed is tried again then. */
const lookMs = 60_000
/** Maps and nodes keep apart by up to this share of their intervals. */
const jitter = 0.1
/** The node that goes on with a load is told so often (ms) how far it is. */
const noteEveryMs = 1_000

type Attempt =
  | { readonly kind: 'not-due' | 'elsewhere', readonly loadedAt: number | null }
  | { readonly kind: 'loaded', readonly loadedAt: number, readonly left: number }
  | { readonly kind: 'failed', readonly problem: string }

/** Starts when it may. `loadedAt`: when the memory that it was given was last loaded. */
export const keepWarm = ({ identity, warm, everyMs, keepMs }: WarmSettings, parts: WarmParts, loadedAt: number | null): Warmer => {
  const { table, redis, clock, random } = parts
  const spread = 1 + jitter * (2 * random() - 1)
  let state: WarmState = { state: 'idle', rows: 0, keys: 0, startedAt: null, loadedAt, totalRows: 0, failures: 0, problem: '' }
  let isClosed = false
  let isAsked = false
  let isRunning = false
  let cancel = (): void => undefined
  let endLoad: Apart['end'] = () => undefined
  const set = (changes: Partial<WarmState>): void => { state = { ...state, ...changes } }

  const isDue = (at: number | null): boolean => {
    const age = at === null ? Infinity : clock.now() - at
    // A clock that was set back says nothing of the time that went by.
    return age < -lookMs || age >= everyMs * spread
  }
  const objection = (): string | null => isClosed ? 'stopping' : parts.doubt()
  /** What is to be listed, once its server is believed; a text says why nothing is. */
  const begin = async (): Promise<OrderedListing | string> => {
    const listing = await parts.check() ?? await listOf(table, warm)
    const problem = typeof listing === 'string' ? listing : objection()
    if (problem !== null) return problem
    set({ state: 'loading', rows: 0, keys: 0, startedAt: clock.now() })
    return listing
  }

  const intoMemory = async (): Promise<Attempt> => {
    const now = clock.now()
    const listing = await begin()
    if (typeof listing === 'string') return { kind: 'failed', problem: listing }
    const verifiedAt = clock.now()
    let left = 0
    const problem = await load({
      table, listing, after: null, objection,
      write: entries => {
        for (const entry of entries) if (!parts.remember(entry, verifiedAt)) left++
        return Promise.resolve()
      },
      onWritten: (_last, keys) => set({ keys: state.keys + keys }),
      onRows: rows => set({ rows: state.rows + rows, totalRows: state.totalRows + rows }),
    })
    return problem === null ? { kind: 'loaded', loadedAt: now, left } : { kind: 'failed', problem }
  }
  const intoRedis = async ({ client, settings }: NonNullable<WarmParts['redis']>, isWanted: boolean): Promise<Attempt> => {
    const { keyPrefix } = settings
    const definition = `${identity.definition} ${warm}`
    const known = (await readProgress(client, keyPrefix, identity.name, definition))?.loadedAt ?? null
    if (!isWanted && !isDue(known)) return { kind: 'not-due', loadedAt: known }
    const own = await connectPatiently(settings)
    try {
      const turn = await takeTurn(own, keyPrefix, identity.name, definition, clock.now())
      if (turn === null) return { kind: 'elsewhere', loadedAt: known }
      try {
        const listing = await begin()
        if (typeof listing === 'string') return { kind: 'failed', problem: listing }
        const { definedBy, definition: { fingerprint, hosts, login } } = table
        let notedAt = clock.now()
        const note = ({ last }: Told): void => {
          notedAt = clock.now()
          if (last !== null) turn.note(last)
        }
        let told: Told = { rows: 0, keys: 0, last: null }
        const loading = loadApart({
          definedBy, fingerprint, hosts, login, listing, after: turn.after,
          redis: settings, identity, verifiedAt: clock.now(), keepMs,
        }, {
          clock,
          onProgress: now => {
            told = now
            const { rows, keys } = now
            set({ rows, keys, totalRows: state.totalRows + rows - state.rows })
            if (Math.abs(clock.now() - notedAt) >= noteEveryMs) note(now)
          },
          objection: () => objection() ?? turn.objection(),
        })
        endLoad = loading.end
        const { problem } = await loading.ended
        if (problem !== null) {
          note(told)
          return { kind: 'failed', problem }
        }
        return { kind: 'loaded', loadedAt: await turn.finish(), left: 0 }
      } finally {
        await turn.release()
      }
    } finally {
      own.disconnect()
    }
  }

  const attempt = async (isWanted: boolean): Promise<Attempt> => {
    try {
      if (redis !== null) return await intoRedis(redis, isWanted)
      return isWanted || isDue(state.loadedAt) ? await intoMemory() : { kind: 'not-due', loadedAt: state.loadedAt }
    } catch (error) {
      return { kind: 'failed', problem: `${redis === null ? '' : 'Redis: '}${messageOf(error)}` }
    }
  }
  const hasEnded = (): boolean => isClosed
  const rest = (): 'waiting' | 'idle' => isAsked ? 'waiting' : 'idle'
  const work = async (): Promise<void> => {
    if (isClosed) return
    const startedAt = clock.now()
    const isWanted = isAsked
    isAsked = false
    const came = await attempt(isWanted)
    if (hasEnded()) return
    const idle = rest()
    switch (came.kind) {
      case 'failed':
        set({ state: idle, problem: came.problem, failures: state.failures + 1 })
        parts.onProblem(came.problem)
        break
      case 'loaded':
        set({ state: idle, problem: '', loadedAt: came.loadedAt })
        parts.onLoaded(state, clock.now() - startedAt, came.left)
        break
      case 'not-due': case 'elsewhere':
        set({ state: came.kind === 'elsewhere' ? 'elsewhere' : idle, problem: '', loadedAt: came.loadedAt })
        break
      default: came satisfies never
    }
  }
  const look = async (): Promise<void> => {
    cancel()
    isRunning = true
    await parts.inTurn(work)
    isRunning = false
    // It may have been asked for after that load had begun.
    if (!isClosed) cancel = clock.after(isAsked ? 0 : lookMs * spread, () => void look())
  }
  void parts.ready.then(() => isRunning || isClosed ? undefined : look())

  return {
    state: () => state,
    load: () => {
      isAsked = true
      if (state.state !== 'loading') set({ state: 'waiting' })
      if (!isRunning && !isClosed) void look()
    },
    close: () => {
      isClosed = true
      cancel()
      endLoad('stopping')
    },
  }
}
