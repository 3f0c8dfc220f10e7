/** What identifies a map: hashes of all that decides its answers. */
import { createHash } from 'node:crypto'
import type { MapIdentity } from '../caches/map_identity.js'
import type { Config, MapConfig } from '../config/config.js'
import { nameOf } from '../mysql/hosts.js'
import type { Table } from '../tables/open.js'

const hashOf = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)

/** What identifies each table, with all that decides its rows. */
export const idsOf = (tables: readonly Table[]): readonly string[] =>
  tables.map(({ definition: { login, fingerprint } }) => hashOf([login.user, fingerprint]))

/** 16 hexadecimal digits each, that change whenever a row, or a whole answer, of this map could; or its servers. */
export const identityOf = (tables: readonly Table[], { search }: Config, map: MapConfig): MapIdentity => {
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
