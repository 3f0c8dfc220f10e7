/** Group names, as in group(5); Node has no getgrnam(3). */
import { readFileSync } from 'node:fs'

/** The number of a group given by name or number; null if this machine has no such group. */
export const groupId = (group: string): number | null => {
  if (/^\d{1,10}$/.test(group)) return Number(group)
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [name, , id] = line.split(':')
    if (name === group && id !== undefined) return Number(id)
  }
  return null
}
