/**
 * Announces this node every 10 s in the Redis that nodes share, and reads what the others announced: a key for each
 * node, and a set of their names. A key lives for a week from its last announcement, so what is left of its life says,
 * by Redis' own clock, how long ago that was.
 */
import { randomBytes } from 'node:crypto'
import type { RedisClient } from '../caches/redis_client.js'
import { messageOf } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import { decodeAnnouncement, maxAnnouncementBytes } from './announcement.js'
import type { Announcement } from './announcement.js'
import { fleetOf, goneMs } from './fleet_status.js'
import type { Fleet, FleetFinding, OwnKnowledge, SeenNode } from './fleet_status.js'

const everyMs = 10_000
const rememberMs = 7 * 86_400_000
/** More nodes are not read. */
const maxNodes = 200

export type OwnAnnouncement = Omit<Announcement, 'instance' | 'isNameShared'>

export type AnnouncerParts = {
  /** The Redis that nodes share now; null: there is none. */
  readonly shared: () => { readonly client: RedisClient, readonly keyPrefix: string } | null
  readonly own: () => OwnAnnouncement
  readonly knows: Omit<OwnKnowledge, 'name'>
  readonly clock: Clock
  /** A finding that is new. */
  readonly onFinding: (finding: FleetFinding) => void
  /** Why nodes can't see each other, a second time in a row and another reason than before. */
  readonly onProblem: (problem: string) => void
}

/** The nodes as they were last read, and why reading failed since; '' if the last attempt went well. */
export type FleetStatus = Fleet & { readonly readAt: number, readonly problem: string }

export class Announcer {
  readonly #parts: AnnouncerParts
  readonly #instance = randomBytes(8).toString('hex')
  /** When this process first announced itself, and when it last saw another one by its name (ms, of the clock). */
  #startedAt: number | null = null
  #otherAt = -Infinity
  #last: FleetStatus = { nodes: [], definitions: 0, findings: [], readAt: 0, problem: 'not read yet' }
  #reported = ''
  #isClosed = false
  #cancel = (): void => undefined

  /** Begins at once. Never throws. */
  constructor(parts: AnnouncerParts) {
    this.#parts = parts
    void this.#round()
  }

  /** Null without a Redis: this node knows only itself. */
  get status(): FleetStatus | null {
    return this.#parts.shared() === null ? null : this.#last
  }

  /** Forgets a node that is out of service; gives why it can't, or null. Rejects with what Redis says. */
  async forget(name: string): Promise<string | null> {
    const redis = this.#parts.shared()
    if (redis === null) return 'this node has no `redis:` to share with other nodes, so it knows only itself'
    const { client, keyPrefix } = redis
    const node = await readNode(client, keyPrefix, name)
    if (typeof node === 'object' && node.ageMs <= goneMs) {
      return `${name} is in service: it announced itself ${Math.round(node.ageMs / 1_000)} s ago. Stop it, and wait a `
        + 'minute'
    }
    if (this.#parts.knows.named().has(name)) {
      return `${name} stands in \`role:\`, so it would be named as unseen: take it out there, reload, and try again`
    }
    const isMember = await client.srem(setOf(keyPrefix), name) === 1
    if (typeof node === 'object') await client.del(keyOf(keyPrefix, name))
    if (!isMember && typeof node !== 'object') return `there is no node ${name}`
    this.#last = { ...this.#last, nodes: this.#last.nodes.filter(each => each.name !== name) }
    return null
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  async #round(): Promise<void> {
    const { shared, clock, own, knows, onFinding } = this.#parts
    const redis = shared()
    if (redis !== null) {
      try {
        const announced = own()
        await this.#announce(redis.client, redis.keyPrefix, announced)
        const seen = await readNodes(redis.client, redis.keyPrefix)
        const fleet = fleetOf(seen, { ...knows, name: announced.name }, clock.now())
        const known = new Set(this.#last.findings.map(({ text }) => text))
        this.#last = { ...fleet, readAt: clock.now(), problem: '' }
        this.#reported = ''
        for (const finding of fleet.findings) if (!known.has(finding.text) && !this.#isClosed) onFinding(finding)
      } catch (error) {
        const problem = messageOf(error)
        if (problem === this.#last.problem && problem !== this.#reported) {
          this.#reported = problem
          if (!this.#isClosed) this.#parts.onProblem(problem)
        }
        this.#last = { ...this.#last, problem }
      }
    }
    if (!this.#isClosed) this.#cancel = clock.after(everyMs, () => void this.#round())
  }

  async #announce(client: RedisClient, keyPrefix: string, own: OwnAnnouncement): Promise<void> {
    const now = this.#parts.clock.elapsed()
    const before = await readNode(client, keyPrefix, own.name)
    // Another process that announced itself since this one began is no earlier life of this node.
    const isOther = typeof before === 'object' && before.announced.instance !== this.#instance
    if (isOther && this.#startedAt !== null && before.ageMs < now - this.#startedAt) this.#otherAt = now
    this.#startedAt ??= now
    const announced: Announcement = { ...own, instance: this.#instance, isNameShared: now - this.#otherAt <= goneMs }
    await client.set(keyOf(keyPrefix, own.name), JSON.stringify(announced), 'PX', rememberMs)
    await client.sadd(setOf(keyPrefix), own.name)
    await client.pexpire(setOf(keyPrefix), rememberMs)
  }
}

// No map's name has a blank in it, and its entries have a colon, so these are the keys of nobody's entries.
const keyOf = (keyPrefix: string, name: string): string => `${keyPrefix}node ${name}`
const setOf = (keyPrefix: string): string => `${keyPrefix}nodes`

/** `expired`: it has not announced itself for a week. `foreign`: what is there is no announcement. */
const readNode = async (
  client: RedisClient, keyPrefix: string, name: string,
): Promise<SeenNode | 'expired' | 'foreign'> => {
  const key = keyOf(keyPrefix, name)
  const leftMs = await client.pttl(key)
  if (leftMs === -2) return 'expired'
  if (leftMs < 0 || leftMs > rememberMs || await client.strlen(key) > maxAnnouncementBytes) return 'foreign'
  const announced = decodeAnnouncement(await client.get(key) ?? '')
  return announced?.name === name ? { announced, ageMs: rememberMs - leftMs } : 'foreign'
}

/** The nodes that announced themselves within a week. Rejects with what Redis says. */
const readNodes = async (client: RedisClient, keyPrefix: string): Promise<readonly SeenNode[]> => {
  const set = setOf(keyPrefix)
  const count = await client.scard(set)
  if (count > maxNodes) throw new Error(`${set} in Redis names ${count} nodes; more than ${maxNodes} are not read`)
  const names = await client.smembers(set)
  const seen = await Promise.all(names.map(async name => {
    // A key of another type is somebody else's.
    const node = await readNode(client, keyPrefix, name).catch((error: unknown) => {
      if (messageOf(error).startsWith('WRONGTYPE')) return 'foreign' as const
      throw error
    })
    if (node === 'expired') await client.srem(set, name)
    return node
  }))
  return seen.filter(node => typeof node === 'object')
}
