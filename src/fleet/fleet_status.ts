/** The nodes that share a Redis, from what they announced, and what doesn't fit together among them. Pure. */
import type { Role } from '../config/config.js'
import { nodeStates, textMark } from './announcement.js'
import type { Announcement } from './announcement.js'

/** An announcement, and how long ago it was made (ms), by Redis' own clock. */
export type SeenNode = { readonly announced: Announcement, readonly ageMs: number }

/** A node that has announced nothing for this time (ms) is gone. */
export const goneMs = 60_000

/** unseen: the configuration names it, and it has announced nothing for a week, or never. */
export const fleetStates = [...nodeStates, 'gone', 'unseen'] as const

export type FleetNode =
  Pick<Announcement, 'name' | 'role' | 'version' | 'doubts' | 'servers' | 'redis'> & {
    readonly state: typeof fleetStates[number]
    /** Epoch ms; of a node that is gone: when it was last there. Null of one that is unseen. */
    readonly since: number | null
  }

export const findingKinds = ['role', 'definitions', 'same-name', 'other-data'] as const

export type FleetFinding = {
  readonly kind: typeof findingKinds[number]
  readonly text: string
}

/** What this node itself knows, to compare it with. */
export type OwnKnowledge = {
  readonly name: string
  /** How many of these keys this node's own copy of a map lacks; null if that is not known. */
  readonly lacks: (map: string, definition: string, keys: readonly string[]) => number | null
  /** The nodes that its configuration names, and their roles. */
  readonly named: () => ReadonlyMap<string, Role>
  /** The role that this node's configuration gives a node; null if it says nothing of it. */
  readonly roleOf: (name: string) => Role | null
}

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

/** The definition of a node that does not have the map. */
const none = 'none'

/** So many text tables, no two of them alike, are lists that each node has of its own. */
const minOwnLists = 3

/** Whether the map is a list that each node has of its own; a node that is gone for a while had one, too. */
const isOwnList = (map: string, seen: readonly SeenNode[]): boolean => {
  const tables = seen.map(({ announced }) => announced.definitions[map] ?? none)
  return tables.length >= minOwnLists && new Set(tables).size === tables.length
    && tables.every(each => each.startsWith(textMark))
}

const unseenNode = ([name, role]: readonly [string, Role]): FleetNode =>
  ({ name, role, version: '', doubts: [], servers: [], redis: '', state: 'unseen', since: null })

/** The maps whose definitions differ, with the nodes that have each of them. */
const differing = (
  seen: readonly SeenNode[], present: readonly Announcement[],
): ReadonlyMap<string, ReadonlyMap<string, readonly string[]>> => {
  const maps = [...new Set(present.flatMap(({ definitions }) => Object.keys(definitions)))].sort()
  return new Map(maps.flatMap(map => {
    const byDefinition = new Map<string, string[]>()
    for (const { name, definitions } of present) {
      const definition = definitions[map] ?? none
      byDefinition.set(definition, [...byDefinition.get(definition) ?? [], name])
    }
    return byDefinition.size < 2 || isOwnList(map, seen) ? [] : [[map, byDefinition] as const]
  }))
}

const differingText = (map: string, byDefinition: ReadonlyMap<string, readonly string[]>): string => {
  const isText = [...byDefinition.keys()].some(definition => definition.startsWith(textMark))
  const groups = [...byDefinition].map(([definition, names]) =>
    `${names.join(', ')} ${definition !== none ? '' : names.length === 1 ? 'has none' : 'have none'}`.trim())
  return `map ${map}: nodes have different ${isText ? 'definitions or text tables' : 'definitions'}: `
    + groups.join(' / ')
}

/** At least so many keys tell whether the data is the same. */
const minSamples = 5

/** The nodes that have the same maps as this one by the same definitions, but other rows. */
const strangersTo = (
  present: readonly Announcement[], { name: self, lacks }: OwnKnowledge,
): readonly FleetFinding[] =>
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

/** The nodes that have another role than this node's configuration gives them. */
const misplaced = (
  present: readonly Announcement[], { name: self, roleOf }: OwnKnowledge,
): readonly FleetFinding[] => present.flatMap(({ name, role }) => {
  const wanted = roleOf(name)
  return name === self || wanted === null || wanted === role ? [] : [{
    kind: 'role' as const,
    text: `${name} runs as ${role}, but the \`role:\` of ${self} makes it the ${wanted}: `
      + 'bring all nodes to the same file and reload',
  }]
})

/** `now`: epoch ms. */
export const fleetOf = (given: readonly SeenNode[], own: OwnKnowledge, now: number): Fleet => {
  const seen = given.toSorted((a, b) => a.announced.name < b.announced.name ? -1 : 1)
  const names = new Set(seen.map(({ announced }) => announced.name))
  const nodes = [
    ...seen.map(each => nodeOf(each, now)), ...[...own.named()].filter(([name]) => !names.has(name)).map(unseenNode),
  ]
  const present = seen.filter(({ ageMs }) => ageMs <= goneMs).map(({ announced }) => announced)
  const different = differing(seen, present)
  const digest = ({ definitions }: Announcement): string =>
    JSON.stringify([...different.keys()].map(map => definitions[map] ?? none))
  const shared = present.filter(({ isNameShared }) => isNameShared)
  return {
    nodes: nodes.toSorted((a, b) => a.name < b.name ? -1 : 1),
    definitions: new Set(present.map(digest)).size,
    findings: [
      ...shared.map(({ name }) => ({
        kind: 'same-name' as const,
        text: `two nodes have the name ${name}, so each hides the other here: give each its own \`node:\``,
      })),
      ...misplaced(present, own), ...strangersTo(present, own),
      ...[...different].map(([map, byDefinition]) =>
        ({ kind: 'definitions' as const, text: differingText(map, byDefinition) })),
    ],
  }
}
