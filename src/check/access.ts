/**
 * What accounts of this machine may do with files: Postfix's with the listeners' sockets, the service's with the
 * files of the configuration. Root, who runs the check, can read them all. And what of the configuration others could
 * read: files with passwords, and the status page on a public address.
 *
 * Bugs: access control lists (acl(5)) are not read.
 */
import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { dirname } from 'node:path'
import type { Config } from '../config/config.js'
import { groupName } from '../config/endpoint.js'
import { valueInFile } from '../tables/cf.js'
import { deferred } from './uses.js'
import type { Finding, FindingText } from './uses.js'

export type Account = { readonly name: string, readonly uid: number, readonly gids: readonly number[] }

const id = (...args: readonly string[]): Promise<string | null> => new Promise(resolve => {
  execFile('id', args, (error, stdout) => resolve(error === null ? stdout.trim() : null))
})

/** An account by its name; null if there is none. id(1) knows every source of accounts that this machine has. */
export const accountOf = async (name: string): Promise<Account | null> => {
  const [uid, gids] = await Promise.all([id('-u', '--', name), id('-G', '--', name)])
  return uid === null || gids === null ? null : { name, uid: Number(uid), gids: gids.split(' ').map(Number) }
}

const bits = { read: 4, write: 2, search: 1 } as const
type Wish = keyof typeof bits

/** Owner, group and mode of a file. */
type Permissions = Pick<Stats, 'uid' | 'gid' | 'mode'>

/** Whether they let `account` do what it wishes. */
const mayDo = ({ uid, gid, mode }: Permissions, account: Account, wish: Wish): boolean => {
  if (account.uid === 0) return true
  const shift = uid === account.uid ? 6 : account.gids.includes(gid) ? 3 : 0
  return (mode >> shift & bits[wish]) !== 0
}

/** The file's stat(2); null if there is no such file; 'hidden' if this process may not look. */
const look = (path: string): Stats | null | 'hidden' => {
  try {
    return statSync(path)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EACCES' ? 'hidden' : null
  }
}

/** Owner, group and mode as ls(1) has them, for people. */
const ownership = ({ uid, gid, mode }: Permissions): string =>
  `owner ${uid}, group ${groupName(gid)}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`

type Obstacle =
  | { readonly kind: 'missing' | 'hidden', readonly folder: string }
  | { readonly kind: 'closed', readonly folder: string, readonly stats: Stats }

/** The first folder between `from` and `file` that `account` can't go through; null if it gets to the file. */
const obstacle = (file: string, from: string, account: Account): Obstacle | null => {
  const folders: string[] = []
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    folders.unshift(folder)
    if (folder === from || folder === dirname(folder)) break
  }
  for (const folder of folders) {
    const stats = look(folder)
    if (stats === null) return { kind: 'missing', folder }
    if (stats === 'hidden') return { kind: 'hidden', folder }
    if (!mayDo(stats, account, 'search')) return { kind: 'closed', folder, stats }
  }
  return null
}

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
    const noSocket = `there is no socket ${path}: ${deferred}. Start the daemon`
    const missing: FindingText = { level: 'warning', text: noSocket }
    if (mayDo({ uid: -1, gid: gid ?? -1, mode }, account, 'write')) return [missing]
    const closed = `${account.name} could not write to a socket of ${group} and mode 0${mode.toString(8)}`
    return [missing, { level: 'error', text: `${closed}: ${deferred}. ${remedy(account)}` }]
  }
  if (!stats.isSocket()) {
    return [{ level: 'error', text: `${path} is not a socket: ${deferred}. Remove it, and restart Holdfast` }]
  }
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
        ? {
          level: 'error',
          text: `${account.name} can't search the folders to ${folder}: ${deferred}. Give them mode 0711`,
        }
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

/** As in deploy/systemd. */
const service = 'holdfast'

/** The files that the configuration is read from, each once. */
const filesOf = (
  { fileName, maps }: Config,
): readonly string[] => [...new Set([fileName, ...maps.flatMap(({ source }) => {
  switch (source.kind) {
    case 'cf': return source.paths
    case 'text': return [source.path]
    case 'inline': return []
    default: return source satisfies never
  }
})])]

/** Owner, group and mode of a file that every account can read; null if some can't, or there is none. */
const readableByOthers = (file: string): Stats | null => {
  const anybody: Account = { name: 'anybody', uid: -1, gids: [] }
  const stats = look(file)
  if (stats === null || stats === 'hidden' || obstacle(file, '/', anybody) !== null) return null
  return mayDo(stats, anybody, 'read') ? stats : null
}

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
  filesOf(config).flatMap((place): readonly Finding[] => {
    const why = obstacleTo(place, account)
    return why === null ? [] : [{
      level: 'error', place,
      text: `the service's account ${account.name} ${why}: the daemon doesn't start, and Postfix says ${deferred}. `
        + 'Give its group access: mode 0640 for the file, 0750 for a folder',
    }]
  })

/** The mysql_table(5) files of the configuration, each once. */
export const tableFilesOf = ({ maps }: Config): readonly string[] =>
  [...new Set(maps.flatMap(({ source }) => source.kind === 'cf' ? source.paths : []))]

/** The files of the configuration that have a password or the token itself in them. */
const secretFilesOf = (config: Config): readonly string[] => {
  const { admin_token: token, redis, databases } = config.file
  const secrets = [
    token, redis?.password, redis?.sentinel_password, ...Object.values(databases).map(({ password }) => password),
  ]
  return [
    ...secrets.some(secret => secret !== undefined && secret !== '') ? [config.fileName] : [],
    ...tableFilesOf(config).filter(path => valueInFile(path, 'password') !== ''),
  ]
}

/** Loopback, and the networks that are private (RFC 1918, RFC 4193) or of the link. */
const privateNetworks = new BlockList()
for (const [network, prefix] of [
  ['127.0.0.0', 8], ['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['169.254.0.0', 16], ['100.64.0.0', 10],
] as const) privateNetworks.addSubnet(network, prefix)
for (const [network, prefix] of [['::1', 128], ['fc00::', 7], ['fe80::', 10]] as const) {
  privateNetworks.addSubnet(network, prefix, 'ipv6')
}

const isPrivate = (host: string): boolean => {
  const family = isIP(host)
  return family === 0 ? host === 'localhost' : privateNetworks.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

const healthFinding = ({ health, fileName }: Config): readonly Finding[] => {
  if (health?.kind !== 'inet' || isPrivate(health.host)) return []
  return [{
    level: 'warning', place: fileName,
    text: `health: ${health.host} is no private address: whoever reaches port ${health.port} sees the names of the `
      + 'maps and servers, and how much mail there is. Use 127.0.0.1 or a private address, or close the port to others',
  }]
}

/** Findings about the files of the configuration, and about `health:`. */
export const exposureFindings = (config: Config): readonly Finding[] => [
  ...secretFilesOf(config).flatMap((place): readonly Finding[] => {
    const stats = readableByOthers(place)
    return stats === null ? [] : [{
      level: 'warning', place,
      text: `it holds a password or a token, and every account can read it (${ownership(stats)}). Give it the group of `
        + 'the daemon and mode 0640',
    }]
  }),
  ...healthFinding(config),
]
