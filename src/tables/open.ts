/** Opens what stands behind each map; every problem of every map at once. */
import { readFileSync } from 'node:fs'
import type { Faults, MapConfig } from '../config/config.js'
import { byteString, readable } from '../outcome.js'
import type { Outcome, Reason, Unavailable } from '../outcome.js'
import { openServers } from '../mysql/database.js'
import type { Database } from '../mysql/database.js'
import { diskFiles } from './cf.js'
import { parseChanges } from './changes_query.js'
import type { ChangesQuery } from './changes_query.js'
import { defineFromCf, defineTable } from './definition.js'
import type { Defined, TableDefinition } from './definition.js'
import { serverName } from '../mysql/hosts.js'
import type { Host } from '../mysql/hosts.js'
import type { ServerSettings, ServerStatus } from '../mysql/server.js'
import { mysqlSource } from './source.js'
import type { Problem } from '../log.js'
import type { Source } from './source.js'
import { fold, hasStrayBytes } from '../postfix/fold.js'
import { parseTextTable, textSource } from '../postfix/text_table.js'
import { cantRead, hiddenFromService } from '../runtime/hidden.js'
import { readChannels } from '../mysql/replica.js'
import type { HeldConnection } from '../mysql/server.js'

/** One table of a map. */
export type Table = {
  readonly source: Source
  /** Names the servers and the database that answer; tables that share one stand or fall together. */
  readonly authority: string
  readonly definition: TableDefinition
  readonly database: Database
}

/** A table of a map, and where it is defined. */
type Placed = { readonly map: string, readonly place: string, readonly definition: TableDefinition }

/** A map's source: a table whole in memory, or a server that is asked. */
export type Opened =
  | {
    readonly kind: 'text'
    readonly lookup: (key: string) => Outcome
    readonly keys: Iterable<string>
    /** Another text whenever an answer could be another. */
    readonly content: string
  }
  | { readonly kind: 'mysql', readonly tables: readonly Table[], readonly changes: ChangesQuery | null }

export type Sources = {
  /** Whether the map could be opened. */
  has(map: string): boolean
  of(map: string): Opened
  /** Each MySQL server with its breaker's state and its last error. */
  status(): readonly ServerStatus[]
  /**
   * Logs in to every server and runs every query with a key that is in no table; gives what can't be used now, with the
   * file that says so, and warnings.
   */
  check(): Promise<Checked>
  /** Other maps are in force: no connection is kept that is unused. */
  retire(): void
  close(): void
}

export type Checked = { readonly problems: readonly Problem[], readonly warnings: readonly Problem[] }

/** `faults`: the maps that can't be opened as they are defined, and why. */
export type OpenedSources = {
  readonly sources: Sources
  readonly faults: Faults
  readonly warnings: readonly Problem[]
}

/** The part of a map that is opened here. */
type OpenedMap = Pick<MapConfig, 'name' | 'source' | 'changes' | 'smtputf8'>

/** A key that no table has, for trying a query out (RFC 2606). */
const probe = 'holdfast-check@holdfast.invalid'

/**
 * Reads the files that `maps` name, and makes a source of each. Connects nowhere yet. `onEmpty` is called for each row
 * with an empty value. A map with faults is opened by its last good definition, if `lastGood` has one.
 */
export const openSources = (
  maps: readonly OpenedMap[], settings: ServerSettings, onEmpty: (map: string) => void,
  lastGood: (map: string) => Opened | null = () => null,
): OpenedSources => {
  const opener = new Opener(settings, onEmpty)
  const opened = new Map<string, Opened>()
  const faults = new Map<string, readonly Problem[]>()
  for (const map of maps) {
    const source = opener.open(map)
    const problems = opener.problems.splice(0)
    if (problems.length === 0) opened.set(map.name, source)
    else faults.set(map.name, problems)
    const last = problems.length === 0 ? null : lastGood(map.name)
    if (last !== null) opened.set(map.name, opener.openAgain(map.name, last))
  }
  const { warnings, servers } = opener
  return {
    warnings, faults,
    sources: {
      has: map => opened.has(map),
      of: map => {
        const source = opened.get(map)
        if (source === undefined) throw new Error(`no source was opened for map ${map}`)
        return source
      },
      status: () => servers.status(),
      check: () => opener.check(),
      retire: () => servers.retire(),
      close: () => servers.close(),
    },
  }
}

/** The files that a table needs besides its own definition. */
const filesOf = ({ hosts, login: { tls } }: TableDefinition): readonly string[] => [
  ...hosts.flatMap(host => host.kind === 'unix' ? [host.path] : []),
  ...[tls?.caFile, tls?.caPath, tls?.certFile, tls?.keyFile].flatMap(path => path ?? []),
]

/** What to do about a server or a query that can't be used now. */
const remedies: Readonly<Partial<Record<Reason, string>>> = {
  'source-down': 'start that server, or name another one under `hosts`',
  'source-refused': 'mend what the server, or the way to it, refuses',
  'query-error': 'mend the query, or let the account read the table',
}

/** The same after what was found, unless that says it already. */
const remedyOf = ({ reason, detail }: Unavailable): string =>
  detail.includes('; ') ? '' : `; ${remedies[reason] ?? 'look at that server: it is slow, hung or cut off'}`

/** The parameters that name the files of TLS. */
const tlsNames = ({ tls }: TableDefinition['login']): string => [
  ['tls_CAfile', tls?.caFile], ['tls_CApath', tls?.caPath], ['tls_cert_file', tls?.certFile],
  ['tls_key_file', tls?.keyFile], ['tls_ciphers', tls?.ciphers],
].flatMap(([name, value]) => value == null ? [] : name ?? []).join(', ')

class Opener {
  readonly problems: Problem[] = []
  readonly warnings: Problem[] = []
  readonly servers: ReturnType<typeof openServers>
  readonly #placed: Placed[] = []
  readonly #maxLagMs: number | null
  /** As long as the daemon waits for a connection, and then for an answer (ms). */
  readonly #checkBudgetMs: number
  readonly #onEmpty: (map: string) => void

  constructor(settings: ServerSettings, onEmpty: (map: string) => void) {
    this.servers = openServers(settings)
    this.#maxLagMs = settings.maxLagMs
    this.#checkBudgetMs = settings.connectTimeoutMs + settings.statementMs
    this.#onEmpty = onEmpty
  }

  open({ name, source, changes, smtputf8 }: OpenedMap): Opened {
    switch (source.kind) {
      case 'text': return this.#openText(source.path)
      case 'cf': {
        const define = (path: string): Defined => defineFromCf(path, diskFiles, smtputf8)
        return this.#openTables(name, changes, source.paths.map(path => ({ place: path, defined: define(path) })))
      }
      case 'inline': {
        const defined = defineTable(source.parameters, source.placeOf, diskFiles, smtputf8)
        return this.#openTables(name, changes, [{ place: source.placeOf('query'), defined }])
      }
      default: return source satisfies never
    }
  }

  /** Opens a map by what it was opened by before, for another set of servers. */
  openAgain(map: string, last: Opened): Opened {
    if (last.kind === 'text') return last
    return { ...last, tables: last.tables.flatMap(({ definition }) => this.#openTable(map, map, definition)) }
  }

  /** Each query on each of its hosts: that one of them answers doesn't say that the others would. */
  async check(): Promise<Checked> {
    const problems: Problem[] = []
    const warnings: Problem[] = []
    for (const { map, place, definition } of this.#placed) {
      const values = definition.texts.slice(1).map(() => probe)
      for (const path of filesOf(definition)) {
        const why = hiddenFromService(path)
        if (why !== null) warnings.push({ place, text: `map ${map}: ${path}: ${why}` })
      }
      for (const host of definition.hosts) {
        const answer = await this.#databaseOf(definition, [host]).ask(definition, values, this.#checkBudgetMs, {
          onReply: async (_reply, held) => {
            const text = await this.#rareHeartbeat(held)
            if (text === null) return
            warnings.push({ place, text: `map ${map}: ${serverName(host, definition.login)}: ${text}` })
          },
        })
        if (answer.kind !== 'unavailable') continue
        problems.push({ place, text: `map ${map}: ${answer.reason}: ${answer.detail}${remedyOf(answer)}` })
      }
    }
    return { problems, warnings }
  }

  /** A replica whose source is silent for longer than max_lag, though all is well; null if it is none. */
  async #rareHeartbeat(held: HeldConnection): Promise<string | null> {
    const maxLagMs = this.#maxLagMs
    const channels = maxLagMs === null ? [] : await readChannels((query, values) => held.again(query, values))
    if (maxLagMs === null || typeof channels === 'string') return null
    const rare = channels.find(({ heartbeatSeconds }) => (heartbeatSeconds ?? 0) * 1_000 >= maxLagMs)
    if (rare === undefined) return null
    return `the replica hears of its source only every ${rare.heartbeatSeconds ?? 0} s while nothing changes there, `
      + `which is longer than max_lag (${maxLagMs / 1_000} s): its absences are not believed in between. Set `
      + 'MASTER_HEARTBEAT_PERIOD on the replica to a third of max_lag or less'
  }

  #databaseOf({ login, idleIntervalMs }: TableDefinition, hosts: readonly Host[]): Database {
    return this.servers.database(hosts, { ...login, idleMs: idleIntervalMs })
  }

  #openText(path: string): Opened {
    try {
      const table = parseTextTable(readFileSync(path), path)
      const source = textSource(table)
      this.warnings.push(...table.warnings)
      // A text table folds every letter, whatever smtputf8_enable says.
      const textOf = (key: string): string => hasStrayBytes(key) ? fold(readable(byteString(key))) : key
      return {
        kind: 'text', lookup: key => source.lookup(textOf(key)), keys: [...table.entries.keys()],
        content: source.content,
      }
    } catch (error) {
      this.problems.push({ place: path, text: cantRead(error, path, 'a text table') })
      return { kind: 'mysql', tables: [], changes: null }
    }
  }

  #openTables(
    map: string, changes: MapConfig['changes'],
    defined: readonly { readonly place: string, readonly defined: Defined }[],
  ): Opened {
    const tables: Table[] = []
    for (const { place, defined: table } of defined) {
      this.warnings.push(...table.warnings)
      if (table.ok) tables.push(...this.#openTable(map, place, table.definition))
      else this.problems.push(...table.problems)
    }
    return { kind: 'mysql', tables, changes: this.#openChanges(changes) }
  }

  #openChanges(changes: MapConfig['changes']): ChangesQuery | null {
    const parsed = changes === null ? null : parseChanges(changes.query)
    if (typeof parsed !== 'string') return parsed
    this.problems.push({ place: changes?.place ?? '', text: `changes: ${parsed}` })
    return null
  }

  #openTable(map: string, place: string, definition: TableDefinition): readonly Table[] {
    const { hosts, login } = definition
    try {
      const database = this.#databaseOf(definition, hosts)
      this.#placed.push({ map, place, definition })
      return [{
        definition, database,
        source: mysqlSource(definition, database, () => this.#onEmpty(map)),
        authority: JSON.stringify([hosts, login.user, login.dbname]),
      }]
    } catch (error) {
      this.problems.push({ place, text: `${tlsNames(login)}: ${cantRead(error, '', 'PEM files')}` })
      return []
    }
  }
}
