/** Whether the account under which the daemon runs can read its files: root, who checks, can read them all. */
import type { Config } from '../config/config.js'
import { accountOf, look, mayDo, obstacle, ownership } from './account.js'
import type { Account } from './account.js'
import type { Finding } from './finding.js'

/** As deploy/systemd has it. */
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

/** One for each that `account` can't read. */
export const fileFindings = (config: Config, account: Account): readonly Finding[] => [...new Set(filesOf(config))].flatMap((place): Finding[] => {
  const way = obstacle(place, '/', account)
  const stats = look(place)
  const closed = way?.kind === 'closed' ? `can't go through ${way.folder} (${ownership(way.stats)})`
    : stats !== null && stats !== 'hidden' && !mayDo(stats, account, 'read') ? `can't read it (${ownership(stats)})` : null
  return closed === null ? [] : [{
    level: 'error', place,
    text: `the service's account ${account.name} ${closed}: the daemon doesn't start, and Postfix says "Temporary lookup failure" (451). Give its group access: mode 0640 for the file, 0750 for a folder`,
  }]
})
