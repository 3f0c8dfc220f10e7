/**
 * Which map of the configuration before, if any, each map of this one goes on with: that on the same tables, whatever
 * its name; else that of its name, whose rows are evidence then (lookup/known_evidence.ts). What is on no table of this
 * configuration is kept for an hour: what was removed, or edited, by mistake is soon put back.
 */
import type { Config } from '../config/config.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import { systemClock } from '../runtime/clock.js'
import type { Sources } from '../tables/open.js'
import { idsOf, identityOf } from './identity.js'

export type Formers = {
  /** By the name of the map that goes on with it. */
  readonly of: ReadonlyMap<string, MysqlMap>
  /** Those of the last configuration, by their own names. */
  readonly named: ReadonlyMap<string, MysqlMap>
  /** Those that were gone before this reload. */
  readonly returning: ReadonlySet<MysqlMap>
  /** Those that are gone now; the same set for all configurations. */
  readonly retired: Set<MysqlMap>
}

/** How long a map is kept that is gone (ms). */
const keepMs = 3_600_000

type Before = { readonly maps: Maps, readonly retired: Set<MysqlMap> }

export const formersOf = (config: Config, sources: Pick<Sources, 'of'>, previous: Before | null): Formers => {
  const current = [...previous?.maps.values() ?? []].filter(map => map.kind === 'mysql')
  const retired = previous?.retired ?? new Set<MysqlMap>()
  const returning = new Set(retired)
  const left = new Set([...current, ...returning])
  const of = new Map<string, MysqlMap>()
  const take = (isFormer: (map: MysqlMap, name: string, definition: string) => boolean): void => {
    for (const map of config.maps) {
      const opened = sources.of(map.name)
      if (opened.kind === 'text' || of.has(map.name)) continue
      const { definition } = identityOf(idsOf(opened.tables), config, map)
      const former = [...left].find(each => isFormer(each, map.name, definition))
      if (former === undefined) continue
      of.set(map.name, former)
      left.delete(former)
    }
  }
  take((map, name, definition) => map.name === name && map.identity.definition === definition)
  take((map, _, definition) => map.identity.definition === definition)
  for (const map of of.values()) retired.delete(map)
  for (const map of left) {
    // Of each name the one that has been gone for longest: before several edits all was well.
    if ([...retired].some(({ name }) => name === map.name)) continue
    retired.add(map)
    systemClock.after(keepMs, () => retired.delete(map))
  }
  take((map, name) => map.name === name)
  return { of, named: new Map(current.map(map => [map.name, map])), returning, retired }
}
