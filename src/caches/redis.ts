/**
 * The second cache: Redis, shared by the nodes that name the same server and
 * key prefix. It is a cache and nothing more: whatever it does wrong is a
 * miss, counted and never waited for longer than the command timeout; a degraded
 * Redis is skipped, not asked again for each lookup.
 *
 * Found answers are written, and the absences that are part of accepting a
 * known recipient (lookup/vouch.ts). Others are short-lived and strangers make
 * them up without end: in Redis they could push out found ones.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { getWithin, openClient } from './redis_client.js'
import type { RedisSettings } from '../config/config.js'
import { decodeRecord, encodeRecord } from './entry.js'
import type { Statement } from './entry.js'
import { scanValues } from './scan.js'

/** Which map's keys: its name, and the hash of its definition that records must carry. */
export type MapIdentity = { readonly name: string, readonly definition: string }

/** Why a command or record was of no use; the labels of the error counter. */
export const redisFaults = [
  'timeout', 'connection', 'readonly', 'oom', 'auth', 'loading', 'cluster', 'wrong-type', 'invalid-record', 'other',
] as const
export type RedisFault = typeof redisFaults[number]

export type RedisState = 'connecting' | 'ready' | 'resting' | 'down'

/** After a fault of the server the cache is left alone for so long (ms); the next lookup then tries again. */
const restMs = 2_000
/** After one that concerns writes (a replica, no memory) nothing is written for so long (ms); reads go on. */
const restWritesMs = 10_000

/** So many reads at a time may wait for a server that is left alone: a hung one costs no more than that. */
const maxPatientReads = 100

const faultOf = (error: Error): RedisFault => {
  // Several Sentinels or hops are summed up, with what the last of them said.
  const message = error.message.replace(/^.* Last error: (?:\w+: )?/, '')
  if (message === 'Command timed out') return 'timeout'
  if (message.startsWith('READONLY')) return 'readonly'
  if (message.startsWith('OOM')) return 'oom'
  if (/^(NOAUTH|WRONGPASS|NOPERM|ERR AUTH|ERR invalid password)/.test(message)) return 'auth'
  if (/^(LOADING|MASTERDOWN)/.test(message)) return 'loading'
  if (/^(CLUSTERDOWN|TRYAGAIN|MOVED|ASK)/.test(message)) return 'cluster'
  if (message.startsWith('WRONGTYPE')) return 'wrong-type'
  if (message.startsWith('ERR')) return 'other'
  return 'connection'
}

/** Where Redis has the answer for `key` of `map`. */
export const redisKey = (keyPrefix: string, map: Pick<MapIdentity, 'name'>, key: string): string => `${keyPrefix}${map.name}:${key}`

/** These say that the server won't serve anybody for now; the others concern one command, or writes. */
const faultsOfServer: ReadonlySet<RedisFault> = new Set(['timeout', 'connection', 'auth', 'loading', 'cluster'])
const faultsOfWrites: ReadonlySet<RedisFault> = new Set(['readonly', 'oom'])

export type RedisCache = Omit<ReturnType<typeof createRedisCache>, 'client'>

/**
 * Connects in the background and keeps doing so; never throws, never rejects.
 * `onState` hears each change of state with its reason and time, `onFault` each fault
 * with what the server said; `now` gives epoch ms.
 */
export const createRedisCache = (
  settings: RedisSettings,
  onState: (state: RedisState, detail: string, since: number) => void,
  onFault: (fault: RedisFault, detail: string) => void,
  now: () => number,
) => {
  const faults = Object.fromEntries(redisFaults.map(fault => [fault, 0])) as Record<RedisFault, number>
  let state: RedisState = 'connecting'
  let since = now()
  let restUntil = 0
  let restWritesUntil = 0
  let hits = 0
  let misses = 0
  let patientReads = 0
  const writes = new Set<Promise<unknown>>()

  const client = openClient(settings)
  const tried = new Promise<void>(resolve => { client.once('ready', resolve).once('close', resolve) })
  const enter = (next: RedisState, detail: string): void => {
    if (next === state) return
    state = next
    since = now()
    onState(next, detail, since)
  }
  client.on('ready', () => {
    restUntil = 0
    enter('ready', 'connected')
  })
  client.on('close', () => enter('down', 'connection lost'))
  client.on('error', (given: Error & { lastNodeError?: Error | null }) => {
    // A cluster says only that no node would do; the last of them says why.
    const error = given.lastNodeError ?? given
    count(faultOf(error), error.message)
    enter('down', error.message)
  })

  const isUsable = (): boolean => client.status === 'ready' && now() >= restUntil
  const isWritable = (): boolean => isUsable() && now() >= restWritesUntil

  const count = (kind: RedisFault, detail: string): void => {
    faults[kind]++
    onFault(kind, detail)
  }
  const fault = (given: unknown): null => {
    const error = given instanceof Error ? given : new Error(String(given))
    const kind = faultOf(error)
    count(kind, error.message)
    if (faultsOfWrites.has(kind)) restWritesUntil = now() + restWritesMs
    if (faultsOfServer.has(kind) && state !== 'down') {
      restUntil = now() + restMs
      enter('resting', error.message)
    }
    return null
  }
  const worked = (): void => {
    if (state === 'resting') enter('ready', 'answers again')
  }
  const recordOf = (map: MapIdentity, kept: Statement): Buffer => Buffer.from(encodeRecord(kept, map.definition), 'latin1')
  const sent = (command: Promise<unknown>): void => {
    const writing = command.then(worked, fault).finally(() => writes.delete(writing))
    writes.add(writing)
  }
  const keyOf = (map: MapIdentity, key: string): string => redisKey(settings.keyPrefix, map, key)

  const decodedOf = (map: MapIdentity, bytes: Buffer | null): Statement | null => {
    const decoded = bytes === null ? null : decodeRecord(bytes.toString('latin1'), map.definition)
    if (decoded !== null && typeof decoded !== 'string') {
      hits++
      return decoded
    }
    misses++
    if (decoded === 'invalid') count('invalid-record', `a record of map ${map.name} is not what this version writes`)
    return null
  }
  const readOne = async (map: MapIdentity, key: string): Promise<Statement | null> => {
    try {
      const bytes = await client.getBuffer(keyOf(map, key))
      worked()
      return decodedOf(map, bytes)
    } catch (error) {
      return fault(error)
    }
  }
  const readOnePatiently = async (map: MapIdentity, key: string, patienceMs: number): Promise<Statement | null> => {
    patientReads++
    try {
      return decodedOf(map, await getWithin(client, keyOf(map, key), patienceMs))
    } catch (given) {
      const error = given instanceof Error ? given : new Error(String(given))
      count(faultOf(error), error.message)
      return null
    } finally {
      patientReads--
    }
  }

  return {
    /** The known answers for `keys` of `map`, in their order; null for each that isn't known or can't be had now. One round trip. */
    read: (map: MapIdentity, keys: readonly string[]): Promise<(Statement | null)[]> | null =>
      isUsable() ? Promise.all(keys.map(key => readOne(map, key))) : null,

    /**
     * The same of a server that is left alone, for who has nobody else to ask: each
     * key within `patienceMs`. Its rest goes on, whatever comes of it. null if it
     * isn't connected, or enough are waiting for it.
     */
    readPatiently: (map: MapIdentity, keys: readonly string[], patienceMs: number): Promise<(Statement | null)[]> | null =>
      client.status === 'ready' && patientReads + keys.length <= maxPatientReads
        ? Promise.all(keys.map(key => readOnePatiently(map, key, patienceMs))) : null,

    /** Remembers an answer for `ttlMs` from now. Not waited for. */
    write: (map: MapIdentity, key: string, kept: Statement, ttlMs: number): void => {
      if (!isWritable() || ttlMs < 1) return
      sent(client.set(keyOf(map, key), recordOf(map, kept), 'PX', Math.ceil(ttlMs)))
    },

    /** The same, unless there is something of that key already. */
    offer: (map: MapIdentity, key: string, kept: Statement, ttlMs: number): void => {
      if (isWritable()) sent(client.set(keyOf(map, key), recordOf(map, kept), 'PX', Math.ceil(ttlMs), 'NX'))
    },

    /** What is known of a map, of the keys that `isWanted` takes, in batches; one that is written or moved meanwhile may be missing, or come twice. Rejects with the server's error. */
    all: async function* (map: MapIdentity, isWanted: (key: string) => boolean): AsyncGenerator<readonly (readonly [key: string, known: Statement])[]> {
      const prefix = keyOf(map, '')
      for await (const values of scanValues(client, prefix, key => isWanted(key.slice(prefix.length)))) {
        yield values.flatMap(([key, bytes]) => {
          const known = bytes === null ? 'invalid' : decodeRecord(bytes.toString('latin1'), map.definition)
          return typeof known === 'string' ? [] : [[key.slice(prefix.length), known] as const]
        })
      }
    },

    /** Forgets a key that the table no longer has. Not waited for. */
    remove: (map: MapIdentity, key: string): void => {
      if (isWritable()) client.del(keyOf(map, key)).then(worked, fault)
    },

    /** For what else goes by way of this Redis. */
    client,
    /** Resolves when the first connection stands or has failed. */
    tried,
    isUsable,
    status: () => ({ state, since, hits, misses, faults: { ...faults } }),
    /** Disconnects once the writes under way are done, at the latest after the command timeout. */
    close: (): void => {
      const late = sleep(settings.commandTimeoutMs, undefined, { ref: false })
      void Promise.race([Promise.all(writes), late]).then(() => client.disconnect())
    },
  }
}
