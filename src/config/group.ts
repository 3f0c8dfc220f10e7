/** Groups of this machine, from group(5): Node has no getgrnam(3). */
import { readFileSync } from 'node:fs'

type Group = { readonly name: string, readonly gid: number }

const groups = (): readonly Group[] => readFileSync('/etc/group', 'utf8').split('\n').flatMap(line => {
  const [name, , gid] = line.split(':')
  return name === undefined || gid === undefined ? [] : [{ name, gid: Number(gid) }]
})

/** The number of a group given by name or number; null if this machine has no such group. */
export const groupId = (group: string): number | null => {
  if (/^\d{1,10}$/.test(group)) return Number(group)
  return groups().find(({ name }) => name === group)?.gid ?? null
}

/** The name of a group for people: its number if it has none. */
export const groupName = (gid: number): string => groups().find(each => each.gid === gid)?.name ?? String(gid)
