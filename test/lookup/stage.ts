/**
 * A map over scripted rows, for tests of the lookup: real code over a scripted table, a scripted Redis, and a clock
 * that stands still.
 */
import type { MapIdentity } from '../../src/caches/map_identity.js'
import { MapCopies } from '../../src/caches/map_copies.js'
import type { Copy } from '../../src/caches/copy.js'
import { Memory } from '../../src/caches/memory.js'
import type { Statement } from '../../src/caches/entry.js'
import type { RedisCache } from '../../src/caches/redis.js'
import { MapTrust } from '../../src/trust/map_trust.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { MapLookup } from '../../src/lookup/lookup.js'
import type { LookupSettings } from '../../src/lookup/lookup.js'
import { Known } from '../../src/lookup/known.js'
import { sampleOf } from '../../src/lookup/known_evidence.js'
import type { Absence, Lifetimes } from '../../src/config/config.js'
import { compileSearch } from '../../src/lookup/search.js'
import type { Plan } from '../../src/lookup/search.js'
import type { Search } from '../../src/postfix/parameters.js'
import type { Source } from '../../src/tables/source.js'
import type { ReverifyParts } from '../../src/upkeep/reverify.js'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'
import { scriptedSource } from '../fixtures/scripted.js'
import { noRedisFaults } from '../fixtures/status.js'

export const minute = 60_000

type StoredRecord = Statement & { readonly definition: string, readonly ttlMs: number }

/** What Redis would hold, and what it would do, as the test says. */
export const scriptedRedis = (clock: FakeClock) => {
  const records = new Map<string, StoredRecord>()
  const state = { usable: true, connected: false, latencyMs: 0, reads: 0 }
  const nameOf = (map: MapIdentity, key: string) => `${map.name}:${key}`
  const readOne = (map: MapIdentity, key: string): Statement | null => {
    const record = records.get(nameOf(map, key))
    return record?.definition === map.definition ? record : null
  }
  const cache: RedisCache = {
    read: (map, keys) => {
      if (!state.usable) return null
      state.reads++
      return new Promise(resolve => {
        const settle = () => resolve(keys.map(key => readOne(map, key)))
        if (state.latencyMs === 0) settle()
        else clock.after(state.latencyMs, settle)
      })
    },
    readPatiently: (map, keys, patienceMs) => {
      if (!state.connected) return null
      return new Promise(resolve => {
        const isInTime = state.latencyMs <= patienceMs
        clock.after(
          Math.min(state.latencyMs, patienceMs), () => resolve(keys.map(key => isInTime ? readOne(map, key) : null)),
        )
      })
    },
    write: (map, key, { outcome, verifiedAt, table, server, contradictedAt }, ttlMs) => {
      if (state.usable) records.set(
        nameOf(map, key), { outcome, verifiedAt, table, server, contradictedAt, ttlMs, definition: map.definition },
      )
    },
    writeLate: async (map, key, kept, ttlMs) => {
      const known = readOne(map, key)
      if (known === null || known.verifiedAt < kept.verifiedAt) cache.write(map, key, kept, ttlMs)
    },
    offer: (map, key, kept, ttlMs) => {
      if (!records.has(nameOf(map, key))) cache.write(map, key, kept, ttlMs)
    },
    remove: (map, key) => { if (state.usable) records.delete(nameOf(map, key)) },
    all: async function* (map, isWanted) {
      const prefix = nameOf(map, '')
      yield [...records].flatMap(([name, record]) => {
        const key = name.slice(prefix.length)
        const isOurs = name.startsWith(prefix) && record.definition === map.definition
        return isOurs && isWanted(key) ? [[key, record] as const] : []
      })
    },
    formerNames: () => Promise.resolve(new Map()),
    noteName: () => undefined,
    tried: Promise.resolve(),
    isUsable: () => state.usable,
    status: () => ({ state: 'ready', since: 0, hits: 0, misses: 0, faults: noRedisFaults, refusesWrites: null }),
    close: () => undefined,
  }
  return { cache, records, state }
}

/** The settings of a map that a test may change. */
type Settings = Omit<LookupSettings, 'plan'> & {
  readonly plan: Plan, readonly definition: string, readonly lifetimes: Lifetimes, readonly earlier: Known | null,
}
export type Changes = Partial<Omit<Settings, 'plan'>> & {
  search?: Search, absence?: Partial<Absence>, withRedis?: boolean, isKnownElsewhere?: (key: string) =>
    boolean, isKnownAsOurs?: (key: string) => boolean
  onFound?: (value: string) => void, random?: number
  /** In place of the scripted rows. */
  tables?: readonly Source[]
}

/**
 * A map over scripted rows: fresh 5 minutes, stale a week, absent 30 seconds, confirmed after 5 minutes; deadline 2 s,
 * soft deadline 300 ms.
 */
export const stage = (rows: Readonly<Record<string, string>>, {
  search = 'virtual', absence = {}, withRedis = false, isKnownElsewhere = () => false, isKnownAsOurs = () => true,
  onFound = () => undefined, random = 0, tables, ...changes
}: Changes = {}) => {
  const clock = fakeClock()
  const source = scriptedSource(clock, rows)
  const sources = tables ?? [source]
  const redis = scriptedRedis(clock)
  const memory = new Memory({ entries: 1_000, bytes: 10_000_000, absentEntries: 100 })
  const settings: Settings = {
    definition: '0123456789abcdef', policy: { unknown: 'reject', outage: 'defer', outageAfterMs: minute },
    plan: compileSearch(search, {
      recipientDelimiter: '+', parentDomainMatchesSubdomains: new Set(),
      propagateUnmatchedExtensions: new Set(['virtual']), localDomains: new Set(),
    }),
    lifetimes: week, earlier: null, deadlineMs: 2_000, softDeadlineMs: 300, ...changes,
  }
  const bugs: unknown[] = []
  const copies = new MapCopies(sources.length)
  /** The same map, with other settings or in another process. */
  const open = (other: Partial<Settings> = {}, ownMemory = memory, ownCopies = copies) => {
    const { definition, lifetimes, earlier, ...rest } = { ...settings, ...other }
    const known = new Known({
      identity: { name: 'alias', definition }, plan: rest.plan, lifetimes, confirmForMs: 5 * minute,
      absence: { does: 'refuses', inOutage: 'defer', isBelievedAtOnce: false, ...absence },
    }, {
      memory: ownMemory, copies: ownCopies, redis: withRedis ? redis.cache : null,
      isKnownElsewhere, isKnownAsOurs, onFound, clock, earlier, random: () => random,
    })
    // As after the start.
    known.isRedisRead = true
    const limits = { maxShrink: 0.3, evidenceForMs: Infinity }
    const trust = new MapTrust(sources.map((source, index) => new TableTrust(limits, {
      source, clock, canaries: [], siblings: [], losses: () => ownCopies.of(index)?.losses ?? [],
      sample: (count, since) => sampleOf(known, index, count, since, () => random),
      isEvidenceRead: () => known.isRedisRead, dropAbsences: () => known.dropAbsences(), onChange: () => undefined,
    })))
    const lookup = new MapLookup(rest, { known, tables: trust.tables, clock, onBug: error => bugs.push(error) })
    return Object.assign(lookup, { trust })
  }
  const lookup = open()
  const { trust } = lookup
  /** What re-verification works on. */
  const reverifyParts = (of: MapLookup = lookup): ReverifyParts =>
    ({ lookup: of, known: of.known, plan: settings.plan, deadlineMs: settings.deadlineMs, clock, random: () => random })
  /** Asks, lets what is immediate happen, and gives the outcome. */
  const ask = async (key: string, from: MapLookup = lookup): Promise<Outcome> => {
    const outcome = from.lookup(key)
    await clock.advance(0)
    return outcome
  }
  /** Asks, and lets time pass until there is an answer; gives it with the time that it took. */
  const askTimed = async (key: string): Promise<{ outcome: Outcome, ms: number }> => {
    const startedAt = clock.now()
    const outcomes: Outcome[] = []
    void Promise.resolve(lookup.lookup(key)).then(settled => outcomes.push(settled))
    await clock.advance(0)
    for (;;) {
      const [outcome] = outcomes
      if (outcome !== undefined) return { outcome, ms: clock.now() - startedAt }
      await clock.advance(10)
    }
  }
  return { clock, source, memory, copies, trust, lookup, redis, bugs, open, ask, askTimed, reverifyParts }
}

/** A copy of a table with these rows. */
export const copyOf = (rows: Readonly<Record<string, string>>, takenAt: number, witnesses = 1): Copy => {
  const keys = Object.keys(rows)
  return {
    id: '', takenAt, server: '', losses: [], witnesses, rows: keys.length, keys: keys.length, bytes: 0,
    answer: key => rows[key] === undefined ? absent : stale(rows[key]),
    sampleKeys: count => keys.toReversed().slice(0, count), listKeys: () => keys, pieces: () => [],
  }
}

export const aDay = 1_440 * minute
/** The defaults. */
export const week = { freshForMs: 5 * minute, staleForMs: 7 * aDay, absentForMs: 30_000 }
export const down = unavailable('source-down', 'refused')
export const fresh = (value: string) => found(byteString(value))
export const stale = (value: string) => found(byteString(value), 'stale')
