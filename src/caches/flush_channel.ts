/**
 * Tells the nodes that share a Redis of each other's flushes. Those that are
 * connected hear of each flush at once (a channel). Those that connect later read
 * when each map was last flushed (a hash), and take everything in it from before
 * then for stale. The channel has a connection of its own; after it was lost,
 * messages may have been missed.
 *
 * What Redis didn't take when it was announced is announced again once it does, and then as a flush of the whole map,
 * as a node that connects later takes it.
 *
 * The hash has a mark of its own: where that is missing, or another one than this
 * node saw before, Redis lost the hash, and anything may have been flushed. Anybody
 * may have written what Redis holds: it is checked, and can do no more than make keys
 * stale.
 */
import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { openSubscriber } from './redis_client.js'
import type { RedisClient } from './redis_client.js'
import type { RedisSettings } from '../config/config.js'
import { messageOf } from '../log.js'

/** `what`: null is the whole map, `@example.com` a domain, anything else one key. */
export type Flush = { readonly map: string, readonly what: string | null }

export type FlushHooks = {
  /** A flush by another node, at epoch ms. */
  readonly onFlush: (flush: Flush, at: number) => void
  /** Flushes of any map may have been missed, up to epoch ms. */
  readonly onLost: (at: number) => void
  /** Whether all flushes by other nodes are known, and new ones arrive at once. */
  readonly onInTouch: (isInTouch: boolean) => void
  readonly onProblem: (problem: string) => void
}

const reconnectMs = 500
/** A ping this often (ms) finds a connection that hangs. */
const pingMs = 5_000
const maxMessageBytes = 2_000
/** Clocks of nodes differ by up to this (ms), and a message from before a connection broke may be so late. */
const slackMs = 10_000
/** The field of the hash that says that it is whole. No map has a blank in its name. */
const mark = 'since then'

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
  /** The client for commands. The caller closes it. */
  readonly client: RedisClient
  readonly settings: RedisSettings
  readonly hooks: FlushHooks
  /** What is still to be announced; a reload goes on with it. */
  readonly unannounced: Unannounced
  /** Epoch ms. */
  readonly now: () => number
}

/** The maps whose last flush Redis did not take, and whether it was published at least. */
export type Unannounced = Map<string, { readonly isPublished: boolean }>

export class FlushChannel {
  /** Resolves when the flushes of other nodes are known, or the first attempt has failed. */
  readonly tried: Promise<void>
  readonly #parts: FlushChannelParts
  /** Names of the channel and of the hash in Redis. */
  readonly #channel: string
  readonly #hash: string
  /** Tells our own messages from those of other nodes. */
  readonly #self = randomBytes(8).toString('hex')
  #subscriber: Redis | null = null
  /** When the connection last worked (epoch ms): this node has heard of all flushes well before then. */
  #heardAt = 0
  /** The mark of the hash when it was last read; null: there was none, or it was never read. */
  #mark: string | null = null
  #isClosed = false
  #attempts = 0
  #reconnecting: NodeJS.Timeout | undefined
  #onTried: () => void = () => undefined

  /** Listens from now on, and connects again whenever it has to. Never throws. */
  constructor(parts: FlushChannelParts) {
    this.#parts = parts
    this.#channel = `${parts.settings.keyPrefix}flush`
    this.#hash = `${parts.settings.keyPrefix}flushed`
    this.tried = new Promise(resolve => { this.#onTried = resolve })
    this.#connect()
  }

  /** Tells the other nodes. Resolves with null when all of them know, else with why some will know it later. */
  async announce({ map, what }: Flush): Promise<string | null> {
    const { unannounced } = this.#parts
    const keeping = await this.#keep(map)
    const publishing = await this.#publish({ map, what })
    const isPublished = publishing === null && unannounced.get(map)?.isPublished !== false
    if (publishing !== null || keeping !== null) unannounced.set(map, { isPublished })
    return publishing ?? keeping
  }

  /** Kept before it is published: a node that connects in between reads it there. */
  #keep(map: string): Promise<string | null> {
    const { client, now } = this.#parts
    return client.hset(this.#hash, map, now()).then(() => null, messageOf)
  }

  #publish({ map, what }: Flush): Promise<string | null> {
    const text = JSON.stringify([map, what, this.#self])
    return this.#parts.client.publish(this.#channel, text).then(() => null, messageOf)
  }

  /** Announces again what Redis did not take. */
  async #announceAgain(): Promise<void> {
    const { unannounced } = this.#parts
    for (const [map, before] of unannounced) {
      const keeping = await this.#keep(map)
      const isPublished = before.isPublished || await this.#publish({ map, what: null }) === null
      // Else another one was not taken meanwhile.
      if (unannounced.get(map) !== before) continue
      if (isPublished && keeping === null) unannounced.delete(map)
      else unannounced.set(map, { isPublished })
    }
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
    const ping = (): void => {
      const at = this.#parts.now()
      void this.#announceAgain()
      redis.ping().then(() => { if (this.#heardAt > 0) this.#heardAt = at }, () => redis.disconnect())
    }
    const pinging = setInterval(ping, pingMs).unref()
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
    const { hooks, now } = this.#parts
    try {
      await redis.subscribe(this.#channel)
      const at = now()
      await this.#announceAgain()
      await this.#readHash()
      this.#heardAt = at
      hooks.onInTouch(true)
    } catch (error) {
      this.#fail(error)
      redis.disconnect()
    }
    this.#onTried()
  }

  /** Reports the flushes that this node may have missed. */
  async #readHash(): Promise<void> {
    const { client, hooks, now } = this.#parts
    const times = await client.hgetall(this.#hash)
    const found = times[mark] ?? null
    // Another node that lost it with this one may have set a new mark by now.
    if (found === null || (this.#mark !== null && found !== this.#mark)) hooks.onLost(now())
    // A Redis that can't be written to has lost nothing by it.
    if (found === null) await client.hsetnx(this.#hash, mark, now()).catch(() => undefined)
    this.#mark = found ?? (await client.hgetall(this.#hash))[mark] ?? null
    for (const [map, text] of Object.entries(times)) {
      // A flush from the future would never end.
      const at = Math.min(Number(text), now())
      if (map !== mark && at > Math.max(0, this.#heardAt - slackMs)) hooks.onFlush({ map, what: null }, at)
    }
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
