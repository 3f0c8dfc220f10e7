/** The plan of a switch-over as it grows: the maps so far, the parameters to change, the tables that stay. */
import { overriderOf, proxyProblem, servicesOf, smtputf8In, stepsProblem, unionmapIsSafe } from './circumstances.js'
import { absenceOfAccess } from '../postfix/allow_lists.js'
import { expand, namesIn } from '../postfix/parameter_list.js'
import type { ListedTable } from '../postfix/parameter_list.js'
import type { AbsenceEffect, Search } from '../postfix/parameters.js'
import { placeName, withOverride } from '../postfix/postconf.js'
import type { ParameterPlace, Postconf, Service } from '../postfix/postconf.js'

export type PlannedMap = {
  readonly name: string
  readonly search: Search
  readonly sensitive: boolean
  readonly absence: AbsenceEffect
  /** False: some of the services that ask it have smtputf8_enable = no. */
  readonly smtputf8: boolean
  /** Asked by check_*_access: its rows may come and go. */
  readonly isAccess: boolean
  /** Why Postfix goes on doing the steps; null if Holdfast does them, or there are none. */
  readonly stepsStay: string | null
  /** mysql_table(5) files in the order in which they are asked. */
  readonly files: readonly string[]
  readonly usedBy: readonly ParameterPlace[]
}

export type Edit = ParameterPlace & {
  readonly from: string
  readonly to: string
  /** The parameter was not set there, and is taken out again when Postfix is switched back. */
  readonly wasDefault: boolean
}

export type LeftAlone = ParameterPlace & { readonly table: string, readonly why: string }

/** A service that master.cf gets. */
export type NewService = Pick<Service, 'name' | 'entry'>

export type AdoptionPlan = {
  readonly maps: readonly PlannedMap[]
  readonly edits: readonly Edit[]
  readonly newServices: readonly NewService[]
  /** The maps that the recipient guard asks; none: Postfix doesn't ask it. */
  readonly guard: readonly string[]
  readonly leftAlone: readonly LeftAlone[]
}

/** The socket below the queue folder. */
export const socketInQueue = 'holdfast/holdfast.sock'

const isSamePlace = (one: ParameterPlace, other: ParameterPlace): boolean => placeName(one) === placeName(other)

export class Draft {
  readonly postfix: Postconf
  /** What an absence does in an access table. */
  readonly absenceOfAccess: (restriction: string, table: string) => AbsenceEffect
  /** Why Holdfast can't use a mysql_table(5) file; null if it can. */
  readonly #unsuitable: (file: string) => string | null
  readonly #maps: PlannedMap[] = []
  readonly #edits: Edit[] = []
  readonly #leftAlone: LeftAlone[] = []
  readonly #newServices: NewService[] = []
  /** Parameters whose tables were taken into the parameters that refer to them. */
  readonly inlined = new Set<string>()

  constructor(postfix: Postconf, unsuitable: (file: string) => string | null) {
    this.postfix = postfix
    this.absenceOfAccess = absenceOfAccess(postfix)
    this.#unsuitable = unsuitable
  }

  /**
   * `text` with the values of each $name; null, and noted as left alone where a mysql: table is in it, if it has a
   * condition, or a name that a service overrides: then only Postfix knows what it comes to.
   */
  plain(place: ParameterPlace, text: string): string | null {
    const plain = expand(text, this.postfix.written)
    const overrider = overriderOf(this.postfix, place, text)
    if (plain !== null && overrider === null) return plain
    if ((plain ?? text).includes('mysql:')) this.leave(place, text, overrider ?? 'a conditional value')
    return null
  }

  /** Why Postfix has to go on doing the steps of this search at this place; null if Holdfast can do them. */
  stepsProblem(place: ParameterPlace, search: Search, restriction = ''): string | null {
    return stepsProblem(this.postfix, servicesOf(this.postfix, place), search, restriction)
  }

  /** Why no table may stand behind unionmap: here; null if one may. */
  unionmapProblem(): string | null {
    const version = this.postfix.expanded.get('mail_version') ?? ''
    return unionmapIsSafe(version) ? null : `unionmap: in Postfix ${version} takes errors for absence`
  }

  /** Notes a table that stays with Postfix, once for each place. */
  leave(place: ParameterPlace, table: string, why: string): void {
    if (this.#leftAlone.some(left => isSamePlace(left, place) && left.table === table)) return
    this.#leftAlone.push({ ...place, table, why })
  }

  /** The file of a mysql: table, if Holdfast can use it; else null, and the table stays with Postfix. */
  usableFile(place: ParameterPlace, { name, proxy }: Extract<ListedTable, { kind: 'mysql' }>): string | null {
    const proxyWhy = proxy ? proxyProblem(this.postfix, servicesOf(this.postfix, place)) : null
    const why = proxyWhy ?? (name.startsWith('/') ? this.#unsuitable(name)
      : name.startsWith('.') ? 'a path that depends on where the process runs: write the whole path'
        : `its parameters (${name}_query...) stand in main.cf: put them into a file of their own, mysql:/path`)
    if (why !== null) this.leave(place, `mysql:${name}`, why)
    return why === null ? name : null
  }

  /**
   * The name of the map with these properties; a new one is called `wish` unless another map has that name. A table
   * whose absences do different things in two places is two maps, so that each place gets what it needs in an outage.
   */
  mapFor(place: ParameterPlace, wish: string, rules: Omit<PlannedMap, 'name' | 'smtputf8' | 'usedBy'>): string {
    const wanted = { ...rules, smtputf8: smtputf8In(this.postfix, servicesOf(this.postfix, place)) }
    const propertiesOf = ({ search, sensitive, absence, smtputf8, isAccess, files }: typeof wanted): string =>
      JSON.stringify([search, sensitive, absence, smtputf8, isAccess, files])
    const index = this.#maps.findIndex(map => propertiesOf(map) === propertiesOf(wanted))
    const same = this.#maps[index]
    if (same !== undefined) {
      const isNew = !same.usedBy.some(user => isSamePlace(user, place))
      if (isNew) this.#maps[index] = { ...same, usedBy: [...same.usedBy, place] }
      return same.name
    }
    const taken = new Set(this.#maps.map(({ name }) => name))
    let name = wish
    for (let n = 2; taken.has(name); n++) name = `${wish}_${n}`
    this.#maps.push({ ...wanted, name, usedBy: [place] })
    return name
  }

  /** Notes a parameter's new value, unless it asks Holdfast for nothing new: then only its blanks may have changed. */
  change(place: ParameterPlace, from: string, to: string): void {
    const questions = (value: string): number => value.split(socketInQueue).length - 1
    if (questions(to) === questions(from)) return
    const { service, parameter } = place
    const entry = this.postfix.services.find(({ name }) => name === service)?.entry
    if (service !== null && (entry === undefined || withOverride(entry, parameter, to) === null)) {
      this.leave(place, from, 'postconf(1) can\'t edit it')
      return
    }
    const wasDefault = place.service === null && !this.postfix.inMainCf.has(place.parameter)
    this.#edits.push({ ...place, from, to, wasDefault })
  }

  /** Gives a service that takes no socketmap a -o with the value of before, if that place of main.cf changes. */
  keepFor(service: Service, place: ParameterPlace, value: string): void {
    if (!this.#edits.some(edit => isSamePlace(edit, place))) return
    const own = { service: service.name, parameter: place.parameter }
    this.addSetting(own, value)
    this.leave(own, value, 'virtual(8) takes no socketmap; for it alone they stay, in a -o of its own')
  }

  addService({ name, entry }: NewService): void {
    this.#newServices.push({ name, entry })
  }

  /** Gives a service a -o, or main.cf a parameter, that it does not have yet. */
  addSetting(place: ParameterPlace, to: string): void {
    this.#edits.push({ ...place, from: '', to, wasDefault: true })
  }

  /** Changes what the edits so far write. */
  rewriteEdits(rewrite: (edit: Edit) => string): void {
    for (const [i, edit] of this.#edits.entries()) this.#edits[i] = { ...edit, to: rewrite(edit) }
  }

  /** What postconf(1) will say after the edits so far; new services left out. */
  after(): Postconf {
    const { written, expanded, overrides } = this.postfix
    const changed = new Map(this.#edits.flatMap(({ service, parameter, to }) =>
      service === null ? [[parameter, to] as const] : []))
    const writtenAfter = new Map([...written, ...changed])
    const expandedAfter = [...writtenAfter].map(([name, text]) => {
      const isChanged = changed.has(name) || [...namesIn(text, writtenAfter)].some(each => changed.has(each))
      return [name, isChanged ? expand(text, writtenAfter) ?? text : expanded.get(name) ?? ''] as const
    })
    const inServices = this.#edits.flatMap(({ service, parameter, to }) =>
      service === null ? [] : [{ service, parameter, value: to }])
    return {
      ...this.postfix, written: writtenAfter, expanded: new Map([...expanded, ...expandedAfter]),
      overrides: [
        ...overrides.filter(old => !inServices.some(each => isSamePlace(each, old))), ...inServices,
      ],
    }
  }

  plan(): Omit<AdoptionPlan, 'guard'> {
    const used = new Set(this.#edits.map(placeName))
    const maps = this.#maps.flatMap(map => {
      const usedBy = map.usedBy.filter(place => used.has(placeName(place)))
      return usedBy.length === 0 ? [] : [{ ...map, usedBy }]
    })
    return { maps, edits: this.#edits, newServices: this.#newServices, leftAlone: this.#leftAlone }
  }
}
