/** Opens what stands behind each map; every problem of every map at once. */
import { readFileSync } from 'node:fs'
import type { Outcome } from '../outcome.js'
import type { Problem } from './problem.js'
import type { Source } from './source.js'
import { parseTextTable, textSource } from './text.js'

/** What a map's definition says stands behind it. */
export type SourceConfig =
  | { readonly kind: 'text', readonly path: string }
  | { readonly kind: 'cf', readonly path: string }
  | { readonly kind: 'inline', readonly parameters: Readonly<Record<string, string>>, readonly placeOf: (parameter: string) => string }

/** A map's source: a table whole in memory, or a server that is asked. */
export type Opened =
  | { readonly kind: 'text', readonly lookup: (key: string) => Outcome }
  /** `authority` names the servers and the database that answer; maps with the same one stand or fall together. */
  | { readonly kind: 'mysql', readonly source: Source, readonly authority: string }

export type Sources = {
  of(map: string): Opened
  /** Each server, its breaker's state and its last error, as plain data. */
  status(): Readonly<Record<string, unknown>>
  /** Connects to every server and prepares every query; what can't be used now, by map. */
  check(): Promise<readonly Problem[]>
  close(): Promise<void>
}

export type OpenedSources =
  | { readonly ok: true, readonly sources: Sources, readonly warnings: readonly Problem[] }
  | { readonly ok: false, readonly problems: readonly Problem[], readonly warnings: readonly Problem[] }

/** Reads the files that `configs` (by map) name, and makes a source of each. Connects nowhere yet. */
export const openSources = (configs: ReadonlyMap<string, SourceConfig>): OpenedSources => {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const opened = new Map<string, Opened>()
  for (const [map, config] of configs) {
    switch (config.kind) {
      case 'text': {
        try {
          const bytes = readFileSync(config.path)
          const table = parseTextTable(bytes, config.path)
          const source = textSource(table, bytes)
          warnings.push(...table.warnings)
          opened.set(map, { kind: 'text', lookup: key => source.lookup(key) })
        } catch (error) {
          problems.push({ place: config.path, text: `can't be read: ${error instanceof Error ? error.message : 'unknown error'}` })
        }
        break
      }
      case 'cf':
      case 'inline':
        problems.push({ place: map, text: 'mysql is not there yet' })
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
      status: () => ({}),
      check: () => Promise.resolve([]),
      close: () => Promise.resolve(),
    },
  }
}
