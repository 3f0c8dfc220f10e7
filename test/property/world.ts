/**
 * A small world for the pipeline: a table whose whole history is known, two
 * nodes that share a Redis, faults at each boundary, and a clock that only
 * moves when told. Each answer is held against that history.
 *
 * What is real: MapLookup, TableTrust, memory, entries, search steps. What is
 * played: the table's server and Redis, whose faults of time and order no real
 * server shows on demand.
 */
import type { Statement } from '../../src/caches/entry.js'
import type { Lifetimes } from '../../src/config/config.js'
import { Memory } from '../../src/caches/memory.js'
import { noRedisFaults } from '../fixtures/status.js'
import type { RedisCache } from '../../src/caches/redis.js'
import { MapTrust } from '../../src/trust/map_trust.js'
import { Outage } from '../../src/trust/outage.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { Known } from '../../src/lookup/known.js'
import { MapLookup } from '../../src/lookup/lookup.js'
import { compileSearch } from '../../src/lookup/search.js'
import { absent, byteString, found, readable, unavailable } from '../../src/outcome.js'
import type { Found, Outcome } from '../../src/outcome.js'
import type { Source } from '../../src/tables/source.js'
import { fakeClock } from '../fixtures/clock.js'

export const askedKeys = ['u1@d', 'U1@D', 'u2@d', 'u3@d', 'u1+t@d', 'U1+T@d', 'u1@e', 'u4@e', '@d'] as const
export const rowKeys = ['u1@d', 'u2@d', 'u3@d', 'u1+t@d', '@d', 'u1@e', 'u5@e', 'u6@e'] as const
export type TableFault = 'none' | 'down' | 'hung' | 'slow' | 'flaky' | 'truncated'
export type RedisFault = 'none' | 'down' | 'hung' | 'read-only' | 'emptied'

export type Operation =
  | { readonly do: 'ask', readonly node: 0 | 1, readonly key: string }
  | { readonly do: 'pass', readonly ms: number }
  /** A new row, or a new value of one that is there. */
  | { readonly do: 'insert', readonly key: string }
  | { readonly do: 'delete', readonly key: string }
  | { readonly do: 'table', readonly fault: TableFault }
  | { readonly do: 'redis', readonly fault: RedisFault }
  /** The node's memory is lost, the process goes on. */
  | { readonly do: 'forget', readonly node: 0 | 1 }
  /** Killed with -9, and started again. */
  | { readonly do: 'restart', readonly node: 0 | 1 }
  /** Both nodes start with another query, whose values differ. */
  | { readonly do: 'redefine' }
  | { readonly do: 'trust', readonly node: 0 | 1 }
  /** Both nodes are told to ask for the key anew. */
  | { readonly do: 'flush', readonly key: string }

export type Setting = { readonly guard: boolean, readonly smallMemory: boolean, readonly staleForMs: number }

/** Numbers in [0, 1) that follow from `seed` (mulberry32). */
export const randomFrom = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const deadlineMs = 2_000
const softDeadlineMs = 300
const freshForMs = 60_000
const absentForMs = 10_000
/** A known key is absent once the table says so a second time, so long after the first. */
const confirmForMs = 60_000
/** A question may be under way for a walk and a check of the witnesses before an answer that is based on it. */
const walkMs = 2 * deadlineMs + 1_000
/** From the end of a fault until nothing of it may be felt: questions under way, then the failure recheck timer. */
const recoveryMs = walkMs + 5_000
/** A table in doubt is checked again every five seconds. */
const guardRecoveryMs = 10_000

type Version = { readonly key: string, readonly insertedAt: number, deletedAt: number | null }
type Node = {
  readonly lookup: MapLookup
  readonly memory: Memory
  readonly trust: MapTrust
  readonly definition: 'a' | 'b'
  alive: boolean
  distrustedAt: number
  /** Keys asked, and when a fresh found answer was last given: the node has to know these in an outage. */
  readonly known: Map<string, number>
  /** Rows that it has given answers from. */
  readonly knownRows: Set<string>
}

const plan = compileSearch('virtual', {
  recipientDelimiter: '+', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(['virtual']), localDomains: new Set(),
})
const stepKeys = (asked: string): readonly string[] => plan.steps(asked.toLowerCase(), asked).map(step => step.key)

/** Plays `operations`. The first answer that is not allowed, in words; null if there is none. All follows from `seed`. */
export const play = async (seed: number, setting: Setting, operations: readonly Operation[]): Promise<string | null> => {
  const clock = fakeClock()
  const random = randomFrom(seed)
  const lifetimes: Lifetimes = { freshForMs, staleForMs: setting.staleForMs, absentForMs }
  const startedAt = clock.now()

  const versions: Version[] = []
  /** Rows that are there: number of the version, and since when there has been a row. */
  const rows = new Map<string, { readonly version: number, readonly since: number }>()
  /** When each key was last flushed. */
  const flushedAt = new Map<string, number>()
  const insert = (key: string): void => {
    const before = rows.get(key)
    if (before !== undefined) remove(key)
    versions.push({ key, insertedAt: clock.now(), deletedAt: null })
    rows.set(key, { version: versions.length - 1, since: before?.since ?? clock.now() })
  }
  const remove = (key: string): void => {
    const row = rows.get(key)
    const version = row === undefined ? undefined : versions[row.version]
    if (version !== undefined) version.deletedAt = clock.now()
    rows.delete(key)
  }

  let tableFault: TableFault = 'none'
  let tableMendedAt = -Infinity
  let restoredAt = -Infinity
  let truncatedAt = -Infinity
  const askTable = (definition: string, key: string, budgetMs: number): Outcome | Promise<Outcome> => {
    const answer = (): Outcome => {
      const row = rows.get(key)
      return row === undefined || tableFault === 'truncated' ? absent : found(byteString(`v${row.version}${definition}@box`))
    }
    const after = (ms: number, settle: () => Outcome): Promise<Outcome> => new Promise(resolve => {
      clock.after(Math.min(ms, budgetMs), () => resolve(ms > budgetMs ? unavailable('timeout', 'slow') : settle()))
    })
    switch (tableFault) {
      case 'down': return unavailable('source-down', 'refused')
      case 'hung': return after(Infinity, answer)
      case 'slow': return after(200 + random() * 2_000, answer)
      case 'flaky':
        if (random() < 0.3) return after(random() * 100, () => unavailable('query-error', 'deadlock'))
        break
      case 'none': case 'truncated': break
      default: tableFault satisfies never
    }
    if (random() < 0.5) return Promise.resolve(answer())
    // The server reads the row somewhere between the question and the answer.
    const early = random() < 0.5 ? answer() : null
    return after(1 + random() * 49, () => early ?? answer())
  }

  let redisFault: RedisFault = 'none'
  const records = new Map<string, { readonly decoded: Statement, readonly definition: string, readonly until: number }>()
  const redisFor = (isAlive: () => boolean): RedisCache => {
    const writable = () => isAlive() && redisFault === 'none'
    const cache: RedisCache = {
      read: (map, keys) => {
        if (redisFault === 'down' || !isAlive()) return null
        const reading = (): (Statement | null)[] => keys.map(key => {
          const record = records.get(key)
          return record?.definition === map.definition && record.until > clock.now() ? record.decoded : null
        })
        return new Promise(resolve => {
          if (redisFault === 'hung') clock.after(100, () => resolve(keys.map(() => null)))
          else if (random() < 0.5) resolve(reading())
          else clock.after(random() * 20, () => resolve(reading()))
        })
      },
      readPatiently: (map, keys) => cache.read(map, keys),
      write: (map, key, { outcome, verifiedAt, table, contradictedAt }, ttlMs) => {
        if (!writable() || ttlMs < 1) return
        records.set(key, { decoded: { outcome, verifiedAt, table, contradictedAt }, definition: map.definition, until: clock.now() + ttlMs })
      },
      offer: (map, key, kept, ttlMs) => {
        if (!records.has(key)) cache.write(map, key, kept, ttlMs)
      },
      remove: (_map, key) => { if (writable()) records.delete(key) },
      all: async function* () { yield [] },
      tried: Promise.resolve(),
      isUsable: () => redisFault !== 'down',
      status: () => ({ state: 'ready', since: 0, hits: 0, misses: 0, faults: noRedisFaults, refusesWrites: null }),
      close: () => undefined,
    }
    return cache
  }

  let definition: 'a' | 'b' = 'a'
  const startNode = (): Node => {
    const letter = definition
    const source: Source = {
      definition: letter,
      ask: async (key, budgetMs, { onAbsent } = {}) => {
        const until = clock.now() + budgetMs
        const outcome = await askTable(letter, key, budgetMs)
        if (outcome.kind === 'absent') await onAbsent?.('server', { again: async other => askTable(letter, other, until - clock.now()), createdAt: async () => null })
        return { outcome, server: 'server' }
      },
    }
    const memory = new Memory(setting.smallMemory ? { entries: 3, bytes: 100_000, absentEntries: 2 } : { entries: 1_000, bytes: 1_000_000, absentEntries: 1_000 })
    const known = new Known({
      identity: { name: 'alias', definition: letter }, plan, lifetimes, confirmForMs, absence: { does: 'refuses', inOutage: 'defer', isBelievedAtOnce: false },
    }, { memory, isKnownElsewhere: () => false, isOurs: () => true, clock, random, redis: redisFor(() => node.alive) })
    const trust = new MapTrust([new TableTrust({ maxShrink: setting.guard ? 0.3 : 1, evidenceForMs: Infinity }, {
      source, clock, sample: (count, since) => known.sample(0, count, since), canaries: [], siblings: [], outage: new Outage(60_000, clock),
      onChange: (_server, doubt, before) => {
        node.distrustedAt = doubt === null ? clock.now() : Infinity
        if ((doubt === null) !== (before === null)) known.dropAbsences()
      },
    })])
    const lookup = new MapLookup({ plan, policy: { unknown: 'reject', outage: 'defer' }, deadlineMs, softDeadlineMs }, {
      known, tables: trust.tables, onBug: () => undefined, clock,
    })
    const node: Node = { lookup, memory, trust, definition: letter, alive: true, distrustedAt: -Infinity, known: new Map(), knownRows: new Set() }
    return node
  }
  const nodes: [Node, Node] = [startNode(), startNode()]
  const restart = (which: 0 | 1): void => {
    nodes[which].alive = false
    nodes[which].trust.close()
    nodes[which] = startNode()
  }

  const problems: string[] = []
  const judge = (node: Node, asked: string, askedAt: number, outcome: Outcome): void => {
    const now = clock.now()
    const steps = stepKeys(asked)
    const wrong = (why: string): void => {
      problems.push(`at ${now - startedAt} ms: ${asked} asked at ${askedAt - startedAt} ms is `
        + `${outcome.kind === 'found' ? `${readable(outcome.value)} (${outcome.age})` : outcome.kind}: ${why}`)
    }
    const isHealthy = tableFault === 'none' && askedAt - tableMendedAt > recoveryMs && askedAt - node.distrustedAt > guardRecoveryMs
    /** A key that the node doesn't know may be heard absent just before a restore, with witnesses found just after. */
    const excusedAfterRestore = (key: string): boolean =>
      askedAt - restoredAt < absentForMs + walkMs && (setting.smallMemory || !node.knownRows.has(key))
    /** A key that the node doesn't know may be asked for just before a table is emptied, and is absent for absent_for then. */
    const excusedAfterLoss = (key: string): boolean =>
      askedAt - truncatedAt < absentForMs + walkMs && (setting.smallMemory || !node.knownRows.has(key))
    if (now - askedAt > deadlineMs) wrong('later than the deadline')
    switch (outcome.kind) {
      case 'absent':
        // What was known before has expired.
        if (tableFault === 'truncated' && now - truncatedAt > setting.staleForMs - freshForMs - walkMs) return
        for (const key of steps) {
          const row = rows.get(key)
          if (excusedAfterLoss(key) || excusedAfterRestore(key)) continue
          if (row !== undefined && row.since < askedAt - absentForMs - walkMs) wrong(`the row ${key} is there since ${row.since - startedAt} ms`)
          const toldAt = flushedAt.get(key) ?? -Infinity
          if (row !== undefined && row.since < toldAt && toldAt < askedAt) wrong(`the row ${key} was flushed at ${toldAt - startedAt} ms`)
        }
        node.known.delete(asked)
        return
      case 'unavailable': {
        if (isHealthy) wrong(`the table is well: ${outcome.reason}`)
        const knownAt = node.known.get(asked)
        if (knownAt !== undefined && !setting.smallMemory && now < knownAt - freshForMs - walkMs + setting.staleForMs) {
          wrong(`(${outcome.reason}) though it was known at ${knownAt - startedAt} ms`)
        }
        return
      }
      case 'found': {
        const version = judgeFound(node, asked, askedAt, outcome, wrong)
        // The table may say meanwhile that a row is gone; the node is right to forget it then.
        if (outcome.age === 'fresh' && version?.deletedAt === null) node.known.set(asked, now)
        return
      }
      default: outcome satisfies never
    }
  }

  const judgeFound = (node: Node, asked: string, askedAt: number, { value, age }: Found,
    wrong: (why: string) => void): Version | undefined => {
    const [, number, letter, extension] = /^v(\d+)([ab])(\+t)?@box$/i.exec(readable(value)) ?? []
    const version = versions[Number(number)]
    if (version === undefined || letter !== node.definition) {
      wrong('no row of this definition ever said that')
      return undefined
    }
    const steps = stepKeys(asked)
    const at = steps.indexOf(version.key)
    if (at < 0) wrong(`a row of ${version.key} is no answer to it`)
    const wanted = version.key === 'u1@d' && asked.includes('+') ? asked.slice(2, 4) : undefined
    if (age === 'fresh' ? extension !== wanted : extension?.toLowerCase() !== wanted?.toLowerCase()) wrong('the extension is not the sender\'s')
    // Not fresh for longer than fresh_for, nor known for longer than stale_for.
    const goodForMs = age === 'fresh' ? freshForMs : Math.max(freshForMs, setting.staleForMs)
    const oldest = askedAt - goodForMs - walkMs
    if (version.deletedAt !== null && version.deletedAt < oldest) wrong(`that row is gone since ${version.deletedAt - startedAt} ms`)
    if (age === 'fresh') node.knownRows.add(version.key)
    for (const key of steps.slice(0, at)) {
      const row = rows.get(key)
      // After a restore see excusedAfterRestore: an answer that came of it is known whole for as long as another.
      if (row === undefined || restoredAt > startedAt) continue
      if (row.since < oldest || row.since + absentForMs + walkMs < version.insertedAt) wrong(`the row ${key} comes first, since ${row.since - startedAt} ms`)
    }
    return version
  }

  for (const key of ['u1@d', 'u2@d', 'u1@e', 'u5@e', 'u6@e']) insert(key)
  for (const operation of operations) {
    switch (operation.do) {
      case 'ask': {
        const node = nodes[operation.node]
        const askedAt = clock.now()
        const settle = (outcome: Outcome): void => { if (node.alive) judge(node, operation.key, askedAt, outcome) }
        const outcome = node.lookup.lookup(operation.key)
        if (outcome instanceof Promise) void outcome.then(settle)
        else settle(outcome)
        await clock.advance(0)
        break
      }
      case 'pass': await clock.advance(operation.ms); break
      case 'insert': insert(operation.key); break
      case 'delete':
        remove(operation.key)
        for (const { known, knownRows } of nodes) {
          knownRows.delete(operation.key)
          for (const asked of known.keys()) if (stepKeys(asked).includes(operation.key)) known.delete(asked)
        }
        break
      case 'table':
        // Only known keys can show that a table has lost its rows, as long as they are known.
        if (operation.fault === 'truncated' && !(setting.guard && setting.staleForMs > 0 && nodes.every(({ lookup, trust }) => trust.doubts.length === 0 && lookup.known.sample(0, 3, Math.max(trust.tables[0]?.trustedAt ?? 0, clock.now() - freshForMs)).length >= 3))) break
        if (tableFault !== 'none') tableMendedAt = clock.now()
        if (tableFault === 'truncated') restoredAt = clock.now()
        if (operation.fault === 'truncated') truncatedAt = clock.now()
        tableFault = operation.fault
        break
      case 'redis':
        if (operation.fault === 'emptied') records.clear()
        else redisFault = operation.fault
        break
      case 'forget':
        for (const [key] of [...nodes[operation.node].memory.all()]) nodes[operation.node].memory.delete(key)
        nodes[operation.node].known.clear()
        nodes[operation.node].knownRows.clear()
        break
      case 'restart': if (tableFault !== 'truncated') restart(operation.node); break
      case 'redefine':
        if (tableFault === 'truncated') break
        definition = definition === 'a' ? 'b' : 'a'
        restart(0)
        restart(1)
        break
      case 'flush':
        flushedAt.set(operation.key, clock.now())
        for (const { lookup } of nodes) lookup.flush(operation.key, clock.now())
        break
      case 'trust': if (tableFault !== 'truncated') nodes[operation.node].trust.trust(); break
      default: operation satisfies never
    }
    if (problems.length > 0) break
  }
  await clock.advance(deadlineMs)
  for (const { trust, lookup } of nodes) {
    trust.close()
    if (lookup.flights > 0) await clock.advance(walkMs)
  }
  return problems[0] ?? null
}
