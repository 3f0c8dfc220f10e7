/**
 * The plan of a switch-over: from what postconf(1) says to the maps of a
 * Holdfast configuration and the parameters to change. Pure: reads no file and
 * runs nothing.
 *
 * Order. Postfix asks all tables of a parameter such as virtual_alias_maps for
 * the whole address, then all of them for the next key. So tables that stand
 * together in such a parameter become one map, which keeps that order. If
 * tables that stay with Postfix are among them, Postfix has to go on doing the
 * steps: then each table becomes an `exact` map behind unionmap:, which takes
 * from its first member, an empty inline: table, that it gets every key.
 *
 * The socket is named by a path relative to the queue folder, in which every
 * process of Postfix works: one in a chroot jail has the same folder as its /.
 *
 * Bugs: conditional values (${name?text}) are taken as what they are now.
 */
import type { Search } from '../postfix/parameters.js'
import { localNames, unionmapIsSafe, virtualAgent } from './circumstances.js'
import { expand, joinList, parseTable, referenceOf, splitList } from '../postfix/parameter_list.js'
import type { Piece, Table } from '../postfix/parameter_list.js'
import type { Postconf } from '../postfix/postconf.js'
import { isKeyMajor, proxyLists, purposes, restrictionLists, restrictionSearch } from '../postfix/parameters.js'
import type { Purpose } from '../postfix/parameters.js'

/** Where a parameter stands: main.cf, or a service's -o in master.cf (`submission/inet`). */
export type Place = { readonly service: string | null, readonly parameter: string }

export type PlannedMap = {
  readonly name: string
  readonly search: Search
  readonly sensitive: boolean
  /** mysql_table(5) files in the order in which they are asked. */
  readonly files: readonly string[]
  readonly usedBy: readonly Place[]
}

export type Edit = Place & {
  readonly from: string
  readonly to: string
  /** The parameter had its default and is to have it again when switching back. */
  readonly wasDefault: boolean
}

export type LeftAlone = Place & { readonly table: string, readonly why: string }

export type Plan = {
  readonly maps: readonly PlannedMap[]
  readonly edits: readonly Edit[]
  readonly leftAlone: readonly LeftAlone[]
}

/** The socket below the queue folder. */
export const socketInQueue = 'holdfast/holdfast.sock'

const socketmapOf = (map: string): string => `socketmap:unix:${socketInQueue}:${map}`
// The empty first member makes Postfix ask for every partial key, as it would of mysql:.
const nothing = 'inline:{__none__=x}'
const withSteps = (map: string): string => `unionmap:{${nothing},${socketmapOf(map)}}`

/** `place` as people write it. */
export const placeName = ({ service, parameter }: Place): string => service === null ? parameter : `${service}/${parameter}`

/** An element of a list: a table that can be adopted, a compound with such tables, or whatever else. */
type Item = Piece & { readonly negation: string, readonly file: string | null, readonly table: Table | null }

/**
 * What to change so that every mysql: table that can be asked through Holdfast
 * is. `unsuitable` says why Holdfast can't use a mysql_table(5) file, or null if it can.
 */
export const planAdoption = (postfix: Postconf, unsuitable: (file: string) => string | null): Plan => {
  const maps: PlannedMap[] = []
  const edits: Edit[] = []
  const leftAlone: LeftAlone[] = []
  /** Parameters whose tables were taken into those that refer to them. */
  const inlined = new Set<string>()

  const version = postfix.expanded.get('mail_version') ?? ''
  const hasLocalTables = localNames(postfix) === null

  const leave = (place: Place, table: string, why: string): void => {
    if (!leftAlone.some(known => placeName(known) === placeName(place) && known.table === table)) {
      leftAlone.push({ ...place, table, why })
    }
  }

  /** The name of the map with these properties, made if there is none yet. */
  const mapFor = (place: Place, wish: string, search: Search, sensitive: boolean, files: readonly string[]): string => {
    const same = (map: PlannedMap): boolean =>
      map.search === search && map.sensitive === sensitive && map.files.join('\n') === files.join('\n')
    const index = maps.findIndex(same)
    const known = maps[index]
    if (known !== undefined) {
      if (!known.usedBy.some(user => placeName(user) === placeName(place))) {
        maps[index] = { ...known, usedBy: [...known.usedBy, place] }
      }
      return known.name
    }
    const taken = new Set(maps.map(({ name }) => name))
    let name = wish
    for (let n = 2; taken.has(name); n++) name = `${wish}_${n}`
    maps.push({ name, search, sensitive, files, usedBy: [place] })
    return name
  }

  /** The file of a mysql: table if Holdfast can use it; else it is on the list of those left alone. */
  const usableFile = (place: Place, name: string): string | null => {
    const why = name.startsWith('/') ? unsuitable(name)
      : name.startsWith('.') ? 'a path that depends on where the process runs: write the whole path'
        : `its parameters (${name}_query...) stand in main.cf: put them into a file of their own, mysql:/path`
    if (why !== null) leave(place, `mysql:${name}`, why)
    return why === null ? name : null
  }

  /** pipemap: or unionmap: with its mysql: tables replaced, or null if that can't be. Its first member says which keys the whole of it gets. */
  const rewriteCompound = (place: Place, table: Table & { kind: 'union' | 'pipe' }, text: string, sensitive: boolean): string | null => {
    if (!/mysql:/.test(text)) return null
    if (!unionmapIsSafe(version)) {
      leave(place, text, `unionmap: in Postfix ${version} takes errors for absence`)
      return null
    }
    const files = table.members.map(member => {
      const inner = parseTable(member)
      return inner?.kind === 'mysql' ? usableFile(place, inner.name) : null
    })
    if (table.proxy && files.includes(null)) {
      leave(place, text, 'behind proxy: together with other tables; take the proxy: away, or these tables out')
      return null
    }
    const texts = table.members.map((member, i) => {
      const file = files[i]
      if (typeof file === 'string') {
        const map = mapFor(place, fileWish(file), 'exact', sensitive, [file])
        return i > 0 ? socketmapOf(map) : table.kind === 'union' ? `${nothing},${socketmapOf(map)}` : withSteps(map)
      }
      const inner = parseTable(member)
      return inner === null || inner.kind === 'mysql' ? member : rewriteCompound(place, inner, member, sensitive) ?? member
    })
    return `${table.kind}map:{${texts.join(',')}}`
  }

  const itemOf = (place: Place, { separator, text }: Piece): Item => {
    const negation = /^!*/.exec(text)?.[0] ?? ''
    const plain = expand(text.slice(negation.length), postfix.written)
    if (plain === null && /mysql:/.test(text)) leave(place, text, 'a conditional value')
    const table = plain === null ? null : parseTable(plain)
    return { separator, text, negation, table, file: table?.kind === 'mysql' ? usableFile(place, table.name) : null }
  }

  /** The elements of a list, with those of each $name that leads to a mysql: table in its place. */
  const itemsOf = (place: Place, value: string, depth = 0): readonly Item[] => splitList(value).flatMap(piece => {
    const name = referenceOf(piece.text)
    const leads = name !== null && depth < 10 && (expand(piece.text, postfix.written) ?? '').includes('mysql:')
    if (!leads) return [itemOf(place, piece)]
    inlined.add(name)
    return itemsOf(place, postfix.written.get(name) ?? '', depth + 1).map((item, i) => i === 0 ? { ...item, separator: piece.separator } : item)
  })

  const rewriteList = (place: Place, value: string, purpose: Exclude<Purpose, { kind: 'refused' }>): string => {
    const items = itemsOf(place, value)
    const { sensitive } = purpose
    const wish = place.parameter.replace(/_maps$/, '')
    // Which steps are left to Postfix, and which to a search.
    const search = purpose.kind === 'search' && !stepsByPostfix(purpose.search, items) ? purpose.search : null
    const pieces: Piece[] = []
    for (let i = 0; i < items.length; i++) {
      const item = items[i]
      if (item === undefined) break
      const { separator, text, negation, table } = item
      if (table !== null && table.kind !== 'mysql') {
        const rewritten = rewriteCompound(place, table, text, sensitive)
        pieces.push({ separator, text: rewritten === null ? text : `${negation}${rewritten}` })
        continue
      }
      if (item.file === null) {
        pieces.push({ separator, text })
        continue
      }
      if (search === null && !unionmapIsSafe(version)) {
        leave(place, text, `the steps have to stay with Postfix, and unionmap: in Postfix ${version} takes errors for absence`)
        pieces.push({ separator, text })
        continue
      }
      const files = [item.file]
      for (let next = items[i + 1]; next !== undefined && next.file !== null && next.negation === negation; next = items[i + 1]) {
        files.push(next.file)
        i++
      }
      const map = mapFor(place, wish, search ?? 'exact', sensitive, files)
      pieces.push({ separator, text: `${negation}${search === null ? withSteps(map) : socketmapOf(map)}` })
    }
    return joinList(pieces)
  }

  /** Another table between or beside, or local users that no list names: then only Postfix can keep the order of the steps. */
  const stepsByPostfix = (search: Search, items: readonly Item[]): boolean => isKeyMajor(search)
    && (items.some(({ file }) => file === null) || (hasLocalTables && search !== 'transport'))

  /** A list of restrictions: each table stands behind what it is asked for. `found` hears of other such lists. */
  const rewriteRestrictions = (place: Place, value: string, found: (parameter: string) => void): string => {
    let previous = ''
    return joinList(splitList(value).map(({ separator, text }) => {
      const before = previous
      previous = text
      const isTable = /^check_\w+_access$/i.test(before)
      const name = referenceOf(text)
      const plain = expand(text, postfix.written)
      if (name !== null && !isTable) {
        found(name)
        return { separator, text }
      }
      if (plain === null && text.includes('mysql:')) leave(place, text, 'a conditional value')
      if (plain === null || !plain.includes('mysql:')) return { separator, text }
      const table = parseTable(plain)
      if (table === null) {
        leave(place, text, 'not a table alone')
        return { separator, text }
      }
      if (name !== null) inlined.add(name)
      if (table.kind !== 'mysql') return { separator, text: rewriteCompound(place, table, plain, true) ?? text }
      const file = usableFile(place, table.name)
      if (file === null) return { separator, text }
      return { separator, text: socketmapOf(mapFor(place, fileWish(file), restrictionSearch(before), true, [file])) }
    }))
  }

  const change = (place: Place, from: string, to: string): void => {
    // Blanks alone are no change: everything in there was left alone.
    if (to.includes(socketInQueue)) edits.push({ ...place, from, to, wasDefault: place.service === null && !postfix.inMainCf.has(place.parameter) })
  }

  const mailboxReader = virtualAgent(postfix)
  const adoptList = (place: Place, value: string, expanded: string): void => {
    const purpose = purposes.get(place.parameter)
    if (purpose === undefined || !expanded.includes('mysql:')) return
    const command = postfix.services.find(({ name }) => name === place.service)?.command
    const why = purpose.kind === 'refused' ? purpose.why
      : command === 'virtual' ? 'virtual(8) takes no socketmap'
        : place.parameter === 'virtual_mailbox_maps' && place.service === null ? mailboxReader : null
    if (why !== null) {
      // A default only repeats another parameter, which is named itself.
      if (place.service !== null || postfix.inMainCf.has(place.parameter)) leave(place, value, why)
      return
    }
    if (purpose.kind === 'refused' || follows(place.parameter, purpose, value)) return
    // With a condition in it, only what it comes to is a list of tables.
    const list = expand(value, postfix.written) === null ? expanded : value
    change(place, value, rewriteList(place, list, purpose))
  }

  /** The value is another parameter's, which is switched over itself and whose map answers here as well. */
  const follows = (parameter: string, purpose: Purpose, value: string): boolean => {
    const [only, ...others] = splitList(value)
    const name = only === undefined || others.length > 0 ? null : referenceOf(only.text)
    const isLeft = name === 'virtual_mailbox_maps' && mailboxReader !== null
    const its = name === null || name === parameter || isLeft ? undefined : purposes.get(name)
    if (its?.kind !== 'search') return parameter === 'fast_flush_domains' && name === 'relay_domains'
    if (parameter === 'fast_flush_domains') return its.search === 'domain'
    if (purpose.kind !== 'search') return false
    // Searches of addresses do with a bare domain what `exact` does.
    return its.search === purpose.search
      || (purpose.search === 'exact' && ['virtual', 'canonical', 'recipient'].includes(its.search))
  }

  for (const parameter of purposes.keys()) {
    adoptList({ service: null, parameter }, postfix.written.get(parameter) ?? '', postfix.expanded.get(parameter) ?? '')
  }
  for (const { service, parameter, value } of postfix.overrides) {
    const expanded = expand(value, postfix.written)
    if (expanded !== null) adoptList({ service, parameter }, value, expanded)
    else if (value.includes('mysql:')) leave({ service, parameter }, value, 'a conditional value')
  }

  const classes = splitList(postfix.expanded.get('smtpd_restriction_classes') ?? '').map(({ text }) => text)
  const lists = new Set<string>([...restrictionLists, ...classes])
  const restrictions: readonly string[] = [...lists]
  for (const { service, parameter, value } of postfix.overrides) {
    if (restrictions.includes(parameter)) {
      change({ service, parameter }, value, rewriteRestrictions({ service, parameter }, value, name => lists.add(name)))
    }
  }
  // Grows as lists refer to others.
  for (const parameter of lists) {
    const value = postfix.written.get(parameter) ?? ''
    change({ service: null, parameter }, value, rewriteRestrictions({ service: null, parameter }, value, name => lists.add(name)))
  }

  const handled = (parameter: string): boolean =>
    purposes.has(parameter) || lists.has(parameter) || inlined.has(parameter) || proxyLists.has(parameter)
  const everywhere: readonly (Place & { value: string })[] = [
    ...[...postfix.inMainCf].map(parameter => ({ service: null, parameter, value: postfix.written.get(parameter) ?? '' })),
    ...postfix.overrides,
  ]
  for (const { service, parameter, value } of everywhere) {
    if (/\bmysql:/.test(value) && !handled(parameter)) {
      leave({ service, parameter }, value, 'Holdfast doesn\'t know what Postfix asks there')
    }
  }
  return { maps, edits, leftAlone }
}

/** A map's name from its file's: `/etc/postfix/mysql-virtual_sender.cf` gives `virtual_sender`. */
const fileWish = (file: string): string =>
  (/([^/]*?)(?:\.\w+)?$/.exec(file)?.[1] ?? '').replace(/^(?:mysql|sql)[-_.]/, '').replace(/[^\w.-]/g, '_') || 'map'
