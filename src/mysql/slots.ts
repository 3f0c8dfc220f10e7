/**
 * How many questions a server gets at once, and who waits for their turn. After
 * an outage it starts with one at a time and doubles with each success, so that
 * a server that just came back isn't run over by all the mail that waited.
 *
 * Bounds: `maxWaiting` questions wait, each for its own time.
 */
import { Alarm, systemTiming } from '../runtime/alarm.js'
import { Place, Queue } from '../runtime/queue.js'

const maxWaiting = 1_000

/** turn: go on, and `release` afterwards. full, late: the wait is over without one. flushed: there is no point in waiting. */
export type Turn = 'turn' | 'full' | 'late' | 'flushed'

/** Who waits, and until when (of `performance.now()`). */
class Waiter extends Place<Waiter> {
  readonly onTurn: (turn: Turn) => void
  readonly until: number

  constructor(onTurn: (turn: Turn) => void, until: number) {
    super()
    this.onTurn = onTurn
    this.until = until
  }
}

export class Slots {
  readonly #size: number
  #limit: number
  #used = 0
  readonly #waiting = new Queue<Waiter>()
  readonly #alarm = new Alarm(systemTiming, now => this.#sendAway(now))

  constructor(size: number) {
    this.#size = size
    this.#limit = size
  }

  get counts(): { readonly used: number, readonly limit: number, readonly waiting: number } {
    return { used: this.#used, limit: this.#limit, waiting: this.#waiting.size }
  }

  /** Calls `onTurn` once: at once if there is nothing to wait for, else when it is one's turn, in the order of asking, or when `timeoutMs` are over. */
  take(timeoutMs: number, onTurn: (turn: Turn) => void): void {
    if (this.#used < this.#limit) {
      this.#used++
      onTurn('turn')
    } else if (this.#waiting.size >= maxWaiting) {
      onTurn('full')
    } else {
      const now = performance.now()
      this.#waiting.add(new Waiter(onTurn, now + timeoutMs))
      this.#alarm.setFor(now + timeoutMs, now)
    }
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
    for (let waiter = this.#waiting.first; waiter !== null; waiter = this.#waiting.first) this.#send(waiter, 'flushed')
  }

  /** Those whose time is over; gives the next time at which one's is. */
  #sendAway(now: number): number {
    let next = Infinity
    let waiter = this.#waiting.first
    while (waiter !== null) {
      const { after, until } = waiter
      if (now < until) next = Math.min(next, until)
      else this.#send(waiter, 'late')
      waiter = after
    }
    return next
  }

  #serve(): void {
    for (let waiter = this.#waiting.first; waiter !== null && this.#used < this.#limit; waiter = this.#waiting.first) {
      this.#used++
      this.#send(waiter, 'turn')
    }
  }

  #send(waiter: Waiter, turn: Turn): void {
    this.#waiting.remove(waiter)
    waiter.onTurn(turn)
  }
}
