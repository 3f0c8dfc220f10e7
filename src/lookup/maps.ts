/** The maps that this node serves, by the name that Postfix asks by. */
import type { MapIdentity, RedisCache } from '../caches/redis.js'
import type { Memory } from '../caches/memory.js'
import type { MapConfig } from '../config/config.js'
import type { Outcome } from '../outcome.js'
import type { Source } from '../tables/source.js'
import type { Guard } from '../trust/guard.js'
import type { Targets } from '../trust/known_elsewhere.js'
import type { MapLookup } from './lookup.js'
import type { Plan } from './search.js'
import type { TextLookup } from './text_map.js'

/** A text table: it is in memory as a whole, so nothing is cached or doubted. */
export type TextMap = {
  readonly kind: 'text'
  readonly name: string
  readonly config: MapConfig
  readonly plan: Plan
  readonly lookup: TextLookup
  readonly table: (key: string) => Outcome
}

/** Rows in MySQL, with what caches them and what may doubt them. */
export type MysqlMap = {
  readonly kind: 'mysql'
  readonly name: string
  readonly config: MapConfig
  readonly plan: Plan
  readonly lookup: MapLookup
  readonly source: Source
  readonly guard: Guard
  readonly memory: Memory
  /** null: no Redis, or a sensitive map. */
  readonly redis: RedisCache | null
  readonly identity: MapIdentity
  /** Where the found answers of an alias map lead; empty for other maps. */
  readonly targets: Targets
}

export type ServedMap = TextMap | MysqlMap

export type Maps = ReadonlyMap<string, ServedMap>
