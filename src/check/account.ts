/** Accounts of this machine, and what they may do with a file. Bugs: access control lists (acl(5)) are not read. */
import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname } from 'node:path'
import { groupName } from '../config/group.js'

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
export const mayDo = ({ uid, gid, mode }: Permissions, account: Account, wish: Wish): boolean => {
  if (account.uid === 0) return true
  const shift = uid === account.uid ? 6 : account.gids.includes(gid) ? 3 : 0
  return (mode >> shift & bits[wish]) !== 0
}

/** The file's stat(2); null if there is no such file; 'hidden' if this process may not look. */
export const look = (path: string): Stats | null | 'hidden' => {
  try {
    return statSync(path)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EACCES' ? 'hidden' : null
  }
}

/** Owner, group and mode as ls(1) has them, for people. */
export const ownership = ({ uid, gid, mode }: Permissions): string =>
  `owner ${uid}, group ${groupName(gid)}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`

export type Obstacle =
  | { readonly kind: 'missing' | 'hidden', readonly folder: string }
  | { readonly kind: 'closed', readonly folder: string, readonly stats: Stats }

/** The first folder between `from` and `file` that `account` can't go through; null if it gets to the file. */
export const obstacle = (file: string, from: string, account: Account): Obstacle | null => {
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
