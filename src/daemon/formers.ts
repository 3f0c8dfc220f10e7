/**
 * Which map of the configuration before, if any, each map of this one goes on with (caches/map_identity.ts). What is on
 * no table of this configuration is kept for an hour: what was removed, or edited, by mistake is soon put back.
 */
import { formersOf } from '../caches/map_identity.js'
import type { MapIdentity } from '../caches/map_identity.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import { systemClock } from '../runtime/clock.js'

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

/** `identities`: of the maps of this configuration. */
export const formersIn = (identities: readonly MapIdentity[], previous: Before | null): Formers => {
  const current = [...previous?.maps.values() ?? []].filter(map => map.kind === 'mysql')
  const retired = previous?.retired ?? new Set<MysqlMap>()
  const returning = new Set(retired)
  const before = new Set([...current, ...returning])
  const formers = formersOf(identities, [...before].map(map => ({ ...map.identity, map })))
  const standing = new Set(identities.flatMap(({ name, definition }) => {
    const former = formers.get(name)
    return former?.definition === definition ? former.map : []
  }))
  for (const map of standing) retired.delete(map)
  for (const map of before) {
    // Of each name the one that has been gone for longest: before several edits all was well.
    if (standing.has(map) || [...retired].some(({ name }) => name === map.name)) continue
    retired.add(map)
    systemClock.after(keepMs, () => retired.delete(map))
  }
  const of = new Map([...formers].map(([name, { map }]) => [name, map]))
  return { of, named: new Map(current.map(map => [map.name, map])), returning, retired }
}
