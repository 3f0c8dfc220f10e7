/**
 * Files that systemd keeps from a service though everybody else sees them: PrivateTmp= gives it a /tmp and a /var/tmp
 * of its own, ProtectHome= empties /home, /root and /run/user. All that the service itself gets is "no such file".
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { messageOf } from '../log.js'

const unitFolders = ['/etc', '/run', '/usr/local/lib', '/lib'].map(folder => `${folder}/systemd/system`)
const unitName = 'holdfast.service'

const folders = { PrivateTmp: ['/tmp', '/var/tmp'], ProtectHome: ['/home', '/root', '/run/user'] } as const

type Setting = keyof typeof folders

const sentence = (setting: Setting, folder: string): string =>
  `the service does not see ${folder} as others do (${setting}= in its unit): move the file, to /etc/holdfast for `
  + 'instance, or change that setting'

const isIn = (path: string, folder: string): boolean => normalize(path).startsWith(`${folder}/`)

/** How systemd hides this path from this process; null if it does not. */
export const hiddenFromUs = (path: string): string | null => {
  let mounts: string
  try {
    mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return null
  }
  // proc_pid_mountinfo(5): the fourth field is the folder that is shown, the fifth where.
  for (const line of mounts.split('\n')) {
    const [, , , root = '', folder = ''] = line.split(' ')
    if (!isIn(path, folder)) continue
    if (/\/systemd-private-[^/]+\/tmp$/.test(root)) return sentence('PrivateTmp', folder)
    if (/\/systemd\/inaccessible\//.test(root)) return sentence('ProtectHome', folder)
  }
  return null
}

/** Why a file can't be read, and what to do; `wanted` is what it should be, `named` the path that is beside this. */
export const cantRead = (error: unknown, named: string, wanted = 'a file'): string => {
  const path = error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : null
  const hidden = path === null ? null : hiddenFromUs(path)
  const why = messageOf(error).replace(`, open '${named}'`, '')
  return `can't be read: ${why}; ${hidden ?? `name ${wanted} that this account may read`}`
}

/** How the unit of the service, if this machine has it, hides this path from the service; null if it does not. */
export const hiddenFromService = (path: string): string | null => {
  const unit = unitText()
  for (const setting of ['PrivateTmp', 'ProtectHome'] as const) {
    const folder = folders[setting].find(each => isIn(path, each))
    const value = [...unit.matchAll(new RegExp(`^${setting}=(.*)$`, 'gm'))].at(-1)?.[1]?.trim() ?? ''
    if (folder !== undefined && /^(?:yes|true|on|1|tmpfs|disconnected)$/.test(value)) return sentence(setting, folder)
  }
  return null
}

/** The unit with its drop-ins, as far as this account may read them. */
const unitText = (): string => {
  const main = unitFolders.map(folder => join(folder, unitName)).find(path => existsSync(path))
  const dropInFolders = unitFolders.map(folder => join(folder, `${unitName}.d`)).filter(path => existsSync(path))
  const dropIns = dropInFolders.reverse().flatMap(folder =>
    readdirSync(folder).filter(name => name.endsWith('.conf')).sort().map(name => join(folder, name)))
  try {
    return [...main === undefined ? [] : [main], ...dropIns].map(path => readFileSync(path, 'utf8')).join('\n')
  } catch {
    return ''
  }
}
