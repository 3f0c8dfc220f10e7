/**
 * A load that the nodes which share a Redis need once: who does it, and how far
 * it is. What one of them could not finish, another one goes on with.
 */
import type { Client } from '../caches/redis_client.js'
import { takeLease } from '../caches/lease.js'

/** Where a load stands; times are epoch ms. */
export type Progress = {
  /** Of the map and its list: another one's load is no use. */
  readonly definition: string
  /** When the load under way was begun, by whichever node. */
  readonly startedAt: number
  /** Keys up to this one are loaded; null: none, or all. */
  readonly last: string | null
  /** When the last load that was finished had begun. */
  readonly loadedAt: number | null
}

/** Progress is kept for so long (ms). */
const keepMs = 30 * 86_400_000
/** What is older than this (ms) is begun anew. */
const resumeWithinMs = 3_600_000

// No map's name holds a blank, so this is the key of nobody's entry.
const progressKey = (keyPrefix: string, map: string): string => `${keyPrefix}warm ${map}`

const decode = (text: string | null): Progress | null => {
  let value: unknown
  try {
    value = JSON.parse(text ?? 'null')
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { definition, startedAt, last, loadedAt } = value as Readonly<Record<string, unknown>>
  return typeof definition === 'string' && typeof startedAt === 'number' && (last === null || typeof last === 'string') && (loadedAt === null || typeof loadedAt === 'number')
    ? { definition, startedAt, last, loadedAt } : null
}

/** What the nodes noted of this map's load; null if that is nothing of this definition. Rejects with what Redis says. */
export const readProgress = async (client: Client, keyPrefix: string, map: string, definition: string): Promise<Progress | null> => {
  const progress = decode(await client.get(progressKey(keyPrefix, map)))
  return progress?.definition === definition ? progress : null
}

export type Turn = {
  /** Go on after this key; null: from the first one. */
  readonly after: string | null
  /** Why another node may be at it now; null while none is. */
  objection(): string | null
  /** Everything up to `last` is loaded; for the node that goes on with it. Not waited for. */
  note(last: string): void
  /** All is loaded; gives the time that it counts from (epoch ms). Rejects with what Redis says. */
  finish(): Promise<number>
  /** For another node, or another time. */
  release(): Promise<void>
}

/** This node's turn to load; null if another one has it. Rejects with what Redis says. */
export const takeTurn = async (client: Client, keyPrefix: string, map: string, definition: string, now: number): Promise<Turn | null> => {
  const key = progressKey(keyPrefix, map)
  const lease = await takeLease(client, `${key} lease`)
  if (lease === null) return null
  const before = await readProgress(client, keyPrefix, map, definition)
  const after = before !== null && Math.abs(now - before.startedAt) < resumeWithinMs ? before.last : null
  const startedAt = before === null || after === null ? now : before.startedAt
  const write = (last: string | null, loadedAt: number | null): Promise<unknown> =>
    client.set(key, JSON.stringify({ definition, startedAt, last, loadedAt } satisfies Progress), 'PX', keepMs)
  return {
    after,
    objection: () => lease.isHeld() ? null : 'another node may have taken over',
    note: last => { write(last, before?.loadedAt ?? null).catch(() => undefined) },
    finish: async () => {
      await write(null, startedAt)
      return startedAt
    },
    release: () => lease.release(),
  }
}
