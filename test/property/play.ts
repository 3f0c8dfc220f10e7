/** Plays a history: carries out its operations on the site, asks the nodes, and passes each answer to the judge. */
import { sampleOf } from '../../src/lookup/known_evidence.js'
import type { Outcome } from '../../src/outcome.js'
import type { FakeClock } from '../fixtures/clock.js'
import { deadlineMs, enough, Judge, walkMs } from './judge.js'
import type { Which } from './judge.js'
import type { ServerFault, TableName } from './mysql.js'
import { bugs, diskOf, Node } from './node.js'
import type { Setting } from './node.js'
import type { RedisFault } from './redis.js'
import { tableNames, timedKeys, World } from './world.js'

export type Operation =
  | { readonly do: 'ask', readonly node: Which, readonly table: TableName, readonly key: string }
  /** Asks both nodes for every key that the tables should hold. */
  | { readonly do: 'learn' }
  | { readonly do: 'pass', readonly ms: number }
  /** Inserts a row, or gives an existing one a new value. A row of the table `timed` ends by itself after a while. */
  | { readonly do: 'insert', readonly table: TableName, readonly key: string }
  | { readonly do: 'delete', readonly table: TableName, readonly key: string }
  | { readonly do: 'lose', readonly server: Which, readonly tables: readonly TableName[] }
  /** Takes a row from both servers, until `mend` or `restore` brings it back. */
  | { readonly do: 'gap', readonly key: string }
  | { readonly do: 'restore', readonly server: Which, readonly share: number }
  | { readonly do: 'server', readonly server: Which, readonly fault: ServerFault }
  | { readonly do: 'outage' }
  | { readonly do: 'mend' }
  | { readonly do: 'stale', readonly server: Which }
  | { readonly do: 'redis', readonly fault: RedisFault | 'emptied' | 'evicting' }
  | { readonly do: 'restart', readonly node: Which, readonly how: 'in order' | 'killed' | 'joins' }
  | { readonly do: 'reload', readonly isRedefined: boolean }
  | { readonly do: 'flush', readonly node: Which, readonly table: TableName, readonly key: string | null }
  | { readonly do: 'trust', readonly node: Which }
  | { readonly do: 'clock', readonly byMs: number }
  /** Holds up the event loops for so long; servers that are down come back meanwhile, and are down again at its end. */
  | { readonly do: 'hold', readonly ms: number }
  /** Asks for made-up keys, half of them in a domain with a catch-all. */
  | { readonly do: 'strangers', readonly node: Which, readonly count: number }

/** How long a row of the table `timed` is valid. */
const timedForMs = 240_000

export class Play {
  readonly #world: World
  readonly #setting: Setting
  readonly #judge: Judge
  /** null: the node is stopping, and its answers no longer reach a client. */
  readonly #nodes: (Node | null)[] = []
  #letter = 'a'
  #hasDeleted = false

  constructor(seed: number, setting: Setting) {
    this.#world = new World(seed, setting.isBalanced)
    this.#setting = setting
    this.#judge = new Judge(this.#world, setting, which => this.#node(which))
  }

  get #clock(): FakeClock {
    return this.#world.machines.clock
  }

  /** Resolves with a description of the first answer that breaks a rule, or null. */
  async run(operations: readonly Operation[]): Promise<string | null> {
    const giveBack = this.#world.machines.take()
    try {
      for (const key of ['u1@d', 'u2@d', 'u3@d', 'u4@d', 'u5@d', 'u6@d', 'u1@e', '@e']) this.#world.insert('alias', key)
      for (const key of ['d', 'e']) this.#world.insert('domains', key)
      for (const key of timedKeys) this.#insert('timed', key)
      for (const which of [0, 1] as const) await this.#start(which)
      for (const operation of operations) {
        await this.#do(operation)
        this.#judge.problems.push(...bugs.splice(0))
        if (this.#judge.problems.length > 0) break
      }
      await this.#clock.advance(deadlineMs)
      for (const which of [0, 1] as const) await this.#advanceUntil(this.#node(which).stop(true))
      return this.#judge.problems[0] ?? null
    } finally {
      giveBack()
    }
  }

  /** Lets time pass until `work` is done, because it may wait for Redis or the disk. */
  async #advanceUntil<Result>(work: Promise<Result>): Promise<Result> {
    const state = { isDone: false }
    void work.finally(() => { state.isDone = true })
    for (let step = 0; step < 100 && !state.isDone; step++) await this.#clock.advance(step === 0 ? 0 : 50)
    return work
  }

  async #start(which: Which): Promise<void> {
    const settings = { world: this.#world, which, setting: this.#setting }
    const start = await Node.prepare(settings, this.#letter)
    this.#nodes[which] = await this.#advanceUntil(start())
    this.#judge.connectedAt[which] = this.#clock.elapsed()
  }

  #node(which: Which): Node {
    const node = this.#nodes[which]
    if (node == null) throw new Error(`node ${which} is not running`)
    return node
  }

  #insert(table: TableName, key: string): void {
    const { truth } = this.#world
    this.#world.insert(table, key)
    const version = truth[table].get(key)
    if (table === 'timed') {
      this.#clock.after(timedForMs, () => { if (truth.timed.get(key) === version) this.#remove('timed', key) })
    }
  }

  #remove(table: TableName, key: string): void {
    this.#world.remove(table, key)
    for (const known of [...this.#judge.known, this.#judge.inRedis]) {
      known.forget(table, key)
      if (key === 'u1@d') known.forget(table, 'u1+t@d')
      if (key.startsWith('@')) known.clear()
    }
  }

  async #do(operation: Operation): Promise<void> {
    const world = this.#world
    const clock = this.#clock
    switch (operation.do) {
      case 'ask': return this.#ask(operation.node, operation.table, operation.key)
      case 'learn':
        for (const node of [0, 1] as const) {
          for (const table of tableNames) {
            for (const key of world.truth[table].keys()) await this.#ask(node, table, key)
          }
        }
        return
      case 'pass': return clock.advance(operation.ms)
      case 'insert': return this.#insert(operation.table, operation.key)
      case 'delete':
        // While a table has lost rows, no node could tell a deleted row from a lost one.
        if (world.servers.some(({ broken, isStale }) => broken.size > 0 || isStale)) return
        // Two of eight known keys may be more than max_shrink: that doubt only ends when an administrator trusts.
        if (this.#hasDeleted) return
        this.#hasDeleted = world.truth[operation.table].has(operation.key)
        return this.#remove(operation.table, operation.key)
      case 'lose': return this.#lose(operation.server, operation.tables)
      case 'gap':
        for (const server of [0, 1] as const) world.lose(server, ['alias'], operation.key)
        return
      case 'restore': return world.restore(operation.server, operation.share)
      case 'server': return world.fail(operation.server, operation.fault)
      case 'outage':
        for (const server of [0, 1] as const) world.fail(server, 'down')
        return
      case 'mend':
        for (const server of [0, 1] as const) {
          world.fail(server, 'none')
          world.restore(server, 1)
        }
        return
      case 'stale':
        world.servers[operation.server].isStale = true
        this.#judge.hasStale = true
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
        this.#judge.clockSetAt = clock.elapsed()
        return
      case 'hold': return this.#hold(operation.ms)
      case 'strangers':
        for (let number = 0; number < operation.count; number++) {
          await this.#ask(operation.node, 'alias', `x${number}@${number % 2 === 0 ? 'e' : 'd'}`)
        }
        return
      default: operation satisfies never
    }
  }

  async #ask(which: Which, table: TableName, asked: string): Promise<void> {
    const node = this.#node(which)
    const clock = this.#clock
    const askedAt = clock.elapsed()
    const now = clock.now()
    const steps = node.map(table).plan.steps(asked.toLowerCase(), asked).map(({ key }) => key)
    const { letter } = node
    const settle = (outcome: Outcome): void => {
      if (this.#nodes[which] !== node) return
      this.#judge.judge({ which, table, asked, askedAt, now, steps, letters: [letter, node.letter] }, outcome)
    }
    const outcome = node.lookup(table, asked)
    if (outcome instanceof Promise) void outcome.then(settle)
    else settle(outcome)
    await clock.advance(0)
  }

  /** Leaves the tables alone unless both nodes know enough keys to notice the loss. */
  #lose(server: Which, tables: readonly TableName[]): void {
    const isJudged = this.#judge.known.every((known, which) => known.count('alias') >= enough
      && sampleOf(this.#node(which as Which).map('alias').lookup.known, 0, enough, 0).length >= enough)
    if (isJudged && !this.#judge.hasTrusted && tables.includes('alias')) this.#world.lose(server, tables)
  }

  #breakRedis(fault: RedisFault | 'emptied' | 'evicting'): void {
    const { redis } = this.#world
    if (fault !== 'none' && fault !== 'slow') this.#judge.loseRedis()
    if (fault === 'emptied') redis.empty()
    else if (fault === 'evicting') redis.evict()
    else redis.fault = fault
    this.#judge.redisAt = this.#clock.elapsed()
  }

  #hold(ms: number): void {
    const faults = this.#world.servers.map(({ fault }) => fault)
    for (const server of [0, 1] as const) this.#world.fail(server, 'none')
    this.#clock.holdUp(ms)
    for (const server of [0, 1] as const) this.#world.fail(server, faults[server] ?? 'none')
    this.#judge.heldAt = this.#clock.elapsed()
  }

  async #restart(which: Which, how: 'in order' | 'killed' | 'joins'): Promise<void> {
    const known = this.#judge.known[which]
    const node = this.#node(which)
    this.#nodes[which] = null
    await this.#advanceUntil(node.stop(how === 'killed'))
    // The node may still know more than this from Redis: the judge doesn't require that.
    if (how === 'killed') known.forgetSince(this.#clock.elapsed() - 31_000)
    if (how === 'joins') {
      known.clear()
      this.#world.machines.disk.erase(diskOf(which))
    }
    await this.#start(which)
  }

  async #reload(): Promise<void> {
    for (const which of [0, 1] as const) {
      const node = this.#node(which)
      if (node.letter !== this.#letter) for (const known of [...this.#judge.known, this.#judge.inRedis]) known.clear()
      const reload = await node.prepareReload(this.#letter)
      await this.#advanceUntil(reload())
      this.#judge.connectedAt[which] = this.#clock.elapsed()
    }
  }

  /** A flush certainly reaches the other node if Redis is well, and may have reached it otherwise. */
  #flush(which: Which, table: TableName, key: string | null): void {
    const now = this.#clock.now()
    const { withRedis } = this.#setting
    const reachesBoth = withRedis && this.#world.redis.fault === 'none'
      && this.#clock.elapsed() - this.#judge.redisAt > walkMs
    this.#node(which).flush(table, key)
    for (const index of [0, 1] as const) {
      const place = `${index} ${table} ${key ?? ''}`
      if (index === which || withRedis) this.#world.namedAt.set(place, this.#clock.elapsed())
      if (index === which || reachesBoth) this.#judge.flushedAt.set(place, now)
    }
  }

  /** Does nothing while a table is not whole: administrators have to make sure that it is before they trust it. */
  #trust(which: Which): void {
    if (this.#world.isBroken || this.#judge.hasStale) return
    const node = this.#node(which)
    if (tableNames.some(table => node.map(table).trust.doubts.length > 0)) this.#judge.hasTrusted = true
    node.trust()
  }
}
