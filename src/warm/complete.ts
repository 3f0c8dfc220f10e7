/**
 * What a load that came to its end says of absence, where the map has `complete:
 * true`: what is not among the keys that it listed was not in the table when it
 * began. Whether that may be said is found out beforehand (comparison.ts) and
 * afterwards: it is still the server that lookups ask, it is believed as it was
 * before, and the list has the keys that it must have, and about as many as the one
 * before. If not, it is said why, and absences are asked for as ever. A node takes
 * another one's list only of the same server: its own may have what that one lacks.
 */
import type { Client } from '../caches/redis_client.js'
import type { RedisSettings } from '../config/config.js'
import { connectPatiently } from '../caches/redis_client.js'
import type { MapIdentity } from '../caches/redis.js'
import type { Clock } from '../runtime/clock.js'
import { listedAs } from '../lookup/listed.js'
import type { Listed } from '../lookup/listed.js'
import { messageOf } from '../log.js'
import { askComparison } from '../tables/comparison.js'
import { askIdentity } from '../mysql/identity.js'
import type { ServerIdentity } from '../mysql/identity.js'
import type { Listing } from '../tables/listing.js'
import type { Table } from '../tables/open.js'
import type { KeyList, Listable } from './listed_keys.js'
import { readList, readListStart, writeList } from './shared_list.js'
import type { SharedList } from './shared_list.js'

/** How many keys a list had that was believed, and when it was begun (epoch ms). */
export type ListSize = { readonly keys: number, readonly at: number }

export type CompleteParts = {
  /** So long (ms) after a list was begun nothing is absent by it any more. */
  readonly absentForMs: number
  /** Null if the list is believed, and in use from now on; else why not. `before`: the last one that was. */
  readonly accept: (listed: Listed, before: ListSize | null) => string | null
  readonly onProblem: (problem: string) => void
}

export type Complete = {
  /** How the keys of a load that begins now are to be listed; null: not at all. Never rejects. */
  begin(listing: Listing): Promise<Listable | null>
  /** Takes the list of that load, which was begun at epoch ms, or why there is none. `before`: what is known of the last one. Whether it is believed. Never rejects. */
  end(list: KeyList | string, startedAt: number, before: ListSize | null): Promise<boolean>
  /** Gives the list that was just believed to the other nodes. Never rejects. */
  share(client: Client, keyPrefix: string, map: MapIdentity): Promise<void>
  /** Takes over what another node has listed since. Never rejects. */
  take(client: Client, settings: RedisSettings, map: MapIdentity): Promise<void>
  /** The last list that was believed here. */
  readonly size: ListSize | null
}

export const openComplete = ({ absentForMs, accept, onProblem }: CompleteParts, { definition, database }: Table, clock: Clock): Complete => {
  let size: ListSize | null = null
  let own: SharedList | null = null
  /** That is to be listed, or was. */
  let server: ServerIdentity | null = null
  /** Of the last list that was looked at (epoch ms). */
  let judgedAt = -Infinity
  const judge = (list: KeyList, startedAt: number, before: ListSize | null): boolean => {
    judgedAt = startedAt
    const problem = accept(listedAs(startedAt, list.keys, list.bits), before)
    if (problem === null) size = { keys: list.keys, at: startedAt }
    else onProblem(problem)
    return problem === null
  }
  const refuse = (problem: string): null => {
    onProblem(problem)
    return null
  }
  /** The server that is asked now; null, and why is told, if it can't be known or is another one than this. */
  const sameServer = async (identity: string | undefined): Promise<ServerIdentity | null> => {
    const now = await askIdentity(database)
    if (typeof now === 'string') return refuse(now)
    return now.identity === identity ? now : refuse('another server was listed than the one that is asked now')
  }
  const ofRedis = (error: unknown): void => onProblem(`Redis: ${messageOf(error)}`)
  return {
    get size() { return size },
    begin: async listing => {
      const asked = await askIdentity(database)
      if (typeof asked === 'string') return refuse(asked)
      const said = await askComparison(database, definition.login.charset, listing)
      if (typeof said === 'string') return refuse(said)
      server = asked
      return { comparison: said.comparison, server: asked.name }
    },
    end: async (list, startedAt, before) => {
      own = null
      if (typeof list === 'string') {
        onProblem(list)
        return false
      }
      const now = await sameServer(server?.identity)
      if (now === null || !judge(list, startedAt, before ?? size)) return false
      own = { ...list, startedAt, server: now.identity }
      return true
    },
    share: async (client, keyPrefix, map) => {
      const list = own
      own = null
      if (list === null) return
      const leftMs = list.startedAt + absentForMs - clock.now()
      if (leftMs > 0) await writeList(client, keyPrefix, map, list, leftMs).catch(ofRedis)
    },
    take: async (client, settings, map) => {
      try {
        const startedAt = await readListStart(client, settings.keyPrefix, map)
        const now = clock.now()
        // One that was judged in the future was so by a clock that has been set back.
        if (startedAt === null || startedAt === judgedAt || (startedAt < judgedAt && judgedAt <= now) || now >= startedAt + absentForMs) return
        // It is long: who waits for an answer must not wait behind it.
        const patient = await connectPatiently(settings)
        try {
          const list = await readList(patient, settings.keyPrefix, map)
          if (list === null) return
          judgedAt = startedAt
          if (list === 'damaged') onProblem('the list of keys in Redis is damaged')
          else if (await sameServer(list.server) !== null) judge(list, list.startedAt, size)
        } finally {
          patient.disconnect()
        }
      } catch (error) {
        ofRedis(error)
      }
    },
  }
}
