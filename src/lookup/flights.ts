/**
 * Lookups under way: callers that ask for one key while it is being looked up
 * share one flight. Each flight has two timers of RFC 8767. The client response
 * timer (`softDeadlineMs`): what bridges an outage is the reply then, if there
 * is anything, and the flight goes on behind it. The query resolution timer
 * (`deadlineMs`): nobody waits longer.
 */
import { unavailable } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'
import { UnderWay } from '../runtime/under_way.js'
import type { Walk } from './search.js'

type Flight = { readonly walk: Walk, readonly reply: Promise<Outcome> }

export type FlightSettings = {
  readonly deadlineMs: number
  readonly softDeadlineMs: number
  readonly clock: Clock
  /** What may stand in for an answer that is late; null if nothing may. `isSoft`: the flight goes on. */
  readonly answerLate: (walk: Walk, isSoft: boolean) => Outcome | null
}

export class Flights {
  readonly #settings: FlightSettings
  /** By the key as Postfix sent it. */
  readonly #flights = new UnderWay<string, Flight>()

  constructor(settings: FlightSettings) {
    this.#settings = settings
  }

  get size(): number {
    return this.#flights.size
  }

  /** The reply of the flight under way for this key, if there is one. */
  joining(asked: string): Promise<Outcome> | null {
    return this.#flights.get(asked)?.reply ?? null
  }

  /** Starts a flight: `findOut` looks the walk up and never rejects. The reply comes at the deadline at the latest. */
  start(walk: Walk, findOut: () => Promise<Outcome>): Promise<Outcome> {
    const { clock, deadlineMs, softDeadlineMs, answerLate } = this.#settings
    const reply = new Promise<Outcome>(resolve => {
      const onDeadline = (): void => {
        this.#end(flight)
        resolve(answerLate(walk, false) ?? unavailable('timeout', `no answer within ${deadlineMs / 1_000} s`))
      }
      const onSoftDeadline = (): void => {
        cancel = clock.after(deadlineMs - softDeadlineMs, onDeadline)
        const standIn = answerLate(walk, true)
        if (standIn !== null) resolve(standIn)
      }
      let cancel = clock.after(softDeadlineMs, onSoftDeadline)
      void findOut().then(outcome => {
        cancel()
        this.#end(flight)
        resolve(outcome)
      })
    })
    const flight: Flight = { walk, reply }
    this.#flights.set(walk.asked, flight)
    return reply
  }

  /** Lets nobody join the flights in which a step is flushed: they may answer with what was true before. */
  flush(isFlushed: (stepKey: string) => boolean): void {
    for (const [asked, { walk }] of this.#flights) {
      if (walk.steps.some(step => isFlushed(step.key))) this.#flights.delete(asked)
    }
  }

  #end(flight: Flight): void {
    // After a flush another one may have taken its place.
    if (this.#flights.get(flight.walk.asked) === flight) this.#flights.delete(flight.walk.asked)
  }
}
