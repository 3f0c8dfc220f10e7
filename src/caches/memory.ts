/**
 * The first cache: this process's memory, one for each map, so that a flood
 * on one map can't empty another's. What is known has a budget of its own:
 * strangers make up absent keys without end, and these must never push out a
 * found one, nor an absence that is part of accepting a known recipient.
 */
import { LRUCache } from 'lru-cache'
import type { Entry } from './entry.js'

/** Bounds of one map's memory. Bytes are counted as key, value and reply + overhead of the entry. */
export type MemoryLimits = {
  readonly entries: number
  readonly bytes: number
  readonly absentEntries: number
}

/** What V8 and the LRU's own arrays take for an entry besides its strings, in bytes; measured with 10^6 entries. */
const entryOverheadBytes = 250
/** A found value is held twice, the second time in its reply; this is what that one takes besides, in bytes. */
const replyBytes = 50
/** Absent keys are strangers' text: at this many bytes each on average their budget is full before its number is. */
const absentKeyBytes = 250

/** A key and a value are seldom longer than this (bytes). */
const roomBytes = 1_000

/** The LRU would make one of these for each call. */
const noOptions = {}

export type Memory = ReturnType<typeof createMemory>

/** An empty cache within `limits`. `get` counts as use (least recently used goes first), `peek` doesn't, and writes nothing. */
export const createMemory = (limits: MemoryLimits) => {
  const sizeCalculation = (entry: Entry, key: string): number =>
    entryOverheadBytes + key.length + (entry.outcome.kind === 'found' ? replyBytes + 2 * entry.outcome.value.length : 0)
  // Not by `max`: for that many entries an LRU would take all its room at once, with time and memory that a start has better use for.
  const known = new LRUCache<string, Entry>({ maxSize: limits.bytes, sizeCalculation })
  const unknown = new LRUCache<string, Entry>({ maxSize: limits.absentEntries * (entryOverheadBytes + absentKeyBytes), sizeCalculation })
  const put = (cache: LRUCache<string, Entry>, entries: number, key: string, entry: Entry): void => {
    cache.set(key, entry, noOptions)
    if (cache.size > entries) cache.pop()
  }
  return {
    get: (key: string): Entry | undefined => known.get(key, noOptions) ?? unknown.get(key, noOptions),
    peek: (key: string): Entry | undefined => known.peek(key, noOptions) ?? unknown.peek(key, noOptions),
    /** Found entries only: what may bridge an outage by itself. */
    peekFound: (key: string): Entry | undefined => {
      const entry = known.peek(key, noOptions)
      return entry?.outcome.kind === 'found' ? entry : undefined
    },
    /** `isVouchedFor` counts an absent entry among the known ones. A key is in one of the two at most. */
    set: (key: string, entry: Entry, isVouchedFor = false): void => {
      if (entry.outcome.kind === 'found' || isVouchedFor) {
        unknown.delete(key)
        put(known, limits.entries, key, entry)
      } else {
        known.delete(key)
        put(unknown, limits.absentEntries, key, entry)
      }
    },
    delete: (key: string): void => {
      known.delete(key)
      unknown.delete(key)
    },
    clear: (): void => {
      known.clear()
      unknown.clear()
    },
    /** Found entries and absent ones that are vouched for, most recently used first. */
    known: (): Generator<[string, Entry]> => known.entries(),
    /** All entries, in no order that matters. */
    all: function* (): Generator<[string, Entry]> {
      yield* known.entries()
      yield* unknown.entries()
    },
    /** Another known entry pushes none out. */
    hasRoom: (): boolean => known.size < limits.entries && known.calculatedSize + entryOverheadBytes + roomBytes < limits.bytes,
    size: () => ({ found: known.size, foundBytes: known.calculatedSize, absent: unknown.size }),
  }
}
