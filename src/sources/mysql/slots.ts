/**
 * How many questions a server gets at once, and who waits for their turn. After
 * an outage it starts with one at a time and doubles with each success, so that
 * a server that just came back isn't run over by all the mail that waited.
 *
 * Bounds: `maxWaiting` questions wait, each for its own time.
 */
import { Alarm, systemTiming } from '../../alarm.js'
import { UnderWay } from '../../under_way.js'

const maxWaiting = 1_000

/** turn: go on, and `release` afterwards. full, late: the wait is over without one. flushed: there is no point in waiting. */
export type Turn = 'turn' | 'full' | 'late' | 'flushed'

export class Slots {
  readonly #size: number
  #limit: number
  #used = 0
  /** Who waits, and until when (of `performance.now()`). */
  readonly #waiting = new UnderWay<(turn: Turn) => void, number>()
  readonly #alarm = new Alarm(systemTiming, now => this.#sendAway(now))

  constructor(size: number) {
    this.#size = size
    this.#limit = size
  }

  get counts(): { readonly used: number, readonly limit: number, readonly waiting: number } {
    return { used: this.#used, limit: this.#limit, waiting: this.#waiting.size }
  }

  /** Resolves when it is one's turn, in the order of asking, or when `timeoutMs` are over. */
  take(timeoutMs: number): Turn | Promise<Turn> {
    if (this.#used < this.#limit) {
      this.#used++
      return 'turn'
    }
    if (this.#waiting.size >= maxWaiting) return 'full'
    return new Promise(resolve => {
      const now = performance.now()
      this.#waiting.set(resolve, now + timeoutMs)
      this.#alarm.setFor(now + timeoutMs, now)
    })
  }

  release(): void {
    this.#used--
    this.#serve()
  }

  /** From now on one at a time, until `grow`. */
  narrow(): void {
    this.#limit = 1
  }

  /** Twice as many, up to the size. */
  grow(): void {
    this.#limit = Math.min(this.#size, this.#limit * 2)
    this.#serve()
  }

  /** Sends away all that wait. */
  flush(): void {
    for (const [resolve] of this.#waiting) resolve('flushed')
    this.#waiting.clear()
  }

  /** Those whose time is over; gives the next time at which one's is. */
  #sendAway(now: number): number {
    let next = Infinity
    for (const [resolve, until] of this.#waiting) {
      if (now < until) next = Math.min(next, until)
      else {
        this.#waiting.delete(resolve)
        resolve('late')
      }
    }
    return next
  }

  #serve(): void {
    for (const [resolve] of this.#waiting) {
      if (this.#used >= this.#limit) return
      this.#used++
      this.#waiting.delete(resolve)
      resolve('turn')
    }
  }
}
