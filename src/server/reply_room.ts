/**
 * The room for replies that clients wait for or leave unread, all clients of all listeners together. A client that has
 * read everything is always answered: the room bounds what comes on top of one reply for each client.
 */

/** 64 MiB. */
const defaultBytes = 67_108_864

/** A client that waits for room. */
type HeldBack = { proceed(): void }

export class ReplyRoom {
  readonly #maxBytes: number
  #taken = 0
  readonly #waiting = new Set<HeldBack>()
  #isWaking = false

  constructor(maxBytes = defaultBytes) {
    this.#maxBytes = maxBytes
  }

  /** Whether there is room for so many bytes more. */
  has(bytes: number): boolean {
    return this.#taken + bytes <= this.#maxBytes
  }

  /** Bytes that a client now takes on top of those before; fewer are negative. */
  take(bytes: number): void {
    this.#taken += bytes
    if (bytes < 0) this.#wake()
  }

  /** Calls `client` once there is room. */
  wait(client: HeldBack): void {
    this.#waiting.add(client)
  }

  /** `client` is gone. */
  leave(client: HeldBack): void {
    this.#waiting.delete(client)
  }

  #wake(): void {
    if (this.#isWaking || this.#waiting.size === 0) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      for (const client of [...this.#waiting]) {
        this.#waiting.delete(client)
        client.proceed()
        // Not enough room for this one: the others wait behind it.
        if (this.#waiting.has(client)) break
      }
    })
  }
}
