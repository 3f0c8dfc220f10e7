/** A node of the mail site: the real lookups of two maps, and what it shares by Redis and saves to its snapshot. */
import type { Statement } from '../../src/caches/entry.js'
import { Memory } from '../../src/caches/memory.js'
import { learnedAt } from '../../src/caches/redis.js'
import type { RedisCache } from '../../src/caches/redis.js'
import { createLog } from '../../src/log.js'
import { Known } from '../../src/lookup/known.js'
import { MapLookup } from '../../src/lookup/lookup.js'
import type { MysqlMap } from '../../src/lookup/maps.js'
import { compileSearch } from '../../src/lookup/search.js'
import type { Plan } from '../../src/lookup/search.js'
import { isKnownElsewhere } from '../../src/trust/known_elsewhere.js'
import type { Neighbour } from '../../src/trust/known_elsewhere.js'
import { MapTrust } from '../../src/trust/map_trust.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { preload } from '../../src/upkeep/evidence.js'
import { entryFor, recallEntry } from '../../src/upkeep/snapshots.js'
import type { TableName, World } from './world.js'

export type RedisFault = 'none' | 'down' | 'hung' | 'read-only'

const minute = 60_000
export const deadlineMs = 2_000
export const lifetimes = { freshForMs: 5 * minute, staleForMs: 7 * 1_440 * minute, absentForMs: 30_000 }
export const confirmForMs = 5 * minute
export const outageAfterMs = minute
const saveEveryMs = 30_000
const shareEveryMs = 5_000
const flushMark = ''

const planOf = (search: 'virtual' | 'exact'): Plan => compileSearch(search, {
  recipientDelimiter: '+', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(['virtual']),
  localDomains: new Set(),
})
export const plans = { alias: planOf('virtual'), domains: planOf('exact') } as const

type StoredRecord = { readonly told: Statement, readonly definition: string, readonly until: number }

/** What Redis holds for all nodes. */
export class SharedRedis {
  readonly records = new Map<string, StoredRecord>()
  readonly doubts = new Map<string, string>()
  /** When each map was last flushed; with a mark while it is whole. */
  readonly flushes = new Map<string, number>()
  fault: RedisFault = 'none'
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  get isReadable(): boolean {
    return this.fault === 'none' || this.fault === 'read-only'
  }

  empty(): void {
    this.records.clear()
    this.doubts.clear()
    this.flushes.clear()
  }

  /** Drops the oldest of the records, and the times of the flushes. */
  evict(): void {
    for (const key of [...this.records.keys()].slice(0, Math.floor(this.records.size / 2))) this.records.delete(key)
    this.flushes.clear()
  }

  /** Redis as a node sees it while it lives. */
  cacheFor(isAlive: () => boolean): RedisCache {
    const { clock, random } = this.#world
    const nameOf = (map: string, key: string): string => `${map}:${key}`
    const isWritable = (): boolean => isAlive() && this.fault === 'none'
    const cache: RedisCache = {
      read: (map, keys) => {
        if (!isAlive() || this.fault === 'down') return null
        const reading = (): (Statement | null)[] => keys.map(key => {
          const record = this.records.get(nameOf(map.name, key))
          return record?.definition === map.definition && record.until > clock.now() ? record.told : null
        })
        return new Promise(resolve => {
          if (this.fault === 'hung') clock.after(100, () => resolve(keys.map(() => null)))
          else if (random() < 0.5) resolve(reading())
          else clock.after(Math.round(random() * 20), () => resolve(reading()))
        })
      },
      readPatiently: () => null,
      write: (map, key, { outcome, verifiedAt, table, server, contradictedAt }, ttlMs) => {
        if (!isWritable() || ttlMs < 1) return
        const told = { outcome, verifiedAt, table, server, contradictedAt }
        this.records.set(nameOf(map.name, key), { told, definition: map.definition, until: clock.now() + ttlMs })
      },
      writeLate: async (map, key, kept, ttlMs) => {
        const there = this.records.get(nameOf(map.name, key))
        const isNewer = there?.definition === map.definition && learnedAt(there.told) >= learnedAt(kept)
        if (!isNewer) cache.write(map, key, kept, ttlMs)
      },
      remove: (map, key) => { if (isWritable()) this.records.delete(nameOf(map.name, key)) },
      all: (map, isWanted) => this.#all(map.name, map.definition, isWanted),
      tried: Promise.resolve(),
      isUsable: () => this.fault !== 'down',
      status: () => { throw new Error('not asked for') },
      close: () => undefined,
    }
    return cache
  }

  async *#all(name: string, definition: string, isWanted: (key: string) => boolean): ReturnType<RedisCache['all']> {
    if (!this.isReadable) throw new Error('gone')
    yield [...this.records].flatMap(([stored, record]) => {
      const key = stored.slice(name.length + 1)
      const isOurs = stored.startsWith(`${name}:`) && record.definition === definition
      return isOurs && isWanted(key) ? [[key, record.told] as const] : []
    })
  }
}

type Saved = Readonly<Record<TableName, {
  readonly entries: ReadonlyMap<string, ReturnType<typeof entryFor>>, readonly doubts: string,
}>>

/** What is saved of a node whenever it would save. */
export class Snapshot {
  /** As of the last save (every 30 s, and when the node stops in order). */
  saved: Saved | null = null
}

const log = createLog({ level: 'error', format: 'text', journal: false }, () => undefined, () => 0)

export type NodeSettings = {
  readonly world: World
  readonly redis: SharedRedis | null
  readonly snapshot: Snapshot
  readonly isFallback: boolean
  /** Of the definition of the alias map. */
  readonly letter: string
  /** What a reload replaces. */
  readonly previous: Node | null
}

export class Node {
  readonly maps: Readonly<Record<TableName, MysqlMap>>
  readonly letter: string
  readonly #settings: NodeSettings
  readonly #ends: (() => void)[] = []
  #isAlive = true
  #heardAt = -Infinity

  constructor(settings: NodeSettings) {
    this.#settings = settings
    this.letter = settings.letter
    const neighbours: Neighbour[] = []
    const siblings: TableTrust[] = []
    const open = (table: TableName): MysqlMap => this.#openMap(table, neighbours, siblings)
    this.maps = { alias: open('alias'), domains: open('domains') }
    this.#repeat(saveEveryMs, () => this.save())
    this.#repeat(shareEveryMs, () => {
      this.#readDoubts()
      void this.#readRedis()
    })
  }

  /** Brings back what is saved, then what Redis has. */
  async start(): Promise<this> {
    const { snapshot: { saved } } = this.#settings
    for (const [table, map] of this.#all()) {
      for (const entry of saved?.[table].entries.values() ?? []) recallEntry(map.lookup.known, entry)
      if (saved !== null) map.trust.decode(saved[table].doubts)
    }
    this.hearFlushes()
    this.#readDoubts()
    await this.#readRedis()
    return this
  }

  async #readRedis(): Promise<void> {
    await preload(Object.values(this.maps), log)
  }

  save(): void {
    const savedOf = ({ lookup: { known }, trust }: MysqlMap) => ({
      entries: new Map([...known.memory.keysToSave()].map(key => [key, entryFor(known, key)] as const)),
      doubts: trust.encode(),
    })
    this.#settings.snapshot.saved = { alias: savedOf(this.maps.alias), domains: savedOf(this.maps.domains) }
  }

  /** kill -9, or in order. */
  stop(isKilled: boolean): void {
    if (!isKilled) this.save()
    this.close()
  }

  close(): void {
    this.#isAlive = false
    for (const end of this.#ends) end()
    for (const { trust } of Object.values(this.maps)) trust.close()
  }

  /** What a flush by this or another node does here, at epoch ms. */
  flush(table: TableName, what: string | null, at: number): void {
    this.maps[table].lookup.flush(what, at)
  }

  /** As the channel does after a connection: what was flushed since it was last heard is read. */
  hearFlushes(): void {
    const { redis, world: { clock } } = this.#settings
    if (redis === null) return
    for (const { lookup: { known } } of Object.values(this.maps)) known.knowsFlushes = redis.isReadable
    if (!redis.isReadable) return
    if (!redis.flushes.has(flushMark)) {
      for (const [table] of this.#all()) this.flush(table, null, clock.now())
      if (redis.fault === 'none') redis.flushes.set(flushMark, clock.now())
    }
    for (const [table] of this.#all()) {
      const at = redis.flushes.get(table)
      if (at !== undefined && at >= this.#heardAt - 10_000) this.flush(table, null, Math.min(at, clock.now()))
    }
    this.#heardAt = clock.now()
  }

  #all(): readonly (readonly [TableName, MysqlMap])[] {
    return [['alias', this.maps.alias], ['domains', this.maps.domains]]
  }

  #repeat(everyMs: number, run: () => void): void {
    const { clock } = this.#settings.world
    const again = (): void => {
      cancel = clock.after(everyMs, again)
      run()
    }
    let cancel = clock.after(everyMs, again)
    this.#ends.push(() => cancel())
  }

  #readDoubts(): void {
    const { redis } = this.#settings
    if (redis === null || !redis.isReadable) return
    for (const [table, map] of this.#all()) {
      const text = redis.doubts.get(`${table} ${map.identity.definition}`)
      if (text !== undefined) map.trust.decode(text)
    }
  }

  #openMap(table: TableName, neighbours: Neighbour[], siblings: TableTrust[]): MysqlMap {
    const { world, redis: shared, isFallback, letter, previous } = this.#settings
    const { clock, random } = world
    const former = previous?.maps[table]
    const definition = table === 'alias' ? `${letter}123456789abcdef` : '0123456789abcdef'
    const earlier = former?.identity.definition === definition ? former : null
    const search = table === 'alias' ? 'virtual' : 'exact'
    const plan = plans[table]
    const memory = earlier?.memory ?? new Memory({ entries: 200, bytes: 1_000_000, absentEntries: 20 })
    const redis = shared?.cacheFor(() => this.#isAlive) ?? null
    const identity = { name: table, definition }
    const known = new Known({
      identity, plan, lifetimes, confirmForMs, absence: { does: 'refuses', inOutage: 'defer', isBelievedAtOnce: false },
    }, {
      memory, redis, clock, random, isKnownElsewhere: key => isKnownElsewhere(
        search, key, neighbours,
      ), isOurs: () => true, earlier: earlier?.lookup.known ?? null,
    })
    known.knowsFlushes = shared === null
    const source = world.source(table, table === 'alias' ? letter : 'd')
    const tableTrust: TableTrust = new TableTrust({ maxShrink: 0.3, evidenceForMs: Infinity }, {
      source, clock, canaries: [], siblings, sample: (count, since) => known.sample(0, count, since),
      isEvidenceRead: () => known.isRedisRead, dropAbsences: () => known.dropAbsences(),
      onChange: (_server, doubt, before) => {
        if ((doubt === null) === (before === null)) return
        if (shared?.fault === 'none' && this.#isAlive) shared.doubts.set(`${table} ${definition}`, trust.encode())
      },
    })
    siblings.push(tableTrust)
    const trust = new MapTrust([tableTrust])
    if (earlier !== null) trust.inherit(earlier.trust)
    const policy = { unknown: 'reject', outage: isFallback && table === 'alias' ? 'reject' : 'defer', outageAfterMs } as const
    const lookup = new MapLookup({ plan, policy, deadlineMs, softDeadlineMs: 300 }, {
      known, tables: trust.tables, clock, onBug: error => { throw error },
    })
    neighbours.push({ search, knows: key => lookup.has(key) })
    return { kind: 'mysql', name: table, identity, lookup, memory, redis, trust, plan } as unknown as MysqlMap
  }
}
