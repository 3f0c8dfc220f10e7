/**
 * A small mail site: two database servers with three tables, and a Redis, on machines of their own (machine.ts). The
 * test knows at any moment what each server holds and what it should hold; judge.ts compares each answer with that.
 */
import { Machines } from './machine.js'
import { DatabaseServer } from './mysql.js'
import type { Rows, ServerFault, SiteHooks, TableName } from './mysql.js'
import { RedisServer } from './redis.js'

export const tableNames = ['alias', 'domains', 'timed'] as const
export const aliasKeys = [
  'u1@d', 'u2@d', 'u3@d', 'u4@d', 'u5@d', 'u6@d', 'u1@e', 'u2@e', 'u3@e', 'u1+t@d', '@e', 'new@d',
] as const
export const domainKeys = ['d', 'e', 'f'] as const
/** Keys of the table `timed`, whose rows are valid for a while only: its query has a clock in it. */
export const timedKeys = ['t1@d', 't2@d', 't3@d', 't4@d', 't5@d', 't6@d'] as const

/** One value that a row had. Its index in `versions` is part of the value, so that an answer names its version. */
export type Version = {
  readonly key: string, readonly since: number, readonly changedAt: number, deletedAt: number | null,
}

export class World {
  readonly machines: Machines
  readonly servers: readonly [DatabaseServer, DatabaseServer]
  readonly redis: RedisServer
  /** What the tables should hold. */
  readonly truth: Record<TableName, Rows> = { alias: new Map(), domains: new Map(), timed: new Map() }
  readonly versions: Version[] = []
  /** When a flush or a row of `changes` last named a key to a node (elapsed ms), by node, table and key. */
  readonly namedAt = new Map<string, number>()
  readonly #fewLacked = new Map<string, { readonly first: number, readonly last: number }>()
  /** When a server's fault or loss of rows last began or ended (elapsed ms). */
  troubleAt = -Infinity
  /** Since when no server accepts connections (elapsed ms); null: one does. */
  outSince: number | null = null

  /** `isBalanced`: nodes reach the servers by one address, where chance decides between those that are up. */
  constructor(seed: number, isBalanced: boolean) {
    const machines = this.machines = new Machines(seed)
    const hooks: SiteHooks = {
      changedAt: version => this.versions[version]?.changedAt ?? 0,
      onChanges: (node, keys) => {
        for (const key of keys) this.namedAt.set(`${node} alias ${key}`, machines.clock.elapsed())
      },
    }
    const [first, second] = this.servers =
      [new DatabaseServer('s0', machines, hooks), new DatabaseServer('s1', machines, hooks)]
    this.redis = new RedisServer(machines)
    machines.services.set('redis', this.redis)
    if (!isBalanced) for (const server of this.servers) machines.services.set(server.name, server)
    else machines.services.set('balancer', {
      get door() {
        return first.door === 'closed' ? second.door : second.door === 'closed' ? first.door : 'open'
      },
      open: line => {
        const open = [first, second].filter(({ door }) => door === 'open')
        open[Math.floor(machines.random() * open.length)]?.open(line)
      },
    })
  }

  get isBroken(): boolean {
    return this.servers.some(({ broken, fault }) => broken.size > 0 || fault !== 'none')
  }

  insert(table: TableName, key: string): void {
    const { clock } = this.machines
    const now = clock.now()
    const before = this.truth[table].get(key)
    const since = before === undefined ? now : this.versions[before]?.since ?? now
    if (before !== undefined) this.#end(before)
    const version = this.versions.push({ key, since, changedAt: clock.elapsed(), deletedAt: null }) - 1
    this.truth[table].set(key, version)
    for (const server of this.servers) {
      if (!server.isStale && !server.broken.has(table)) server.tables[table].set(key, version)
    }
  }

  remove(table: TableName, key: string): void {
    const before = this.truth[table].get(key)
    if (before === undefined) return
    this.#end(before)
    this.truth[table].delete(key)
    for (const server of this.servers) if (!server.isStale) server.tables[table].delete(key)
  }

  /** Takes all rows of these tables from one server, as TRUNCATE does, or the row of `key` alone. */
  lose(which: 0 | 1, tables: readonly TableName[], key?: string): void {
    this.#trouble()
    const server = this.servers[which]
    for (const table of tables) {
      if (key === undefined) server.tables[table].clear()
      else server.tables[table].delete(key)
      server.broken.add(table)
    }
  }

  /** Creates lost tables anew and fills them in the order of their keys, up to this share of their rows. */
  restore(which: 0 | 1, share: number): void {
    this.#trouble()
    const server = this.servers[which]
    for (const table of tableNames) {
      if (!server.broken.has(table) && share < 1) continue
      if (server.broken.has(table)) server.createdAt[table] = this.machines.clock.elapsed()
      const rows = [...this.truth[table]].sort(([a], [b]) => a < b ? -1 : 1)
      server.tables[table].clear()
      for (const [key, version] of rows.slice(0, Math.floor(rows.length * share))) server.tables[table].set(key, version)
      if (share === 1) server.broken.delete(table)
    }
    if (share === 1) server.isStale = false
    this.#noteFewLacked()
  }

  /**
   * When a server first and last lacked the row of this key (elapsed ms), while it was not stale and lacked so few
   * other rows that Holdfast has to take them for deletions (`max_shrink`, by default 30 %).
   */
  fewLacked(table: TableName, key: string): { readonly first: number, readonly last: number } | undefined {
    this.#noteFewLacked()
    return this.#fewLacked.get(`${table} ${key}`)
  }

  #noteFewLacked(): void {
    const now = this.machines.clock.elapsed()
    for (const table of tableNames) {
      const rows = this.truth[table]
      for (const { tables, isStale } of this.servers) {
        if (isStale) continue
        const lacked = [...rows.keys()].filter(key => !tables[table].has(key))
        if (lacked.length > 0.3 * rows.size) continue
        for (const key of lacked.map(each => `${table} ${each}`)) {
          this.#fewLacked.set(key, { first: this.#fewLacked.get(key)?.first ?? now, last: now })
        }
      }
    }
  }

  fail(which: 0 | 1, fault: ServerFault): void {
    this.#trouble()
    this.servers[which].fault = fault
    const isOut = this.servers.every(server => server.door !== 'open')
    this.outSince = isOut ? this.outSince ?? this.machines.clock.elapsed() : null
  }

  #end(version: number): void {
    const ended = this.versions[version]
    if (ended !== undefined) ended.deletedAt = this.machines.clock.now()
  }

  #trouble(): void {
    this.#noteFewLacked()
    this.troubleAt = this.machines.clock.elapsed()
  }
}
