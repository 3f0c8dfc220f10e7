/**
 * What the daemon knows of itself, as plain data: the one source of /status,
 * /metrics, the page and `holdfast status`. Times are epoch ms. Names of maps,
 * servers and listeners, never a key or a value.
 */
export type Answers = {
  readonly map: string
  readonly protocol: string
  readonly fresh: number
  readonly stale: number
  readonly absent: number
  readonly unavailable: Readonly<Partial<Record<string, number>>>
  readonly waits: Waits
}

/** How long lookups took that memory could not answer at once: a count for each of `boundsMs` and one beyond, not cumulated. */
export type Waits = { readonly boundsMs: readonly number[], readonly counts: readonly number[], readonly sumMs: number }

export type MapStatus = {
  readonly name: string
  readonly search: string
  readonly source: 'text' | 'mysql'
  /** null for a text table: nothing is cached or doubted there. */
  readonly cached: {
    readonly origins: { readonly memory: number, readonly redis: number, readonly table: number, readonly queries: number }
    readonly memory: { readonly found: number, readonly foundBytes: number, readonly absent: number }
    readonly inFlight: number
    readonly guard: { readonly trusted: boolean, readonly since: number, readonly witnesses: number, readonly gone: number }
  } | null
  /** null: its table is not loaded ahead of demand. */
  readonly warm: WarmStatus | null
}

/** How warm a map is: see warm/warmer.ts. */
export type WarmStatus = {
  readonly state: 'idle' | 'waiting' | 'loading' | 'elsewhere'
  readonly rows: number
  readonly keys: number
  readonly startedAt: number | null
  readonly loadedAt: number | null
  readonly totalRows: number
  readonly failures: number
  readonly problem: string
}

export type ServerReport = {
  readonly server: string
  readonly state: 'closed' | 'open' | 'half-open'
  readonly since: number
  readonly lastError: string
  readonly connections: number
  readonly busy: number
  readonly limit: number
  readonly waiting: number
  /** How often the breaker opened since the start. */
  readonly opened: number
}

export type RedisStatus = {
  readonly state: string
  readonly since: number
  readonly hits: number
  readonly misses: number
  readonly faults: Readonly<Record<string, number>>
}

export type Status = {
  readonly version: string
  readonly role: 'primary' | 'fallback'
  /** False only when Postfix would be better off without this node: not listening yet, or stopping. */
  readonly ready: boolean
  readonly now: number
  readonly startedAt: number
  /** When the configuration in force was read. */
  readonly configuredAt: number
  readonly listeners: readonly { readonly address: string, readonly protocol: string, readonly connections: number, readonly refused: number }[]
  readonly redis: RedisStatus | null
  readonly servers: readonly ServerReport[]
  readonly canaries: readonly { readonly map: string, readonly missing: boolean, readonly since: number }[]
  readonly maps: readonly MapStatus[]
  readonly answers: readonly Answers[]
}
