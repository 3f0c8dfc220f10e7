/**
 * Every answer on its way to a client: counted by map, protocol, outcome and
 * reason, and logged. The counts are plain numbers, so that they cost a lookup
 * next to nothing; /metrics and /status read them.
 */
import type { MapConfig } from '../config/config.js'
import type { Log } from '../log.js'
import { shownName } from '../lookup/maps.js'
import { worded } from '../outcome.js'
import type { Outcome, Reason, Unavailable } from '../outcome.js'
import { lenientOf } from '../postfix/guarded_lists.js'
import type { Dialect } from './dialect.js'

type Protocol = Dialect['protocol']

/** Upper bounds (ms) of the classes in which waiting times are counted; one more class lies beyond the last. */
const waitBoundsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const

/** The answers of one map by one protocol since the start. */
export type Tally = {
  /** '' for names that the configuration doesn't have: clients can make up any number of them. */
  readonly map: string
  readonly protocol: Protocol
  fresh: number
  stale: number
  absent: number
  readonly unavailable: Partial<Record<Reason, number>>
  /** When the last lookup got a temporary error (epoch ms); 0: none did. */
  unavailableAt: number
  /** The last name that was asked for and that the configuration doesn't have, made printable; '' for a map. */
  lastUnknown: string
  /** Of lookups that memory could not answer at once: a count for each of `boundsMs`, and one beyond; not cumulated. */
  readonly waits: { readonly boundsMs: readonly number[], readonly counts: number[], sumMs: number }
}

const createTally = (map: string, protocol: Protocol): Tally => ({
  map, protocol, fresh: 0, stale: 0, absent: 0, unavailable: {}, unavailableAt: 0, lastUnknown: '',
  waits: { boundsMs: waitBoundsMs, counts: new Array<number>(waitBoundsMs.length + 1).fill(0), sumMs: 0 },
})

const count = (tally: Tally, outcome: Outcome): void => {
  switch (outcome.kind) {
    case 'found':
      if (outcome.age === 'fresh') tally.fresh++
      else tally.stale++
      return
    case 'absent':
      tally.absent++
      return
    case 'unavailable':
      tally.unavailableAt = Date.now()
      tally.unavailable[outcome.reason] = (tally.unavailable[outcome.reason] ?? 0) + 1
      return
    default: outcome satisfies never
  }
}

const countWait = ({ waits }: Tally, ms: number): void => {
  const within = waitBoundsMs.findIndex(bound => ms <= bound)
  const index = within === -1 ? waitBoundsMs.length : within
  waits.counts[index] = (waits.counts[index] ?? 0) + 1
  waits.sumMs += ms
}

/** The tallies of one protocol. */
export class Tallies {
  readonly #protocol: Protocol
  readonly #log: Log
  /** Every map that there has been: a map that a reload brings back goes on counting. */
  readonly #byMap = new Map<string, Tally>()
  /** The maps that clients can ask for now. */
  #current: ReadonlyMap<string, Tally> = new Map<string, Tally>()
  /** Those whose keys and values are logged at no level. */
  #sensitive: ReadonlySet<string> = new Set<string>()
  readonly #others: Tally

  constructor(protocol: Protocol, log: Log) {
    this.#protocol = protocol
    this.#log = log
    this.#others = createTally('', protocol)
  }

  /** The maps that clients can ask for by this protocol from now on; none if it has no listener. */
  setMaps(maps: readonly Pick<MapConfig, 'name' | 'sensitive'>[]): void {
    this.#current = new Map(maps.map(({ name }) => {
      const tally = this.#byMap.get(name) ?? createTally(name, this.#protocol)
      this.#byMap.set(name, tally)
      return [name, tally]
    }))
    this.#sensitive = new Set(maps.filter(({ sensitive }) => sensitive).map(({ name }) => name))
  }

  /** One tally for each map, and one for all other names; none without a listener. */
  list(): readonly Tally[] {
    return this.#current.size === 0 ? [] : [...this.#current.values(), this.#others]
  }

  /**
   * Counts and logs an answer. `waitedMs` is null if memory answered at once. Keys and values are logged at debug
   * level only, and those of a sensitive map never.
   */
  note(name: string, key: string, outcome: Outcome, waitedMs: number | null): void {
    const map = lenientOf(name) ?? name
    const tally = this.#current.get(map) ?? this.#others
    if (tally.map === '') tally.lastUnknown = shownName(name)
    count(tally, outcome)
    if (waitedMs !== null) countWait(tally, waitedMs)
    if (outcome.kind === 'unavailable') this.#logUnavailable(tally.map, outcome)
    if (this.#log.isDebug) {
      this.#log.debug(`map ${tally.map}: ${this.#sensitive.has(map) ? outcome.kind : `${key}: ${worded(outcome)}`}`)
    }
  }

  #logUnavailable(map: string, { reason, detail }: Unavailable): void {
    if (reason === 'unknown-map') {
      const known = [...this.#current.keys()].join(', ')
      this.#log.repeated(reason, `a client asks for maps that are not configured: ${detail}; known maps: ${known}`)
    } else this.#log.repeated(`${map} ${reason}`, `map ${map}: a lookup was deferred: ${reason}: ${detail}`, { map })
  }
}
