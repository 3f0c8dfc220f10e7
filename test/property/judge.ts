/**
 * Compares each answer with what the tables should hold. The header of invariant.test.ts lists the rules.
 */
import { readable } from '../../src/outcome.js'
import type { Found, Outcome } from '../../src/outcome.js'
import type { FakeClock } from '../fixtures/clock.js'
import type { TableName } from './mysql.js'
import type { Node, Setting } from './node.js'
import { tableNames } from './world.js'
import type { Version, World } from './world.js'

export type Which = 0 | 1

/** The defaults that holdfast.yaml(5) gives (ms). */
export const deadlineMs = 2_000
const freshForMs = 300_000
const absentForMs = 30_000
const confirmForMs = 300_000
const outageAfterMs = 60_000
/** The longest time from a question to MySQL until a client gets an answer that rests on it. */
export const walkMs = 3 * deadlineMs
const roundTripMs = 100
/** After a fault has ended, lookups under way and rechecks of a doubt may still show its effect for so long. */
const recoveryMs = walkMs + 12_000
/** Holdfast judges by its known keys whether a table has lost rows only if it knows at least so many. */
export const enough = 5

/** What a node must know: when it last answered found for a key, from its table or Redis; by table and key. */
class Knowledge {
  readonly #at = new Map<string, number>()
  /** When the node last gave a fresh answer: earlier flushes of the key and rows of `changes` no longer matter. */
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

  /** Forgets what was noted after `at`, because the node had not saved it. */
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
  /** When it was asked: `askedAt` in elapsed ms, `now` in epoch ms. */
  readonly askedAt: number, readonly now: number,
  /** The letters of the alias map's definition when the question was asked and when the answer came. */
  readonly letters: readonly string[],
}

export class Judge {
  readonly known: readonly [Knowledge, Knowledge] = [new Knowledge(), new Knowledge()]
  /** When a flush must have reached a node (epoch ms), by node, table and key. */
  readonly flushedAt = new Map<string, number>()
  /** Descriptions of the answers that break a rule. */
  readonly problems: string[] = []
  /** Whether a server gets no changes any more: it still answers what was true earlier. */
  hasStale = false
  /** What Redis has accepted from a node; empty once Redis may have lost or refused something. */
  readonly inRedis = new Knowledge()
  #isRedisWhole = true
  /** When the fault of Redis last changed, and when the event loops were last held up (elapsed ms). */
  redisAt = -Infinity
  heldAt = -Infinity
  /** When each node opened its connections to Redis (elapsed ms). */
  readonly connectedAt: [number, number] = [-Infinity, -Infinity]
  /** Whether an administrator trusted a table: what was found before is then no evidence any more. */
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

  /** Call this when the judge can no longer know what Redis holds. */
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
      // In a long outage a fallback refuses recipients it doesn't know. A row that answers for all recipients of a
      // domain makes none of them known.
      const isKnown = this.known[which].at(table, key) !== undefined && (key === asked || !this.#setting.isFallback)
      // After a flush of the key, or a row of `changes` for it, a single "absent" ends the row. If the table is
      // restored right after that "absent", the question for a known key that follows no longer shows the loss.
      const isCaughtOut = this.#isDenied(which, table, key)
        || (this.#namedAt(which, table, key) < Infinity && this.#world.troubleAt >= askedAt)
      // A stale server may end a row, but only confirm_for after the node last gave a fresh answer for it.
      const isForgotten = this.hasStale
        && (this.#world.outSince === null || clock.elapsed() - this.known[which].freshAt(table, key) > confirmForMs)
      if (isKnown && !isForgotten && !isCaughtOut) wrong(`the row ${key} is there, and the node knew it`)
      // The node doesn't know this key, but the other keys that it knows show it that the table has lost rows.
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

  /**
   * Since when a single "absent" may end the row, because a flush or a row of `changes` named the key (elapsed ms);
   * Infinity if that takes two.
   */
  #namedAt(which: Which, table: TableName, key: string): number {
    const namedAt = this.#world.namedAt.get(`${which} ${table} ${key}`) ?? -Infinity
    return namedAt >= this.known[which].freshAt(table, key) ? namedAt : Infinity
  }

  /** Whether a server may have ended the row: it said "absent" often enough and lacked too few rows to be doubted. */
  #isDenied(which: Which, table: TableName, key: string): boolean {
    const lacked = this.#world.fewLacked(table, key)
    if (lacked === undefined) return false
    return lacked.last - lacked.first >= confirmForMs || lacked.last >= this.#namedAt(which, table, key)
  }

  #judgeUnavailable(
    { which, table, asked, askedAt, letters, steps }: Question, reason: string, wrong: (why: string) => void,
  ): void {
    const clock = this.#clock
    const isWell = !this.#world.isBroken && askedAt - this.#world.troubleAt > recoveryMs
    // The table `timed` is left out: its query has a clock in it, so no loss of rows may begin a doubt.
    const [alias, domains] = (['alias', 'domains'] as const).map(name => this.#nodeOf(which).map(name))
    const doubts = [alias, domains].flatMap(map => map?.trust.doubts ?? [])
    const isDoubted = doubts.length > 0
    // A node that could not read Redis yet may not know any key by which to judge the table.
    const isUnread = tableNames.some(name => !this.#nodeOf(which).map(name).lookup.known.isRedisRead)
    // A restore creates the table anew, which begins a doubt at once: that one has a minute to end.
    const isLong = doubts.some(({ since }) => clock.now() - since > 60_000)
    if (
      isWell && !isDoubted && !(isUnread && reason === 'distrusted') && !this.hasStale
        && askedAt - this.clockSetAt > recoveryMs
    ) wrong(`(${reason}) though all servers are well`)
    const isOver = isLong && askedAt - this.#world.troubleAt > 60_000 && this.clockSetAt === -Infinity
    if (isWell && isOver && !this.hasStale) wrong(`(${reason}) the doubt does not end`)
    const knownAt = this.known[which].at(table, asked)
    // A lookup that began with one definition of the map can't be answered by another one.
    const isDenied = letters[0] !== letters[1] || steps.some(key => this.#isDenied(which, table, key))
    if (knownAt !== undefined && this.clockSetAt === -Infinity && !isDenied) {
      wrong(`(${reason}) though it was known ${clock.elapsed() - knownAt} ms ago`)
    }
    // The log-in to a slow Redis takes several round trips, so it may take longer than the deadline.
    const isConnecting = this.#world.redis.fault === 'slow' && askedAt - this.connectedAt[which] < walkMs
    // The slow Redis of this test answers within the deadline, so its answer has to be waited for.
    const isInRedis = (this.inRedis.at(table, asked) ?? Infinity) < askedAt - roundTripMs
    if (isInRedis && !isConnecting && this.heldAt < askedAt && this.clockSetAt === -Infinity) {
      wrong(`(${reason}) though Redis has it`)
    }
  }

  #judgeFound(
    { which, table, asked, askedAt, now: askedNow, letters, steps }: Question, { value, age }: Found,
    wrong: (why: string) => void,
  ): void {
    const clock = this.#clock
    const { versions } = this.#world
    const [, number, letter = ''] = /^v(\d+)([abdt])(?:\+t)?@box$/i.exec(readable(value)) ?? []
    const version: Version | undefined = versions[Number(number)]
    if (version === undefined || (table === 'alias' && !letters.includes(letter))) {
      return wrong('no row of this definition ever said that')
    }
    if (!steps.includes(version.key)) wrong(`a row of ${version.key} is no answer to it`)
    // A server may still have an old version, such as that of a row that was changed in the middle of a restore:
    // Holdfast can't see that it is old.
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
    // Only a row of the key itself makes the key known: not a catch-all's row, and not a deleted one.
    const isInForce = letter === letters[1] || table !== 'alias'
    if (isPresent && isInForce && steps[0] === version.key) {
      this.known[which].note(table, asked, clock.elapsed(), age === 'fresh')
      const takesWrites = this.#isRedisWhole && this.#world.redis.fault === 'none'
        && askedAt - this.redisAt > recoveryMs
      if (this.#setting.withRedis && takesWrites && age === 'fresh') {
        this.inRedis.note(table, asked, clock.elapsed(), true)
      }
    }
  }
}
