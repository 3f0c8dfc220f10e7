/**
 * `holdfast explain`, the daemon's part: what is known of one key in one map, what its tables say now, what Postfix
 * gets, and what it would get if MySQL went away this moment. It looks the key up with a memory of its own, which has
 * what the map's has, so that nothing becomes known by being explained.
 */
import { isFresh } from '../caches/entry.js'
import type { Entry } from '../caches/entry.js'
import { Memory } from '../caches/memory.js'
import type { RedisCache } from '../caches/redis.js'
import { bugOf } from '../log.js'
import type { Log } from '../log.js'
import { answerFromMemory, answerInOutage, foundAtHand } from '../lookup/answers.js'
import { Known } from '../lookup/known.js'
import { MapLookup } from '../lookup/lookup.js'
import { keyIn } from '../lookup/maps.js'
import type { MysqlMap, ServedMap } from '../lookup/maps.js'
import { readRedis } from '../lookup/read_redis.js'
import { applyRole } from '../lookup/role.js'
import { foldedWholeKey, Walk, wholeKey } from '../lookup/search.js'
import { readable, unavailable, worded } from '../outcome.js'
import type { Outcome } from '../outcome.js'
import { systemClock } from '../runtime/clock.js'
import type { CopyStatus } from '../upkeep/copies.js'
import { whyNoCopy } from './outage_verdict.js'
import { doubtTexts } from './status.js'

/** What a cache holds for a key. Times are epoch ms. */
export type ExplainedEntry = {
  readonly answer: string
  readonly age: 'fresh' | 'stale' | 'expired'
  readonly verifiedAt: number
  /** When a server first said absent after that; 0 if none did. */
  readonly contradictedAt: number
}

export type ExplainedStep = {
  readonly key: string
  readonly memory: ExplainedEntry | null
  readonly redis: ExplainedEntry | null
  /** What the copies of the tables say; they answer only in an outage. */
  readonly copy: { readonly answer: string, readonly takenAt: number } | null
  /** What each table says now, up to the first that has the key, and the server that said so ('' if none did). */
  readonly tables: readonly { readonly server: string, readonly answer: string }[]
}

/** Where an answer comes from, and when that place learned it (epoch ms; null: it was asked just now). */
export type Origin = { readonly from: string, readonly at: number | null }

export type Explained = {
  readonly map: string
  readonly search: string
  readonly asked: string
  readonly steps: readonly ExplainedStep[]
  /** What Postfix gets, and its value if it may be shown. */
  readonly answer: string
  readonly value: string | null
  readonly origin: Origin | null
  /** What Postfix would get without MySQL, and why; null: the map needs no MySQL. */
  readonly outage: { readonly answer: string, readonly origin: Origin | null, readonly why: string } | null
  readonly doubts: ReturnType<typeof doubtTexts>
}

/** What is asked of a map, as Postfix would send it. */
export type ExplainQuestion = { readonly map: ServedMap, readonly asked: string }

const ageOf = (entry: Entry, now: number): ExplainedEntry['age'] =>
  isFresh(entry, now) ? 'fresh' : now < entry.expiredAt ? 'stale' : 'expired'

/** Passwords and rights are not for a terminal. */
const wordedFor = ({ config: { sensitive } }: ServedMap, outcome: Outcome): string =>
  sensitive && outcome.kind === 'found' ? 'found (hidden: the map is sensitive)' : worded(outcome)

const valueOf = ({ config: { sensitive } }: ServedMap, outcome: Outcome): string | null =>
  sensitive || outcome.kind !== 'found' ? null : readable(outcome.value)

const explainedEntry = (map: MysqlMap, entry: Entry, now: number): ExplainedEntry => ({
  answer: wordedFor(map, entry.outcome), age: ageOf(entry, now), verifiedAt: entry.verifiedAt,
  contradictedAt: entry.contradictedAt,
})

/** What the tables say of a key, in the order in which they are asked. Absences are not judged. */
const askTables = async (map: MysqlMap, key: string, budgetMs: number): Promise<ExplainedStep['tables']> => {
  const said: { server: string, answer: string }[] = []
  for (const { source } of map.tables) {
    const { outcome, server } = await source.ask(key, budgetMs)
    said.push({ server, answer: wordedFor(map, outcome) })
    if (outcome.kind !== 'absent') break
  }
  return said
}

const explainStep = async (map: MysqlMap, key: string, budgetMs: number): Promise<ExplainedStep> => {
  const { lookup: { known }, memory, redis, identity } = map
  const now = Date.now()
  const [entry, copied] = [memory.peek(key), known.copied(key)]
  const [records, tables] = await Promise.all([redis?.read(identity, [key]) ?? null, askTables(map, key, budgetMs)])
  const record = records?.[0] ?? null
  return {
    key, tables,
    memory: entry === undefined ? null : explainedEntry(map, entry, now),
    redis: record === null ? null : explainedEntry(map, known.entryOf(record, known.knowsFlushes, now), now),
    copy: copied === null ? null : {
      answer: wordedFor(map, copied.outcome).replace(/^stale /, ''), takenAt: copied.at,
    },
  }
}

/** The steps of a walk up to the one that ends it: with an answer, or since it can't be answered. */
const explainSteps = async (map: MysqlMap, walk: Walk, budgetMs: number): Promise<readonly ExplainedStep[]> => {
  const steps: ExplainedStep[] = []
  for (const { key } of walk.steps) {
    const step = await explainStep(map, key, budgetMs)
    steps.push(step)
    if (step.tables.some(({ answer }) => answer !== 'absent')) break
  }
  return steps
}

/** Where a found answer in an outage would come from. */
const originInOutage = (known: Known, walk: Walk, now: number): Origin | null => {
  const atHand = foundAtHand(known, walk, now)
  return atHand === null ? null : { from: atHand.from === 'copy' ? 'a copy of the table' : 'memory', at: atHand.at }
}

/** Why nothing stands in for this walk in an outage, or why an absence may. */
const whyAnswered = (
  map: MysqlMap, known: Known, { steps }: Walk, isAbsent: boolean, copies: readonly CopyStatus[],
): string => {
  const { does, inOutage } = map.config.absence
  const isCopied = steps.every(({ key }) => known.copied(key) !== null)
  const wasAbsent = steps.every(({ key }) => known.memory.peek(key)?.outcome.kind === 'absent') || isCopied
  const said = isCopied ? 'the copy of the table lacks it' : 'MySQL last said so'
  const unknown = [steps.length === 1 ? 'nothing is known of the key' : 'not every step of the key is known',
    whyNoCopy(copies)].filter(text => text !== '').join(', and ')
  switch (does) {
    case 'refuses':
      if (isAbsent) return `${said}, and another map knows the recipient or its domain`
      return wasAbsent ? `${said}, but an absence in this map refuses mail, and no other map knows the recipient or `
        + 'its domain' : unknown
    case 'reroutes': case 'passes':
      return isAbsent && !wasAbsent ? `${unknown}; in_outage: ${inOutage}` : isAbsent ? said : unknown
    case 'weakens': return isAbsent ? said : `without the row mail would go out less protected, and ${unknown}`
    default: return does satisfies never
  }
}

/** What Postfix would get if MySQL went away now. */
const explainOutage = (
  map: MysqlMap, known: Known, walk: Walk, copies: readonly CopyStatus[],
): NonNullable<Explained['outage']> => {
  const now = Date.now()
  const standIn = answerInOutage(known, walk, now)
  const failure = { ...unavailable('source-down', 'MySQL could not be asked'), outMs: Infinity }
  const outcome = applyRole(standIn ?? failure, map.config.policy)
  if (standIn?.kind === 'found') {
    return { answer: wordedFor(map, standIn), origin: originInOutage(known, walk, now), why: '' }
  }
  const why = whyAnswered(map, known, walk, standIn !== null, copies)
  if (outcome.kind === 'unavailable') {
    const isFreshAbsent = answerFromMemory(known, walk, now)?.outcome.kind === 'absent'
    const lead = isFreshAbsent ? 'as soon as the last absence is older than absent_for: ' : ''
    return { answer: 'deferred', origin: null, why: `${lead}${why}` }
  }
  const isByRole = standIn === null
  return { answer: 'absent', origin: null, why: isByRole ? `${why}; this fallback node has \`outage: reject\`` : why }
}

/** Reads what the nodes share, and writes nothing. */
const readOnly = (redis: RedisCache): RedisCache => ({
  tried: redis.tried,
  isUsable: () => redis.isUsable(), status: () => redis.status(),
  read: (map, keys) => redis.read(map, keys),
  readPatiently: (map, keys, patienceMs) => redis.readPatiently(map, keys, patienceMs),
  all: (map, isWanted) => redis.all(map, isWanted),
  formerNames: maps => redis.formerNames(maps),
  write: () => undefined, writeLate: () => Promise.resolve(), offer: () => undefined, remove: () => undefined,
  noteName: () => undefined,
  close: () => undefined,
})

/** More than the keys of one walk. */
const scratchLimits = { entries: 1_000, bytes: 1_048_576, absentEntries: 1_000 }

export type ExplainSettings = { readonly deadlineMs: number, readonly softDeadlineMs: number }

/** A lookup like the map's, which knows what the map knows of this walk; what it learns is lost with it. */
const scratchLookup = (map: MysqlMap, walk: Walk, settings: ExplainSettings, log: Log): MapLookup => {
  const { lookup: { known }, plan, config: { policy }, trust, identity, redis, name } = map
  const memory = new Memory(scratchLimits)
  for (const key of [...walk.steps.map(step => step.key), wholeKey(walk), foldedWholeKey(walk.key)]) {
    const entry = known.memory.peek(key)
    if (entry !== undefined) memory.set(key, { ...entry, slot: -1 }, true)
  }
  const { lifetimes, absence, confirmForMs, isKnownElsewhere, isKnownAsOurs, copies, knowsFlushes } = known
  const scratch = new Known({ identity, plan, lifetimes, absence, confirmForMs }, {
    memory, redis: redis === null ? null : readOnly(redis), copies, isKnownElsewhere, isKnownAsOurs,
    clock: systemClock, random: Math.random,
  })
  scratch.knowsFlushes = knowsFlushes
  return new MapLookup({ plan, policy, ...settings }, {
    known: scratch, tables: trust.tables, clock: systemClock,
    onBug: error => log.repeated('bug', bugOf(error), { map: name }),
  })
}

/** Explains one question. `copies` are those of the map's tables; a table has the deadline for each step. */
export const explain = async (
  { map, asked: text }: ExplainQuestion, copies: readonly CopyStatus[], settings: ExplainSettings, log: Log,
): Promise<Explained> => {
  const common = { map: map.name, search: map.config.search, asked: text }
  const asked = keyIn(map, text)
  if (map.kind === 'text') {
    const outcome = map.lookup.lookup(asked)
    return {
      ...common, steps: [], answer: wordedFor(map, outcome), value: valueOf(map, outcome),
      origin: { from: 'a text table', at: null }, outage: null, doubts: [],
    }
  }
  const walk = new Walk(map.plan, asked)
  const steps = await explainSteps(map, walk, settings.deadlineMs)
  const lookup = scratchLookup(map, walk, settings, log)
  const { known } = lookup
  const isInMemory = answerFromMemory(known, walk, Date.now()) !== null
  await readRedis(known, walk, Date.now())
  const isCached = answerFromMemory(known, walk, Date.now()) !== null
  const outage = explainOutage(map, known, walk, copies)
  const inOutage = originInOutage(known, walk, Date.now())
  const outcome = await lookup.lookup(asked)
  const server = steps.at(-1)?.tables.at(-1)?.server ?? ''
  const isStale = outcome.kind === 'found' && outcome.age === 'stale'
  const origin: Origin | null = outcome.kind === 'unavailable' ? null
    : isStale ? inOutage
      : isCached ? { from: isInMemory ? 'memory' : 'Redis', at: inOutage?.at ?? null }
        : server === '' ? null : { from: `MySQL ${server}`, at: null }
  return {
    ...common, steps, answer: wordedFor(map, outcome), value: valueOf(map, outcome), origin, outage,
    doubts: doubtTexts(map),
  }
}
