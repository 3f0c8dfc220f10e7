/** What identifies a map: hashes of all that decides its answers. */
import { createHash } from 'node:crypto'
import type { MapIdentity } from '../caches/map_identity.js'
import type { Config, MapConfig } from '../config/config.js'
import { nameOf } from '../mysql/hosts.js'
import type { Sources, Table } from '../tables/open.js'

const hashOf = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)

/** What identifies each table, with all that decides its rows. */
export const idsOf = (tables: readonly Table[]): readonly string[] =>
  tables.map(({ definition: { login, fingerprint } }) => hashOf([login.user, fingerprint]))

/** 16 hexadecimal digits each, that change whenever a row, or a whole answer, of this map could; or its servers. */
const identityOf = (tables: readonly Table[], { search }: Config, map: MapConfig): MapIdentity & { hosts: string } => {
  const definition = hashOf([idsOf(tables), map.smtputf8])
  return {
    name: map.name, definition,
    // Each node may name its own server first.
    hosts: hashOf(tables.map(({ definition: { hosts } }) => hosts.map(nameOf).sort())),
    wholeDefinition: hashOf([
      definition, map.search, search.recipientDelimiter, [...search.parentDomainMatchesSubdomains],
      [...search.propagateUnmatchedExtensions],
      [...new Set([...search.localDomains, ...search.localDomainBytes ?? []])],
    ]),
  }
}

/** What identifies each map on MySQL, by its name. */
export const identitiesOf = (config: Config, sources: Pick<Sources, 'of'>): ReadonlyMap<string, MapIdentity> => {
  const identities = config.maps.flatMap(map => {
    const opened = sources.of(map.name)
    return opened.kind === 'text' ? [] : identityOf(opened.tables, config, map)
  })
  return new Map(identities.map(map => {
    // In Redis one would be taken for the other when their names change.
    const hasTwin = identities.some(({ definition, hosts }) => definition === map.definition && hosts !== map.hosts)
    return [map.name, hasTwin ? { ...map, redisName: `${map.name}@${map.hosts}` } : map]
  }))
}
