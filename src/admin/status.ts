/**
 * What the daemon knows of itself, as plain data: the one source of /status,
 * /metrics, the page and `holdfast status`. Times are epoch ms. It names maps,
 * servers and listeners, never a key or a value.
 */
import type { Memory } from '../caches/memory.js'
import type { RedisCache } from '../caches/redis.js'
import type { Absence, Policy } from '../config/config.js'
import type { FleetStatus } from '../fleet/announcer.js'
import type { MapLookup } from '../lookup/lookup.js'
import type { MysqlMap, ServedMap } from '../lookup/maps.js'
import type { Trouble } from '../lookup/questions.js'
import type { Problem } from '../log.js'
import { serverName } from '../mysql/hosts.js'
import type { ServerStatus } from '../mysql/server.js'
import type { MxStatus } from '../mx/mx_watch.js'
import type { ListenerStatus } from '../server/listener.js'
import type { Tally } from '../server/tally.js'
import type { CanaryState } from '../trust/canary.js'
import { doubtCauses } from '../trust/doubt.js'
import type { TableDoubt } from '../trust/map_trust.js'
import type { CopyStatus } from '../upkeep/copies.js'
import type { Snapshots } from '../upkeep/snapshots.js'
import type { TableLoader } from '../upkeep/table_loader.js'

export type WarmStatus = TableLoader['state']

/** A doubt in a table, without its keys. */
type DoubtStatus = Omit<TableDoubt, 'keys'> & { readonly known: number }

const doubtStatus = ({ keys, ...doubt }: TableDoubt): DoubtStatus => ({ ...doubt, known: keys.length })

/** What is known of a map on MySQL, and how its tables answer. */
export type CachedStatus = {
  readonly origins: MapLookup['origins']
  readonly memory: ReturnType<Memory['size']>
  /** Lookups that wait for Redis or the table. */
  readonly inFlight: number
  readonly doubts: readonly DoubtStatus[]
  /** What fails when its tables are asked; null: nothing. */
  readonly trouble: Trouble | null
  /** The MySQL servers of its tables. */
  readonly servers: readonly string[]
  /** What decides its answers in an outage. */
  readonly absence: Pick<Absence, 'does' | 'inOutage'>
  readonly staleForMs: number
  readonly policy: Pick<Policy, 'outage' | 'outageAfterMs'>
}

export type MapStatus = {
  readonly name: string
  readonly search: string
  readonly source: 'text' | 'mysql'
  /** null for a text table: nothing of it is cached or doubted. */
  readonly cached: CachedStatus | null
  /** The copies of its tables for outages, in their order. */
  readonly copies: readonly CopyStatus[]
  /** null: its table is not loaded ahead of demand. */
  readonly warm: WarmStatus | null
}

/** A map whose definition has faults; `isServed` by its last good one. */
export type MapFaults = {
  readonly map: string
  readonly problems: readonly Problem[]
  readonly isServed: boolean
  readonly since: number
}

export type Status = {
  readonly version: string
  /** The name of this node. */
  readonly node: string
  readonly role: 'primary' | 'fallback'
  /** False only when Postfix would be better off without this node: while it stops. */
  readonly ready: boolean
  readonly now: number
  readonly startedAt: number
  /** When the configuration in force was read. */
  readonly configuredAt: number
  /** When a reload last failed, if none has succeeded since. */
  readonly reloadFailedAt: number | null
  readonly listeners: readonly ListenerStatus[]
  readonly redis: ReturnType<RedisCache['status']> | null
  readonly servers: readonly ServerStatus[]
  readonly canaries: readonly CanaryState[]
  readonly faults: readonly MapFaults[]
  readonly maps: readonly MapStatus[]
  readonly answers: readonly Tally[]
  /** Why what the maps know can't be saved, and since when; null: it can, or is not to be. */
  readonly snapshotProblem: Snapshots['problem']
  /** The nodes that share the Redis; null: without Redis this node knows only itself. */
  readonly fleet: FleetStatus | null
  /** null: they are not checked. */
  readonly mx: MxStatus | null
}

/** A table that was not believed is no trouble any more once the doubt, its own or one beside it, is over. */
const troubleOf = ({ lookup: { questions: { trouble } }, trust }: MysqlMap): Trouble | null => {
  const changedAt = Math.max(...trust.tables.map(({ doubtChangedAt }) => doubtChangedAt))
  return trouble?.reason === 'distrusted' && trouble.lastAt < changedAt ? null : trouble
}

export const mapStatus = (
  map: ServedMap, copies: readonly CopyStatus[], loader: TableLoader | undefined,
): MapStatus => ({
  name: map.name, search: map.config.search, source: map.kind,
  cached: map.kind === 'text' ? null : {
    origins: map.lookup.origins, memory: map.memory.size(), inFlight: map.lookup.flights,
    doubts: map.trust.doubts.map(doubtStatus),
    trouble: troubleOf(map),
    servers: [...new Set(map.tables.flatMap(({ definition: { hosts, login } }) =>
      hosts.map(host => serverName(host, login))))],
    absence: { does: map.config.absence.does, inOutage: map.config.absence.inOutage },
    staleForMs: map.config.lifetimes.staleForMs,
    policy: { outage: map.config.policy.outage, outageAfterMs: map.config.policy.outageAfterMs },
  },
  copies,
  warm: loader?.state ?? null,
})

/** What began a doubt, and what ends it. */
export const doubtText = (map: string, { server, cause, missing, known }: DoubtStatus): string =>
  `${doubtCauses[cause]}, so ${server} is not believed when it says absent; it ends when the known keys are back `
  + `(${missing ?? 'not yet counted'} of ${known} missing), or by \`holdfast trust ${map}\` if they are gone on purpose`

/** The doubts in a map's tables, in words. */
export const doubtTexts = ({ name, trust }: MysqlMap): readonly { readonly since: number, readonly what: string }[] =>
  trust.doubts.map(doubt => ({ since: doubt.since, what: doubtText(name, doubtStatus(doubt)) }))
