/** Whether Postfix's account gets through the folders to a unix socket, and may write to it. */
import { groupName } from '../config/group.js'
import { look, mayDo, obstacle, ownership } from './account.js'
import type { Account, Obstacle } from './account.js'
import { deferred } from './finding.js'
import type { FindingText } from './finding.js'

/** A socket as the configuration has it; `gid` is null for the daemon's own group. */
type ConfiguredSocket = { readonly path: string, readonly mode: number, readonly gid: number | null }

const groupOf = ({ gids }: Account): string => groupName(gids[0] ?? 0)

const remedy = (account: Account): string => `Set \`group: ${groupOf(account)}\` and \`mode: "0660"\` of that listener`

/** `from` is the first folder on the way that the account has to search. */
export const accessFindings = (socket: ConfiguredSocket, from: string, account: Account): readonly FindingText[] => {
  const { path, mode, gid } = socket
  const inTheWay = obstacle(path, from, account)
  if (inTheWay !== null) return [folderFinding(inTheWay, account)]
  const stats = look(path)
  if (stats === null || stats === 'hidden') {
    const group = gid === null ? 'the daemon\'s own group' : `group ${groupName(gid)}`
    const noSocket = `there is no socket ${path}: is the daemon running? Until then ${deferred}`
    const missing: FindingText = { level: 'warning', text: noSocket }
    if (mayDo({ uid: -1, gid: gid ?? -1, mode }, account, 'write')) return [missing]
    const closed = `${account.name} could not write to a socket of ${group} and mode 0${mode.toString(8)}`
    return [missing, { level: 'error', text: `${closed}: ${deferred}. ${remedy(account)}` }]
  }
  if (!stats.isSocket()) return [{ level: 'error', text: `${path} is not a socket: ${deferred}` }]
  if (mayDo(stats, account, 'write')) return []
  const closed = `${account.name} can't write to the socket (${ownership(stats)})`
  return [{ level: 'error', text: `${closed}: ${deferred}. ${remedy(account)}` }]
}

const folderFinding = (inTheWay: Obstacle, account: Account): FindingText => {
  const { folder } = inTheWay
  switch (inTheWay.kind) {
    case 'missing':
      return {
        level: 'error',
        text: `there is no folder ${folder}: ${deferred}. Make it: install -d -m 0750 -g ${groupOf(account)} ${folder}`,
      }
    case 'hidden':
      return process.geteuid?.() === account.uid
        ? { level: 'error', text: `${account.name} can't search the folders to ${folder}: ${deferred}` }
        : { level: 'warning', text: `${folder} can't be looked at: run this as ${account.name} or root` }
    case 'closed':
      return {
        level: 'error',
        text: `${account.name} can't go through ${folder} (${ownership(inTheWay.stats)}): ${deferred}. `
          + 'Give it Postfix\'s group and mode 0750',
      }
    default: return inTheWay satisfies never
  }
}
