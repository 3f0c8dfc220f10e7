/**
 * Access tables as allow lists: with a plain `reject` or `defer` after it, the
 * absence of a key from a check_*_access table refuses mail.
 */
import { expand, splitList } from './parameter_list.js'
import { restrictionListsOf } from './postconf.js'
import type { AbsenceEffect } from './parameters.js'
import type { Postconf } from './postconf.js'

/** Ends loops of restriction classes that name each other. */
const maxDepth = 10

const isCheck = (restriction: string): boolean => /^check_\w+_access$/i.test(restriction)

const useOf = (restriction: string, table: string): string =>
  `${isCheck(restriction) ? restriction.toLowerCase() : ''} ${table}`

/** The elements of a list, those of the restriction classes that it names in their place. */
const elements = (value: string, classes: ReadonlyMap<string, string>, depth = 0): readonly string[] =>
  splitList(value).flatMap(({ text }) => {
    const inner = depth < maxDepth ? classes.get(text) : undefined
    return inner === undefined ? [text] : elements(inner, classes, depth + 1)
  })

/**
 * What an absence does in `table` (as expanded) after `restriction`, such as check_sender_access. One list where it
 * refuses decides for the same use in all lists.
 */
export const absenceOfAccess = (
  postfix: Postconf,
): ((restriction: string, table: string) => AbsenceEffect) => {
  const { expanded, written, overrides } = postfix
  const known = restrictionListsOf(postfix)
  const byName = new Map(known.map(name => [name, expanded.get(name) ?? '']))
  const lists = [
    ...byName.values(),
    ...overrides.flatMap(({ parameter, value }) => known.includes(parameter) ? [expand(value, written) ?? value] : []),
  ]
  const refusing = new Set(lists.flatMap(list => {
    const all = elements(list, byName)
    return all.flatMap((table, i) => {
      const end = all.slice(i + 1).find(text => /^(permit|reject|defer)$/i.test(text))
      return end === undefined || /^permit$/i.test(end) ? [] : [useOf(all[i - 1] ?? '', table)]
    })
  }))
  return (restriction, table) => refusing.has(useOf(restriction, table)) ? 'refuses' : 'passes'
}
