/**
 * How mail from strangers passes in an outage.
 *
 * For check_sender_access, reject_unknown_sender_domain and the like smtpd(8) has trivial-rewrite(8) resolve the
 * sender, and so look the sender's domain up in the lists of our domains (smtpd_check.c, smtpd_resolve_addr). An
 * absence there refuses recipients ("Relay access denied"), so in an outage these lists never say absent of a domain
 * that may be one of ours, and each mail from elsewhere would wait. But trivial-rewrite can't tell us whether it asks
 * for a sender or a recipient. Two names that every map has solve it:
 *
 * - `lenient/NAME` answers as map NAME does, but absent where NAME can't know and nothing says that the domain is ours.
 *   smtpd asks it, and a trivial-rewrite that serves smtpd alone; queue manager and cleanup(8) ask NAME. In main.cf
 *   that is `${holdfast_lenient}NAME` (postfix/guarded_lists.ts).
 * - `recipient_guard`, asked by check_recipient_access before whatever refuses a recipient for its domain, has the last
 *   word on recipients: it never takes an absence from a lenient answer.
 */
import { absent, byteString, found, isOutage } from '../outcome.js'
import type { Outcome, Reason } from '../outcome.js'
import { domainOf } from '../postfix/address.js'
import { fold } from '../postfix/fold.js'

/**
 * What the guard says of a recipient whose domain is ours. An smtpd process remembers its last hundred addresses. If a
 * lenient answer once made one of them a stranger's, this restriction defers it, where reject_unauth_destination would
 * reject it.
 */
const ours = found(byteString('defer_unauth_destination'))

/**
 * And of one whose domain may be ours: whatever would reject it defers it. That is not only reject_unauth_destination:
 * smtpd may remember that the domain is ours when Holdfast has lost it (killed a moment after it learned it), and would
 * then reject the recipient for a lenient answer of virtual_alias_maps. Nothing comes of it where smtpd accepts.
 */
const mayBeOne = found(byteString('DEFER_IF_REJECT the lists of our domains can\'t be asked now'))

/** The answer for a lenient name: what can't be known now is taken to be absent, if its domain isn't ours. */
export const leniently = (
  outcome: Outcome | Promise<Outcome>, isOurs: () => boolean,
): Outcome | Promise<Outcome> => {
  if (outcome instanceof Promise) return outcome.then(settled => leniently(settled, isOurs))
  return outcome.kind === 'unavailable' && mayBeAbsent(outcome.reason) && !isOurs() ? absent : outcome
}

/** There may be no row. */
const mayBeAbsent = (reason: Reason): boolean =>
  isOutage(reason) || reason === 'distrusted' || reason === 'overloaded'

/** What is known of our domains without asking anybody. */
export type OwnDomains = {
  /** Those that main.cf names. */
  readonly staticDomains: ReadonlySet<string>
  /** The maps that list others; null: one of which nothing at all is known, so that every domain may be in it. */
  readonly lists: readonly (((domain: string) => boolean) | null)[]
}

/** Whether the domain of a key may be ours: a list has it or a parent, or there is a list of which nothing is known. */
export const mayBeOurs = (key: string, { staticDomains, lists }: OwnDomains): boolean => {
  const domain = fold(domainOf(key))
  // relay_domains may have example.com for its subdomains too.
  const parents = domain.split('.').map((_, i, labels) => labels.slice(i).join('.'))
  // An address literal may be this machine's.
  return domain.startsWith('[') || parents.some(parent => staticDomains.has(parent))
    || lists.some(has => has === null || has(domain))
}

/**
 * What smtpd is to do with a recipient: go on, if no list has its domain (absent); not to reject it for the domain, if
 * one has it; not to reject it at all, if one can't be asked. `lists` are asked for the domain alone.
 */
export const guardRecipient = async (
  recipient: string, staticDomains: ReadonlySet<string>,
  lists: readonly ((domain: string) => Outcome | Promise<Outcome>)[],
): Promise<Outcome> => {
  const domain = domainOf(recipient)
  // An address literal is in no list, and Postfix itself knows the domains that main.cf names.
  if (!recipient.includes('@') || domain.startsWith('[') || staticDomains.has(fold(domain))) return absent
  // With a route in the address (host!user@domain) smtpd takes no domain for ours (resolve.c, permit_auth_destination).
  if (/[!%@]/.test(recipient.slice(0, recipient.lastIndexOf('@')))) return absent
  const outcomes = await Promise.all(lists.map(async list => await list(domain)))
  if (outcomes.some(({ kind }) => kind === 'found')) return ours
  return outcomes.every(({ kind }) => kind === 'absent') ? absent : mayBeOne
}
