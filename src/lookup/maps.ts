/** The maps that this node serves, by the name that Postfix asks by. */
import type { MapIdentity } from '../caches/map_identity.js'
import type { RedisCache } from '../caches/redis.js'
import type { MapCopies } from '../caches/map_copies.js'
import type { Memory } from '../caches/memory.js'
import type { Config, MapConfig, Policy } from '../config/config.js'
import { printable } from '../log.js'
import { absent, found, unavailable } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import { asBytes, fold } from '../postfix/fold.js'
import type { Table } from '../tables/open.js'
import type { MapTrust } from '../trust/map_trust.js'
import type { Targets } from '../trust/known_elsewhere.js'
import type { MapLookup } from './lookup.js'
import type { Plan } from './search.js'
import { guardName, lenientOf } from '../postfix/guarded_lists.js'
import { guardRecipient, leniently, mayBeOurs } from './recipient_guard.js'
import { completeValue } from './search.js'
import { applyRole } from './role.js'

/** So much of a name that is not configured is shown to Postfix and in the log. */
const maxNameBytes = 60

/** A map's name as a client sent it, for people. */
export const shownName = (name: string): string => printable(name.slice(0, maxNameBytes))

/** A text table: it is in memory as a whole, so nothing is cached or doubted. */
export type TextMap = {
  readonly kind: 'text'
  readonly name: string
  readonly config: MapConfig
  readonly plan: Plan
  readonly lookup: TextLookup
  readonly table: (key: string) => Outcome
  /** Another text whenever an answer of the table could be another. */
  readonly content: string
}

/** Rows in MySQL, with what caches them and what may doubt them. */
export type MysqlMap = {
  readonly kind: 'mysql'
  readonly name: string
  readonly config: MapConfig
  readonly plan: Plan
  readonly lookup: MapLookup
  readonly tables: readonly Table[]
  readonly trust: MapTrust
  readonly memory: Memory
  readonly copies: MapCopies
  /** null: no Redis, or a sensitive map. */
  readonly redis: RedisCache | null
  readonly identity: MapIdentity
  /** Where the found answers of an alias map lead; empty for other maps. */
  readonly targets: Targets
}

export type ServedMap = TextMap | MysqlMap

export type Maps = ReadonlyMap<string, ServedMap>

/** A key as text -> the key by which the map knows it, before folding: without smtputf8_enable, letters are bytes. */
export const keyIn = ({ config }: { readonly config: Pick<MapConfig, 'smtputf8'> }, text: string): string =>
  config.smtputf8 ? text : asBytes(text)

/** What a configuration says besides its maps: what is wrong with those that can't be served, and the guard's lists. */
type ServedConfig = Pick<Config, 'faults' | 'recipientGuard' | 'staticDomains'>

/** The maps of the configuration in force, for clients. A reload replaces all of them between two requests. */
export class CurrentMaps {
  #maps: Maps = new Map()
  #config: ServedConfig = { faults: new Map(), recipientGuard: [], staticDomains: new Set() }

  replace(maps: Maps, config: ServedConfig): void {
    this.#maps = maps
    this.#config = config
  }

  /** The outcome for a key as Postfix sent it. Never rejects. */
  lookup(name: string, key: string): Outcome | Promise<Outcome> {
    const map = this.#maps.get(name)
    if (map !== undefined) return map.lookup.lookup(keyIn(map, key))
    const { faults, recipientGuard, staticDomains } = this.#config
    if (recipientGuard.length > 0) {
      const lenient = lenientOf(name)
      if (lenient !== null) return leniently(this.lookup(lenient, key), () => this.#mayBeOurs(key))
      if (name === guardName) {
        return guardRecipient(key, staticDomains, recipientGuard.map(list => domain => this.lookup(list, domain)))
      }
    }
    const fault = faults.get(name)?.[0]
    if (fault !== undefined) return unavailable('query-error', `the map's definition has faults: ${fault.place}`)
    return unavailable('unknown-map', `map '${shownName(name)}' is not configured in holdfast`)
  }

  #mayBeOurs(key: string): boolean {
    const { recipientGuard, staticDomains } = this.#config
    return mayBeOurs(key, { staticDomains, lists: recipientGuard.map(name => {
      const map = this.#maps.get(name)
      return map === undefined || map.lookup.hasNoAnswers ? null : domain => map.lookup.has(keyIn(map, domain))
    }) })
  }
}

export class TextLookup {
  readonly name: string
  readonly #plan: Plan
  readonly #policy: Policy
  readonly #table: (key: string) => Outcome
  readonly hasNoAnswers = false

  constructor(name: string, plan: Plan, policy: Policy, table: (key: string) => Outcome) {
    this.name = name
    this.#plan = plan
    this.#policy = policy
    this.#table = table
  }

  /** The outcome for a key as Postfix sent it, at once. */
  lookup(asked: string): Outcome {
    const key = fold(asked)
    if (key === '') return applyRole(absent, this.#policy)
    for (const step of this.#plan.steps(key, asked)) {
      const outcome = this.#table(step.key)
      if (outcome.kind === 'found') return found(completeValue(step, outcome.value))
      if (outcome.kind === 'unavailable') return applyRole(outcome, this.#policy)
    }
    return applyRole(absent, this.#policy)
  }

  /** Whether the table has this folded key, by the search steps. */
  has(key: string): boolean {
    return this.#plan.steps(key, key).some(step => this.#table(step.key).kind === 'found')
  }
}
