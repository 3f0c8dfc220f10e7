/** What a process that keeps a map warm and the loader that it starts (loader.ts) say to each other, by the channel of node:child_process. */
import type { RedisSettings } from '../config/config.js'
import type { MapIdentity } from '../caches/redis.js'
import type { Access } from '../mysql/database.js'
import type { Host } from '../mysql/hosts.js'
import type { OrderedListing } from '../tables/ordered_listing.js'
import type { DefinedBy } from '../tables/open.js'

/** One load, as plain data. */
export type Job = {
  /** A definition has functions, which can't be sent: it is read anew, and must be the same. */
  readonly definedBy: DefinedBy
  readonly fingerprint: string
  readonly hosts: readonly Host[]
  readonly login: Access
  readonly listing: OrderedListing
  /** Keys up to this one have been loaded before. */
  readonly after: string | null
  readonly redis: RedisSettings
  readonly identity: MapIdentity
  /** What the table says counts from then (epoch ms), and is kept for `keepMs`. */
  readonly verifiedAt: number
  readonly keepMs: number
}

/** How far it is: of the rows read, the entries written, and the key up to which all are. */
export type Told = { readonly rows: number, readonly keys: number, readonly last: string | null }

/** `problem`: null if all of the table is loaded, else why not. */
export type Ended = { readonly problem: string | null }

export type FromLoader =
  /** Comes several times a second, whether there is something new or not. */
  | { readonly kind: 'progress' } & Told
  | { readonly kind: 'end' } & Ended & Told
