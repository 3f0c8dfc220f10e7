/**
 * Holds each answer against what the tables should hold. The rules are those of the test's head (invariant.test.ts).
 */
import { readable } from '../../src/outcome.js'
import type { Found, Outcome } from '../../src/outcome.js'
import type { FakeClock } from '../fixtures/clock.js'
import type { TableName } from './mysql.js'
import type { Node, Setting } from './node.js'
import { tableNames } from './world.js'
import type { Version, World } from './world.js'

export type Which = 0 | 1

/** The defaults, as the manual has them (ms). */
export const deadlineMs = 2_000
const freshForMs = 300_000
const absentForMs = 30_000
const confirmForMs = 300_000
const outageAfterMs = 60_000
/** A question may be under way for a walk and its judgement before an answer that is based on it. */
export const walkMs = 3 * deadlineMs
const roundTripMs = 100
/** From the end of a trouble until nothing of it may be felt: questions under way, rechecks of a doubt. */
const recoveryMs = walkMs + 12_000
/** A table is only judged by its keys if the node knows so many. */
export const enough = 5

/** What a node has to know: by table and key, when it last gave a found answer that it knew from its table or Redis. */
class Knowledge {
  readonly #at = new Map<string, number>()
  /** When it was last fresh: a flush of the key, or a row of `changes`, from before then no longer matters. */
  readonly #freshAt = new Map<string, number>()

  note(table: TableName, key: string, at: number, isFresh: boolean): void {
    this.#at.set(`${table} ${key}`, at)
    if (isFresh) this.#freshAt.set(`${table} ${key}`, at)
  }

  freshAt(table: TableName, key: string): number {
    return this.#freshAt.get(`${table} ${key}`) ?? -Infinity
  }

  at(table: TableName, key: string): number | undefined {
    return this.#at.get(`${table} ${key}`)
  }

  forget(table: TableName, key: string): void {
    this.#at.delete(`${table} ${key}`)
  }

  /** What is younger than `at` is forgotten: it was not saved. */
  forgetSince(at: number): void {
    for (const [key, then] of this.#at) if (then > at) this.#at.delete(key)
  }

  clear(): void {
    this.#at.clear()
  }

  count(table: TableName): number {
    return [...this.#at.keys()].filter(key => key.startsWith(`${table} `)).length
  }
}

export type Question = {
  readonly which: Which, readonly table: TableName, readonly asked: string, readonly steps: readonly string[],
  /** Elapsed ms, and epoch ms. */
  readonly askedAt: number, readonly now: number,
  /** Of the definitions in force meanwhile. */
  readonly letters: readonly string[],
}

export class Judge {
  readonly known: readonly [Knowledge, Knowledge] = [new Knowledge(), new Knowledge()]
  /** By node, table and key: when a flush must have reached it (epoch ms). */
  readonly flushedAt = new Map<string, number>()
  /** Answers that are not allowed, in words. */
  readonly problems: string[] = []
  /** Whether a server stands still: it says what was true once. */
  hasStale = false
  /** What Redis has taken from some node, as long as it keeps it and nothing else. */
  readonly inRedis = new Knowledge()
  #isRedisWhole = true
  /** When Redis changed, and when the processes were held up last (elapsed ms). */
  redisAt = -Infinity
  heldAt = -Infinity
  /** When each node opened its connections to Redis (elapsed ms). */
  readonly connectedAt: [number, number] = [-Infinity, -Infinity]
  /** Whether an administrator trusted a table: what was found before is no evidence any more. */
  hasTrusted = false
  /** When a clock was last set (elapsed ms). */
  clockSetAt = -Infinity
  readonly #world: World
  readonly #setting: Setting
  readonly #nodeOf: (which: Which) => Node
  readonly #startedAt: number

  constructor(world: World, setting: Setting, nodeOf: (which: Which) => Node) {
    this.#world = world
    this.#setting = setting
    this.#nodeOf = nodeOf
    this.#startedAt = this.#clock.now()
  }

  get #clock(): FakeClock {
    return this.#world.machines.clock
  }

  /** From now on the judge doesn't know what Redis holds. */
  loseRedis(): void {
    this.#isRedisWhole = false
    this.inRedis.clear()
  }

  judge(question: Question, outcome: Outcome): void {
    const { which, table, asked, askedAt } = question
    const wrong = (why: string): void => {
      const answer = outcome.kind === 'found' ? `${readable(outcome.value)} (${outcome.age})` : outcome.kind
      this.problems.push(
        `after ${askedAt - this.#startedAt} ms: node ${which}: ${table} ${asked} is ${answer}: ${why}`
      )
    }
    if (this.#clock.elapsed() - askedAt > deadlineMs && this.heldAt < askedAt) wrong('later than the deadline')
    switch (outcome.kind) {
      case 'found': return this.#judgeFound(question, outcome, wrong)
      case 'absent': return this.#judgeAbsent(question, wrong)
      case 'unavailable': return this.#judgeUnavailable(question, outcome.reason, wrong)
      default: outcome satisfies never
    }
  }

  #judgeAbsent({ which, table, asked, askedAt, steps }: Question, wrong: (why: string) => void): void {
    const clock = this.#clock
    const { truth } = this.#world
    const isSetLately = clock.elapsed() - this.clockSetAt < absentForMs + walkMs
    for (const key of steps) {
      const version = this.#world.versions[truth[table].get(key) ?? -1]
      if (version === undefined) continue
      const ageMs = clock.now() - version.since
      // A fallback rejects what it can't know in a long outage: by a catch-all alone nobody is known.
      const isKnown = this.known[which].at(table, key) !== undefined && (key === asked || !this.#setting.isFallback)
      // After a flush of the key, or a row of `changes` for it, one statement is enough; and a restore between that and
      // the question for a known key hides the loss.
      const isCaughtOut = this.#isDenied(which, table, key)
        || (this.#namedAt(which, table, key) < Infinity && this.#world.troubleAt >= askedAt)
      // By a stale server's word it takes confirm_for to end a row that was fresh.
      const isForgotten = this.hasStale
        && (this.#world.outSince === null || clock.elapsed() - this.known[which].freshAt(table, key) > confirmForMs)
      if (isKnown && !isForgotten && !isCaughtOut) wrong(`the row ${key} is there, and the node knew it`)
      // What a table has lost shows by the keys that the node knows, though it does not know this one.
      const isEmptied = this.#world.servers.every(({ tables }) => tables[table].size === 0)
      if (isEmptied && this.#world.troubleAt < askedAt && !this.hasStale && !isSetLately && ageMs > absentForMs + walkMs
        && this.known[which].count(table) >= enough && !this.hasTrusted) wrong(`all rows are gone, and ${key} with them`)
      const wasWell = !this.#world.isBroken && askedAt - this.#world.troubleAt > absentForMs + recoveryMs
      if (wasWell && !this.hasStale && !isSetLately && ageMs > absentForMs + walkMs) {
        wrong(`the row ${key} is there for ${ageMs} ms, and all servers are well`)
      }
      const outMs = this.#world.outSince === null ? Infinity : clock.elapsed() - this.#world.outSince
      if (outMs < outageAfterMs - walkMs && askedAt - (this.#world.outSince ?? 0) > walkMs && ageMs > absentForMs
        + outMs + walkMs
        && !this.hasStale && !isSetLately && this.#world.servers.every(({ broken }) => broken.size === 0)
        && this.#world.outSince === this.#world.troubleAt) {
        wrong(`the row ${key} is there, and the servers are out for ${outMs} ms only`)
      }
    }
  }

  /** Since when one statement is enough, by a flush of the key or a row of `changes` for it; Infinity: it is not. */
  #namedAt(which: Which, table: TableName, key: string): number {
    const namedAt = this.#world.namedAt.get(`${which} ${table} ${key}`) ?? -Infinity
    return namedAt >= this.known[which].freshAt(table, key) ? namedAt : Infinity
  }

  /** Whether one statement, or two, may have ended a row, from a table that had lost no more than may be deletions. */
  #isDenied(which: Which, table: TableName, key: string): boolean {
    const lacked = this.#world.fewLacked(table, key)
    if (lacked === undefined) return false
    return lacked.last - lacked.first >= confirmForMs || lacked.last >= this.#namedAt(which, table, key)
  }

  #judgeUnavailable({ which, table, asked, askedAt, letters, steps }: Question, reason: string, wrong: (why: string) => void): void {
    const clock = this.#clock
    const isWell = !this.#world.isBroken && askedAt - this.#world.troubleAt > recoveryMs
    // Rows that count for a while only come and go: that table is never in doubt.
    const [alias, domains] = (['alias', 'domains'] as const).map(name => this.#nodeOf(which).map(name))
    const doubts = [alias, domains].flatMap(map => map?.trust.doubts ?? [])
    const isDoubted = doubts.length > 0
    // Nothing may be known here of a table whose keys Redis would name.
    const isUnread = tableNames.some(name => !this.#nodeOf(which).map(name).lookup.known.isRedisRead)
    // A table that was created anew is in doubt from the first question on.
    const isLong = doubts.some(({ since }) => clock.now() - since > 60_000)
    if (
      isWell && !isDoubted && !(isUnread && reason === 'distrusted') && !this.hasStale
        && askedAt - this.clockSetAt > recoveryMs
    ) wrong(`(${reason}) though all servers are well`)
    const isOver = isLong && askedAt - this.#world.troubleAt > 60_000 && this.clockSetAt === -Infinity
    if (isWell && isOver && !this.hasStale) wrong(`(${reason}) the doubt does not end`)
    const knownAt = this.known[which].at(table, asked)
    // Who asked by one definition is not answered by the next.
    const isDenied = letters[0] !== letters[1] || steps.some(key => this.#isDenied(which, table, key))
    if (knownAt !== undefined && this.clockSetAt === -Infinity && !isDenied) {
      wrong(`(${reason}) though it was known ${clock.elapsed() - knownAt} ms ago`)
    }
    // To log in to a slow Redis takes several round trips.
    const isConnecting = this.#world.redis.fault === 'slow' && askedAt - this.connectedAt[which] < walkMs
    // However slow Redis is, if it answers within the deadline.
    const isInRedis = (this.inRedis.at(table, asked) ?? Infinity) < askedAt - roundTripMs
    if (isInRedis && !isConnecting && this.heldAt < askedAt && this.clockSetAt === -Infinity) wrong(`(${reason}) though Redis has it`)
  }

  #judgeFound(
    { which, table, asked, askedAt, now: askedNow, letters, steps }: Question, { value, age }: Found, wrong: (why: string) => void,
  ): void {
    const clock = this.#clock
    const { versions } = this.#world
    const [, number, letter = ''] = /^v(\d+)([abdt])(?:\+t)?@box$/i.exec(readable(value)) ?? []
    const version: Version | undefined = versions[Number(number)]
    if (version === undefined || (table === 'alias' && !letters.includes(letter))) {
      return wrong('no row of this definition ever said that')
    }
    if (!steps.includes(version.key)) wrong(`a row of ${version.key} is no answer to it`)
    // A row that came in the middle of a restore is old there: a server that says so is asked all the same.
    const isStillSaid = this.#world.servers.some(({ tables }) => tables[table].get(version.key) === Number(number))
    if (age === 'fresh' && this.clockSetAt === -Infinity && !this.hasStale && !isStillSaid) {
      const oldest = askedNow - freshForMs - walkMs
      if (version.deletedAt !== null && version.deletedAt < oldest) wrong(
        `that row is gone for ${askedNow - version.deletedAt} ms`
      )
      for (const what of [...steps, '']) {
        const flushedAt = this.flushedAt.get(`${which} ${table} ${what}`) ?? -Infinity
        const isOld = version.deletedAt !== null && version.deletedAt < flushedAt && flushedAt + walkMs < askedNow
        if (isOld) wrong(`it was flushed ${askedNow - flushedAt} ms ago, and the row is gone for longer`)
      }
    }
    const isPresent = version.deletedAt === null
    // Known by its own row: what is deleted, or takes the place of a catch-all, is another matter.
    const isInForce = letter === letters[1] || table !== 'alias'
    if (isPresent && isInForce && steps[0] === version.key) {
      this.known[which].note(table, asked, clock.elapsed(), age === 'fresh')
      const takesWrites = this.#isRedisWhole && this.#world.redis.fault === 'none' && askedAt - this.redisAt > recoveryMs
      if (this.#setting.withRedis && takesWrites && age === 'fresh') this.inRedis.note(table, asked, clock.elapsed(), true)
    }
  }
}
