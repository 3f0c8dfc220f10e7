/**
 * How many questions a server gets at once, and which ones wait for their turn. After an
 * outage it gets one at a time and twice as many with each success, so that a server that
 * just came back isn't overrun by all the mail that waited.
 */

/** No more questions than this wait, each for its own time. */
const maxWaiting = 1_000

/** turn: ask, and `release` afterwards. full, late: no turn, too many wait or the time is over. flushed: waiting is pointless. */
export type Turn = 'turn' | 'full' | 'late' | 'flushed'

export class Slots {
  readonly #size: number
  #limit: number
  #used = 0
  /** In the order of asking. */
  readonly #waiting: ((turn: Turn) => void)[] = []

  constructor(size: number) {
    this.#size = size
    this.#limit = size
  }

  get counts(): { readonly used: number, readonly limit: number, readonly waiting: number } {
    return { used: this.#used, limit: this.#limit, waiting: this.#waiting.length }
  }

  /** A turn at once if there is nothing to wait for, else in the order of asking; `late` after `timeoutMs`. */
  take(timeoutMs: number): Turn | Promise<Turn> {
    if (this.#used < this.#limit) {
      this.#used++
      return 'turn'
    }
    if (this.#waiting.length >= maxWaiting) return 'full'
    return new Promise(resolve => {
      const settle = (turn: Turn): void => {
        clearTimeout(timer)
        resolve(turn)
      }
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(settle), 1)
        settle('late')
      }, timeoutMs)
      this.#waiting.push(settle)
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
    for (const settle of this.#waiting.splice(0)) settle('flushed')
  }

  #serve(): void {
    while (this.#used < this.#limit) {
      const settle = this.#waiting.shift()
      if (settle === undefined) return
      this.#used++
      settle('turn')
    }
  }
}
