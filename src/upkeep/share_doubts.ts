/**
 * Shares the doubts in tables among the nodes that have a Redis in common, and
 * with this node after a restart: what one of them found out, none of them has to
 * find out again. One hash has a field for each map, whose text is
 * trust/map_trust.ts's; who writes it adds to what the others wrote. Whoever may write
 * there can have absences doubted, and can say what an administrator says by
 * `holdfast trust`: that a table is right as it is now.
 */
import type { RedisAnswers } from '../caches/redis.js'
import { fieldOf } from '../caches/redis_records.js'
import type { MapIdentity } from '../caches/map_identity.js'
import { messageOf } from '../log.js'
import type { MysqlMap } from '../lookup/maps.js'
import type { Clock } from '../runtime/clock.js'

type DoubtedMap = Pick<MysqlMap, 'name' | 'identity' | 'trust' | 'config'>

export type ShareDoubtsParts = {
  /** Sensitive ones are left out: a doubt names keys. */
  readonly maps: readonly DoubtedMap[]
  readonly redis: Pick<RedisAnswers, 'client' | 'keyPrefix' | 'tried' | 'formerNames'>
  readonly clock: Clock
  readonly onProblem: (problem: string) => void
}

/** The other nodes' doubts are read so often (ms). */
const readEveryMs = 5_000

/**
 * What is left to do for a map whose doubts, or trust, changed here; nothing is, once they were seen in Redis.
 * write: Redis did not take them yet. check: it took them, but another node may have written at the same moment, one of
 * an earlier version writes without a look, and a reload may have come before Redis took them.
 */
type Task = 'write' | 'check'

export type SharedDoubts = {
  /** A doubt began or ended in the map of that name: writes that for the other nodes. Not waited for. */
  noteChange(map: string): void
  /** Resolves when the doubts of the other nodes are known, or the first attempt has failed. */
  readonly tried: Promise<void>
  close(): void
}

export const shareDoubts = ({ maps, redis, clock, onProblem }: ShareDoubtsParts): SharedDoubts => {
  const shared = maps.filter(({ config }) => !config.sensitive)
  const stored = storedDoubts(redis)
  /** By a map's name. */
  const tasks = new Map<string, Task>(shared.map(({ name }) => [name, 'check']))
  let isClosed = false
  let cancel = (): void => undefined
  let areFormersRead = false
  /** Takes over what Redis has of a map, and writes what this node knows besides. Rejects with what Redis says. */
  const exchange = async ({ name, identity, trust }: DoubtedMap, text: string | null): Promise<void> => {
    if (text !== null) trust.decode(text)
    const isThere = trust.isIn(text)
    const task = tasks.get(name)
    // A node that joins now would believe what this one does not. What was seen there once, another node ended.
    const isMissing = !isThere && (text === null || task === 'check')
    // Each node that joins until then would take all that it knows for older.
    const isFromFuture = text !== null && trust.isFromFuture(text, clock.now())
    // Before it is written: what changes meanwhile is to be written, too.
    if (isThere) tasks.delete(name)
    else if (task === 'write') tasks.set(name, 'check')
    if (task !== 'write' && !isMissing && !isFromFuture) return
    await stored.write(identity, trust.encode()).catch((error: unknown) => {
      tasks.set(name, 'write')
      throw error
    })
  }
  const exchangeAll = async (some: readonly DoubtedMap[]): Promise<void> => {
    const texts = await stored.read(some.map(({ identity }) => identity))
    for (const [index, map] of some.entries()) await exchange(map, texts[index] ?? null)
  }
  const failed = (error: unknown): void => { if (!isClosed) onProblem(messageOf(error)) }
  const round = async (): Promise<void> => {
    try {
      if (!areFormersRead) {
        await readFormers(shared, stored, await redis.formerNames(maps.map(({ identity }) => identity)))
        areFormersRead = true
      }
      await exchangeAll(shared)
    } catch (error) {
      failed(error)
    }
    if (!isClosed) cancel = clock.after(readEveryMs, () => void round())
  }
  return {
    noteChange: name => {
      if (isClosed) return
      tasks.set(name, 'write')
      exchangeAll(shared.filter(each => each.name === name)).catch(failed)
    },
    tried: redis.tried.then(round),
    close: () => {
      isClosed = true
      cancel()
    },
  }
}

/** Reads the doubts that the maps had under other names. Rejects with what Redis says. */
const readFormers = async (
  maps: readonly DoubtedMap[], stored: StoredDoubts, formerNames: ReadonlyMap<string, readonly string[]>,
): Promise<void> => {
  for (const { name, identity, trust } of maps) {
    const formers = (formerNames.get(name) ?? []).map(former => ({ ...identity, redisName: former }))
    for (const text of await stored.read(formers)) if (text !== null) trust.decode(text)
  }
}

/** Longer text is not read. */
const maxBytes = 1_000_000

type StoredDoubts = {
  /** The doubts of these maps, in their order; null for each that has none. Rejects with what Redis says. */
  read(maps: readonly MapIdentity[]): Promise<readonly (string | null)[]>
  /** Rejects with what Redis says. */
  write(map: MapIdentity, text: string): Promise<unknown>
}

const storedDoubts = ({ client, keyPrefix }: ShareDoubtsParts['redis']): StoredDoubts => {
  // No map's name holds a blank, so this is the key of nobody's entry.
  const key = `${keyPrefix}doubts of maps`
  return {
    read: async maps => {
      const texts = maps.length === 0 ? [] : await client.hmget(key, ...maps.map(fieldOf))
      return texts.map(text => text === null || text.length > maxBytes ? null : text)
    },
    write: (map, text) => client.hset(key, fieldOf(map), text),
  }
}
