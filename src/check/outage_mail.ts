/**
 * `holdfast check --outage`: which mail would pass if MySQL went away, in general, and what stands in the way of the
 * rest: by the parameters of main.cf and master.cf that ask our maps. Pure.
 */
import { ofKnownKey, ofUnseenKey } from '../admin/outage_verdict.js'
import type { OutageFacts, OutageVerdict } from '../admin/outage_verdict.js'
import { lenientPrefix, resolvesSenders } from '../postfix/guarded_lists.js'
import { domainLists } from '../postfix/parameters.js'
import { resolverOf, valueIn } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'
import type { Stop } from './itinerary.js'

/** Mail of one kind: accepted, or what defers it. */
export type OutageLine = { readonly mail: string, readonly obstacles: readonly string[] }

/**
 * The parameters in which a sender's domain is looked up in the lists of our domains, or its route: by smtpd(8) for
 * reject_unknown_sender_domain, check_sender_access and the like (smtpd_check.c, smtpd_resolve_addr), but not where it
 * has our maps asked by their lenient names; and by cleanup(8), as {@link askedOfAddresses}.
 */
export const askedOfSenders = (postfix: Postconf): readonly string[] => {
  const cleanupLooksUp = postfix.services.filter(({ command }) => command === 'cleanup').some(({ name }) =>
    ['canonical_maps', 'sender_canonical_maps', 'sender_bcc_maps'].some(each => valueIn(postfix, name, each) !== ''))
  const resolvers = new Set(postfix.services
    .filter(({ name, command }) => command === 'smtpd' && resolvesSenders(postfix, name))
    .map(({ name }) => resolverOf(postfix, name)))
  const bySmtpd = [...domainLists, 'transport_maps'].filter(parameter => [...resolvers].some(resolver =>
    valueIn(postfix, resolver, parameter)?.includes(`:${lenientPrefix}`) !== true))
  return [...bySmtpd, ...cleanupLooksUp ? [askedOfAddresses] : []]
}

/**
 * The list in which cleanup(8), whose maps have no lenient names, looks up the domain of each address that a table of
 * addresses lacks: is it local? (mail_addr_find.c, resolve_local.) Without an answer it takes no mail (451 after DATA).
 */
const askedOfAddresses = 'mydestination'

/** By a list of domains the maps by which smtpd(8) knows their recipients. */
const recipientsOf = [
  ['virtual_mailbox_domains', 'virtual_mailbox_maps'], ['relay_domains', 'relay_recipient_maps'],
  ['mydestination', 'local_recipient_maps'],
] as const

/**
 * Why an old absence from virtual_alias_maps says nothing of the recipients in lists of domains that are ours: no map
 * of ours has them, so each may be an alias that came since. null: where maps have them, these have the last word.
 */
const whyUnnamed = (stops: readonly Stop[]): string | null => {
  const has = (parameter: string): boolean => stops.some(({ name, places }) => name === parameter && places.length > 0)
  const lists = recipientsOf.filter(([list, maps]) => has(list) && !has(maps))
  return lists.length === 0 ? null
    : `no map has the recipients of ${lists.map(([list]) => list).join(', ')}, so any may be an alias that is new: `
      + `have them in ${lists.map(([, maps]) => maps).join(', ')}`
}

type Judge = (stop: Stop, facts: OutageFacts) => OutageVerdict | null

/**
 * Each kind of mail with what would defer it. `factsOf` gives null for a text table, which needs no MySQL; `ofSenders`
 * as {@link askedOfSenders}.
 */
export const outageLines = (
  stops: readonly Stop[], factsOf: (map: string) => OutageFacts | null, ofSenders: readonly string[],
): readonly OutageLine[] => {
  const obstacles = (judge: Judge): readonly string[] => [...new Set(stops.flatMap(stop => {
    const facts = factsOf(stop.map)
    const verdict = facts === null ? null : judge(stop, facts)
    if (verdict === null || verdict.passes) return []
    return [`${stop.places.length === 0 ? '' : `${stop.name}, `}map ${stop.map}: ${verdict.why}`]
  }))]
  const isStrangers = ({ asks, name }: Stop): boolean =>
    asks === 'sender' || asks === 'client' || ofSenders.includes(name)
  const leadingAway = obstacles(({ name }, facts) => name === askedOfAddresses ? ofUnseenKey(facts, false) : null)
  const unnamed = whyUnnamed(stops)
  const noAliases = unnamed === null ? [] : obstacles(({ name }, { absence: { does } }) =>
    name === 'virtual_alias_maps' && does === 'refuses' ? { passes: false, why: unnamed } : null)
  return [
    { mail: 'to known recipients', obstacles: obstacles((_, facts) => ofKnownKey(facts)) },
    ...noAliases.length === 0 ? [] : [{ mail: 'to known recipients that are no alias', obstacles: noAliases }],
    {
      mail: 'to recipients never seen',
      obstacles: obstacles(({ asks }, facts) =>
        asks === 'recipient' || asks === 'target' ? ofUnseenKey(facts, true) : null),
    },
    {
      mail: 'from senders and clients never seen',
      obstacles: obstacles((stop, facts) => isStrangers(stop) ? ofUnseenKey(facts, false) : null),
    },
    ...leadingAway.length === 0 ? [] : [{ mail: 'to aliases that lead to other domains', obstacles: leadingAway }],
    {
      mail: 'out to next hops without a known row',
      obstacles: obstacles(({ asks }, facts) => asks === 'next hop' ? ofUnseenKey(facts, false) : null),
    },
  ]
}
