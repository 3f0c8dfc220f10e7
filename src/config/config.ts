/** The configuration after its checks: every default filled in, times in ms, sizes in bytes. */
import type { BlockList } from 'node:net'
import type { AbsenceEffect, Search, SearchSettings } from '../postfix/parameters.js'
import type { Problem } from '../log.js'
import type { Endpoint, ListenAddress } from './endpoint.js'
import type { ConfigFile } from './schema.js'

/** How long answers of one map are good for. All in ms. */
export type Lifetimes = {
  readonly freshForMs: number
  readonly staleForMs: number
  readonly absentForMs: number
}

/** What this node answers if the table has no row, or can't be asked. */
export type Policy = {
  /** What becomes of an absence that the table itself stated. */
  readonly unknown: 'reject' | 'defer'
  /** What becomes of a key that can't be known in an outage; 'reject' only on a fallback node. */
  readonly outage: 'reject' | 'defer'
  /** With 'reject': only once all servers have been out for so long (ms). */
  readonly outageAfterMs: number
}

export type Absence = {
  readonly does: AbsenceEffect
  /** What a key gets that nobody has asked for before an outage; strangers: those outside our domains pass. */
  readonly inOutage: 'pass' | 'pass-strangers' | 'defer'
  /** One statement is enough: the rows of an access table refuse, and to believe that one is gone refuses nobody. */
  readonly isBelievedAtOnce: boolean
}

/** Where the rows of a map are. */
export type SourceConfig =
  | { readonly kind: 'text', readonly path: string }
  /** Several tables are asked in their order, each key of all of them before the next key. */
  | { readonly kind: 'cf', readonly paths: readonly string[] }
  /** `placeOf` says where in the configuration file a parameter stands. */
  | {
    readonly kind: 'inline'
    readonly parameters: Readonly<Record<string, string>>
    readonly placeOf: (parameter: string) => string
  }

export type RedisHost = { readonly host: string, readonly port: number }

/** What TLS needs, read from its files; `verify: false` accepts any certificate. */
export type RedisTls = { readonly ca?: Buffer, readonly cert?: Buffer, readonly key?: Buffer, readonly verify: boolean }

/** At most one of `path`, `sentinels` with `master`, `cluster`; else the server at host and port. */
export type RedisSettings = {
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Unix socket. */
  readonly path?: string | undefined
  readonly sentinels?: readonly RedisHost[] | undefined
  /** The name by which the Sentinels know the primary. */
  readonly master?: string | undefined
  readonly sentinelUsername?: string | undefined
  readonly sentinelPassword?: string | undefined
  /** Some nodes of a cluster; the client learns the others from them. */
  readonly cluster?: readonly RedisHost[] | undefined
  readonly tls?: RedisTls | null
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly db?: number | undefined
  readonly keyPrefix: string
  readonly commandTimeoutMs: number
}

export type ListenerConfig = {
  readonly address: ListenAddress
  /** Who may connect by TCP; null where only this machine can. */
  readonly allowed: BlockList | null
} & ({ readonly protocol: 'socketmap' } | { readonly protocol: 'tcp_table', readonly map: string })

export type MapConfig = {
  readonly name: string
  /** File and line of its section. */
  readonly place: string
  readonly search: Search
  /** False: letters beyond ASCII are bytes to Postfix, and their case is not folded. */
  readonly smtputf8: boolean
  readonly source: SourceConfig
  readonly lifetimes: Lifetimes
  readonly policy: Policy
  readonly sensitive: boolean
  /** From 0 to 1. */
  readonly absence: Absence
  /** A known key is absent once a second statement says so, so long (ms) after the first one. */
  readonly confirmForMs: number
  readonly maxShrink: number
  readonly canary: string | null
  /** The query for the keys that changed recently, as it is written, and the file and line that has it. */
  readonly changes: { readonly query: string, readonly place: string } | null
  /** `auto`, or a query that lists the whole table; null: the table is not loaded ahead of demand. */
  readonly warm: string | null
}

/** The problems of each map that has some. One faulty map doesn't stop the others. */
export type Faults = ReadonlyMap<string, readonly Problem[]>

export type Role = ConfigFile['role']

/** Which node of those that have this file this one is. */
export type NodeConfig = {
  readonly name: string
  readonly role: Role
  /** Why it has this role, for people. */
  readonly why: string
  /** The roles of the nodes that `role:` names; empty where it is one word. */
  readonly roles: ReadonlyMap<string, Role>
  /** The role of the nodes that it doesn't name; null where it is one word, which says nothing of others. */
  readonly others: Role | null
}

export type Config = {
  readonly file: ConfigFile
  readonly node: NodeConfig
  readonly fileName: string
  readonly listeners: readonly ListenerConfig[]
  readonly health: Endpoint | null
  /** Path of the socket for administrators. */
  readonly admin: string | null
  /** Whoever sends it may flush, trust, warm and forget by HTTP; null: nobody may. */
  readonly adminToken: string | null
  readonly redis: RedisSettings | null
  /** The file that keeps the cache over a restart; null: there is none. */
  readonly snapshotPath: string | null
  /** The folder of the copies; null: they are in memory alone. */
  readonly copiesPath: string | null
  readonly search: SearchSettings
  /** Folded: the domains that main.cf lists by name. */
  readonly staticDomains: ReadonlySet<string>
  /** The maps that `recipient_guard` asks; none: there is no guard. */
  readonly recipientGuard: readonly string[]
  readonly maps: readonly MapConfig[]
  /** What is wrong with maps that are not among these, by their names. */
  readonly faults: Faults
}
