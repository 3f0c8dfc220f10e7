/**
 * Flushes of all the nodes that share a Redis, by way of it: told at once to
 * those that are connected (a channel), and kept for as long as they matter for
 * those that connect later (a sorted set, by time). The channel has a
 * connection of its own; when that was down, messages may have been missed.
 *
 * What comes from Redis may be anybody's: it is checked, and can do no more
 * than have keys asked anew.
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
  /** There were more than could be told one by one: all keys of all maps count as flushed at epoch ms. */
  readonly onMany: (at: number) => void
  /** Flushes may have been missed: nothing in memory is fresh for sure. */
  readonly onGap: () => void
  /** Whether all flushes of other nodes are known, and come at once. */
  readonly onInTouch: (isInTouch: boolean) => void
  readonly onProblem: (problem: string) => void
}

const reconnectMs = 500
/** A connection that hangs is found out by a ping so often (ms). */
const pingMs = 5_000
const maxBytes = 2_000
/** Of those that are kept, the latest are read. */
const maxRead = 10_000

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 1_000

/** What another node wrote; null for anything else. */
const decode = (text: string): Flush & { readonly sender: unknown } | null => {
  if (text.length > maxBytes) return null
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

export type FlushChannel = ReturnType<typeof openFlushChannel>

/** Listens from now on; never throws, never rejects. Flushes are kept for `keepMs`; `now` gives epoch ms. `client` stays the caller's. */
export const openFlushChannel = (client: Client, settings: RedisSettings, keepMs: number, hooks: FlushHooks, now: () => number) => {
  const channel = `${settings.keyPrefix}flush`
  const log = `${settings.keyPrefix}flushes`
  const self = randomBytes(8).toString('hex')
  let subscriber: Redis | null = null
  let wasSubscribed = false
  let isClosed = false
  let attempts = 0
  let reconnecting: NodeJS.Timeout | undefined
  let triedOnce: () => void = () => undefined
  const tried = new Promise<void>(resolve => { triedOnce = resolve })

  const fail = (error: unknown): void => {
    if (!isClosed) hooks.onProblem(messageOf(error))
  }
  const readLog = async (): Promise<void> => {
    const since = now() - keepMs
    const kept = await client.zrevrangebyscore(log, '+inf', since, 'WITHSCORES', 'LIMIT', 0, maxRead)
    let at = 0
    for (let index = 0; index + 1 < kept.length; index += 2) {
      const flush = decode(kept[index] ?? '')
      at = Number(kept[index + 1])
      if (flush === null) hooks.onProblem(`${log} holds what no node of this version writes`)
      // One from the future would never end.
      else if (at >= since) hooks.onFlush(flush, Math.min(at, now()))
    }
    // What wasn't read is no later than the last one that was.
    if (kept.length >= maxRead * 2) hooks.onMany(Math.min(at, now()))
  }
  const listen = async (redis: Redis): Promise<void> => {
    try {
      await redis.subscribe(channel)
      if (wasSubscribed) hooks.onGap()
      await readLog()
      wasSubscribed = true
      hooks.onInTouch(true)
    } catch (error) {
      fail(error)
      redis.disconnect()
    }
    triedOnce()
  }
  const connect = (): void => {
    if (isClosed) return
    const redis = openSubscriber(settings, attempts++)
    subscriber = redis
    const pinging = setInterval(() => { redis.ping().catch(() => redis.disconnect()) }, pingMs).unref()
    redis.on('error', fail)
    redis.on('ready', () => void listen(redis))
    redis.on('message', (_channel: string, text: string) => {
      const flush = decode(text)
      if (flush === null) hooks.onProblem(`a message on ${channel} is none of this version's`)
      else if (flush.sender !== self) hooks.onFlush(flush, now())
    })
    redis.once('end', () => {
      clearInterval(pinging)
      hooks.onInTouch(false)
      triedOnce()
      if (!isClosed) reconnecting = setTimeout(connect, reconnectMs).unref()
    })
  }
  connect()

  return {
    /** Tells the other nodes; null once they have been told, or why they could not be, all of them. */
    announce: async ({ map, what }: Flush): Promise<string | null> => {
      const at = now()
      // Kept first: who connects in between reads it there.
      const kept = await client.zadd(log, at, JSON.stringify([map, what]))
        .then(() => client.zremrangebyscore(log, '-inf', at - keepMs)).then(() => null, messageOf)
      const told = await client.publish(channel, JSON.stringify([map, what, self])).then(() => null, messageOf)
      return told ?? kept
    },
    /** Resolves when flushes are known, or the first attempt has failed. */
    tried,
    close: (): void => {
      isClosed = true
      clearTimeout(reconnecting)
      subscriber?.disconnect()
    },
  }
}
