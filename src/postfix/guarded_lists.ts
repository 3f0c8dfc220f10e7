/**
 * Where `recipient_guard` has to stand in Postfix's restrictions, and where lenient names may be asked
 * (lookup/recipient_guard.ts says what both are for).
 *
 * Bugs: a restriction that is the value of a row in an access table is not seen, nor is error: in a row of
 * sender_dependent_default_transport_maps.
 */
import { parseTable, splitList, textsOf } from './parameter_list.js'
import type { ListPiece } from './parameter_list.js'
import { domainLists, programsOf, purposes } from './parameters.js'
import { listIn, resolverOf, restrictionListsOf, valueIn } from './postconf.js'
import type { Postconf } from './postconf.js'

/** The name by which Postfix asks the guard. */
export const guardName = 'recipient_guard'

/** Before the name of a map: it says absent where it can't know. */
export const lenientPrefix = 'lenient/'

/**
 * The parameter that stands before the names of maps in main.cf: empty there, and {@link lenientPrefix} in the -o of
 * the services that ask leniently. So each of them has what main.cf says, also after somebody changed it.
 */
export const lenientParameter = 'holdfast_lenient'

/** The name of the map that a lenient name is for; null if it is none. */
export const lenientOf = (name: string): string | null =>
  name.startsWith(lenientPrefix) ? name.slice(lenientPrefix.length) : null

/** The names that Holdfast answers by itself, so that no map can have them. */
export const isReservedName = (name: string): boolean => name === guardName || lenientOf(name) !== null

const refusesOthers = /^reject_unauth_destination$/i
const permitsOurs = /^permit_(auth_destination|mx_backup)$/i
const refusesNobody = /^(permit|defer|warn_if_reject$|sleep$|\d+$)/i

/** Where a list asks the guard; -1: nowhere. With a warn_if_reject before it, nothing comes of what it says. */
const guardIn = (list: readonly string[]): number => list.findIndex((text, i) =>
  /^check_recipient_access$/i.test(text) && list[i + 1]?.endsWith(`:${guardName}`) === true
  && !/^warn_if_reject$/i.test(list[i - 1] ?? ''))

/**
 * The index of the restriction by which a list first refuses recipients whose domain isn't ours; -1 if none does: it
 * rejects them, or lets ours pass before something that may refuse the others.
 */
const judgeIn = (list: readonly string[]): number => list.findIndex((text, i) => {
  if (refusesOthers.test(text)) return true
  if (!permitsOurs.test(text)) return false
  const later = list.slice(i + 1)
  const ends = [later.findIndex(each => refusesOthers.test(each)), guardIn(later)].filter(end => end !== -1)
  return later.slice(0, Math.min(later.length, ...ends)).some(each => !refusesNobody.test(each))
})

/** Defers a recipient whose domain is not in DNS, or rejects it if unknown_address_reject_code says so. */
const judgesByDns = /^reject_unknown_recipient_domain$/i

/** A list of restrictions with `guard`, a table, before the first that judges a recipient's domain, if one does. */
export const withGuard = (pieces: readonly ListPiece[], guard: string): readonly ListPiece[] => {
  const judge = judgeIn(textsOf(pieces))
  if (judge === -1 || guardIn(textsOf(pieces.slice(0, judge))) !== -1) return pieces
  const at = /^warn_if_reject$/i.test(pieces[judge - 1]?.text ?? '') ? judge - 1 : judge
  const { separator = '', text = '' } = pieces[at] ?? {}
  return [
    ...pieces.slice(0, at), { separator, text: 'check_recipient_access' }, { separator: ' ', text: guard },
    { separator: separator === '' ? ', ' : separator, text }, ...pieces.slice(at + 1),
  ]
}

/**
 * Why a service of smtpd(8) may not ask leniently: by an absence that nobody can know, it would refuse recipients. null
 * if it may: each of its lists has the guard before what judges a recipient's domain, and who need not pass the guard,
 * such as mynetworks, may send anywhere.
 */
export const whyNotLenient = (postfix: Postconf, service: string): string | null => {
  const rejectsByDns = valueIn(postfix, service, 'unknown_address_reject_code')?.startsWith('4') !== true
  const unguarded = restrictionListsOf(postfix).find(parameter => {
    const value = valueIn(postfix, service, parameter)
    return value === null || !isGuarded(value, rejectsByDns)
  })
  if (unguarded !== undefined) return `${unguarded} of ${service} does not ask ${guardName} first`
  const routes = takesRoutes(postfix)
  if (routes !== null) return `${routes}: who has a route in the address (host!user@domain) may be a recipient`
  const transport = valueIn(postfix, resolverOf(postfix, service), 'default_transport')
  return transport === null || /^error(:|$)/.test(transport)
    ? `default_transport = ${transport ?? 'a condition'} refuses recipients of domains that aren't ours` : null
}

/**
 * The first setting with which smtpd doesn't refuse whoever has a route in the address, in a domain that isn't local,
 * or by which such an address may be one of a local domain; null if there is none. The guard leaves those to smtpd.
 */
const takesRoutes = ({ expanded, overrides }: Postconf): string | null => {
  const usual = {
    allow_untrusted_routing: 'no', resolve_dequoted_address: 'yes', allow_percent_hack: 'yes', swap_bangpath: 'yes',
  }
  const others = Object.entries(usual).flatMap(([name, value]) => [
    expanded.get(name) ?? value, ...overrides.filter(({ parameter }) => parameter === name).map(own => own.value),
  ].filter(each => each !== value).map(each => `${name} = ${each}`))
  return others[0] ?? null
}

const isGuarded = (list: string, rejectsByDns: boolean): boolean => {
  const texts = textsOf(splitList(list))
  const guard = guardIn(texts)
  const unguarded = guard === -1 ? texts : texts.slice(0, guard)
  // What a condition comes to is not known.
  return judgeIn(unguarded) === -1
    && !unguarded.some(text => text.includes('$') || (rejectsByDns && judgesByDns.test(text)))
}

/**
 * Whether a table at `i` of a list of domains may have some that are strangers' all the same: a `!` stands before it,
 * and what that names is decided there, or before the table itself; or it is in a pipemap:, where the last table has
 * the last word. To the guard all that a table has are ours.
 */
export const mayHaveStrangers = (list: readonly string[], i: number): boolean =>
  list.slice(0, i + 1).some(text => text.startsWith('!')) || list[i]?.includes('pipemap:') === true

/**
 * Whether a list of our domains has some that Holdfast can't know: in a table that is not `seen` or that the guard
 * doesn't ask, or `.example.com`. To it they are strangers', so by a lenient name their aliases would be absent.
 */
export const hasUnseenDomains = (postfix: Postconf, seen: (table: string) => boolean): boolean => {
  const isSeen = (text: string): boolean => {
    const table = parseTable(text)
    return table !== null && table.kind !== 'mysql' ? table.members.every(isSeen)
      : /^(!|internal:)/.test(text) || !/^\.|[:/]/.test(text) || seen(text)
  }
  return domainLists.some(name => {
    const texts = listIn(postfix, name)
    return texts.some((text, i) => !isSeen(text) || (/^[^!].*:/.test(text) && mayHaveStrangers(texts, i)))
  })
}

/** The parameters in which a service of smtpd(8), or the trivial-rewrite(8) of such services alone, asks leniently. */
export const lenientParameters: readonly string[] = [...purposes.keys()].filter(name => {
  const programs = programsOf(name)
  // What smtpd(8) alone reads is asked of recipients whose domain it found to be ours.
  return programs.includes('trivial-rewrite') || (programs.includes('smtpd') && programs.includes('cleanup'))
})

/** Whether a service of smtpd(8) has the addresses of senders resolved (smtpd_check.c, smtpd_resolve_addr). */
export const resolvesSenders = (postfix: Postconf, service: string): boolean =>
  valueIn(postfix, service, 'smtpd_reject_unlisted_sender') === 'yes'
  || restrictionListsOf(postfix).map(list => valueIn(postfix, service, list)).some(list =>
    // What a condition comes to is not known.
    list === null || /\b(reject_(unknown|unverified|unlisted)_sender|check_sender_\w+)/i.test(list))

/** The parameters in which a service of smtpd(8), and the trivial-rewrite(8) that it uses, ask our maps leniently. */
export const lenientIn = (postfix: Postconf, service: string): readonly string[] => {
  const asksLeniently = (parameter: string) => (reader: string): boolean =>
    valueIn(postfix, reader, parameter)?.includes(`:${lenientPrefix}`) === true
  return lenientParameters.filter(parameter => {
    const programs = programsOf(parameter)
    return [
      ...programs.includes('smtpd') ? [service] : [],
      ...programs.includes('trivial-rewrite') ? [resolverOf(postfix, service)] : [],
    ].every(asksLeniently(parameter))
  })
}
