/**
 * Who waits, in the order of coming; any may leave at any time. To come and to
 * leave looks nothing up, and the first is at hand, where a Map in which all
 * come and go passes over those who have left each time that it is asked for it.
 */

/** One who waits, or has done so: what else there is to know of it is for who has the queue to add. */
export abstract class Place<Item extends Place<Item>> {
  /** Where it waits; null: nowhere. This and its neighbours are for the queue to set. */
  queue: Queue<Item> | null = null
  before: Item | null = null
  after: Item | null = null
}

export class Queue<Item extends Place<Item>> {
  #first: Item | null = null
  #last: Item | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Who came first; null if nobody waits. */
  get first(): Item | null {
    return this.#first
  }

  /** Goes to the end; it must not wait elsewhere. */
  add(place: Item): void {
    place.queue = this
    place.before = this.#last
    if (this.#last === null) this.#first = place
    else this.#last.after = place
    this.#last = place
    this.#size++
  }

  /** False if it doesn't wait here. */
  remove(place: Item): boolean {
    if (place.queue !== this) return false
    const { before, after } = place
    if (before === null) this.#first = after
    else before.after = after
    if (after === null) this.#last = before
    else after.before = before
    place.queue = null
    place.before = null
    place.after = null
    this.#size--
    return true
  }
}
