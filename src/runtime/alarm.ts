/**
 * One timer for many deadlines, most of which are met: to start and to stop a timer for each costs more than what they
 * are for. It stays when a deadline is met, and looks at what is due when its time comes.
 */
export class Alarm {
  readonly #look: () => number
  /** When it goes off (of `performance.now()`); Infinity: never. */
  #at = Infinity
  #timer: NodeJS.Timeout | undefined

  /** `look` sees to what is due, and gives the time (of `performance.now()`) of what is due next; Infinity: nothing. */
  constructor(look: () => number) {
    this.#look = look
  }

  /** Something is due at that time. It doesn't keep the process alive. */
  set(at: number): void {
    if (at >= this.#at) return
    clearTimeout(this.#timer)
    this.#at = at
    // After this process was held up, an answer may have come long ago: what there is to read is read first.
    this.#timer = setTimeout(() => setImmediate(() => {
      this.#at = Infinity
      this.set(this.#look())
    }), at - performance.now()).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#at = Infinity
  }
}
