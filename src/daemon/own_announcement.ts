/** What this node tells the others of itself, and how it compares what they tell with what it knows. */
import type { Status } from '../admin/status.js'
import { summarize } from '../admin/summary.js'
import type { OwnAnnouncement } from '../fleet/announcer.js'
import type { Lacks } from '../fleet/fleet_status.js'
import type { MysqlMap } from '../lookup/maps.js'
import type { OpenMaps } from './open_maps.js'

/** So many keys of so many maps are told, and none that is longer (bytes). */
const sampledKeys = 8
const sampledMaps = 30
const maxKeyLength = 200
const maxListed = 50

const definitionOf = ({ identity }: MysqlMap): string => identity.wholeDefinition ?? identity.definition

const mysqlMaps = ({ maps }: Pick<OpenMaps, 'maps'>): readonly MysqlMap[] =>
  [...maps.values()].filter(map => map.kind === 'mysql')

export const ownAnnouncement = (status: Status, open: Pick<OpenMaps, 'maps'>): OwnAnnouncement => {
  const { state, since } = summarize(status)
  const tables = mysqlMaps(open)
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
    definitions: Object.fromEntries(tables.map(map => [map.name, definitionOf(map)])),
    samples: Object.fromEntries(samples),
  }
}

/** How many of the keys the copy of a map of the same definition lacks. */
export const lackedIn = ({ maps }: Pick<OpenMaps, 'maps'>): Lacks => (name, definition, keys) => {
  const map = maps.get(name)
  if (map?.kind !== 'mysql' || definitionOf(map) !== definition) return null
  return keys.filter(key => map.lookup.known.copied(key)?.outcome.kind === 'absent').length
}
