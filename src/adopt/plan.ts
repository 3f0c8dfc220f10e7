/**
 * The plan of a switch-over: from what postconf(1) says to the maps of a
 * Holdfast configuration and the parameters to change. Pure: reads no file and
 * runs nothing.
 *
 * Order. Postfix asks all tables of a parameter such as virtual_alias_maps for
 * the whole address, then all of them for the next key. So tables that stand
 * together in such a parameter become one map, which keeps that order. If
 * tables that stay with Postfix are among them, Postfix has to go on doing the
 * steps: then each table becomes an `exact` map behind unionmap:, whose first
 * member, an empty table, makes Postfix ask it for every key. So do tables for
 * which services have other settings than main.cf, or main.cf has some that no
 * search obeys (circumstances.ts).
 *
 * The plan names the socket by a path relative to the queue folder. Every process
 * of Postfix works there, and one in a chroot jail has that folder as its /.
 *
 * Bugs: conditional values (${name?text}) are taken as what they are now.
 */
import { overriderOf, virtualAgents } from './circumstances.js'
import { Draft } from './draft.js'
import type { AdoptionPlan } from './draft.js'
import { rewriteList, rewriteRestrictions, socketmapOf } from './rewrite.js'
import { addResolver, guardedMaps } from './smtpd_resolver.js'
import { guardName, lenientParameter, withGuard } from '../postfix/guarded_lists.js'
import { expand, joinList, referenceOf, splitList } from '../postfix/parameter_list.js'
import { proxyLists, purposes } from '../postfix/parameters.js'
import type { Purpose } from '../postfix/parameters.js'
import { listIn, restrictionListsOf } from '../postfix/postconf.js'
import type { ParameterPlace, Postconf } from '../postfix/postconf.js'

/**
 * What to change so that Postfix asks Holdfast in place of every mysql: table that
 * it can. `unsuitable` says why Holdfast can't use a mysql_table(5) file, or null if it can.
 */
export const planAdoption = (postfix: Postconf, unsuitable: (file: string) => string | null): AdoptionPlan => {
  const draft = new Draft(postfix, unsuitable)
  adoptLists(draft)
  const guard = guardedMaps(draft)
  const isGuarded = guard.length > 0 || postfix.written.has(lenientParameter)
  const restrictions = adoptRestrictions(draft, isGuarded)
  leaveOthers(draft, restrictions)
  if (isGuarded) addResolver(draft)
  return { ...draft.plan(), guard }
}

/** The lists of tables, in main.cf and in master.cf. */
const adoptLists = (draft: Draft): void => {
  const { written, expanded, overrides } = draft.postfix
  for (const parameter of purposes.keys()) {
    adoptList(draft, { service: null, parameter }, written.get(parameter) ?? '', expanded.get(parameter) ?? '')
  }
  for (const { service, parameter, value } of overrides) {
    const plain = purposes.has(parameter) ? draft.plain({ service, parameter }, value) : null
    if (plain !== null) adoptList(draft, { service, parameter }, value, plain)
  }
}

const adoptList = (draft: Draft, place: ParameterPlace, value: string, expanded: string): void => {
  const { service, parameter } = place
  const purpose = purposes.get(parameter)
  if (purpose === undefined || !expanded.includes('mysql:')) return
  const why = refusal(draft.postfix, place, purpose)
  if (why !== null) {
    // A default only repeats another parameter, which is named itself.
    if (service !== null || draft.postfix.inMainCf.has(parameter)) draft.leave(place, value, why)
    return
  }
  if (purpose.kind === 'refused' || isAdoptedElsewhere(draft.postfix, parameter, purpose, value)) return
  const overrider = overriderOf(draft.postfix, place, value)
  const hasCondition = expand(value, draft.postfix.written) === null
  if (hasCondition && overrider !== null) {
    draft.leave(place, value, overrider)
    return
  }
  // With a condition in it, only what it comes to is a list of tables.
  const list = hasCondition ? expanded : value
  draft.change(place, value, rewriteList(draft, place, list, purpose))
  if (parameter !== 'virtual_mailbox_maps' || service !== null) return
  // Not with references, whose own values change.
  for (const agent of virtualAgents(draft.postfix, true)) draft.keepFor(agent, place, expanded)
}

/** Why Postfix takes no socketmap there; null if it does. */
const refusal = (postfix: Postconf, { service }: ParameterPlace, purpose: Purpose): string | null => {
  if (purpose.kind === 'refused') return purpose.why
  const command = postfix.services.find(({ name }) => name === service)?.command
  return command === 'virtual' ? 'virtual(8) takes no socketmap' : null
}

/** The value is another parameter's, which is switched over itself and whose map answers here as well. */
const isAdoptedElsewhere = (postfix: Postconf, parameter: string, purpose: Purpose, value: string): boolean => {
  const [only, ...others] = splitList(value)
  const name = only === undefined || others.length > 0 ? null : referenceOf(only.text)
  const other = name === null || name === parameter ? undefined : purposes.get(name)
  if (other?.kind !== 'search') return false
  if (parameter === 'fast_flush_domains') return other.search === 'domain' && hasSameParents(postfix)
  if (purpose.kind !== 'search' || other.absence !== purpose.absence) return false
  // For a bare domain, the searches of addresses do what `exact` does.
  return other.search === purpose.search
    || (purpose.search === 'exact' && ['virtual', 'canonical', 'recipient'].includes(other.search))
}

/**
 * Whether fast_flush_domains takes parent domains for matches just where relay_domains does: smtpd(8) and the delivery
 * agents read the one, trivial-rewrite(8) the other, and each may have its own setting.
 */
const hasSameParents = (postfix: Postconf): boolean => {
  if (postfix.overrides.some(({ parameter }) => parameter === 'parent_domain_matches_subdomains')) return false
  const names = listIn(postfix, 'parent_domain_matches_subdomains')
  return names.includes('fast_flush_domains') === names.includes('relay_domains')
}

/** The lists of restrictions, in master.cf and in main.cf, with the guard if `isGuarded`; gives their names. */
const adoptRestrictions = (draft: Draft, isGuarded: boolean): ReadonlySet<string> => {
  const { written, overrides } = draft.postfix
  const known = restrictionListsOf(draft.postfix)
  const lists = new Set(known)
  const adopt = (place: ParameterPlace, value: string): void => {
    const pieces = rewriteRestrictions(draft, place, value, name => lists.add(name))
    draft.change(place, value, joinList(isGuarded ? withGuard(pieces, socketmapOf(guardName)) : pieces))
  }
  for (const { service, parameter, value } of overrides) {
    if (known.includes(parameter)) adopt({ service, parameter }, value)
  }
  // The set grows as lists refer to others, and the loop goes on with those.
  for (const parameter of lists) adopt({ service: null, parameter }, written.get(parameter) ?? '')
  return lists
}

/** Notes the mysql: tables in all other parameters. */
const leaveOthers = (draft: Draft, restrictions: ReadonlySet<string>): void => {
  const { inMainCf, written, overrides } = draft.postfix
  const isHandled = (parameter: string): boolean =>
    purposes.has(parameter) || restrictions.has(parameter) || draft.inlined.has(parameter) || proxyLists.has(parameter)
  const everywhere: readonly (ParameterPlace & { value: string })[] = [
    ...[...inMainCf].map(parameter => ({ service: null, parameter, value: written.get(parameter) ?? '' })),
    ...overrides,
  ]
  for (const { service, parameter, value } of everywhere) {
    if (/\bmysql:/.test(value) && !isHandled(parameter)) {
      draft.leave({ service, parameter }, value, 'Holdfast doesn\'t know what Postfix asks there')
    }
  }
}
