/** Whether the daemon's account can read the daemon's files. Root, who runs the check, can read them all. */
import type { Config } from '../config/config.js'
import { accountOf, look, mayDo, obstacle, ownership } from './account.js'
import type { Account } from './account.js'
import { deferred } from './finding.js'
import type { Finding } from './finding.js'

/** As in deploy/systemd. */
const service = 'holdfast'

const filesOf = ({ fileName, maps }: Config): readonly string[] => [fileName, ...maps.flatMap(({ source }) => {
  switch (source.kind) {
    case 'cf': return source.paths
    case 'text': return [source.path]
    case 'inline': return []
    default: return source satisfies never
  }
})]

/** The account that the package makes, with Postfix's groups, which the unit adds; null where it isn't there. */
export const serviceAccount = async (postfix: Account | null): Promise<Account | null> => {
  const own = await accountOf(service)
  return own === null ? null : { ...own, gids: [...own.gids, ...postfix?.gids ?? []] }
}

/** Why `account` can't read `file`; null if it can, or we can't see. */
const obstacleTo = (file: string, account: Account): string | null => {
  const inTheWay = obstacle(file, '/', account)
  if (inTheWay?.kind === 'closed') return `can't go through ${inTheWay.folder} (${ownership(inTheWay.stats)})`
  const stats = look(file)
  if (stats === null || stats === 'hidden' || mayDo(stats, account, 'read')) return null
  return `can't read it (${ownership(stats)})`
}

/** A finding for each file of the configuration that `account` can't read. */
export const fileFindings = (config: Config, account: Account): readonly Finding[] =>
  [...new Set(filesOf(config))].flatMap((place): readonly Finding[] => {
    const why = obstacleTo(place, account)
    return why === null ? [] : [{
      level: 'error', place,
      text: `the service's account ${account.name} ${why}: the daemon doesn't start, and Postfix says ${deferred}. `
        + 'Give its group access: mode 0640 for the file, 0750 for a folder',
    }]
  })
