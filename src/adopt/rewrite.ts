/** A parameter's value with socketmap: in place of the mysql: tables that Holdfast can ask. */
import { socketInQueue } from './draft.js'
import type { Draft, PlannedMap } from './draft.js'
import { joinList, parseTable, referenceOf, splitList } from '../postfix/parameter_list.js'
import type { ListPiece, ListedTable } from '../postfix/parameter_list.js'
import { isKeyMajor, restrictionSearch } from '../postfix/parameters.js'
import type { Purpose, Search } from '../postfix/parameters.js'
import type { ParameterPlace } from '../postfix/postconf.js'

/** A map as text in main.cf. */
export const socketmapOf = (map: string): string => `socketmap:unix:${socketInQueue}:${map}`
// An empty table as the first member makes Postfix ask for every partial key, as it would ask a mysql: table.
const nothing = 'internal:none'
const withSteps = (map: string): string => `unionmap:{${nothing},${socketmapOf(map)}}`

/** A map's name from its file's: `/etc/postfix/mysql-virtual_sender.cf` gives `virtual_sender`. */
const fileWish = (file: string): string =>
  (/([^/]*?)(?:\.\w+)?$/.exec(file)?.[1] ?? '').replace(/^(?:mysql|sql)[-_.]/, '').replace(/[^\w.-]/g, '_') || 'map'

/** What the place of a table decides about its map. */
type MapRules = Pick<PlannedMap, 'sensitive' | 'absence' | 'isAccess'>

/**
 * pipemap: or unionmap: with its mysql: tables replaced; null if it stays. The first member decides for which keys
 * Postfix asks all of it.
 */
const rewriteCompound = (
  draft: Draft, place: ParameterPlace, table: ListedTable & { kind: 'union' | 'pipe' }, text: string,
  rules: MapRules,
): string | null => {
  if (!/mysql:/.test(text)) return null
  const problem = draft.unionmapProblem()
  if (problem !== null) {
    draft.leave(place, text, problem)
    return null
  }
  const files = table.members.map(member => {
    const inner = parseTable(member)
    return inner?.kind === 'mysql' ? draft.usableFile(place, { ...inner, proxy: inner.proxy || table.proxy }) : null
  })
  if (table.proxy && files.includes(null)) {
    draft.leave(place, text, 'behind proxy: together with other tables; take the proxy: away, or these tables out')
    return null
  }
  const texts = table.members.map((member, i) => {
    const file = files[i]
    if (typeof file === 'string') {
      const map = draft.mapFor(place, fileWish(file), {
        search: 'exact', ...rules, stepsStay: 'a member of unionmap: or pipemap:', files: [file],
      })
      return i > 0 ? socketmapOf(map) : table.kind === 'union' ? `${nothing},${socketmapOf(map)}` : withSteps(map)
    }
    const inner = parseTable(member)
    if (inner === null || inner.kind === 'mysql') return member
    return rewriteCompound(draft, place, inner, member, rules) ?? member
  })
  return `${table.kind}map:{${texts.join(',')}}`
}

type ListItem = ListPiece & {
  /** Exclamation marks in front. */
  readonly negation: string
  /** null unless it is a mysql: table, or made of several. */
  readonly table: ListedTable | null
  /** Of a mysql: table that Holdfast can use. */
  readonly file: string | null
}

const itemOf = (draft: Draft, place: ParameterPlace, { separator, text }: ListPiece): ListItem => {
  const negation = /^!*/.exec(text)?.[0] ?? ''
  const plain = draft.plain(place, text.slice(negation.length))
  const table = plain === null ? null : parseTable(plain)
  const file = table?.kind === 'mysql' ? draft.usableFile(place, table) : null
  return { separator, text, negation, table, file }
}

/** Ends loops of parameters that name each other. */
const maxDepth = 10

/** The pieces of a list; a $name that leads to a mysql: table gives the pieces of that parameter. */
const itemsOf = (draft: Draft, place: ParameterPlace, value: string, depth = 0): readonly ListItem[] => {
  const { written } = draft.postfix
  return splitList(value).flatMap(piece => {
    const name = referenceOf(piece.text)
    const leadsToMysql = depth < maxDepth && draft.plain(place, piece.text)?.includes('mysql:') === true
    if (name === null || !leadsToMysql) return [itemOf(draft, place, piece)]
    draft.inlined.add(name)
    const inner = itemsOf(draft, place, written.get(name) ?? '', depth + 1)
    return inner.map((item, i) => i === 0 ? { ...item, separator: piece.separator } : item)
  })
}

/** Why only Postfix can do the steps, or keep their order; null if Holdfast can. */
const whyStepsStay = (draft: Draft, place: ParameterPlace, search: Search, items: readonly ListItem[]): string | null =>
  isKeyMajor(search) && items.some(({ file }) => file === null) ? 'tables of other kinds stand beside it'
    : draft.stepsProblem(place, search)

/**
 * Items in groups: usable tables that stand together, which become one map, and each other item by itself. Postfix
 * looks for a domain and all of its parents in one table before it asks the next, so such tables don't join.
 */
const groupsOf = (items: readonly ListItem[], search: Search | null): readonly (readonly ListItem[])[] => {
  const groups: ListItem[][] = []
  for (const item of items) {
    const last = groups.at(-1)
    const [first] = last ?? []
    const joins = search !== 'domain' && first !== undefined && first.file !== null && item.file !== null
      && first.negation === item.negation
    if (joins) last?.push(item)
    else groups.push([item])
  }
  return groups
}

/** The new value of a list of tables. */
export const rewriteList = (
  draft: Draft, place: ParameterPlace, value: string, purpose: Exclude<Purpose, { kind: 'refused' }>,
): string => {
  const rules = { sensitive: purpose.sensitive, absence: purpose.absence, isAccess: false }
  const items = itemsOf(draft, place, value)
  const why = purpose.kind === 'search' ? whyStepsStay(draft, place, purpose.search, items)
    : 'no search of Holdfast does these steps'
  const search = purpose.kind === 'search' && why === null ? purpose.search : null
  const problem = search === null ? draft.unionmapProblem() : null
  const listed = purpose.kind === 'search' ? purpose.search : null
  return joinList(groupsOf(items, listed).flatMap((group): readonly ListPiece[] => {
    const [first] = group
    if (first === undefined) return []
    const { separator, text, negation, table } = first
    if (table !== null && table.kind !== 'mysql') {
      const rewritten = rewriteCompound(draft, place, table, text, rules)
      return [{ separator, text: rewritten === null ? text : `${negation}${rewritten}` }]
    }
    const files = group.flatMap(({ file }) => file ?? [])
    if (files.length === 0) return group
    if (problem !== null) {
      for (const left of group) draft.leave(place, left.text, `the steps have to stay with Postfix, and ${problem}`)
      return group
    }
    const wish = place.parameter.replace(/_maps$/, '')
    const map = draft.mapFor(place, wish, { search: search ?? 'exact', ...rules, stepsStay: why, files })
    return [{ separator, text: `${negation}${search === null ? withSteps(map) : socketmapOf(map)}` }]
  }))
}

/** The pieces of the new value of a list of restrictions. `found` gets each other such list that it refers to. */
export const rewriteRestrictions = (
  draft: Draft, place: ParameterPlace, value: string, found: (parameter: string) => void,
): readonly ListPiece[] => {
  let previous = ''
  return splitList(value).map(({ separator, text }) => {
    const restriction = previous
    previous = text
    const name = referenceOf(text)
    if (name !== null && !/^check_\w+_access$/i.test(restriction)) {
      found(name)
      return { separator, text }
    }
    return { separator, text: rewriteRestriction(draft, place, restriction, text) ?? text }
  })
}

/** The new text of what stands behind `restriction`; null if it stays as it is. */
const rewriteRestriction = (draft: Draft, place: ParameterPlace, restriction: string, text: string): string | null => {
  const plain = draft.plain(place, text)
  if (plain?.includes('mysql:') !== true) return null
  const table = parseTable(plain)
  if (table === null) {
    draft.leave(place, text, 'not a table alone')
    return null
  }
  const name = referenceOf(text)
  if (name !== null) draft.inlined.add(name)
  const rules = { sensitive: true, absence: draft.absenceOfAccess(restriction, plain), isAccess: true }
  if (table.kind !== 'mysql') return rewriteCompound(draft, place, table, plain, rules)
  const file = draft.usableFile(place, table)
  if (file === null) return null
  const search = restrictionSearch(restriction)
  const why = draft.stepsProblem({ ...place, parameter: 'smtpd_restriction_classes' }, search, restriction)
  const problem = why === null ? null : draft.unionmapProblem()
  if (why !== null && problem !== null) {
    draft.leave(place, text, `the steps have to stay with Postfix (${why}), and ${problem}`)
    return null
  }
  const map = draft.mapFor(place, fileWish(file), {
    search: why === null ? search : 'exact', ...rules, stepsStay: why, files: [file],
  })
  return why === null ? socketmapOf(map) : withSteps(map)
}
