/**
 * The servers that hold the same tables, asked as Postfix does it: unix sockets first, then
 * TCP, each kind in a random order that stays the same, until one answers. Each server gets
 * its share of the time that is left, so that one that hangs leaves time for the next.
 */
import { isOutage, unavailable } from '../outcome.js'
import type { Unavailable } from '../outcome.js'
import { serverName } from './hosts.js'
import type { Host } from './hosts.js'
import { Server } from './server.js'
import type { Choice, OnRows, Reply, ServerSettings, ServerStatus } from './server.js'
import type { Query } from './sql.js'
import { readTls } from './tls.js'
import type { Tls } from './tls.js'

/** How to log in, the same for each host. */
export type Login = {
  readonly user: string
  readonly password: string
  readonly dbname: string
  /** The name of a character set, letters and digits only. */
  readonly charset: string
  /** null: no TLS is asked for. */
  readonly tls: Tls | null
}

export type Access = Login & {
  /** How long an unused connection is kept, if not as others: then none stand ready. */
  readonly idleMs?: number | undefined
}

export type Database = {
  /** Rows, or why there are none, within `budgetMs`. */
  ask(query: Query, values: readonly string[], budgetMs: number, choice?: Choice): Promise<Reply | Unavailable>
  /** For how long (ms) all of its servers have been out, whether or not anybody asked; null if one of them is not. */
  outMs(): number | null
  /**
   * Hands over the rows of a list of any length, in batches, until `onRows` wants no more;
   * null, or why rows are missing. Servers to `avoid`, by their identity, are not listed. Rejects if `onRows` does.
   */
  list(query: Query, onRows: OnRows, avoid?: (server: string) => boolean): Promise<Unavailable | null>
}

/** A server may be silent for so long (ms) before a list, when it sorts, and between two pieces of it. */
const listIdleMs = 120_000

export type Servers = {
  /**
   * The database on these hosts. Equal log-ins on one host share its connections
   * and its breaker, whichever map asks. Throws if a TLS file can't be read.
   */
  database(hosts: readonly Host[], login: Access): Database
  status(): readonly ServerStatus[]
  /** Other maps are in force: no connection is kept that is unused. */
  retire(): void
  /** Closes all; what is under way is cut off. */
  close(): void
}

const shuffled = <Item>(items: readonly Item[]): readonly Item[] =>
  items.map(item => ({ item, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ item }) => item)

/** No server is connected to before somebody asks. */
export const openServers = (settings: ServerSettings): Servers => {
  const servers = new Map<string, Server>()
  const databases = new Map<string, Database>()

  const serverOf = (host: Host, login: Access): Server => {
    const identity = JSON.stringify([host, login])
    const standing = servers.get(identity)
    if (standing !== undefined) return standing
    const { tls, idleMs, ...account } = login
    const ssl = tls === null ? null : readTls(tls)
    const ofServer = idleMs === undefined ? settings : { ...settings, idleMs, standing: 0 }
    const server = new Server(serverName(host, login), { ...account, host, ssl }, ofServer)
    servers.set(identity, server)
    return server
  }

  return {
    database: (hosts, login) => {
      const identity = JSON.stringify([hosts, login])
      const standing = databases.get(identity)
      if (standing !== undefined) return standing
      const order = (['unix', 'inet'] as const).flatMap(kind => shuffled(hosts.filter(host => host.kind === kind)))
      const database = databaseOn(order.map(host => serverOf(host, login)))
      databases.set(identity, database)
      return database
    },
    status: () => [...servers.values()].map(server => server.status),
    retire: () => { for (const server of servers.values()) server.retire() },
    close: () => { for (const server of servers.values()) server.close() },
  }
}

/** If all breakers are open, the first server says why. */
const askableOf = (servers: readonly Server[]): readonly Server[] => {
  const askable = servers.filter(server => server.isAskable())
  return askable.length > 0 ? askable : servers.slice(0, 1)
}

const databaseOn = (servers: readonly Server[]): Database => {
  const ask: Database['ask'] = async (query, values, budgetMs, choice = {}) => {
    const deadline = performance.now() + budgetMs
    const candidates = askableOf(servers)
    let failure = unavailable('timeout', 'no time left to ask a server')
    for (const [index, server] of candidates.entries()) {
      if (performance.now() >= deadline) return failure
      const answer = await server.ask(query, values, deadline, candidates.length - index, choice)
      if (answer.kind === 'rows') return answer
      if (!isOutage(answer.reason) && answer.reason !== 'overloaded') return answer
      failure = answer
    }
    const { avoid, ...anyServer } = choice
    // No server answers but those to avoid.
    return avoid === undefined ? failure : ask(query, values, deadline - performance.now(), anyServer)
  }
  return {
    ask,
    outMs: () => {
      const out = servers.flatMap(({ outMs }) => outMs ?? [])
      return out.length < servers.length ? null : Math.min(...out)
    },
    list: async (query, onRows, avoid) => {
      let failure = unavailable('source-down', 'no server')
      for (const server of askableOf(servers)) {
        const failed = await server.list(query, listIdleMs, onRows, avoid)
        if (failed === null || failed.isBegun) return failed?.problem ?? null
        failure = failed.problem
      }
      return failure
    },
  }
}
