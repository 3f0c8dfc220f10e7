/** The commands that switch Postfix over to Holdfast, and those that switch back, for a shell. */
import type { AdoptionPlan, Edit } from './draft.js'
import { placeName } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'

/** The arguments of postconf(1), one call for each file that it rewrites. */
export type PostconfCall = readonly string[]

const inMaster = ({ service }: Edit): boolean => service !== null

/** postconf -Pe takes no blanks in a value. In a list a comma does the same, and around = blanks mean nothing. */
const withoutBlanks = (list: string): string =>
  list.replace(/\s*=\s*/g, '=').replace(/\{[\s,]+/g, '{').replace(/[\s,]+\}/g, '}').replace(/[\s,]+/g, ',')

const setting = (edit: Edit, value: string): string =>
  `${placeName(edit)}=${inMaster(edit) ? withoutBlanks(value) : value}`

/** The calls that put the new values into main.cf and master.cf. */
export const switchOver = ({ edits }: AdoptionPlan): readonly PostconfCall[] => [
  ['-Pe', ...edits.filter(inMaster).map(edit => setting(edit, edit.to))],
  ['-e', ...edits.filter(edit => !inMaster(edit)).map(edit => setting(edit, edit.to))],
].filter(call => call.length > 1)

/** The calls that restore the old values, and remove the parameters that main.cf did not have. */
export const switchBack = ({ edits }: AdoptionPlan): readonly PostconfCall[] => [
  ['-e', ...edits.filter(edit => !inMaster(edit) && !edit.wasDefault).map(edit => setting(edit, edit.from))],
  ['-X', ...edits.filter(edit => edit.wasDefault).map(placeName)],
  ['-Pe', ...edits.filter(inMaster).map(edit => setting(edit, edit.from))],
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
