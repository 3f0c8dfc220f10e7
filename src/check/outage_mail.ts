/**
 * `holdfast check --outage`: which mail would pass if MySQL went away, in general, and what stands in the way of the
 * rest: by the parameters of main.cf and master.cf that ask our maps. Pure.
 */
import { ofKnownKey, ofUnseenKey } from '../admin/outage_verdict.js'
import type { OutageFacts, OutageVerdict } from '../admin/outage_verdict.js'
import { expand } from '../postfix/parameter_list.js'
import { lenientPrefix } from '../postfix/guarded_lists.js'
import { resolverOf, restrictionListsOf } from '../postfix/postconf.js'
import type { Postconf, Service } from '../postfix/postconf.js'
import type { Stop } from './itinerary.js'

/** Mail of one kind: accepted, or what defers it. */
export type OutageLine = { readonly mail: string, readonly obstacles: readonly string[] }

/**
 * Whether smtpd(8) looks up the route of a sender, and so its domain in the lists of our domains: for
 * reject_unknown_sender_domain, check_sender_access and the like (smtpd_check.c, smtpd_resolve_addr). By the lenient
 * names of our maps it may.
 */
export const resolvesSenders = (postfix: Postconf): boolean => {
  const { expanded, written, overrides, services } = postfix
  const isLenient = ({ name }: Service): boolean => overrides.some(({ service, value }) =>
    service === resolverOf(postfix, name) && value.includes(`:${lenientPrefix}`))
  if (services.filter(({ command }) => command === 'smtpd').every(isLenient)) return false
  return [
    ...restrictionListsOf(postfix).map(name => expanded.get(name) ?? ''),
    ...overrides.map(({ value }) => expand(value, written) ?? value),
  ].some(value => /\b(reject_unknown_sender_domain|reject_unverified_sender|reject_unlisted_sender|check_sender_\w+)/i
    .test(value)) || expanded.get('smtpd_reject_unlisted_sender') === 'yes'
}

type Judge = (stop: Stop, facts: OutageFacts) => OutageVerdict | null

/** Each kind of mail with what would defer it. `factsOf` gives null for a text table, which needs no MySQL. */
export const outageLines = (
  stops: readonly Stop[], factsOf: (map: string) => OutageFacts | null, areSendersResolved: boolean,
): readonly OutageLine[] => {
  const obstacles = (judge: Judge): readonly string[] => [...new Set(stops.flatMap(stop => {
    const facts = factsOf(stop.map)
    const verdict = facts === null ? null : judge(stop, facts)
    if (verdict === null || verdict.passes) return []
    return [`${stop.places.length === 0 ? '' : `${stop.name}, `}map ${stop.map}: ${verdict.why}`]
  }))]
  const isStrangers = ({ asks, name }: Stop): boolean => asks === 'sender' || asks === 'client'
    || (areSendersResolved && (asks === 'domain' || name === 'transport_maps'))
  return [
    { mail: 'to known recipients', obstacles: obstacles((_, facts) => ofKnownKey(facts)) },
    {
      mail: 'to recipients never seen',
      obstacles: obstacles(({ asks }, facts) =>
        asks === 'recipient' || asks === 'target' ? ofUnseenKey(facts, true) : null),
    },
    {
      mail: 'from senders and clients never seen',
      obstacles: obstacles((stop, facts) => isStrangers(stop) ? ofUnseenKey(facts, false) : null),
    },
    {
      mail: 'out to next hops without a known row',
      obstacles: obstacles(({ asks }, facts) => asks === 'next hop' ? ofUnseenKey(facts, false) : null),
    },
  ]
}
