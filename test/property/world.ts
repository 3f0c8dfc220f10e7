/**
 * A small mail site: two database servers with two tables, two nodes that share a
 * Redis and save to snapshots, faults at each boundary, and a clock that only moves
 * when told. All times are the defaults. What each server holds, and what it should
 * hold, is known at any moment; each answer is held against that (judge.ts).
 *
 * What is real: lookups, caches, trust, snapshot entries, preloading. What is played:
 * the servers, Redis and its channel, whose faults of time and order no real server
 * shows on demand.
 */
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import type { HeldSource, Source } from '../../src/tables/source.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'

export type TableName = 'alias' | 'domains'
export const aliasKeys = [
  'u1@d', 'u2@d', 'u3@d', 'u4@d', 'u5@d', 'u6@d', 'u1@e', 'u2@e', 'u3@e', 'u1+t@d', '@e', 'new@d',
] as const
export const domainKeys = ['d', 'e', 'f'] as const

/** A row as it was at some time: its number is its value. */
export type Version = {
  readonly key: string, readonly since: number, readonly insertedAt: number, deletedAt: number | null,
}

export type ServerFault = 'none' | 'down' | 'hung' | 'slow' | 'flaky'

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

type Rows = ReadonlyMap<string, number>

/** One database server: what it holds now, which may be less than it should. */
class DatabaseServer {
  readonly name: string
  readonly tables: Record<TableName, Map<string, number>> = { alias: new Map(), domains: new Map() }
  readonly createdAt: Record<TableName, number> = { alias: 0, domains: 0 }
  fault: ServerFault = 'none'
  /** It gets no changes: a replica that stands still. */
  isStale = false
  /** Tables that lack rows that they should have. */
  readonly broken = new Set<TableName>()

  constructor(name: string) {
    this.name = name
  }
}

export class World {
  readonly clock: FakeClock = fakeClock()
  readonly random: () => number
  readonly servers: readonly [DatabaseServer, DatabaseServer] = [new DatabaseServer('s0'), new DatabaseServer('s1')]
  /** What the tables should hold: the number of the version of each key. */
  readonly truth: Record<TableName, Map<string, number>> = { alias: new Map(), domains: new Map() }
  readonly versions: Version[] = []
  /**
   * Questions go to one of both servers by chance, as a balancer has it; else to the second one if the first is out.
   */
  isBalanced = false
  /** When a fault of a server, or a loss, began or ended last (elapsed ms). */
  troubleAt = -Infinity

  constructor(seed: number) {
    this.random = randomFrom(seed)
  }

  get isBroken(): boolean {
    return this.servers.some(({ broken, fault }) => broken.size > 0 || fault !== 'none')
  }

  insert(table: TableName, key: string): void {
    const now = this.clock.now()
    const before = this.truth[table].get(key)
    const since = before === undefined ? now : this.versions[before]?.since ?? now
    if (before !== undefined) this.#end(before)
    this.versions.push({ key, since, insertedAt: now, deletedAt: null })
    this.truth[table].set(key, this.versions.length - 1)
    for (const server of this.servers) {
      if (!server.isStale && !server.broken.has(table)) server.tables[table].set(key, this.versions.length - 1)
    }
  }

  remove(table: TableName, key: string): void {
    const before = this.truth[table].get(key)
    if (before === undefined) return
    this.#end(before)
    this.truth[table].delete(key)
    for (const server of this.servers) if (!server.isStale) server.tables[table].delete(key)
  }

  /** TRUNCATE of some tables on one server, or an empty database. */
  lose(which: 0 | 1, tables: readonly TableName[]): void {
    this.#trouble()
    const server = this.servers[which]
    for (const table of tables) {
      server.tables[table].clear()
      server.broken.add(table)
    }
  }

  /** A restore drops, creates and fills the tables in the order of their keys; a share of the rows is there by now. */
  restore(which: 0 | 1, share: number): void {
    this.#trouble()
    const server = this.servers[which]
    for (const table of ['alias', 'domains'] as const) {
      if (!server.broken.has(table) && share < 1) continue
      if (server.broken.has(table)) server.createdAt[table] = this.clock.elapsed()
      const rows = [...this.truth[table]].sort(([a], [b]) => a < b ? -1 : 1)
      server.tables[table].clear()
      for (const [key, version] of rows.slice(
        0, Math.floor(rows.length * share),
      )) server.tables[table].set(key, version)
      if (share === 1) server.broken.delete(table)
    }
    if (share === 1) server.isStale = false
  }

  fail(which: 0 | 1, fault: ServerFault): void {
    this.#trouble()
    this.servers[which].fault = fault
    const isOut = this.servers.every(server => server.fault === 'down' || server.fault === 'hung')
    this.#outSince = isOut ? this.#outSince ?? this.clock.elapsed() : null
  }

  /** The source of a table for a node whose definition is this letter. */
  source(table: TableName, letter: string): Source {
    const openedAt = this.clock.elapsed()
    const source: Source = {
      definition: letter,
      ask: async (key, budgetMs, { avoid, only, onAbsent } = {}) => {
        const until = this.clock.elapsed() + budgetMs
        let failure: Outcome = unavailable('source-down', 'no server')
        const candidates = this.#candidates(avoid, only)
        for (const [index, server] of candidates.entries()) {
          const share = Math.floor((until - this.clock.elapsed()) / (candidates.length - index))
          const outcome = await this.#askServer(server, table, letter, key, share)
          const isOut = outcome.kind === 'unavailable' && outcome.reason !== 'query-error'
          if (isOut) failure = outcome
          if (isOut) continue
          const doubt = outcome.kind !== 'absent' ? null
            : await onAbsent?.(server.name, this.#held(server, table, letter, until)) ?? null
          return { outcome: doubt ?? outcome, server: server.name }
        }
        // As its breaker sees it, which tries the servers again and again.
        const outMs = this.#outSince === null ? null : this.clock.elapsed() - Math.max(this.#outSince, openedAt)
        return { outcome: outMs === null ? failure : { ...failure, outMs }, server: '' }
      },
    }
    this.#tables.set(source, table)
    return source
  }

  readonly #tables = new WeakMap<Source, TableName>()
  /** Since when no server has answered (elapsed ms); null: one does. */
  #outSince: number | null = null

  #held(server: DatabaseServer, table: TableName, letter: string, until: number): HeldSource {
    return {
      again: (key, of) => this.#askServer(
        server, of === undefined ? table : this.#tables.get(of) ?? table, letter, key, until - this.clock.elapsed(),
      ),
      createdAt: () => Promise.resolve(String(server.createdAt[table])),
    }
  }

  #candidates(avoid?: (server: string) => boolean, only?: string): readonly DatabaseServer[] {
    if (only !== undefined) return this.servers.filter(({ name }) => name === only)
    const [first, second] = this.servers
    const order = this.isBalanced && this.random() < 0.5 ? [second, first] : [first, second]
    const believed = order.filter(({ name, fault }) => fault !== 'down' && avoid?.(name) !== true)
    return believed.length > 0 ? [...believed, ...order.filter(each => !believed.includes(each))] : order
  }

  #askServer(
    server: DatabaseServer, table: TableName, letter: string, key: string, budgetMs: number,
  ): Promise<Outcome> {
    const answer = (rows: Rows = server.tables[table]): Outcome => {
      const version = rows.get(key)
      return version === undefined ? absent : found(byteString(`v${version}${letter}@box`))
    }
    const after = (ms: number, settle: () => Outcome): Promise<Outcome> => new Promise(resolve => {
      const isInTime = ms <= budgetMs
      this.clock.after(Math.max(0, Math.min(ms, budgetMs)), () =>
        resolve(isInTime ? settle() : unavailable('timeout', 'slow')))
    })
    switch (server.fault) {
      case 'down': return Promise.resolve(unavailable('source-down', 'refused'))
      case 'hung': return after(Infinity, answer)
      case 'slow': return after(Math.round(200 + this.random() * 2_000), answer)
      case 'flaky':
        if (this.random() < 0.3) return after(
          Math.round(this.random() * 100), () => unavailable('query-error', 'deadlock'),
        )
        break
      case 'none': break
      default: server.fault satisfies never
    }
    if (this.random() < 0.5) return Promise.resolve(answer())
    // The server reads the row somewhere between the question and the answer.
    const early = this.random() < 0.5 ? new Map(server.tables[table]) : null
    return after(Math.round(1 + this.random() * 49), () => early === null ? answer() : answer(early))
  }

  #end(version: number): void {
    const ended = this.versions[version]
    if (ended !== undefined) ended.deletedAt = this.clock.now()
  }

  #trouble(): void {
    this.troubleAt = this.clock.elapsed()
  }
}
