/**
 * Builds one map from its section of the configuration; takes over what the previous one knows: all of it if its tables
 * are defined alike, else its doubts, and its rows as evidence (lookup/known_evidence.ts).
 */
import { isForeign, makeEntry } from '../caches/entry.js'
import type { MapIdentity } from '../caches/map_identity.js'
import { MapCopies } from '../caches/map_copies.js'
import { Memory } from '../caches/memory.js'
import type { RedisCache } from '../caches/redis.js'
import type { Config, MapConfig } from '../config/config.js'
import { bugOf } from '../log.js'
import type { Log } from '../log.js'
import { Known } from '../lookup/known.js'
import { sampleOf } from '../lookup/known_evidence.js'
import { MapLookup } from '../lookup/lookup.js'
import type { MysqlMap, ServedMap } from '../lookup/maps.js'
import { compileSearch, isRowKey } from '../lookup/search.js'
import type { Plan } from '../lookup/search.js'
import { TextLookup } from '../lookup/maps.js'
import { systemClock } from '../runtime/clock.js'
import type { Opened, Sources, Table } from '../tables/open.js'
import { asksTheTime } from '../tables/row_expression.js'
import type { Canary } from '../trust/canary.js'
import { MapTrust, placesOf } from '../trust/map_trust.js'
import { TableTrust } from '../trust/table_trust.js'
import { createTargets, isKnownAsOurs, isKnownElsewhere, readElsewhere } from '../trust/known_elsewhere.js'
import type { Neighbour } from '../trust/known_elsewhere.js'
import type { Formers } from './formers.js'
import { idsOf } from './identity.js'
import { logDoubt } from './state_log.js'

/** What the maps of one configuration have in common. */
export type Surroundings = {
  readonly config: Config
  readonly sources: Pick<Sources, 'of'>
  readonly log: Log
  readonly redis: RedisCache | null
  /** By the servers and databases that they guard. */
  readonly canaries: ReadonlyMap<string, readonly Canary[]>
  /** What judges the tables, by the servers and the database that answer. */
  readonly siblings: Map<string, TableTrust[]>
  /** The other maps of this node, those still to come too. */
  readonly neighbours: readonly Neighbour[]
  /** Is called for each doubt that begins or ends in a map. */
  readonly onDoubt: (map: string) => void
  /** Has what kill -9 must not take saved now. */
  readonly save: () => void
  /** What a reload replaces; null at the start. */
  readonly previous: { readonly config: Config } | null
  /** Of the maps on MySQL, by their names. */
  readonly identities: ReadonlyMap<string, MapIdentity>
  readonly formers: Formers
}

export const openMap = (map: MapConfig, surroundings: Surroundings): ServedMap => {
  const { name } = map
  const opened = surroundings.sources.of(name)
  const plan = compileSearch(map.search, surroundings.config.search, map.smtputf8)
  if (opened.kind === 'mysql') return openMysqlMap(map, plan, opened, surroundings)
  const lookup = new TextLookup(name, plan, map.policy, opened.lookup)
  return { kind: 'text', name, config: map, plan, table: opened.lookup, content: opened.content, lookup }
}

const openMysqlMap = (
  map: MapConfig, plan: Plan, { tables }: Extract<Opened, { kind: 'mysql' }>, surroundings: Surroundings,
): MysqlMap => {
  const { config, log, neighbours, previous, identities, formers } = surroundings
  const { name, lifetimes, policy, search, absence, confirmForMs } = map
  const ids = idsOf(tables)
  const identity = identities.get(name)
  if (identity === undefined) throw new Error(`map ${name} has no identity`)
  const former = formers.of.get(name) ?? null
  const earlier = former?.identity.definition === identity.definition ? former : null
  const places = former === null ? [] : placesOf(former.trust.ids, ids)
  const memory = former === null || previous === null ? emptyMemory(config)
    : takeOver(former, previous.config, config, map, identity, places)
  const copies = earlier?.copies ?? new MapCopies(tables.length)
  if (former !== null && earlier === null) {
    copies.inherit(former.copies, places)
    log.warn(`map ${name}: its definition changed: values of the former one are not served any more, but its keys `
      + `count as known. If the new one finds less on purpose: holdfast trust ${name}`, { map: name })
  }
  const targets = earlier?.targets ?? createTargets()
  const redis = map.sensitive ? null : surroundings.redis
  const known = new Known({ identity, plan, lifetimes, absence, confirmForMs }, {
    memory, redis, copies, clock: systemClock, random: Math.random,
    // A map that accepts mail for a key does not replace one that grants a right or has a password.
    isKnownElsewhere: key => !map.sensitive && isKnownElsewhere(search, key, neighbours),
    isKnownAsOurs: key => isKnownAsOurs(search, key, neighbours),
    earlier: former?.lookup.known ?? null,
    ...mayNameAliases(map) ? { onFound: value => targets.note(value) } : {},
    // smtpd remembers a domain of ours, and refuses its recipients if a lenient name has forgotten it.
    ...config.recipientGuard.includes(name) ? { onNewRow: surroundings.save } : {},
  })
  known.knowsFlushes = redis === null
  known.isWhole = former === null || (earlier !== null ? former.lookup.known.isWhole : !isAnythingKnown(former))
  const trust = new MapTrust(trustsIn(map, tables, known, surroundings), ids)
  for (const each of [former, formers.named.get(name)]) if (each != null) trust.inherit(each.trust)
  const lookup = new MapLookup({
    plan, policy, deadlineMs: config.file.deadline, softDeadlineMs: config.file.soft_deadline,
  }, {
    known, tables: trust.tables, clock: systemClock,
    readElsewhere: (key, deadline) => readElsewhere(key, deadline, neighbours),
    onBug: error => log.repeated('bug', bugOf(error), { map: name }),
  })
  // It knows of no flush that came while it was away.
  if (former !== null && formers.returning.has(former)) lookup.flush(null, Date.now())
  return { kind: 'mysql', name, config: map, plan, lookup, tables, trust, memory, copies, redis, identity, targets }
}

const isAnythingKnown = ({ memory, copies }: MysqlMap): boolean => memory.size().found > 0 || copies.hasRows

/** With `search: exact` Postfix does the steps, and no setting says what the rows are. */
const mayNameAliases = ({ search, sensitive, absence: { does } }: MapConfig): boolean =>
  search === 'virtual' || (search === 'exact' && does === 'refuses' && !sensitive)

/** What judges the absences of a map's tables, each for itself. */
const trustsIn = (
  map: MapConfig, tables: readonly Table[], known: Known,
  { config, canaries, siblings, log, onDoubt }: Surroundings,
): readonly TableTrust[] => {
  const logChange = logDoubt(map.name, log)
  return tables.map(({ source, authority, definition: { texts, bind } }, index) => {
    const inDatabase = siblings.get(authority) ?? []
    siblings.set(authority, inDatabase)
    // Rows that count for a while only come and go as they should.
    const isTimed = texts.some(asksTheTime)
    const trust = new TableTrust({
      maxShrink: isTimed ? 1 : map.maxShrink,
      evidenceForMs: isTimed ? map.lifetimes.freshForMs : Math.max(config.file.remember_for, map.lifetimes.staleForMs),
    }, {
      source, clock: systemClock, canaries: canaries.get(authority) ?? [], siblings: inDatabase,
      // Another definition may have found what this one doesn't ask for.
      sample: (count, since) => sampleOf(known, index, count, since).filter(key => bind(key) !== null),
      isEvidenceRead: () => known.isRedisRead && known.isWhole,
      losses: () => known.copies.of(index)?.losses ?? [],
      dropAbsences: () => known.dropAbsences(),
      onChange: (server, doubt, isOver) => {
        // An administrator ended it: what was found before is no evidence any more, and what is there is to be again.
        if (isOver && doubt.since <= trust.trustedAt) known.flush(null, systemClock.now())
        logChange(server, doubt, isOver)
        onDoubt(map.name)
      },
    })
    inDatabase.push(trust)
    return trust
  })
}

const emptyMemory = ({ file: { memory } }: Config): Memory =>
  new Memory({ entries: memory.entries, bytes: memory.bytes, absentEntries: memory.absent_entries })

/**
 * The memory itself if its bounds, its lifetimes and the way that the map is searched are the same; else a new one with
 * what it knows. Rows stay what they are however they are searched, unless the tables are defined otherwise: then they
 * are evidence. `places`: of the former tables here.
 */
const takeOver = (
  earlier: MysqlMap, before: Config, config: Config, map: MapConfig, { definition, wholeDefinition }: MapIdentity,
  places: readonly number[],
): Memory => {
  const isSame = definition === earlier.identity.definition
  const isSearchedAlike = wholeDefinition === earlier.identity.wholeDefinition
  const settings = JSON.stringify([config.file.memory, map.lifetimes])
  const isAlike = settings === JSON.stringify([before.file.memory, earlier.config.lifetimes])
  if (isAlike && isSearchedAlike && earlier.name === map.name) return earlier.memory
  const memory = emptyMemory(config)
  const now = Date.now()
  memory.takeOver(earlier.memory, (key, before) => {
    if (!isSame && before.outcome.kind === 'absent') return null
    const row = isSame && !isForeign(before) ? before
      : { ...before, table: isSame ? before.table : places[before.table] ?? -1, isForeign: true } as const
    const entry = makeEntry(row, map.lifetimes, now, Math.random())
    entry.askedAt = before.askedAt
    // What a flush made stale stays so, and is asked for when it was to be.
    if (before.staleAt <= now) {
      entry.staleAt = Math.min(entry.staleAt, before.staleAt)
      entry.askAgainAt = before.askAgainAt
    }
    const isUsable = now < entry.expiredAt || before.outcome.kind === 'found'
    return isUsable && (isSearchedAlike || isRowKey(key)) ? entry : null
  })
  return memory
}
