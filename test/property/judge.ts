/**
 * Plays a history and holds each answer against what the tables should hold.
 * The rules are those of the test's head (invariant.test.ts).
 */
import { readable } from '../../src/outcome.js'
import type { Found, Outcome } from '../../src/outcome.js'
import { deadlineMs, lifetimes, Node, outageAfterMs, plans, SharedRedis, Snapshot } from './node.js'
import type { RedisFault } from './node.js'
import { World } from './world.js'
import type { ServerFault, TableName, Version } from './world.js'

export type Which = 0 | 1
export type Operation =
  | { readonly do: 'ask', readonly node: Which, readonly table: TableName, readonly key: string }
  /** Known keys of both tables are asked of both nodes. */
  | { readonly do: 'learn' }
  | { readonly do: 'pass', readonly ms: number }
  /** A new row, or a new value of one that is there. */
  | { readonly do: 'insert', readonly table: TableName, readonly key: string }
  | { readonly do: 'delete', readonly table: TableName, readonly key: string }
  | { readonly do: 'lose', readonly server: Which, readonly tables: readonly TableName[] }
  | { readonly do: 'restore', readonly server: Which, readonly share: number }
  | { readonly do: 'server', readonly server: Which, readonly fault: ServerFault }
  | { readonly do: 'outage' }
  | { readonly do: 'mend' }
  | { readonly do: 'stale', readonly server: Which }
  | { readonly do: 'balance', readonly isOn: boolean }
  | { readonly do: 'redis', readonly fault: RedisFault | 'emptied' | 'evicting' }
  | { readonly do: 'restart', readonly node: Which, readonly how: 'in order' | 'killed' | 'joins' }
  | { readonly do: 'reload', readonly isRedefined: boolean }
  | { readonly do: 'flush', readonly node: Which, readonly table: TableName, readonly key: string | null }
  | { readonly do: 'trust', readonly node: Which }
  | { readonly do: 'clock', readonly byMs: number }
  /** Keys that are made up, under a catch-all and without one. */
  | { readonly do: 'strangers', readonly node: Which }

export type Setting = { readonly withRedis: boolean, readonly isFallback: boolean }

/** A question may be under way for a walk and its judgement before an answer that is based on it. */
const walkMs = 3 * deadlineMs
/** From the end of a trouble until nothing of it may be felt: questions under way, rechecks of a doubt. */
const recoveryMs = walkMs + 12_000
/** A table is only judged by its keys if the node knows so many. */
const enough = 5

/** What a node has to know: by table and key, when it last gave a found answer that it knew from its table or Redis. */
class Knowledge {
  readonly #at = new Map<string, number>()

  note(table: TableName, key: string, at: number): void {
    this.#at.set(`${table} ${key}`, at)
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

export class Play {
  readonly #world: World
  readonly #setting: Setting
  readonly #redis: SharedRedis
  readonly #snapshots: readonly [Snapshot, Snapshot] = [new Snapshot(), new Snapshot()]
  readonly #known: readonly [Knowledge, Knowledge] = [new Knowledge(), new Knowledge()]
  readonly #nodes: [Node, Node]
  readonly #flushedAt = new Map<string, number>()
  readonly #startedAt: number
  readonly #problems: string[] = []
  /** Elapsed ms at which all servers went down; null: one of them answers. */
  #outSince: number | null = null
  #letter = 'a'
  /** A stale server says what was true once. */
  #hasStale = false
  #hasTrusted = false
  #hasDeleted = false
  #clockSetAt = -Infinity

  constructor(seed: number, setting: Setting) {
    this.#world = new World(seed)
    this.#setting = setting
    this.#startedAt = this.#world.clock.now()
    this.#redis = new SharedRedis(this.#world)
    this.#nodes = [this.#open(0, null), this.#open(1, null)]
  }

  /** The first answer that is not allowed, in words; null if there is none. */
  async run(operations: readonly Operation[]): Promise<string | null> {
    for (const key of ['u1@d', 'u2@d', 'u3@d', 'u4@d', 'u5@d', 'u6@d', 'u1@e', '@e']) this.#world.insert('alias', key)
    for (const key of ['d', 'e']) this.#world.insert('domains', key)
    for (const node of this.#nodes) await node.start()
    for (const operation of operations) {
      await this.#do(operation)
      if (this.#problems.length > 0) break
    }
    await this.#world.clock.advance(deadlineMs)
    for (const node of this.#nodes) node.close()
    return this.#problems[0] ?? null
  }

  #open(which: Which, previous: Node | null): Node {
    return new Node({
      world: this.#world, redis: this.#setting.withRedis ? this.#redis : null, snapshot: this.#snapshots[which],
      isFallback: this.#setting.isFallback, letter: this.#letter, previous,
    })
  }

  async #do(operation: Operation): Promise<void> {
    const world = this.#world
    const { clock } = world
    switch (operation.do) {
      case 'ask': return this.#ask(operation.node, operation.table, operation.key)
      case 'learn':
        for (const node of [0, 1] as const) {
          for (const table of ['alias', 'domains'] as const) {
            for (const key of world.truth[table].keys()) await this.#ask(node, table, key)
          }
        }
        return
      case 'pass': return clock.advance(operation.ms)
      case 'insert': return world.insert(operation.table, operation.key)
      case 'delete':
        // What a broken table had is not known: its own restore may bring it back.
        if (world.servers.some(({ broken, isStale }) => broken.size > 0 || isStale)) return
        // Two of eight known keys may be too many to be deletions: then it takes an administrator.
        if (this.#hasDeleted) return
        this.#hasDeleted = world.truth[operation.table].has(operation.key)
        world.remove(operation.table, operation.key)
        for (const known of this.#known) {
          known.forget(operation.table, operation.key)
          if (operation.key === 'u1@d') known.forget(operation.table, 'u1+t@d')
          if (operation.key.startsWith('@')) known.clear()
        }
        return
      case 'lose': return this.#lose(operation.server, operation.tables)
      case 'restore': return world.restore(operation.server, operation.share)
      case 'server':
        world.fail(operation.server, operation.fault)
        return this.#noteOutage()
      case 'outage':
        for (const server of [0, 1] as const) world.fail(server, 'down')
        return this.#noteOutage()
      case 'mend':
        for (const server of [0, 1] as const) {
          world.fail(server, 'none')
          world.restore(server, 1)
        }
        return this.#noteOutage()
      case 'stale':
        world.servers[operation.server].isStale = true
        this.#hasStale = true
        return
      case 'balance':
        world.isBalanced = operation.isOn
        return
      case 'redis': return this.#breakRedis(operation.fault)
      case 'restart': return this.#restart(operation.node, operation.how)
      case 'reload':
        if (operation.isRedefined) this.#letter = this.#letter === 'a' ? 'b' : 'a'
        return this.#reload()
      case 'flush': return this.#flush(operation.node, operation.table, operation.key)
      case 'trust': return this.#trust(operation.node)
      case 'clock':
        clock.set(clock.now() + operation.byMs)
        this.#clockSetAt = clock.elapsed()
        return
      case 'strangers':
        for (let number = 0; number < 60; number++) {
          await this.#ask(operation.node, 'alias', `x${number}@${number % 2 === 0 ? 'e' : 'd'}`)
        }
        return
      default: operation satisfies never
    }
  }

  async #ask(which: Which, table: TableName, asked: string): Promise<void> {
    const node = this.#nodes[which]
    const { clock } = this.#world
    const askedAt = clock.elapsed()
    const now = clock.now()
    const settle = (outcome: Outcome): void => {
      if (this.#nodes[which] === node) this.#judge(which, table, asked, askedAt, now, outcome)
    }
    const outcome = node.maps[table].lookup.lookup(asked)
    if (outcome instanceof Promise) void outcome.then(settle)
    else settle(outcome)
    await clock.advance(0)
  }

  /** Only a table of which enough keys are known, and no more than its rows, can show that it has lost some. */
  #lose(server: Which, tables: readonly TableName[]): void {
    const isJudged = this.#nodes.every((node, which) =>
      (this.#known[which]?.count('alias') ?? 0) >= enough
        && node.maps.alias.lookup.known.sample(0, enough, 0).length >= enough)
    if (isJudged && !this.#hasTrusted && tables.includes('alias')) this.#world.lose(server, tables)
  }

  #breakRedis(fault: RedisFault | 'emptied' | 'evicting'): void {
    const before = this.#redis.isReadable
    if (fault === 'emptied') this.#redis.empty()
    else if (fault === 'evicting') this.#redis.evict()
    else this.#redis.fault = fault
    if (before !== this.#redis.isReadable || fault === 'emptied') for (const node of this.#nodes) node.hearFlushes()
  }

  async #restart(which: Which, how: 'in order' | 'killed' | 'joins'): Promise<void> {
    const known = this.#known[which]
    this.#nodes[which].stop(how === 'killed')
    // By Redis it may know more; that is not held against it.
    if (how === 'killed') known.forgetSince(this.#world.clock.elapsed() - 31_000)
    if (how === 'joins') {
      known.clear()
      this.#snapshots[which].saved = null
    }
    this.#nodes[which] = await this.#open(which, null).start()
  }

  #reload(): void {
    for (const which of [0, 1] as const) {
      const before = this.#nodes[which]
      if (before.letter !== this.#letter) {
        for (const known of this.#known) known.clear()
      }
      this.#nodes[which] = this.#open(which, before)
      before.close()
      this.#nodes[which].hearFlushes()
    }
  }

  #flush(which: Which, table: TableName, key: string | null): void {
    const now = this.#world.clock.now()
    const { withRedis } = this.#setting
    const isHeard = withRedis && this.#redis.fault === 'none'
    if (isHeard) this.#redis.flushes.set(table, now)
    for (const [index, node] of this.#nodes.entries()) {
      if (index !== which && !isHeard) continue
      node.flush(table, key, now)
      this.#flushedAt.set(`${index} ${table} ${key ?? ''}`, now)
    }
  }

  /** Only what is whole may be trusted: that is the administrator's duty. */
  #trust(which: Which): void {
    if (this.#world.isBroken || this.#hasStale) return
    for (const { trust } of Object.values(this.#nodes[which].maps)) {
      // What was found before is no evidence any more.
      if (trust.doubts.length > 0) this.#hasTrusted = true
      trust.trust()
    }
  }

  #noteOutage(): void {
    const isOut = this.#world.servers.every(({ fault }) => fault === 'down' || fault === 'hung')
    this.#outSince = isOut ? this.#outSince ?? this.#world.clock.elapsed() : null
  }

  #judge(which: Which, table: TableName, asked: string, askedAt: number, askedNow: number, outcome: Outcome): void {
    const { clock } = this.#world
    const wrong = (why: string): void => {
      const answer = outcome.kind === 'found' ? `${readable(outcome.value)} (${outcome.age})` : outcome.kind
      this.#problems.push(
        `after ${askedAt - this.#startedAt} ms: node ${which}: ${table} ${asked} is ${answer}: ${why}`
      )
    }
    if (clock.elapsed() - askedAt > deadlineMs) wrong('later than the deadline')
    switch (outcome.kind) {
      case 'found': return this.#judgeFound(which, table, asked, askedNow, outcome, wrong)
      case 'absent': return this.#judgeAbsent(which, table, asked, askedAt, wrong)
      case 'unavailable': return this.#judgeUnavailable(which, table, asked, askedAt, outcome.reason, wrong)
      default: outcome satisfies never
    }
  }

  #judgeAbsent(which: Which, table: TableName, asked: string, askedAt: number, wrong: (why: string) => void): void {
    const { clock, truth } = this.#world
    const isSetLately = clock.elapsed() - this.#clockSetAt < lifetimes.absentForMs + walkMs
    for (const { key } of plans[table].steps(asked.toLowerCase(), asked)) {
      const version = this.#world.versions[truth[table].get(key) ?? -1]
      if (version === undefined) continue
      const ageMs = clock.now() - version.since
      // A fallback rejects what it can't know in a long outage: by a catch-all alone nobody is known.
      const isKnown = this.#known[which].at(table, key) !== undefined && (key === asked || !this.#setting.isFallback)
      // After a flush one statement is enough, and a restore between it and the question for a known key hides the loss.
      const isCaughtOut = [key, '@d', ''].some(what => this.#flushedAt.has(`${which} ${table} ${what}`))
        && this.#world.troubleAt >= askedAt
      if (isKnown && !this.#hasStale && !isCaughtOut) wrong(`the row ${key} is there, and the node knew it`)
      const wasWell = !this.#world.isBroken && askedAt - this.#world.troubleAt > lifetimes.absentForMs + recoveryMs
      if (wasWell && !this.#hasStale && !isSetLately && ageMs > lifetimes.absentForMs + walkMs) {
        wrong(`the row ${key} is there for ${ageMs} ms, and all servers are well`)
      }
      const outMs = this.#outSince === null ? Infinity : clock.elapsed() - this.#outSince
      if (outMs < outageAfterMs - walkMs && askedAt - (this.#outSince ?? 0) > walkMs && ageMs > lifetimes.absentForMs
        + outMs + walkMs
        && !this.#hasStale && !isSetLately && this.#world.servers.every(({ broken }) => broken.size === 0)
        && this.#outSince === this.#world.troubleAt) {
        wrong(`the row ${key} is there, and the servers are out for ${outMs} ms only`)
      }
    }
  }

  #judgeUnavailable(
    which: Which, table: TableName, asked: string, askedAt: number, reason: string, wrong: (why: string) => void,
  ): void {
    const { clock } = this.#world
    const isWell = !this.#world.isBroken && askedAt - this.#world.troubleAt > recoveryMs
    const { alias, domains } = this.#nodes[which].maps
    const doubts = [...alias.trust.doubts, ...domains.trust.doubts]
    const isDoubted = doubts.length > 0
    // Nothing may be known here of a table whose keys Redis would name.
    const isUnread = [alias, domains].some(({ lookup: { known } }) => !known.isRedisRead)
    // A table that was created anew is in doubt from the first question on.
    const isLong = doubts.some(({ since }) => clock.now() - since > 60_000)
    if (
      isWell && !isDoubted && !(isUnread && reason === 'distrusted') && !this.#hasStale
        && askedAt - this.#clockSetAt > recoveryMs
    ) wrong(`(${reason}) though all servers are well`)
    const isOver = isLong && askedAt - this.#world.troubleAt > 60_000 && this.#clockSetAt === -Infinity
    if (isWell && isOver && !this.#hasStale) wrong(`(${reason}) the doubt does not end`)
    const knownAt = this.#known[which].at(table, asked)
    if (knownAt !== undefined && clock.elapsed() - this.#clockSetAt > 0 && this.#clockSetAt === -Infinity) {
      wrong(`(${reason}) though it was known ${clock.elapsed() - knownAt} ms ago`)
    }
  }

  #judgeFound(
    which: Which, table: TableName, asked: string, askedNow: number, { value, age }: Found, wrong: (why: string) =>
      void,
  ): void {
    const { clock, versions } = this.#world
    const [, number, letter] = /^v(\d+)([abd])(?:\+t)?@box$/i.exec(readable(value)) ?? []
    const version: Version | undefined = versions[Number(number)]
    if (version === undefined || (table === 'alias' && letter !== this.#nodes[which].letter)) {
      return wrong('no row of this definition ever said that')
    }
    const steps = plans[table].steps(asked.toLowerCase(), asked).map(step => step.key)
    if (!steps.includes(version.key)) wrong(`a row of ${version.key} is no answer to it`)
    // A row that came in the middle of a restore is old there: a server that says so is asked all the same.
    const isStillSaid = this.#world.servers.some(({ tables }) => tables[table].get(version.key) === Number(number))
    if (age === 'fresh' && this.#clockSetAt === -Infinity && !this.#hasStale && !isStillSaid) {
      const oldest = askedNow - lifetimes.freshForMs - walkMs
      if (version.deletedAt !== null && version.deletedAt < oldest) wrong(
        `that row is gone for ${askedNow - version.deletedAt} ms`
      )
      for (const what of [...steps, '']) {
        const flushedAt = this.#flushedAt.get(`${which} ${table} ${what}`) ?? -Infinity
        const isOld = version.deletedAt !== null && version.deletedAt < flushedAt && flushedAt + walkMs < askedNow
        if (isOld) wrong(`it was flushed ${askedNow - flushedAt} ms ago, and the row is gone for longer`)
      }
    }
    const isPresent = version.deletedAt === null
    // Known by its own row: what is deleted, or takes the place of a catch-all, is another matter.
    if (isPresent && steps[0] === version.key) this.#known[which].note(table, asked, clock.elapsed())
  }
}
