/** The lookups that wait for a connection, in the order of asking, each until its own time. */
import { Alarm } from '../runtime/alarm.js'
import { isWanted } from './behind_address.js'
import type { Wanted } from './behind_address.js'
import type { Connection } from './connection.js'
import type { Fault } from './fault.js'
import type { Query } from './sql.js'

/** `until`: of `performance.now()`. `misses`: connections that were opened meanwhile and lead to no server it wants. */
type Waiting = {
  readonly wanted: Wanted, readonly query: Query, readonly until: number, misses: number,
  readonly settle: (given: Connection | Fault) => void,
}

/** So many connections are opened in search of a server that is wanted. */
const maxMisses = 4

export class WaitingList {
  readonly #list: Waiting[] = []
  readonly #whyLate: () => Fault
  readonly #alarm = new Alarm(() => this.#dismissLate())

  /** `whyLate`: what those get whose time is over. */
  constructor(whyLate: () => Fault) {
    this.#whyLate = whyLate
  }

  get size(): number {
    return this.#list.length
  }

  /** A connection to use for `query`, or why there is none until then (of `performance.now()`). */
  add(wanted: Wanted, query: Query, until: number): Promise<Connection | Fault> {
    return new Promise(resolve => {
      this.#list.push({ wanted, query, until, misses: 0, settle: resolve })
      this.#alarm.set(until)
    })
  }

  /** How many wait for a query for which `isCounted`. */
  count(isCounted: (query: Query) => boolean): number {
    return this.#list.filter(({ query }) => isCounted(query)).length
  }

  /** Gives each what is `fitting`, while there is something to give. */
  serve(fitting: (wanted: Wanted, query: Query) => Connection | undefined, isLeft: () => boolean): void {
    // Nearly always the first one gets what there is: none of them is looked at in vain, however many wait.
    for (let at = 0; at < this.#list.length && isLeft();) {
      const waiting = this.#list[at]
      const connection = waiting === undefined ? undefined : fitting(waiting.wanted, waiting.query)
      if (connection === undefined) at++
      else for (const { settle } of this.#list.splice(at, 1)) settle(connection)
    }
  }

  /** A connection was opened, and leads to this server; gives what those want who have searched for long enough. */
  opened(server: string, fault: Fault): readonly Wanted[] {
    const searching = this.#list.filter(({ wanted }) => !isWanted(wanted, server))
    const hopeless = searching.filter(waiting => ++waiting.misses >= maxMisses)
    for (const waiting of hopeless) this.#dismiss(waiting, fault)
    return hopeless.map(({ wanted }) => wanted)
  }

  /** Sends all away. */
  dismissAll(fault: Fault): void {
    for (const { settle } of this.#list.splice(0)) settle(fault)
  }

  close(fault: Fault): void {
    this.#alarm.stop()
    this.dismissAll(fault)
  }

  /** Sends away those whose time is over; gives the time at which the next one's is. */
  #dismissLate(): number {
    const now = performance.now()
    for (const waiting of this.#list.filter(({ until }) => until <= now)) this.#dismiss(waiting, this.#whyLate())
    return this.#list.reduce((next, { until }) => Math.min(next, until), Infinity)
  }

  #dismiss(waiting: Waiting, fault: Fault): void {
    const at = this.#list.indexOf(waiting)
    if (at !== -1) this.#list.splice(at, 1)[0]?.settle(fault)
  }
}
