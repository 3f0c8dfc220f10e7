/**
 * The list of a table's keys (listed_keys.ts) in Redis, for the nodes that share
 * it: one value, gone by itself when its absences are too old. It begins with a
 * head of fixed size, so that who has the list already need not read it again.
 */
import { createHash } from 'node:crypto'
import type { Client } from '../caches/redis_client.js'
import type { MapIdentity } from '../caches/redis.js'
import type { KeyList } from './listed_keys.js'

/** `startedAt`: when the listing began (epoch ms). `server`: the identity of the one that listed. */
export type SharedList = KeyList & { readonly startedAt: number, readonly server: string }

/** Bytes. */
const headSize = 160

// No map's name holds a blank, so this is the key of nobody's entry.
const listKey = (keyPrefix: string, { name }: MapIdentity): string => `${keyPrefix}keys ${name}`

const digestOf = (head: string, bits: Uint8Array): string => createHash('sha256').update(head).update(bits).digest('hex')

const encode = ({ definition }: MapIdentity, { startedAt, keys, server, bits }: SharedList): Buffer => {
  const head = `1 ${definition} ${startedAt} ${keys} ${server} `
  return Buffer.concat([Buffer.from(`${head}${digestOf(head, bits)}`.padEnd(headSize)), bits])
}

type Head = { readonly text: string, readonly startedAt: number, readonly keys: number, readonly server: string, readonly digest: string }

const headOf = (bytes: Buffer, { definition }: MapIdentity): Head | null => {
  const [, text = '', writtenBy, startedAt, keys, server = '', digest = ''] = /^(1 (\w+) (\d{1,15}) (\d{1,9}) (\w{1,16}) )([0-9a-f]{64}) *$/.exec(bytes.toString('latin1', 0, headSize)) ?? []
  return writtenBy === definition ? { text, startedAt: Number(startedAt), keys: Number(keys), server, digest } : null
}

/** Puts it there for `ttlMs`. Rejects with what Redis says. */
export const writeList = async (client: Client, keyPrefix: string, map: MapIdentity, list: SharedList, ttlMs: number): Promise<void> => {
  await client.set(listKey(keyPrefix, map), encode(map, list), 'PX', Math.ceil(ttlMs))
}

/** When the list that is there was begun (epoch ms); null if there is none of this definition. Rejects with what Redis says. */
export const readListStart = async (client: Client, keyPrefix: string, map: MapIdentity): Promise<number | null> =>
  headOf(await client.getrangeBuffer(listKey(keyPrefix, map), 0, headSize - 1), map)?.startedAt ?? null

/** The list; null if there is none of this definition, 'damaged' if it is not what was written. Rejects with what Redis says. */
export const readList = async (client: Client, keyPrefix: string, map: MapIdentity): Promise<SharedList | 'damaged' | null> => {
  const bytes = await client.getBuffer(listKey(keyPrefix, map))
  const head = bytes === null ? null : headOf(bytes, map)
  if (bytes === null || head === null) return null
  const bits = bytes.subarray(headSize)
  return bits.length > 0 && digestOf(head.text, bits) === head.digest ? { startedAt: head.startedAt, keys: head.keys, server: head.server, bits } : 'damaged'
}
