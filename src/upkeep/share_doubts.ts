/**
 * Shares the doubts in tables among the nodes that have a Redis in common, and
 * with this node after a restart: what one of them found out, none of them has to
 * find out again. One hash has a field for each map, whose text is
 * trust/map_trust.ts's; who writes it adds to what the others wrote. Whoever may write
 * there can have absences doubted, and can say what an administrator says by
 * `holdfast trust`: that a table is right as it is now.
 */
import type { RedisClient } from '../caches/redis_client.js'
import { messageOf } from '../log.js'
import type { MysqlMap } from '../lookup/maps.js'
import type { Clock } from '../runtime/clock.js'
import type { MapIdentity } from '../caches/map_identity.js'

export type ShareDoubtsParts = {
  /** Sensitive ones are left out: a doubt names keys. */
  readonly maps: readonly Pick<MysqlMap, 'name' | 'identity' | 'trust' | 'config'>[]
  readonly client: RedisClient
  readonly keyPrefix: string
  /** By a map's name, the other names under which Redis may have what is known of it. Rejects with what Redis says. */
  readonly formerNames: () => Promise<ReadonlyMap<string, readonly string[]>>
  /** Resolves when Redis has been reached or has failed once. */
  readonly ready: Promise<unknown>
  readonly clock: Clock
  readonly onProblem: (problem: string) => void
}

/** The other nodes' doubts are read so often (ms). */
const readEveryMs = 5_000

export type SharedDoubts = {
  /** Tells the other nodes that a doubt began or ended in the map of that name. Not waited for. */
  tell(map: string): void
  /** Resolves when the doubts of the other nodes are known, or Redis could not be asked. */
  readonly known: Promise<void>
  close(): void
}

export const shareDoubts = (
  { maps, client, keyPrefix, formerNames, ready, clock, onProblem }: ShareDoubtsParts,
): SharedDoubts => {
  const shared = maps.filter(({ config }) => !config.sensitive)
  let isClosed = false
  let cancel = (): void => undefined
  let areFormersRead = false
  /** The maps whose doubts changed here since they were last written. */
  const untold = new Set<string>()
  /**
   * Those whose doubts, or trust, were not seen in Redis since they changed: another node may have written at the same
   * moment, one of an earlier version writes without a look, and a reload may have come before Redis took them.
   */
  const unseen = new Set(shared.map(({ name }) => name))
  /** Reads what the other nodes found out, and writes it with what this one did. Rejects with what Redis says. */
  const exchange = async (some: typeof shared): Promise<void> => {
    const texts = await readDoubts(client, keyPrefix, some.map(({ identity }) => identity))
    for (const [index, map] of some.entries()) {
      const text = texts[index] ?? null
      if (text !== null) map.trust.decode(text)
      if (map.trust.isIn(text)) unseen.delete(map.name)
      // A node that joins now would believe what this one does not. What was seen there once, another node ended.
      else if (text === null || unseen.has(map.name)) untold.add(map.name)
      // Else each node that joins until then would take all that it knows for older.
      if (text !== null && map.trust.isFromFuture(text, clock.now())) untold.add(map.name)
      if (!untold.delete(map.name)) continue
      await writeDoubts(client, keyPrefix, map.identity, map.trust.encode()).catch((error: unknown) => {
        untold.add(map.name)
        throw error
      })
    }
  }
  const failed = (error: unknown): void => { if (!isClosed) onProblem(messageOf(error)) }
  const read = async (): Promise<void> => {
    try {
      if (!areFormersRead) await readFormers(client, keyPrefix, shared, await formerNames())
      areFormersRead = true
      await exchange(shared)
    } catch (error) {
      failed(error)
    }
    if (!isClosed) cancel = clock.after(readEveryMs, () => void read())
  }
  return {
    tell: name => {
      if (isClosed) return
      untold.add(name)
      unseen.add(name)
      exchange(shared.filter(each => each.name === name)).catch(failed)
    },
    known: ready.then(read),
    close: () => {
      isClosed = true
      cancel()
    },
  }
}

/** Reads the doubts that the maps had under other names. Rejects with what Redis says. */
const readFormers = async (
  client: RedisClient, keyPrefix: string, maps: ShareDoubtsParts['maps'], names: ReadonlyMap<string, readonly string[]>,
): Promise<void> => {
  for (const map of maps) {
    const formers = (names.get(map.name) ?? []).map(name => ({ ...map.identity, name }))
    for (const text of await readDoubts(client, keyPrefix, formers)) if (text !== null) map.trust.decode(text)
  }
}

/** Longer text is not read. */
const maxBytes = 1_000_000

// No map's name holds a blank, so this is the key of nobody's entry.
const hashKey = (keyPrefix: string): string => `${keyPrefix}doubts of maps`
const fieldOf = ({ name, definition }: MapIdentity): string => `${name} ${definition}`

/** Shares the doubts of a map. Rejects with what Redis says. */
const writeDoubts = async (client: RedisClient, keyPrefix: string, map: MapIdentity, text: string): Promise<void> => {
  await client.hset(hashKey(keyPrefix), fieldOf(map), text)
}

/** The shared doubts of these maps, in their order; null for each that has none. Rejects with what Redis says. */
const readDoubts = async (
  client: RedisClient, keyPrefix: string, maps: readonly MapIdentity[],
): Promise<readonly (string | null)[]> => {
  if (maps.length === 0) return []
  const texts = await client.hmget(hashKey(keyPrefix), ...maps.map(fieldOf))
  return texts.map(text => text === null || text.length > maxBytes ? null : text)
}
