/**
 * The first cache: this process's memory, one for each map, so that a flood on
 * one map can't empty another's. Strangers make up keys without end, so what
 * they can fill is kept apart: rows; absences that are part of accepting a known
 * recipient, in the room that rows leave, since a catch-all knows any key; and,
 * each with a bound of its own, absences of any key, and answers put together
 * for one key, such as a catch-all's for each of its users.
 */
import { LRUCache } from 'lru-cache'
import { inSlices } from '../runtime/slices.js'
import type { Entry } from './entry.js'

/** Bounds of one map's memory. Bytes are counted as key and value + overhead of the entry. */
export type MemoryLimits = {
  readonly entries: number
  readonly bytes: number
  readonly absentEntries: number
}

/**
 * What V8, the LRU's arrays and the sampling take for an entry besides its strings (bytes); measured with 10^6 entries.
 */
const entryOverheadBytes = 270
/** Keys that strangers make up: with this many bytes each on average, their budget is full before its number is. */
const strangersKeyBytes = 230
/** A key and a value are seldom longer than this (bytes). */
const roomBytes = 1_000
/** Without this the LRU makes an empty object for each call. */
const noOptions = {}

/** Whether a cache key is that of an answer put together for one key (lookup/search.ts), and not a row's. */
export const isDerived = (key: string): boolean => key.charCodeAt(0) === 0

const sizeOf = (entry: Entry, key: string): number =>
  entryOverheadBytes + key.length + (entry.outcome.kind === 'found' ? entry.outcome.value.length : 0)

type Lru = LRUCache<string, Entry>

/** A change of all entries that is under way; those that came since it began, or that have it already, are `seen`. */
type Change = { readonly change: (key: string, entry: Entry) => void, readonly seen: WeakSet<Entry> }

/**
 * Keys in no order, each at the place that its entry names: to draw from them, and to go through them while they
 * change. To go through an LRU of 200,000 takes a tenth of a second, in which nothing is answered.
 */
class Keys {
  readonly list: string[] = []

  add(key: string, entry: Entry): void {
    if (entry.slot < 0) entry.slot = this.list.push(key) - 1
  }

  /** The last key takes the place of the one that goes. */
  remove(entry: Entry, entryOf: (key: string) => Entry | undefined): void {
    if (entry.slot < 0) return
    const last = this.list.pop()
    if (last !== undefined && entry.slot < this.list.length) {
      this.list[entry.slot] = last
      const moved = entryOf(last)
      if (moved !== undefined) moved.slot = entry.slot
    }
    entry.slot = -1
  }

  /** Each key that does not change meanwhile. */
  *each(): Generator<string> {
    // From the end: the key that takes the place of one that goes was there before.
    for (let at = this.list.length - 1; at >= 0; at = Math.min(at, this.list.length) - 1) {
      const key = this.list[at]
      if (key !== undefined) yield key
    }
  }
}

/** `get` counts as use (the least recently used entry goes first), `peek` doesn't, and writes nothing. */
export class Memory {
  readonly #limits: MemoryLimits
  readonly #rows: Lru
  readonly #keptAbsences: Lru
  readonly #derived: Lru
  readonly #absences: Lru
  /** Those that may have a key that is asked for. */
  readonly #byKey: readonly Lru[]
  /** By table, so that the rows of a small one can be drawn beside those of a large one. */
  readonly #rowKeys = new Map<number, Keys>()
  /** Of the absences among the rows. */
  readonly #keptAbsentKeys = new Keys()
  readonly #derivedKeys = new Keys()
  readonly #absentKeys = new Keys()
  /** The keys that changed since somebody last took them; null: nobody counts them. */
  #changes: Set<string> | null = null
  #savesAbsences = false
  readonly #changing = new Set<Change>()

  constructor(limits: MemoryLimits) {
    this.#limits = limits
    // Not bounded by `max`: for that many entries an LRU takes all its memory at once.
    const open = (maxSize: number, keysOf: (entry: Entry) => Keys): Lru => {
      const lru: Lru = new LRUCache({
        maxSize, sizeCalculation: sizeOf,
        dispose: entry => keysOf(entry).remove(entry, key => lru.peek(key, noOptions)),
      })
      return lru
    }
    const strangersBytes = limits.absentEntries * (entryOverheadBytes + strangersKeyBytes)
    this.#rows = open(limits.bytes, ({ table }) => this.#keysOfTable(table))
    this.#keptAbsences = open(limits.bytes, () => this.#keptAbsentKeys)
    this.#derived = open(strangersBytes, () => this.#derivedKeys)
    this.#absences = open(strangersBytes, () => this.#absentKeys)
    this.#byKey = [this.#rows, this.#keptAbsences, this.#absences]
  }

  get(key: string): Entry | undefined {
    const entry = isDerived(key) ? this.#derived.get(key, noOptions) : this.#rows.get(key, noOptions)
      ?? this.#keptAbsences.get(key, noOptions) ?? this.#absences.get(key, noOptions)
    return entry === undefined || this.#changing.size === 0 ? entry : this.#changed(key, entry)
  }

  peek(key: string): Entry | undefined {
    const entry = this.#at(key)
    return entry === undefined || this.#changing.size === 0 ? entry : this.#changed(key, entry)
  }

  /** Found entries only: what may bridge an outage by itself. */
  peekFound(key: string): Entry | undefined {
    const entry = this.peek(key)
    return entry?.outcome.kind === 'found' ? entry : undefined
  }

  #at(key: string): Entry | undefined {
    if (isDerived(key)) return this.#derived.peek(key, noOptions)
    return this.#rows.peek(key, noOptions) ?? this.#keptAbsences.peek(key, noOptions)
      ?? this.#absences.peek(key, noOptions)
  }

  /** `outlivesOutage`: an absence is kept beside the rows. A key is in one place at most. */
  set(key: string, entry: Entry, outlivesOutage = false): void {
    this.#noteChange(key)
    for (const { seen } of this.#changing) seen.add(entry)
    if (isDerived(key)) this.#put(this.#derived, this.#derivedKeys, key, entry)
    else if (entry.outcome.kind === 'found') this.#put(this.#rows, this.#keysOfTable(entry.table), key, entry)
    else if (outlivesOutage) this.#put(this.#keptAbsences, this.#keptAbsentKeys, key, entry)
    else this.#put(this.#absences, this.#absentKeys, key, entry)
  }

  #put(cache: Lru, keys: Keys, key: string, entry: Entry): void {
    for (const other of this.#byKey) if (other !== cache) other.delete(key)
    cache.set(key, entry, noOptions)
    if (cache === this.#rows || cache === this.#keptAbsences) this.#boundKept()
    else if (cache.size > this.#limits.absentEntries) cache.pop()
    if (cache.peek(key, noOptions) === entry) keys.add(key, entry)
  }

  /** Whatever has to go, absences go before rows. */
  #boundKept(): void {
    const { entries, bytes } = this.#limits
    const [rows, absences] = [this.#rows, this.#keptAbsences]
    while (rows.size + absences.size > entries || rows.calculatedSize + absences.calculatedSize > bytes) {
      (absences.size > 0 ? absences : rows).pop()
    }
  }

  delete(key: string): void {
    this.#noteChange(key)
    this.#derived.delete(key)
    for (const each of this.#byKey) each.delete(key)
  }

  /**
   * Changes each entry that is there before anybody gets it again: by and by, and what is asked for meanwhile then.
   * An entry may be changed twice.
   */
  changeAll(change: Change['change']): void {
    const going: Change = { change, seen: new WeakSet() }
    this.#changing.add(going)
    void inSlices(this.allKeys(), key => {
      const entry = this.#at(key)
      if (entry !== undefined && !going.seen.has(entry)) change(key, entry)
    }).then(() => this.#changing.delete(going))
  }

  /** The entry as the changes under way leave it. */
  #changed(key: string, entry: Entry): Entry {
    for (const { change, seen } of this.#changing) {
      if (seen.has(entry)) continue
      seen.add(entry)
      change(key, entry)
    }
    return entry
  }

  #noteChange(key: string): void {
    this.#changes?.add(key)
    // Nobody takes them any more (a reload made the map sensitive), or they are as many as memory holds.
    if ((this.#changes?.size ?? 0) > this.#limits.entries + this.#limits.absentEntries) this.#changes = null
  }

  /** Notes that the entry of this key was changed in place. */
  touch(key: string): void {
    this.#noteChange(key)
  }

  /**
   * The keys that were set, deleted or touched since the last call; null at the first call, when nobody has counted
   * yet. `savesAbsences`: all absences are worth saving, not only those that outlive an outage.
   */
  takeChanges(savesAbsences: boolean): ReadonlySet<string> | null {
    const changes = this.#changes
    this.#changes = new Set()
    this.#savesAbsences = savesAbsences
    return changes
  }

  /**
   * The keys that are worth saving. One may go on with them later: what changes meanwhile is among the changes, and
   * what does not is not left out.
   */
  *keysToSave(): Generator<string> {
    if (this.#savesAbsences) yield* this.#absentKeys.each()
    yield* this.#keptAbsentKeys.each()
    yield* this.foundKeys()
  }

  /** The keys of found answers, in no order. One may go on with them later, too. */
  *foundKeys(): Generator<string> {
    yield* this.#derivedKeys.each()
    for (const keys of this.#rowKeys.values()) yield* keys.each()
  }

  /** All keys, in the same way. */
  *allKeys(): Generator<string> {
    yield* this.foundKeys()
    yield* this.absentKeys()
  }

  /** Those of absences. */
  *absentKeys(): Generator<string> {
    yield* this.#keptAbsentKeys.each()
    yield* this.#absentKeys.each()
  }

  /** What is worth saving of a key; `isKept`: it outlives an outage. */
  toSave(key: string): { readonly entry: Entry, readonly isKept: boolean } | null {
    const kept = isDerived(key) ? this.#derived.peek(key, noOptions)
      : this.#rows.peek(key, noOptions) ?? this.#keptAbsences.peek(key, noOptions)
    if (kept !== undefined) return { entry: kept, isKept: true }
    const absence = this.#savesAbsences ? this.#absences.peek(key, noOptions) : undefined
    return absence === undefined ? null : { entry: absence, isKept: false }
  }

  /** Found entries: most recently used first, rows before what is derived. */
  *known(): Generator<[string, Entry]> {
    yield* this.#rows.entries()
    yield* this.#derived.entries()
  }

  /**
   * Puts in what another memory holds, each entry where it is there; `renew` gives the entry here, or null. The most
   * recently used come last, as there.
   */
  takeOver(earlier: Memory, renew: (key: string, entry: Entry) => Entry | null): void {
    for (const lru of [earlier.#absences, earlier.#derived, earlier.#keptAbsences, earlier.#rows]) {
      for (const [key, before] of [...lru.entries()].reverse()) {
        const entry = renew(key, earlier.#changed(key, before))
        if (entry !== null) this.set(key, entry, lru !== earlier.#absences)
      }
    }
  }

  /** Up to `count` random rows of a table that `isWanted`, of a few times as many at most. `random`: in [0, 1). */
  sample(
    table: number, count: number, isWanted: (entry: Entry, key: string) => boolean, random: () => number,
  ): string[] {
    const rowKeys = this.#rowKeys.get(table)?.list ?? []
    const keys = new Set<string>()
    const isSmall = rowKeys.length <= 4 * count
    const start = Math.floor(random() * rowKeys.length)
    for (let tries = 0; tries < Math.min(4 * count, rowKeys.length) && keys.size < count; tries++) {
      const at = isSmall ? (start + tries) % rowKeys.length : Math.floor(random() * rowKeys.length)
      const key = rowKeys[at]
      const entry = key === undefined ? undefined : this.#rows.peek(key, noOptions)
      if (key !== undefined && entry !== undefined && isWanted(entry, key)) keys.add(key)
    }
    return [...keys]
  }

  /** Whether another row pushes none out. */
  hasRoom(): boolean {
    const { entries, bytes } = this.#limits
    return this.#rows.size < entries && this.#rows.calculatedSize + entryOverheadBytes + roomBytes < bytes
  }

  /** Absences that outlive an outage count as found: they are known for as long. */
  size() {
    const kept = [this.#rows, this.#keptAbsences, this.#derived]
    return {
      found: kept.reduce((sum, { size }) => sum + size, 0),
      foundBytes: kept.reduce((sum, { calculatedSize }) => sum + calculatedSize, 0),
      absent: this.#absences.size,
    }
  }

  #keysOfTable(table: number): Keys {
    let keys = this.#rowKeys.get(table)
    if (keys === undefined) this.#rowKeys.set(table, keys = new Keys())
    return keys
  }
}
