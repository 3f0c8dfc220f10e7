/**
 * A Map for what comes and goes with each lookup.
 *
 * When V8 makes a Map's table anew, since many of its entries were deleted, the
 * old table keeps a reference to the new one, and all that was in it. Once one
 * such table has grown old, no minor collection frees those that come after it:
 * each lookup then costs a copy of what it left behind. So now and then there
 * is a new Map here, to which nothing old refers.
 */

/** So many deletions, and as many as there are entries, are one copy of the entries. */
const maxDeleted = 1_000

export class UnderWay<Key, Value> {
  #map = new Map<Key, Value>()
  #deleted = 0

  get size(): number {
    return this.#map.size
  }

  get(key: Key): Value | undefined {
    return this.#map.get(key)
  }

  set(key: Key, value: Value): void {
    if (this.#deleted > maxDeleted + this.#map.size) {
      this.#map = new Map(this.#map)
      this.#deleted = 0
    }
    this.#map.set(key, value)
  }

  delete(key: Key): boolean {
    this.#deleted++
    return this.#map.delete(key)
  }

  /** In the order of coming; what is visited may be deleted. */
  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    return this.#map.entries()
  }
}
