/** What this node announces to the others, and how it compares their announcements with what it knows. */
import { createHash } from 'node:crypto'
import type { Status } from '../admin/status.js'
import { summarize } from '../admin/summary.js'
import { roleInFile } from '../config/role_section.js'
import type { OwnAnnouncement } from '../fleet/announcer.js'
import type { OwnKnowledge } from '../fleet/fleet_status.js'
import type { ServedMap } from '../lookup/maps.js'
import { textMark } from '../fleet/announcement.js'
import type { OpenMaps } from './open_maps.js'

/** So many keys of so many maps are announced, and none that is longer (bytes). */
const sampledKeys = 8
const sampledMaps = 30
const maxKeyLength = 200
const maxListed = 50

/**
 * What another node must have, too: the query or the text table, and how the map is searched. `local_domains` has the
 * names of this host, the roles have settings of their own, and the servers may be nearer to one node than to another.
 */
const definitionOf = (map: ServedMap, { search }: OpenMaps['config']): string => {
  const { kind, config } = map
  // A hash of passwords would be as good as these to somebody who can read Redis.
  const source = kind === 'mysql' ? map.identity.definition : config.sensitive ? '' : map.content
  const hash = createHash('sha256').update(JSON.stringify([
    kind, source, config.smtputf8, config.search, config.absence.does, config.absence.inOutage, config.sensitive,
    search.recipientDelimiter, [...search.parentDomainMatchesSubdomains].sort(),
    [...search.propagateUnmatchedExtensions].sort(),
  ])).digest('hex').slice(0, 16)
  return kind === 'text' ? `${textMark}${hash}` : hash
}

export const ownAnnouncement = (status: Status, open: Pick<OpenMaps, 'config' | 'maps'>): OwnAnnouncement => {
  const { state, since } = summarize(status)
  const maps = [...open.maps.values()]
  const tables = maps.filter(map => map.kind === 'mysql')
  const samples = tables.filter(({ config }) => !config.sensitive).slice(0, sampledMaps).map(map => [
    map.name, (map.copies.of(0)?.sampleKeys(sampledKeys) ?? []).filter(({ length }) => length <= maxKeyLength),
  ] as const)
  return {
    name: status.node, role: status.role, version: status.version, state,
    inStateMs: Math.max(0, status.now - since),
    doubts: status.maps.filter(({ cached }) => cached !== null && cached.doubts.length > 0).map(({ name }) => name)
      .slice(0, maxListed),
    servers: status.servers.map(server => ({ server: server.server, state: server.state })).slice(0, maxListed),
    redis: status.redis?.state ?? 'none',
    definitions: Object.fromEntries(maps.map(map => [map.name, definitionOf(map, open.config)])),
    samples: Object.fromEntries(samples),
  }
}

export const ownKnowledge = (open: () => Pick<OpenMaps, 'config' | 'maps'>): Omit<OwnKnowledge, 'name'> => ({
  lacks: (name, definition, keys) => {
    const { config, maps } = open()
    const map = maps.get(name)
    if (map?.kind !== 'mysql' || definitionOf(map, config) !== definition) return null
    return keys.filter(key => map.lookup.known.copied(key)?.outcome.kind === 'absent').length
  },
  named: () => open().config.node.roles,
  roleOf: name => roleInFile(open().config.node, name),
})
