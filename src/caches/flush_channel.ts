/**
 * Tells the nodes that share a Redis of each other's flushes: at once those that
 * are connected (a channel), and later those that connect while a flush still
 * matters (a sorted set, by time). The channel has a connection of its own;
 * after it was lost, messages may have been missed.
 *
 * Anybody may have written what Redis holds. It is checked, and can do no more
 * than make keys stale.
 */
import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { openSubscriber } from './redis_client.js'
import type { Client } from './redis_client.js'
import type { RedisSettings } from '../config/config.js'
import { messageOf } from '../log.js'

/** `what`: null is the whole map, `@example.com` a domain, anything else one key. */
export type Flush = { readonly map: string, readonly what: string | null }

export type FlushHooks = {
  /** A flush by another node, at epoch ms. */
  readonly onFlush: (flush: Flush, at: number) => void
  /** There were too many to read: all keys of all maps count as flushed at epoch ms. */
  readonly onMany: (at: number) => void
  /** Flushes may have been missed: no entry in memory is surely fresh. */
  readonly onGap: () => void
  /** Whether all flushes by other nodes are known, and new ones arrive at once. */
  readonly onInTouch: (isInTouch: boolean) => void
  readonly onProblem: (problem: string) => void
}

const reconnectMs = 500
/** A ping this often (ms) finds a connection that hangs. */
const pingMs = 5_000
const maxMessageBytes = 2_000
/** At most so many of the kept flushes are read, the latest first. */
const maxRead = 10_000

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 1_000

/** A flush as another node wrote it; null for anything else. */
const decode = (text: string): Flush & { readonly sender: unknown } | null => {
  if (text.length > maxMessageBytes) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (!Array.isArray(value)) return null
  const [map, what, sender] = value as readonly unknown[]
  return isText(map) && (what === null || isText(what)) ? { map, what, sender } : null
}

export type FlushChannelParts = {
  /** For what isn't listening. It stays the caller's. */
  readonly client: Client
  readonly settings: RedisSettings
  /** Flushes are kept in Redis for so long (ms). */
  readonly keepMs: number
  readonly hooks: FlushHooks
  /** Epoch ms. */
  readonly now: () => number
}

export class FlushChannel {
  /** Resolves when the flushes of other nodes are known, or the first attempt has failed. */
  readonly tried: Promise<void>
  readonly #parts: FlushChannelParts
  /** Names of the channel and of the sorted set in Redis. */
  readonly #channel: string
  readonly #kept: string
  /** Tells our own messages from those of other nodes. */
  readonly #self = randomBytes(8).toString('hex')
  #subscriber: Redis | null = null
  #wasSubscribed = false
  #isClosed = false
  #attempts = 0
  #reconnecting: NodeJS.Timeout | undefined
  #onTried: () => void = () => undefined

  /** Listens from now on, and connects again whenever it has to. Never throws. */
  constructor(parts: FlushChannelParts) {
    this.#parts = parts
    this.#channel = `${parts.settings.keyPrefix}flush`
    this.#kept = `${parts.settings.keyPrefix}flushes`
    this.tried = new Promise(resolve => { this.#onTried = resolve })
    this.#connect()
  }

  /** Tells the other nodes. Resolves with null when all of them know, else with why some may not. */
  async announce({ map, what }: Flush): Promise<string | null> {
    const { client, keepMs, now } = this.#parts
    const at = now()
    // Kept before it is published: a node that connects in between reads it there.
    const keeping = await client.zadd(this.#kept, at, JSON.stringify([map, what]))
      .then(() => client.zremrangebyscore(this.#kept, '-inf', at - keepMs)).then(() => null, messageOf)
    const publishing = await client.publish(this.#channel, JSON.stringify([map, what, this.#self]))
      .then(() => null, messageOf)
    return publishing ?? keeping
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#reconnecting)
    this.#subscriber?.disconnect()
  }

  #connect(): void {
    if (this.#isClosed) return
    const redis = openSubscriber(this.#parts.settings, this.#attempts++)
    this.#subscriber = redis
    const pinging = setInterval(() => { redis.ping().catch(() => redis.disconnect()) }, pingMs).unref()
    redis.on('error', error => this.#fail(error))
    redis.on('ready', () => void this.#listen(redis))
    redis.on('message', (_channel: string, text: string) => this.#receive(text))
    redis.once('end', () => {
      clearInterval(pinging)
      this.#parts.hooks.onInTouch(false)
      this.#onTried()
      if (!this.#isClosed) this.#reconnecting = setTimeout(() => this.#connect(), reconnectMs).unref()
    })
  }

  async #listen(redis: Redis): Promise<void> {
    const { hooks } = this.#parts
    try {
      await redis.subscribe(this.#channel)
      if (this.#wasSubscribed) hooks.onGap()
      await this.#readKept()
      this.#wasSubscribed = true
      hooks.onInTouch(true)
    } catch (error) {
      this.#fail(error)
      redis.disconnect()
    }
    this.#onTried()
  }

  async #readKept(): Promise<void> {
    const { client, keepMs, hooks, now } = this.#parts
    const since = now() - keepMs
    const kept = await client.zrevrangebyscore(this.#kept, '+inf', since, 'WITHSCORES', 'LIMIT', 0, maxRead)
    let at = 0
    for (let index = 0; index + 1 < kept.length; index += 2) {
      const flush = decode(kept[index] ?? '')
      at = Number(kept[index + 1])
      if (flush === null) hooks.onProblem(`${this.#kept} holds something that no node of this version writes`)
      // A flush from the future would never end.
      else if (at >= since) hooks.onFlush(flush, Math.min(at, now()))
    }
    // The flushes that were not read are no later than the last one that was.
    if (kept.length >= maxRead * 2) hooks.onMany(Math.min(at, now()))
  }

  #receive(text: string): void {
    const { hooks, now } = this.#parts
    const flush = decode(text)
    if (flush === null) hooks.onProblem(`a message on ${this.#channel} is not one that this version writes`)
    else if (flush.sender !== this.#self) hooks.onFlush(flush, now())
  }

  #fail(error: unknown): void {
    if (!this.#isClosed) this.#parts.hooks.onProblem(messageOf(error))
  }
}
