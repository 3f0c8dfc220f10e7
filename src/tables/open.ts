/** Opens what stands behind each map; every problem of every map at once. */
import { readFileSync } from 'node:fs'
import type { SourceConfig } from '../config/config.js'
import type { Outcome } from '../outcome.js'
import { openServers } from '../mysql/database.js'
import type { Database } from '../mysql/database.js'
import { defineFromCf, defineTable } from './definition.js'
import type { Defined, TableDefinition } from './definition.js'
import type { Host } from '../mysql/hosts.js'
import type { ServerSettings, ServerStatus } from '../mysql/server.js'
import { mysqlSource } from './mysql_source.js'
import type { Problem } from '../log.js'
import type { Source } from './source.js'
import { parseTextTable, textSource } from '../postfix/text_table.js'
import { messageOf } from '../log.js'

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
  | { readonly kind: 'text', readonly lookup: (key: string) => Outcome }
  | { readonly kind: 'mysql', readonly tables: readonly Table[] }

export type Sources = {
  of(map: string): Opened
  /** Each MySQL server with its breaker's state and its last error. */
  status(): readonly ServerStatus[]
  /** Logs in to every server and runs every query with a key that is in no table; what can't be used now, with the file that says so. */
  check(): Promise<readonly Problem[]>
  close(): void
}

export type OpenedSources =
  | { readonly ok: true, readonly sources: Sources, readonly warnings: readonly Problem[] }
  | { readonly ok: false, readonly problems: readonly Problem[], readonly warnings: readonly Problem[] }

/** A key that no table has, for trying a query out (RFC 2606). */
const probe = 'holdfast-check@holdfast.invalid'
const checkBudgetMs = 5_000

/** Reads the files that `configs` (by map) name, and makes a source of each. Connects nowhere yet. `onEmpty` hears of rows with an empty value. */
export const openSources = (
  configs: ReadonlyMap<string, SourceConfig>, settings: ServerSettings, onEmpty: (map: string) => void,
): OpenedSources => {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const opened = new Map<string, Opened>()
  const definitions: Placed[] = []
  const servers = openServers(settings)
  const databaseOf = ({ login, idleIntervalMs }: TableDefinition, hosts: readonly Host[]): Database =>
    servers.database(hosts, { ...login, idleMs: idleIntervalMs })

  const openText = (map: string, path: string): void => {
    try {
      const bytes = readFileSync(path)
      const table = parseTextTable(bytes, path)
      const source = textSource(table, bytes)
      warnings.push(...table.warnings)
      opened.set(map, { kind: 'text', lookup: key => source.lookup(key) })
    } catch (error) {
      problems.push({ place: path, text: `can't be read: ${messageOf(error)}` })
    }
  }
  const openMysql = (map: string, tables: readonly { readonly place: string, readonly defined: Defined }[]): void => {
    const read: Table[] = []
    for (const { place, defined } of tables) {
      warnings.push(...defined.warnings)
      if (!defined.ok) {
        problems.push(...defined.problems)
        continue
      }
      const { definition } = defined
      const { hosts, login } = definition
      try {
        const database = databaseOf(definition, hosts)
        definitions.push({ map, place, definition })
        read.push({
          definition, database,
          source: mysqlSource(definition, database, () => onEmpty(map)),
          authority: JSON.stringify([hosts, login.user, login.dbname]),
        })
      } catch (error) {
        problems.push({ place: map, text: messageOf(error) })
      }
    }
    opened.set(map, { kind: 'mysql', tables: read })
  }

  for (const [map, config] of configs) {
    switch (config.kind) {
      case 'text':
        openText(map, config.path)
        break
      case 'cf':
        openMysql(map, config.paths.map(path => ({ place: path, defined: defineFromCf(path) })))
        break
      case 'inline':
        openMysql(map, [{ place: config.placeOf('query'), defined: defineTable(config.parameters, config.placeOf) }])
        break
      default: config satisfies never
    }
  }
  if (problems.length > 0) return { ok: false, problems, warnings }
  return {
    ok: true,
    warnings,
    sources: {
      of: map => {
        const source = opened.get(map)
        if (source === undefined) throw new Error(`no source was opened for map ${map}`)
        return source
      },
      status: () => servers.status(),
      check: () => checkAll(definitions, databaseOf),
      close: () => servers.close(),
    },
  }
}

/** Each query on each of its hosts: that one of them answers doesn't say that the others would. */
const checkAll = async (
  definitions: readonly Placed[], databaseOf: (definition: TableDefinition, hosts: readonly Host[]) => Database,
): Promise<readonly Problem[]> => {
  const problems: Problem[] = []
  for (const { map, place, definition } of definitions) {
    const values = definition.texts.slice(1).map(() => probe)
    for (const host of definition.hosts) {
      const answer = await databaseOf(definition, [host]).ask(definition, values, checkBudgetMs)
      if (answer.kind === 'unavailable') problems.push({ place, text: `map ${map}: ${answer.reason}: ${answer.detail}` })
    }
  }
  return problems
}
