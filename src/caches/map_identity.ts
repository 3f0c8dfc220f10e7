/** What identifies a map, and which map of another time each map goes on with. */
import { isDerived } from './memory.js'

/** A map's name, and hashes of its definition, which every record carries. */
export type MapIdentity = {
  readonly name: string
  /** Of all that decides a row: the tables. */
  readonly definition: string
  /** Of all that decides a whole answer: the tables, and how the map is searched. */
  readonly wholeDefinition?: string
  /** Of the servers that its tables are on. They may be exchanged, and rows are rows: no record carries it. */
  readonly hosts?: string
  /** What it is called in Redis, where its name does not do: there is another map on the same tables elsewhere. */
  readonly redisName?: string
}

/** The definition that a record of this cache key carries. */
export const definitionFor = ({ definition, wholeDefinition }: MapIdentity, key: string): string =>
  isDerived(key) ? wholeDefinition ?? definition : definition

/** Of an identity, what tells maps apart whose rows are the same. */
export type NamedTables = Pick<MapIdentity, 'name' | 'definition' | 'hosts' | 'redisName'>

/**
 * By the name of each of the maps `now` the one of those `before`, if any, that it goes on with: that on the same
 * tables, on the same servers if possible, whatever its name; else that of its name, whose rows are evidence then
 * (lookup/known_evidence.ts).
 */
export const formersOf = <Former extends NamedTables>(
  now: readonly NamedTables[], before: Iterable<Former>,
): ReadonlyMap<string, Former> => {
  const left = new Set(before)
  const formers = new Map<string, Former>()
  const take = (isFormer: (map: NamedTables, former: Former) => boolean): void => {
    for (const map of now) {
      const former = formers.has(map.name) ? undefined : [...left].find(each => isFormer(map, each))
      if (former === undefined) continue
      formers.set(map.name, former)
      left.delete(former)
    }
  }
  const hasName = (map: NamedTables, former: NamedTables): boolean => map.name === former.name
  const hasTables = (map: NamedTables, former: NamedTables): boolean => map.definition === former.definition
  const hasServers = (map: NamedTables, former: NamedTables): boolean =>
    hasTables(map, former) && map.hosts === former.hosts
  take((map, former) => hasName(map, former) && hasServers(map, former))
  take(hasServers)
  take((map, former) => hasName(map, former) && hasTables(map, former))
  take(hasTables)
  take(hasName)
  return formers
}
