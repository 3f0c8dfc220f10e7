/**
 * Which query each connection is used for. A query whose last statement took too long, or which has not been answered
 * yet, gets three quarters of the connections at most: a slow one leaves some for the queries of other maps, be it one
 * of two.
 */
import type { Connection } from './connection.js'
import type { Query } from './sql.js'

const share = 0.75

export class QueryShares {
  readonly #queries = new Map<Connection, Query>()
  readonly #counts = new Map<Query, number>()
  readonly #answered = new WeakSet<Query>()
  /** So many connections the server lets in, as far as refusals show. */
  #room = Infinity

  /** So many connections stand. */
  stood(connections: number): void {
    this.#room = Math.max(this.#room, connections)
  }

  /** The server refused one more beside so many that stand. */
  refusedMore(connections: number): void {
    this.#room = connections
  }

  /** Whether the query may have one more connection if so many may be used at once. */
  mayTake(query: Query, limit: number): boolean {
    const connections = Math.min(limit, this.#room)
    return this.#answered.has(query) || (this.#counts.get(query) ?? 0) < Math.max(1, Math.floor(share * connections))
  }

  /** A statement of the query came to its end in time, or not. */
  note(query: Query, isInTime: boolean): void {
    if (isInTime) this.#answered.add(query)
    else this.#answered.delete(query)
  }

  take(connection: Connection, query: Query): void {
    this.#queries.set(connection, query)
    this.#counts.set(query, (this.#counts.get(query) ?? 0) + 1)
  }

  /** The connection is not used any more, if it was. */
  give(connection: Connection): void {
    const query = this.#queries.get(connection)
    if (query === undefined) return
    this.#queries.delete(connection)
    const count = (this.#counts.get(query) ?? 0) - 1
    if (count > 0) this.#counts.set(query, count)
    else this.#counts.delete(query)
  }
}
