/** Groups of this machine, from group(5): Node has no getgrnam(3). */
import { readFileSync } from 'node:fs'

const groups = (): readonly (readonly [name: string, gid: number])[] => readFileSync('/etc/group', 'utf8').split('\n').flatMap(line => {
  const [name, , id] = line.split(':')
  return name === undefined || id === undefined ? [] : [[name, Number(id)] as const]
})

/** The number of a group given by name or number; null if this machine has no such group. */
export const groupId = (group: string): number | null => {
  if (/^\d{1,10}$/.test(group)) return Number(group)
  return groups().find(([name]) => name === group)?.[1] ?? null
}

/** The name of a group for people: its number if it has none. */
export const groupName = (gid: number): string => groups().find(([, id]) => id === gid)?.[0] ?? String(gid)
