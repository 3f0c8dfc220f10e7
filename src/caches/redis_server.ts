/**
 * The Redis that the nodes share, and whether it can be used now. After a fault it
 * rests: it is left alone for a moment, so that lookups don't wait for it in turn.
 */
import type { RedisSettings } from '../config/config.js'
import { messageOf } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import { isCluster, openClient } from './redis_client.js'
import type { RedisClient } from './redis_client.js'
import { faultOf, redisFaults, scopeOf } from './redis_fault.js'
import type { RedisFault } from './redis_fault.js'

/** resting: connected, but it just failed. down: not connected; the client keeps trying. */
export type RedisState = 'connecting' | 'ready' | 'resting' | 'down'

export type RedisClock = Pick<Clock, 'now' | 'elapsed'>

export type RedisHooks = {
  /** A change of state, its reason, and its time (epoch ms). */
  readonly onState: (state: RedisState, detail: string, since: number) => void
  /** Writes are refused from now on, with what Redis says; null: they are taken again. Reads go on. */
  readonly onWrites: (refusal: string | null, since: number) => void
  /** Each fault, with what the server said. */
  readonly onFault: (fault: RedisFault, detail: string) => void
}

/** After a fault of the server nothing is asked for so long (ms); the next lookup then tries again. */
const restMs = 2_000
/** After a refused write (a replica, no memory, no right) nothing is written for so long (ms); reads go on. */
const restWritesMs = 10_000
/** From a replica the connection is opened anew, to whatever the address now means, so often (ms) at most. */
const leaveReplicaEveryMs = 60_000

export const errorOf = (thrown: unknown): Error => thrown instanceof Error ? thrown : new Error(String(thrown))

export class RedisServer {
  readonly client: RedisClient
  /** Resolves when the first connection stands or has failed. */
  readonly tried: Promise<void>
  readonly #hooks: RedisHooks
  readonly #clock: RedisClock
  readonly #faults = Object.fromEntries(redisFaults.map(fault => [fault, 0])) as Record<RedisFault, number>
  #state: RedisState = 'connecting'
  #since: number
  /** Of the clock's elapsed time, which nobody sets. */
  #restUntil = 0
  #restWritesUntil = 0
  #leftReplicaAt = -Infinity
  #refusal: string | null = null
  #refusedSince: number

  /** Connects in the background and keeps doing so. */
  constructor(settings: RedisSettings, hooks: RedisHooks, clock: RedisClock) {
    this.#hooks = hooks
    this.#clock = clock
    this.#since = clock.now()
    this.#refusedSince = this.#since
    this.client = openClient(settings, false, error => {
      this.count(faultOf(error), messageOf(error))
      this.#enter('down', messageOf(error))
    })
    this.tried = new Promise<void>(resolve => { this.client.once('ready', resolve).once('close', resolve) })
    this.client.on('ready', () => {
      this.#restUntil = 0
      this.#enter('ready', 'connected')
    })
    this.client.on('close', () => this.#enter('down', 'connection lost'))
    this.client.on('error', (given: Error & { lastNodeError?: Error | null }) => {
      // A cluster's own error says only that no node would do; the last node's error says why.
      const error = given.lastNodeError ?? given
      // Only that an earlier error has ended the connection.
      if (error.message.startsWith('Stream isn\'t writeable')) return
      this.count(faultOf(error), messageOf(error))
      this.#enter('down', messageOf(error))
    })
  }

  get isConnected(): boolean {
    return this.client.status === 'ready'
  }

  /** Whether commands may be sent: it is connected and does not rest. */
  get isUsable(): boolean {
    return this.isConnected && this.#clock.elapsed() >= this.#restUntil
  }

  get isWritable(): boolean {
    return this.isUsable && this.#clock.elapsed() >= this.#restWritesUntil
  }

  get status() {
    return {
      state: this.#state, since: this.#since, faults: { ...this.#faults },
      /** What Redis says to writes, and since when; null: it takes them. */
      refusesWrites: this.#refusal === null ? null : { detail: this.#refusal, since: this.#refusedSince },
    }
  }

  /** A command succeeded: a rest is over. */
  succeeded(isWrite: boolean): void {
    if (isWrite) this.#setRefusal(null)
    if (this.#state === 'resting') this.#enter('ready', 'answers again')
  }

  /** A command failed: counts its fault and, if more commands would fail, begins a rest. */
  failed(thrown: unknown, isWrite: boolean): void {
    const message = messageOf(errorOf(thrown))
    const fault = faultOf(errorOf(thrown))
    this.count(fault, message)
    switch (scopeOf(fault, isWrite)) {
      case 'writes':
        this.#restWritesUntil = this.#clock.elapsed() + restWritesMs
        if (fault === 'readonly') this.#leaveReplica()
        return this.#setRefusal(message)
      case 'server':
        if (this.#state === 'down') return
        this.#restUntil = this.#clock.elapsed() + restMs
        return this.#enter('resting', message)
      case 'command': return
    }
  }

  /** Counts a fault that changes nothing about the server. */
  count(fault: RedisFault, detail: string): void {
    this.#faults[fault]++
    this.#hooks.onFault(fault, detail)
  }

  /** After a failover, the old primary is one. */
  #leaveReplica(): void {
    const now = this.#clock.elapsed()
    if (isCluster(this.client) || now - this.#leftReplicaAt < leaveReplicaEveryMs) return
    this.#leftReplicaAt = now
    this.client.disconnect(true)
  }

  #setRefusal(detail: string | null): void {
    const isChange = (detail === null) !== (this.#refusal === null)
    this.#refusal = detail
    if (!isChange) return
    this.#refusedSince = this.#clock.now()
    this.#hooks.onWrites(detail, this.#refusedSince)
  }

  #enter(next: RedisState, detail: string): void {
    if (next === this.#state) return
    this.#state = next
    this.#since = this.#clock.now()
    this.#hooks.onState(next, detail, this.#since)
  }
}
