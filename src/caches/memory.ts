/**
 * The first cache: this process's memory, one for each map, so that a flood on
 * one map can't empty another's. Strangers make up keys without end, so what
 * they can fill is kept apart, each with a bound of its own: rows, and absences
 * that are part of accepting a known recipient; absences of any key; and
 * answers put together for one key, such as a catch-all's for each of its users.
 */
import { LRUCache } from 'lru-cache'
import type { Entry } from './entry.js'

/** Bounds of one map's memory. Bytes are counted as key and value + overhead of the entry. */
export type MemoryLimits = {
  readonly entries: number
  readonly bytes: number
  readonly absentEntries: number
}

/** What V8, the LRU's arrays and the sampling take for an entry besides its strings, in bytes; measured with 10^6 entries. */
const entryOverheadBytes = 270
/** Keys that strangers make up: with this many bytes each on average, their budget is full before its number is. */
const strangersKeyBytes = 230
/** A key and a value are seldom longer than this (bytes). */
const roomBytes = 1_000
/** The LRU would make one of these for each call. */
const noOptions = {}

export type Memory = ReturnType<typeof createMemory>

/** Whether a cache key is that of an answer put together for one key (lookup/walk.ts), and not a row's. */
const isDerived = (key: string): boolean => key.charCodeAt(0) === 0

/** An empty cache within `limits`. `get` counts as use (least recently used goes first), `peek` doesn't, and writes nothing. */
export const createMemory = (limits: MemoryLimits) => {
  const sizeCalculation = (entry: Entry, key: string): number =>
    entryOverheadBytes + key.length + (entry.outcome.kind === 'found' ? entry.outcome.value.length : 0)
  /** The keys of rows, in no order: for a random sample of them. */
  const rowKeys: string[] = []
  const onGone = (entry: Entry): void => {
    if (entry.slot < 0) return
    const last = rowKeys.pop()
    if (last !== undefined && entry.slot < rowKeys.length) {
      rowKeys[entry.slot] = last
      const moved = kept.peek(last, noOptions)
      if (moved !== undefined) moved.slot = entry.slot
    }
    entry.slot = -1
  }
  // Not by `max`: for that many entries an LRU takes all its room at once, which a start has better use for.
  const kept = new LRUCache<string, Entry>({ maxSize: limits.bytes, sizeCalculation, dispose: onGone })
  const ofStrangers = (entries: number): LRUCache<string, Entry> =>
    new LRUCache<string, Entry>({ maxSize: entries * (entryOverheadBytes + strangersKeyBytes), sizeCalculation })
  const derived = ofStrangers(limits.absentEntries)
  const absences = ofStrangers(limits.absentEntries)
  const put = (cache: LRUCache<string, Entry>, entries: number, key: string, entry: Entry): void => {
    cache.set(key, entry, noOptions)
    if (cache.size > entries) cache.pop()
  }
  return {
    get: (key: string): Entry | undefined =>
      isDerived(key) ? derived.get(key, noOptions) : kept.get(key, noOptions) ?? absences.get(key, noOptions),
    peek: (key: string): Entry | undefined =>
      isDerived(key) ? derived.peek(key, noOptions) : kept.peek(key, noOptions) ?? absences.peek(key, noOptions),
    /** Found entries only: what may bridge an outage by itself. */
    peekFound: (key: string): Entry | undefined => {
      const entry = (isDerived(key) ? derived : kept).peek(key, noOptions)
      return entry?.outcome.kind === 'found' ? entry : undefined
    },
    /** `outlivesOutage`: an absence is kept among the rows. A key is in one place at most. */
    set: (key: string, entry: Entry, outlivesOutage = false): void => {
      if (isDerived(key)) put(derived, limits.absentEntries, key, entry)
      else if (entry.outcome.kind === 'found' || outlivesOutage) {
        absences.delete(key)
        put(kept, limits.entries, key, entry)
        if (entry.table >= 0 && kept.peek(key, noOptions) === entry) entry.slot = rowKeys.push(key) - 1
      } else {
        kept.delete(key)
        put(absences, limits.absentEntries, key, entry)
      }
    },
    delete: (key: string): void => {
      derived.delete(key)
      kept.delete(key)
      absences.delete(key)
    },
    /** Found entries, and absences that outlive an outage: most recently used first, rows before what is derived. */
    known: function* (): Generator<[string, Entry]> {
      yield* kept.entries()
      yield* derived.entries()
    },
    /** All entries, in no order that matters. */
    all: function* (): Generator<[string, Entry]> {
      yield* kept.entries()
      yield* derived.entries()
      yield* absences.entries()
    },
    /** Up to `count` random rows that `isWanted`. `random` is in [0, 1). Looks at a few times as many at most. */
    sample: (count: number, isWanted: (entry: Entry) => boolean, random: () => number): string[] => {
      const keys = new Set<string>()
      const isSmall = rowKeys.length <= 4 * count
      const start = Math.floor(random() * rowKeys.length)
      for (let tries = 0; tries < Math.min(4 * count, rowKeys.length) && keys.size < count; tries++) {
        const at = isSmall ? (start + tries) % rowKeys.length : Math.floor(random() * rowKeys.length)
        const key = rowKeys[at]
        const entry = key === undefined ? undefined : kept.peek(key, noOptions)
        if (key !== undefined && entry !== undefined && isWanted(entry)) keys.add(key)
      }
      return [...keys]
    },
    /** Another row pushes none out. */
    hasRoom: (): boolean => kept.size < limits.entries && kept.calculatedSize + entryOverheadBytes + roomBytes < limits.bytes,
    size: () => ({ found: kept.size + derived.size, foundBytes: kept.calculatedSize + derived.calculatedSize, absent: absences.size }),
  }
}
