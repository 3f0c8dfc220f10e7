/** The servers that an address has led to, by their identities: several behind a balancer, another one after a move. */

/** Whom to ask, by the servers' identities. */
export type Wanted = {
  /** Servers to pass over, as long as there are others. */
  readonly avoid?: ((server: string) => boolean) | undefined
  /** The server to ask; no other one is. */
  readonly only?: string | undefined
}

/** A server that the address has never led to is searched for so often (ms) at most. */
const searchEveryMs = 5_000

/** Whether a server of this identity is wanted. */
export const isWanted = ({ avoid, only }: Wanted, server: string): boolean =>
  only === undefined ? avoid?.(server) !== true : server === only

export class BehindAddress {
  readonly #keepMs: number
  /** With the time (of `performance.now()`) of the last connection. */
  readonly #servers = new Map<string, number>()
  #searchedAt = -Infinity

  /** A server is taken to be there for `keepMs` after the last connection to it. */
  constructor(keepMs: number) {
    this.#keepMs = keepMs
  }

  /** A connection leads to this server. */
  seen(server: string): void {
    this.#servers.set(server, performance.now())
  }

  /** Connections did not lead to a server that is wanted. */
  forget(wanted: Wanted): void {
    for (const server of this.#servers.keys()) if (isWanted(wanted, server)) this.#servers.delete(server)
  }

  /** Whether a connection may lead to a server that is wanted: one did lately, or nobody has tried for a while. */
  mayBe(wanted: Wanted): boolean {
    if (wanted.only === undefined && wanted.avoid === undefined) return true
    const now = performance.now()
    for (const [server, seenAt] of this.#servers) {
      if (now - seenAt > this.#keepMs) this.#servers.delete(server)
      else if (isWanted(wanted, server)) return true
    }
    if (this.#servers.size > 0 && now - this.#searchedAt < searchEveryMs) return false
    this.#searchedAt = now
    return true
  }
}
