/** The nodes that share a Redis, from what they announced, and what doesn't fit together among them. Pure. */
import type { Announcement, nodeStates } from './announcement.js'

/** An announcement, and how long ago it was made (ms), by Redis' own clock. */
export type SeenNode = { readonly announced: Announcement, readonly ageMs: number }

/** A node that has announced nothing for this time (ms) is gone. */
export const goneMs = 60_000

export const fleetStates = ['well', 'degraded', 'deferring', 'stopping', 'gone'] as const satisfies
  readonly (typeof nodeStates[number] | 'gone')[]

export type FleetNode =
  Pick<Announcement, 'name' | 'role' | 'version' | 'doubts' | 'servers' | 'redis'> & {
    readonly state: typeof fleetStates[number]
    /** Epoch ms; of a node that is gone: when it was last there. */
    readonly since: number
  }

export type FleetFinding = {
  readonly kind: 'definitions' | 'same-name' | 'other-data'
  readonly text: string
}

/** `lacks`: how many of these keys this node's own copy of a map lacks; null if that is not known. */
export type Lacks = (map: string, definition: string, keys: readonly string[]) => number | null

export type Fleet = {
  readonly nodes: readonly FleetNode[]
  /** How many different sets of definitions the nodes that are there have. */
  readonly definitions: number
  readonly findings: readonly FleetFinding[]
}

const nodeOf = ({ announced, ageMs }: SeenNode, now: number): FleetNode => {
  const { name, role, version, doubts, servers, redis, state, inStateMs } = announced
  const isGone = ageMs > goneMs
  return {
    name, role, version, doubts, servers, redis,
    state: isGone ? 'gone' : state, since: now - ageMs - (isGone ? 0 : inStateMs),
  }
}

/** The maps whose definitions differ, and who has which. */
const differing = (present: readonly Announcement[]): readonly FleetFinding[] => {
  const maps = [...new Set(present.flatMap(({ definitions }) => Object.keys(definitions)))].sort()
  return maps.flatMap(map => {
    const byDefinition = new Map<string, string[]>()
    for (const { name, definitions } of present) {
      const definition = definitions[map] ?? 'none'
      byDefinition.set(definition, [...byDefinition.get(definition) ?? [], name])
    }
    if (byDefinition.size < 2) return []
    const groups = [...byDefinition].map(([definition, names]) =>
      `${names.join(', ')} ${definition === 'none' ? names.length === 1 ? 'has none' : 'have none' : ''}`.trim())
    const text = `map ${map}: nodes have different definitions: ${groups.join(' / ')}`
    return [{ kind: 'definitions' as const, text }]
  })
}

/** At least so many keys tell whether the data is the same. */
const minSamples = 5

/** The nodes that have the same maps as this one by the same definitions, but other rows. */
const strangersTo = (self: string, present: readonly Announcement[], lacks: Lacks): readonly FleetFinding[] =>
  present.filter(({ name }) => name !== self).flatMap(({ name, definitions, samples }) => {
    const map = Object.keys(samples).find(each => {
      const keys = samples[each] ?? []
      return keys.length >= minSamples && (lacks(each, definitions[each] ?? '', keys) ?? 0) > keys.length / 2
    })
    return map === undefined ? [] : [{
      kind: 'other-data' as const,
      text: `${name} has the same key_prefix in Redis as ${self}, but other data: most of its keys of map ${map} are `
        + 'unknown here. Give each set of data its own key_prefix',
    }]
  })

/** `self`: the name of this node. `now`: epoch ms. */
export const fleetOf = (given: readonly SeenNode[], self: string, lacks: Lacks, now: number): Fleet => {
  const seen = given.toSorted((a, b) => a.announced.name < b.announced.name ? -1 : 1)
  const present = seen.filter(({ ageMs }) => ageMs <= goneMs).map(({ announced }) => announced)
  const digest = ({ definitions }: Announcement): string =>
    JSON.stringify(Object.entries(definitions).sort(([a], [b]) => a < b ? -1 : 1))
  const shared = present.filter(({ isNameShared }) => isNameShared)
  return {
    nodes: seen.map(each => nodeOf(each, now)),
    definitions: new Set(present.map(digest)).size,
    findings: [
      ...shared.map(({ name }) => ({
        kind: 'same-name' as const,
        text: `two nodes have the name ${name}, so each hides the other here: give each its own \`node:\``,
      })),
      ...strangersTo(self, present, lacks), ...differing(present),
    ],
  }
}
