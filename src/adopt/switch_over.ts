/**
 * The calls of postconf(1) that switch Postfix over to Holdfast, and those that
 * switch back: as commands for a shell, or made here. Before they are made, main.cf
 * and master.cf are copied; if one of them can't be replaced, both get back what
 * they had.
 */
import { chownSync, chmodSync, copyFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { AdoptionPlan, Edit } from './draft.js'
import { runPostconf, withOverride } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'

/** The arguments of postconf(1), one call for each file that it rewrites. */
export type PostconfCall = readonly string[]

const inMain = ({ service }: Edit): boolean => service === null

/** An entry of master.cf with the new values of its -o. */
export const editedEntry = (entry: string, edits: readonly Edit[]): string =>
  edits.reduce((text, { parameter, to, wasDefault }) =>
    wasDefault ? `${text} -o {${parameter}=${to}}` : withOverride(text, parameter, to) ?? text, entry)

/** Each service whose values change, with its whole entry: postconf -Pe takes no blanks in a value, which -Me does. */
const entries = (
  { services }: Postconf, edits: readonly Edit[], change: (entry: string, edits: readonly Edit[]) => string,
): readonly string[] => services.flatMap(({ name, entry }) => {
  const own = edits.filter(edit => edit.service === name)
  return own.length === 0 ? [] : [`${name}=${change(entry, own)}`]
})

/** The calls that put the new values into main.cf and master.cf. */
export const switchOver = (postfix: Postconf, { edits, newServices }: AdoptionPlan): readonly PostconfCall[] => [
  ['-Me', ...newServices.map(({ name, entry }) => `${name}=${entry}`),
    ...entries(postfix, edits, editedEntry)],
  ['-e', ...edits.filter(inMain).map(edit => `${edit.parameter}=${edit.to}`)],
].filter(call => call.length > 1)

/** The calls that restore the old values, and remove the parameters and services that were not there. */
export const switchBack = (postfix: Postconf, { edits, newServices }: AdoptionPlan): readonly PostconfCall[] => [
  ['-e', ...edits.filter(edit => inMain(edit) && !edit.wasDefault).map(edit => `${edit.parameter}=${edit.from}`)],
  ['-X', ...edits.filter(edit => inMain(edit) && edit.wasDefault).map(edit => edit.parameter)],
  ['-Me', ...entries(postfix, edits, (entry, own) => own.reduce((text, { parameter, from, wasDefault }) =>
    wasDefault ? text : withOverride(text, parameter, from) ?? text, entry))],
  ['-MX', ...newServices.map(({ name }) => name)],
].filter(call => call.length > 1)

/** `word` for sh(1). */
export const shellWord = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll('\'', '\'\\\'\'')}'`

/** A call for a shell, a parameter a line. */
export const shellLines = (postfix: Postconf, [option = '', ...settings]: PostconfCall): string => {
  const command = ['postconf', ...folderOption(postfix), option].join(' ')
  return [command, ...settings.map(text => `    ${shellWord(text)}`)].join(' \\\n')
}

/** The option for Postfix's folder; none for its default. */
export const folderOption = ({ configDir }: Postconf): readonly string[] =>
  configDir === '/etc/postfix' ? [] : ['-c', shellWord(configDir)]

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
