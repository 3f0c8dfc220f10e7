/**
 * `role:` as one word, or as a section of host names, so that all nodes can have the same file: each takes the role
 * that stands beside its own name (`node:`, or the host's name), else that of `default`.
 */
import { hostname } from 'node:os'
import type { NodeConfig, Role } from './config.js'
import type { Reading } from './reading.js'
import type { ConfigFile, WrittenFile } from './schema.js'

const plainName = (name: string): string => name.toLowerCase().replace(/\.$/, '')
const shortName = (name: string): string => name.split('.', 1)[0] ?? name

/** The entries for a node: those of its whole name, else, where the host's name has no domain, of its first label. */
const entriesOf = (roles: ReadonlyMap<string, Role>, name: string): readonly (readonly [string, Role])[] => {
  const role = roles.get(name)
  if (role !== undefined) return [[name, role]]
  return name.includes('.') ? [] : [...roles].filter(([each]) => shortName(each) === name)
}

/** Which node this is, and its role. */
export const nodeOf = ({ problem }: Reading, { role, node }: WrittenFile): NodeConfig => {
  const host = plainName(node ?? hostname())
  if (typeof role === 'string') return { name: host, role, why: '`role:` says so', roles: new Map(), others: null }
  const { default: other = 'primary', ...named } = role
  const roles = new Map(Object.entries(named).map(([name, its]) => [plainName(name), its]))
  const [entry, ...more] = entriesOf(roles, host)
  if (more.length > 0) {
    problem(['role'], `role: ${[entry, ...more].map(each => each?.[0] ?? '').join(' and ')} may each be this host, `
      + `${host}: name it with \`node:\``)
  }
  const common = { roles, others: other }
  return entry === undefined
    ? { name: host, role: other, why: `\`role:\` doesn't name this node, ${host}: the default`, ...common }
    : { name: entry[0], role: entry[1], why: `\`role:\` has this node, ${entry[0]}`, ...common }
}

/** The role that this node's file gives a node of that name; null if it says nothing of it. */
export const roleInFile = ({ roles, others }: NodeConfig, name: string): Role | null =>
  entriesOf(roles, name)[0]?.[1] ?? others

/**
 * The file with the role of this node. In a file for all nodes, `unknown: defer` is meant for the primaries, and
 * `outage` for the fallback.
 */
export const withRole = (file: WrittenFile, { role }: NodeConfig): ConfigFile => {
  if (typeof file.role === 'string') return { ...file, role }
  if (role === 'primary') return { ...file, role, outage: undefined }
  const maps = Object.fromEntries(
    Object.entries(file.maps).map(([name, map]) => [name, { ...map, unknown: undefined }]),
  )
  return { ...file, role, unknown: 'reject', maps }
}
