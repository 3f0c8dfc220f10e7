/** Whether the maps that Postfix asks for exist, do the steps that it expects, and may be asked by it at all. Pure. */
import { staticDomains } from '../adopt/adopted_config.js'
import { smtputf8In, stepsProblem, virtualAgents } from '../adopt/circumstances.js'
import {
  guardName, hasUnseenDomains, lenientIn, lenientOf, lenientParameter, resolvesSenders, whyNotLenient,
} from '../postfix/guarded_lists.js'
import { listIn, resolverOf } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'
import type { Config, MapConfig } from '../config/config.js'
import { fold } from '../postfix/fold.js'
import { domainLists } from '../postfix/parameters.js'
import type { AbsenceEffect, Search } from '../postfix/parameters.js'
import { hintFor } from '../config/spelling.js'
import { deferred, fileAndName } from './uses.js'
import type { Finding, FindingText, Use } from './uses.js'

const wholeKeyOnly = 'Postfix asks a socketmap: or tcp: table for the whole key alone'

/** What happens if nobody does the steps of a search. */
const consequence: Readonly<Record<Search, string>> = {
  virtual: 'recipients known by a catch-all, or with an extension, are answered "User unknown" (550)',
  recipient: 'recipients known by a catch-all, or with an extension, are answered "User unknown" (550)',
  canonical: 'addresses of a whole domain, or with an extension, are not rewritten',
  generic: 'addresses of a whole domain, or with an extension, leave as they are',
  transport: 'mail goes another way than the table says for its domain',
  domain: 'parent domains are not looked up, or are where they should not be: '
    + '"Relay access denied" (554), or mail accepted for domains of nobody',
  access: 'entries for domains, networks or user@ have no effect',
  exact: 'a domain that is in no list counts as listed if a parent domain is',
}

const addressSearches: readonly Search[] = ['virtual', 'canonical', 'generic', 'recipient']

/** Does the map do the steps that Postfix leaves to it, and no others? */
const searchProblem = ({ asked, purpose, table }: Use, { name, search }: MapConfig): FindingText | null => {
  if (asked === 'other' || purpose === null || purpose.kind === 'refused') return null
  const wanted = purpose.kind === 'search' ? purpose.search : null
  if (search === 'exact' && (asked === 'steps' || wanted === 'exact')) return null
  // For a bare domain, the searches of addresses do what `exact` does.
  if (wanted === 'exact' && addressSearches.includes(search)) return null
  if (asked === 'steps') {
    return {
      level: 'warning',
      text: `${table}: behind unionmap: Postfix does the steps itself, and map ${name} with search: ${search} does `
        + 'them again for each: a catch-all may take the mail of a user who stands in another table. Set search: exact',
    }
  }
  if (wanted === null) {
    return {
      level: 'warning',
      text: `${table}: ${wholeKeyOnly}, and no search does the steps of this parameter. `
        + `Write unionmap:{internal:none,${table}} and search: exact`,
    }
  }
  if (search === wanted) return null
  if (addressSearches.includes(search) && addressSearches.includes(wanted)) {
    const difference = search === 'recipient' ? 'doesn\'t put the extension of a plus address back on results'
      : wanted === 'recipient' ? 'puts the extension of a plus address back on results'
        : `has the defaults of a ${search} map`
    const text = `${table}: map ${name} has search: ${search}, which ${difference}. Set search: ${wanted}`
    return { level: 'warning', text }
  }
  return {
    level: 'error',
    text: `${table}: ${wholeKeyOnly}, and map ${name} with search: ${search} does other steps than it would: `
      + `${consequence[wanted]}. Set search: ${wanted}`,
  }
}

const byStrictness: readonly AbsenceEffect[] = ['passes', 'reroutes', 'weakens', 'refuses']

const ifAbsent: Readonly<Record<AbsenceEffect, string>> = {
  refuses: 'refuses mail', weakens: 'sends mail less protected', reroutes: 'sends mail another way',
  passes: 'does nothing',
}

/** May the map say absent in an outage where that does more to mail than it says? */
const absenceProblem = ({ purpose, parameter, table }: Use, { name, absence }: MapConfig): FindingText | null => {
  if (purpose === null || purpose.kind === 'refused') return null
  const [does, needed] = [absence.does, purpose.absence]
  if (byStrictness.indexOf(does) >= byStrictness.indexOf(needed)) return null
  return {
    level: 'warning',
    text: `${table}: an absence in ${parameter} ${ifAbsent[needed]}, and map ${name} has absence: ${does}, `
      + `so in an outage it may say absent without knowing it. Set absence: ${needed}`,
  }
}

const systemError = '"mail system configuration error" (4.3.5)'

/** Does the program that reads the parameter take no socketmap:? */
const refusal = (postfix: Postconf, { parameter, service, purpose, table }: Use): FindingText | null => {
  const insteadUse = 'Use the mysql: table itself here'
  if (purpose?.kind === 'refused' && purpose.by !== null) {
    const reply = purpose.by === 'local' ? '"alias database unavailable" (4.3.0)' : systemError
    const mail = `mail that ${purpose.by}(8) delivers is deferred, ${reply}`
    return { level: 'error', text: `${table}: ${purpose.why}: ${mail}. ${insteadUse}` }
  }
  const isVirtuals = postfix.services.some(({ name, command }) => name === service && command === 'virtual')
  if (parameter !== 'virtual_mailbox_maps' || (service !== null && !isVirtuals)) return null
  const [agent] = virtualAgents(postfix, false)
  const why = isVirtuals ? `virtual(8) takes no socketmap. ${insteadUse}` : agent === undefined ? null
    : `virtual(8) reads it too and takes no socketmap. Give the service ${agent.name} in master.cf a `
      + '-o virtual_mailbox_maps of its own, with the mysql: tables'
  if (why === null) return null
  return { level: 'error', text: `${table}: mail that virtual(8) delivers is deferred, ${systemError}: ${why}` }
}

/** Do tables stand beside it whose steps belong between its own? */
const orderProblem = ({ hasNeighbours, asked, purpose, table }: Use, { search }: MapConfig): FindingText | null => {
  if (!hasNeighbours || asked !== 'whole' || search === 'exact' || purpose?.kind !== 'search') return null
  // The order means nothing where Postfix only asks whether a recipient is there.
  if (purpose.search === 'recipient') return null
  return {
    level: 'warning',
    text: `${table}: other tables stand beside it, and Postfix asks them only after all of its steps: `
      + 'a catch-all here takes the mail of an address there. Put them into one map (`cf: [a.cf, b.cf]`), '
      + `or write unionmap:{internal:none,${table}} and search: exact`,
  }
}

/** Do all services that ask it have the settings by which the map does the steps? */
const settingProblem = (
  postfix: Postconf, { asked, services, table, restriction }: Use, { search }: MapConfig,
): FindingText | null => {
  const why = asked === 'whole' && search !== 'exact' ? stepsProblem(postfix, services, search, restriction) : null
  if (why === null) return null
  return {
    level: 'warning',
    text: `${table}: Postfix would do other steps than Holdfast does (${why}). Let Postfix do them: write `
      + `unionmap:{internal:none,${table}} and search: exact`,
  }
}

/** Does the map know as much of UTF-8 as Postfix does? */
const lettersProblem = (
  postfix: Postconf, { services, table }: Use, { name, smtputf8 }: MapConfig,
): FindingText | null => {
  const wanted = smtputf8In(postfix, services)
  if (wanted === smtputf8) return null
  const differs = wanted ? 'letters beyond ASCII keep their case, and Postfix folds it'
    : 'the case of letters beyond ASCII is folded, and Postfix keeps it: a key may find another row'
  return {
    level: 'warning',
    text: `${table}: map ${name} has smtputf8_enable: ${smtputf8 ? 'yes' : 'no'}, but a service that asks it has `
      + `${wanted ? 'yes' : 'no'}: ${differs}. Set smtputf8_enable: ${wanted ? 'yes' : 'no'}`,
  }
}

/** May the map be asked by its lenient name there? `hasUnseen`: there are domains of ours that Holdfast can't know. */
const lenientProblem = (
  postfix: Postconf, { map, parameter, service, table }: OwnUse, hasUnseen: boolean,
): FindingText | null => {
  if (lenientOf(map) === null) return null
  const asker = postfix.services.find(({ name }) => name === service)
  const users = asker?.command === 'smtpd' ? [asker]
    : postfix.services.filter(({ name }) => resolverOf(postfix, name) === asker?.name)
  const others = users.filter(({ command }) => command !== 'smtpd')
  const isUnseen = hasUnseen && !(domainLists as readonly string[]).includes(parameter)
  const why = users.length === 0 || others.length > 0 ? 'unless smtpd(8) alone asks it'
    : users.map(({ name }) => whyNotLenient(postfix, name)).find(each => each !== null)
      ?? (isUnseen ? `if their domain is in a table of ${domainLists.join(', ')} that Holdfast doesn't answer` : null)
  return why === null ? null : {
    level: 'error',
    text: `${table}: in an outage it says absent where it can't know, which refuses recipients that exist: ${why}. `
      + `Ask the map without lenient/ here (-o ${lenientParameter}=)`,
  }
}

/** Does the guard ask every list of domains that smtpd(8) asks leniently? */
const guardProblem = (
  { map, parameter, table }: OwnUse, recipientGuard: readonly string[],
): FindingText | null => {
  const name = lenientOf(map)
  if (name === null || recipientGuard.includes(name) || !(domainLists as readonly string[]).includes(parameter)) {
    return null
  }
  return {
    level: 'error',
    text: `${table}: recipient_guard of this configuration lacks ${name}: while its table alone can't be asked, `
      + `recipients in its domains are answered "Relay access denied" (554). Add ${name} to recipient_guard`,
  }
}

/**
 * A finding for each service of smtpd(8) that could ask leniently for senders, as another one does, and doesn't: an
 * outage stops mail from strangers there alone.
 */
const strictServices = (postfix: Postconf): readonly Finding[] => {
  const services = postfix.services.filter(({ command }) => command === 'smtpd')
    .map(({ name }) => ({ name, lenient: lenientIn(postfix, name) }))
  return services.flatMap(({ name, lenient }) => {
    const lacksSome = ({ lenient: theirs }: { readonly lenient: readonly string[] }): boolean =>
      theirs.some(parameter => !lenient.includes(parameter))
    const other = services.find(lacksSome)
    if (other === undefined || !resolvesSenders(postfix, name) || whyNotLenient(postfix, name) !== null) return []
    const options = postfix.overrides.filter(({ service, parameter }) =>
      service === other.name && (parameter === 'rewrite_service_name' || parameter === lenientParameter))
    const remedy = options.map(({ parameter, value }) => `-o ${parameter}=${value}`).join(' ')
    return [{
      level: 'warning', place: `${postfix.configDir}/master.cf: ${name}`,
      text: `it asks for senders in ${other.lenient.filter(each => !lenient.includes(each)).join(', ')} without `
        + `lenient names, unlike ${other.name}: in an outage, mail from strangers that comes in here is deferred. `
        + (remedy === '' ? `Give it the settings of ${other.name}` : `Add ${remedy}`),
    }]
  })
}

/** A use of this configuration's daemon, with the map that it asks, whatever the protocol. */
export type OwnUse = Use & { readonly map: string }

const mapFindings = (
  postfix: Postconf, { maps, faults, recipientGuard }: Config, use: OwnUse, hasUnseen: boolean,
): readonly FindingText[] => {
  const hasGuard = recipientGuard.length > 0
  if (use.map === guardName && hasGuard) return []
  const lenient = lenientOf(use.map)
  const name = hasGuard && lenient !== null ? lenient : use.map
  const map = maps.find(each => each.name === name)
  if (map !== undefined) {
    const steps = refusal(postfix, use) ?? searchProblem(use, map)
    return [
      steps ?? settingProblem(postfix, use, map), orderProblem(use, map), absenceProblem(use, map),
      lettersProblem(postfix, use, map), lenientProblem(postfix, use, hasUnseen),
      guardProblem(use, recipientGuard),
    ].flatMap(finding => finding ?? [])
  }
  // Its faults are told.
  if (faults.has(name)) return []
  const names = maps.map(each => each.name)
  if (!hasGuard && (name === guardName || lenient !== null)) {
    return [{
      level: 'error',
      text: `${use.table}: this configuration has no recipient_guard: each lookup is ${deferred}. `
        + 'Set it to the maps that list our domains',
    }]
  }
  const hint = hintFor(name, names, `; name one of these maps: ${names.join(', ')}`)
  return [{ level: 'error', text: `${use.table}: there is no map '${name}': each lookup is ${deferred}${hint}` }]
}

/** Findings about each use, each finding once for each place. */
export const tableFindings = (postfix: Postconf, config: Config, uses: readonly OwnUse[]): readonly Finding[] => {
  const hasUnseen = hasUnseenDomains(postfix, text => uses.some(({ table }) => text.endsWith(table)))
  const findings = uses.flatMap(use => {
    const place = fileAndName(postfix, [use])
    return mapFindings(postfix, config, use, hasUnseen).map(({ level, text }) => ({ level, place, text }))
  })
  const all = [...findings, ...strictServices(postfix)]
  return [...new Map(all.map(finding => [`${finding.place}\0${finding.text}`, finding])).values()]
}

const sorted = (characters: string): string => Array.from(characters).sort().join('')

/** The parameters of main.cf that decide the steps, where the maps in use have other steps than Postfix would do. */
export const settingFindings = (
  postfix: Postconf, { fileName, maps, search: settings, ...config }: Config, uses: readonly OwnUse[],
): readonly Finding[] => {
  const names = new Set(uses.map(({ map }) => lenientOf(map) ?? map))
  const searches = new Set(maps.filter(({ name }) => names.has(name)).map(({ search }) => search))
  const differs = (
    parameter: string, ours: ReadonlySet<string>, by: readonly (readonly [name: string, search: Search])[],
  ): readonly string[] => {
    const theirs = new Set(listIn(postfix, parameter))
    return by.filter(([name, search]) => searches.has(search) && ours.has(name) !== theirs.has(name)).map(([name]) =>
      `${parameter}: ${name} is ${theirs.has(name) ? 'in' : 'not in'} main.cf's list, and `
      + `${ours.has(name) ? 'in' : 'not in'} this one: the steps of lookups differ. Write what main.cf has`)
  }
  const [theirs, ours] = [postfix.expanded.get('recipient_delimiter') ?? '', settings.recipientDelimiter]
  const isDelimited = [...addressSearches, 'transport', 'access'].some(search => searches.has(search as Search))
  const unnamed = uses.some(({ map }) => lenientOf(map) !== null)
    ? staticDomains(postfix).filter(domain => !config.staticDomains.has(fold(domain))) : []
  return [
    ...unnamed.length > 0 ? [
      `static_domains: main.cf has ${unnamed.join(', ')}, and this configuration has not: in an outage their aliases `
      + 'may be answered "User unknown" (550). Write what main.cf has',
    ] : [],
    ...isDelimited && sorted(theirs) !== sorted(ours) ? [
      `recipient_delimiter: main.cf has '${theirs}', and this configuration '${ours}': plus addresses are looked up `
      + 'otherwise than Postfix would. Write the same here',
    ] : [],
    ...differs('propagate_unmatched_extensions', settings.propagateUnmatchedExtensions, [
      ['virtual', 'virtual'], ['canonical', 'canonical'], ['generic', 'generic'],
    ]),
    ...differs('parent_domain_matches_subdomains', settings.parentDomainMatchesSubdomains, [
      ['relay_domains', 'domain'], ['smtpd_access_maps', 'access'], ['transport_maps', 'transport'],
    ]),
  ].map(text => ({ level: 'warning', place: fileName, text }))
}
