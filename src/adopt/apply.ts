/**
 * Changes main.cf and master.cf: copies each first, and has postconf(1) replace
 * each in one step. If one can't be replaced, both get back what they had.
 */
import { chownSync, chmodSync, copyFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { PostconfCall } from './commands.js'
import { runPostconf } from '../postfix/postconf.js'

const copy = (from: string, to: string): void => {
  copyFileSync(from, to)
  const { mode, uid, gid } = statSync(from)
  chmodSync(to, mode)
  chownSync(to, uid, gid)
}

/**
 * Makes the calls and gives the paths of the copies: `main.cf.STAMP`,
 * `master.cf.STAMP`. Rejects if postconf(1) fails, with both files as they were.
 */
export const applyChanges = async (
  configDir: string, calls: readonly PostconfCall[], stamp: string,
): Promise<readonly string[]> => {
  const files = ['main.cf', 'master.cf'].map(name => join(configDir, name))
  const copies = files.map(file => `${file}.${stamp}`)
  for (const [i, file] of files.entries()) copy(file, copies[i] ?? '')
  try {
    for (const call of calls) await runPostconf(configDir, call)
  } catch (error) {
    for (const [i, file] of files.entries()) {
      copy(copies[i] ?? '', `${file}.holdfast-tmp`)
      renameSync(`${file}.holdfast-tmp`, file)
    }
    throw error
  }
  return copies
}
