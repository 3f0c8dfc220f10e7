/**
 * The second cache: Redis, shared by the nodes that name the same server and key
 * prefix. It never throws and never rejects (but for `all`): whatever goes wrong
 * there is a miss, and is counted.
 *
 * It holds found answers, and the absences that are part of accepting a known
 * recipient (trust/known_elsewhere.ts). Other absences live a few seconds, and
 * strangers cause any number of them: in Redis they could evict found answers. Whole
 * answers, which strangers can make up too, share a bounded number of places: the key
 * gives the place, and the last one written to it stays.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisSettings } from '../config/config.js'
import { messageOf } from '../log.js'
import { decodeRecord } from './entry.js'
import type { Statement } from './entry.js'
import { definitionFor } from './map_identity.js'
import type { MapIdentity, NamedTables } from './map_identity.js'
import { connectPatiently, getWithin, isCluster } from './redis_client.js'
import type { RedisClient } from './redis_client.js'
import { faultOf } from './redis_fault.js'
import { fieldOf, fromStorable, namesKey, readStored, redisKey, storedOf } from './redis_records.js'
import { errorOf, RedisServer } from './redis_server.js'
import type { RedisClock, RedisHooks } from './redis_server.js'
import { scanValues } from './scan.js'

/** When what a statement says, or what contradicts it, was learned (epoch ms). */
export const learnedAt = ({ verifiedAt, contradictedAt }: Statement): number => Math.max(verifiedAt, contradictedAt)

/** What the rest of Holdfast uses of it: a type by itself, so that a test can put a misbehaving Redis in its place. */
export type RedisCache = Omit<RedisAnswers, 'client' | 'keyPrefix' | 'miss' | 'takeMissed' | 'inherit'>

/**
 * A write goes to Redis together with the next read, but at the latest after this (ms). By itself it wakes Redis, whose
 * reply wakes this process: a message then takes a quarter more of its CPU (test/bench/NOTES.md).
 */
const unsentForMs = 100
/** So many writes wait at most. */
const maxUnsent = 100

/** A map's answers in Redis, in batches. */
export type RedisRows = AsyncGenerator<readonly (readonly [key: string, known: Statement])[]>

export class RedisAnswers {
  readonly #settings: RedisSettings
  readonly #server: RedisServer
  readonly #writes = new Set<Promise<unknown>>()
  /** Each sends a write. */
  #unsent: (() => void)[] = []
  #unsentTimer: NodeJS.Timeout | undefined
  #hits = 0
  #misses = 0
  /** What was learned since then (epoch ms) may not have been written; Infinity: all was. A reload goes on with it. */
  #missed = { since: Infinity }

  /** Connects in the background and keeps doing so. */
  constructor(settings: RedisSettings, hooks: RedisHooks, clock: RedisClock) {
    this.#settings = settings
    this.#server = new RedisServer(settings, hooks, clock)
  }

  /** The client, for other uses of this Redis. */
  get client(): RedisClient {
    return this.#server.client
  }

  /** Before each key that this program has there. */
  get keyPrefix(): string {
    return this.#settings.keyPrefix
  }

  /** Resolves when the first connection stands or has failed. */
  get tried(): Promise<void> {
    return this.#server.tried
  }

  isUsable(): boolean {
    return this.#server.isUsable
  }

  status() {
    return { ...this.#server.status, hits: this.#hits, misses: this.#misses }
  }

  /**
   * The answers for `keys` of `map`, in their order, or what another definition of it found; null for each that is not
   * there or can't be read now. One round trip. null, without a promise, if this Redis can't be used now.
   */
  read(map: MapIdentity, keys: readonly string[]): Promise<(Statement | null)[]> | null {
    if (!this.#server.isUsable) return null
    // In a cluster the keys may be on several nodes.
    return isCluster(this.client) ? Promise.all(keys.map(async key => (await this.#readAll(map, [key]))[0] ?? null))
      : this.#readAll(map, keys)
  }

  /**
   * Reads from a server that rests, for a lookup that nothing else can answer: each key within `patienceMs`. The rest
   * goes on, whatever comes of it. null if the server isn't connected.
   */
  readPatiently(map: MapIdentity, keys: readonly string[], patienceMs: number): Promise<(Statement | null)[]> | null {
    if (!this.#server.isConnected) return null
    return Promise.all(keys.map(key => this.#readOnePatiently(map, key, patienceMs)))
  }

  /** Keeps an answer for `ttlMs` from now. Not waited for. */
  write(map: MapIdentity, key: string, kept: Statement, ttlMs: number): void {
    if (ttlMs < 1) return
    this.#send(() => this.client.set(this.#keyOf(map, key), storedOf(map, key, kept), 'PX', Math.ceil(ttlMs)), kept)
  }

  /** Notes that what was learned since `at` (epoch ms) is not in Redis. */
  miss(at: number): void {
    this.#missed.since = Math.min(this.#missed.since, at)
  }

  /** Keeps an answer late, unless a newer one is there. Never rejects; what is not written is missed again. */
  async writeLate(map: MapIdentity, key: string, kept: Statement, ttlMs: number): Promise<void> {
    const reading = this.#withUnsent(() => this.client.getBuffer(this.#keyOf(map, key)))
    const bytes = await reading.catch((error: unknown) => {
      this.#server.failed(error, false)
      return null
    })
    const there = bytes === null ? null : readStored(key, bytes)
    const known = there?.key === key ? decodeRecord(there.record, definitionFor(map, key)) : 'invalid'
    const isOlder = typeof known === 'string' || known.isForeign === true || learnedAt(known) < learnedAt(kept)
    if (isOlder) this.write(map, key, kept, ttlMs)
  }

  /**
   * Since when (epoch ms) what was learned is not in Redis, to be written now; null if nothing was missed, or Redis
   * takes no writes yet. What is not written then is missed again.
   */
  takeMissed(): number | null {
    const { since } = this.#missed
    if (since === Infinity || !this.#server.isWritable) return null
    this.#missed.since = Infinity
    return since
  }

  /** Takes over what an earlier client of the same Redis has missed, and what it may still miss. */
  inherit(earlier: RedisAnswers): void {
    earlier.miss(this.#missed.since)
    this.#missed = earlier.#missed
  }

  /** The same, unless that key has an answer already. */
  offer(map: MapIdentity, key: string, kept: Statement, ttlMs: number): void {
    if (!this.#server.isWritable) return
    this.#send(() => this.client.set(this.#keyOf(map, key), storedOf(map, key, kept), 'PX', Math.ceil(ttlMs), 'NX'))
  }

  /** Deletes the answer for a key that the table no longer has. Not waited for. */
  remove(map: MapIdentity, key: string): void {
    this.#send(() => this.client.del(this.#keyOf(map, key)))
  }

  /**
   * By the name of each of `maps`, which are all that there are, what it may be called in Redis, if that does not know
   * it as it is called now: as maps on the same tables were, on the same servers if possible, and never on those of
   * another one of `maps`. Rejects with the server's error.
   */
  async formerNames(maps: readonly NamedTables[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const noted = await this.#withUnsent(() => this.client.hgetall(namesKey(this.keyPrefix)))
    const standing = new Set(maps.map(fieldOf))
    const gone = Object.keys(noted).filter(field => !standing.has(field))
    return new Map(maps.filter(map => noted[fieldOf(map)] === undefined).map(map => {
      const end = fieldOf({ ...map, redisName: '' })
      const formers = gone.filter(field => field.endsWith(end))
      const onItsServers = formers.filter(field => noted[field] === map.hosts)
      const alike = maps.filter(({ definition }) => definition === map.definition)
      const onNobodys = formers.filter(field => alike.every(({ hosts }) => noted[field] !== hosts))
      const names = onItsServers.length > 0 ? onItsServers : onNobodys
      return [map.name, names.map(field => field.slice(0, -end.length))]
    }))
  }

  /** Notes of which definition and servers is what Redis has under a map's name, for a start under another name. */
  noteName(map: NamedTables): void {
    this.#send(() => this.client.hset(namesKey(this.keyPrefix), fieldOf(map), map.hosts ?? '1'))
  }

  /**
   * All answers of a map for keys that `isWanted` takes. One that is written or moved meanwhile may be missing or come
   * twice. On a connection of its own, whose commands may take longer than a lookup would wait. Rejects with the
   * server's error.
   */
  async *all(map: MapIdentity, isWanted: (key: string) => boolean): RedisRows {
    const prefix = this.#keyOf(map, '')
    const ownKey = (stored: string): string => fromStorable(stored.slice(prefix.length))
    const client = await connectPatiently(this.#settings)
    try {
      for await (const values of scanValues(client, prefix, key => isWanted(ownKey(key)))) {
        yield values.flatMap(([key, bytes]) => {
          const stored = bytes === null ? null : readStored(ownKey(key), bytes)
          if (stored === null) return []
          const known = decodeRecord(stored.record, definitionFor(map, stored.key))
          return typeof known === 'string' ? [] : [[stored.key, known] as const]
        })
      }
    } finally {
      client.disconnect()
    }
  }

  /** Disconnects once the writes under way are done, at the latest after the command timeout. */
  close(): void {
    this.#withUnsent(() => undefined)
    const late = sleep(this.#settings.commandTimeoutMs, undefined, { ref: false })
    void Promise.race([Promise.all(this.#writes), late]).then(() => this.client.disconnect())
  }

  async #readAll(map: MapIdentity, keys: readonly string[]): Promise<(Statement | null)[]> {
    try {
      const records = await this.#withUnsent(() => this.client.mgetBuffer(keys.map(key => this.#keyOf(map, key))))
      this.#server.succeeded(false)
      return keys.map((key, index) => this.#decode(map, key, records[index] ?? null))
    } catch (error) {
      this.#server.failed(error, false)
      return keys.map(() => null)
    }
  }

  async #readOnePatiently(map: MapIdentity, key: string, patienceMs: number): Promise<Statement | null> {
    try {
      return this.#decode(map, key, await getWithin(this.client, this.#keyOf(map, key), patienceMs))
    } catch (thrown) {
      const error = errorOf(thrown)
      this.#server.count(faultOf(error), messageOf(error))
      return null
    }
  }

  #decode(map: MapIdentity, key: string, bytes: Buffer | null): Statement | null {
    const stored = bytes === null ? null : readStored(key, bytes)
    // In the place of a whole answer another one may stand by now.
    const isOther = bytes === null || (stored !== null && stored.key !== key)
    const decoded = isOther ? null : decodeRecord(stored?.record ?? '', definitionFor(map, key))
    if (decoded !== null && typeof decoded !== 'string') {
      if (decoded.isForeign === true) this.#misses++
      else this.#hits++
      return decoded
    }
    this.#misses++
    if (decoded === 'invalid') {
      this.#server.count('invalid-record', `a record of map ${map.name} is not what this version writes`)
    }
    return null
  }

  /** Has a write sent soon, and after those before it. `kept`: to be made up for, if it can't be written. */
  #send(write: () => Promise<unknown>, kept?: Statement): void {
    const missed = (): void => { if (kept !== undefined) this.miss(learnedAt(kept)) }
    if (!this.#server.isWritable) return missed()
    this.#unsent.push(() => {
      if (!this.#server.isWritable) return missed()
      const writing = write().then(() => this.#server.succeeded(true), (error: unknown) => {
        this.#server.failed(error, true)
        // Else the server is not to blame.
        if (!this.#server.isWritable) missed()
      }).finally(() => this.#writes.delete(writing))
      this.#writes.add(writing)
    })
    if (this.#unsent.length >= maxUnsent) this.#withUnsent(() => undefined)
    this.#unsentTimer ??= setTimeout(() => {
      this.#unsentTimer = undefined
      this.#withUnsent(() => undefined)
    }, unsentForMs).unref()
  }

  /** Sends what waits and then what `send` sends, with one write to the socket. */
  #withUnsent<T>(send: () => T): T {
    if (this.#unsent.length === 0) return send()
    // A client that has never been connected has no stream.
    const stream = isCluster(this.client) || !this.#server.isConnected ? null : this.client.stream
    stream?.cork()
    try {
      for (const sendWrite of this.#unsent.splice(0)) sendWrite()
      return send()
    } finally {
      stream?.uncork()
    }
  }

  #keyOf(map: MapIdentity, key: string): string {
    return redisKey(this.keyPrefix, map, key)
  }
}
