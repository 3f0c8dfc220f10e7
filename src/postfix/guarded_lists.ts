/** Where `recipient_guard` has to stand in Postfix's restrictions (lookup/recipient_guard.ts says what it is for). */
import { expand, splitList } from './parameter_list.js'
import type { ListPiece } from './parameter_list.js'
import { restrictionListsOf } from './postconf.js'
import type { Postconf } from './postconf.js'

/** The name by which Postfix asks the guard. */
export const guardName = 'recipient_guard'

/** Before the name of a map: it says absent where it can't know. */
export const lenientPrefix = 'lenient/'

/** Where a list first refuses a recipient for its domain, or lets pass all others before a `reject`; -1: it doesn't. */
const judgeIn = (list: readonly string[]): number => list.findIndex((text, i) =>
  /^reject_unauth_destination$/i.test(text)
  || (/^permit_auth_destination$/i.test(text) && list.slice(i).some(later => /^reject$/i.test(later))))

/** Defers a recipient whose domain is not in DNS, or rejects it if unknown_address_reject_code says so. */
const judgesByDns = /^reject_unknown_recipient_domain$/i

const isGuard = (text: string): boolean => text.endsWith(`:${guardName}`)

/** A list of restrictions with `guard`, a table, before the first that judges a recipient's domain, if one does. */
export const withGuard = (pieces: readonly ListPiece[], guard: string): readonly ListPiece[] => {
  const judge = judgeIn(pieces.map(({ text }) => text))
  if (judge === -1 || pieces.slice(0, judge).some(({ text }) => isGuard(text))) return pieces
  const at = /^warn_if_reject$/i.test(pieces[judge - 1]?.text ?? '') ? judge - 1 : judge
  const { separator = '', text = '' } = pieces[at] ?? {}
  return [
    ...pieces.slice(0, at), { separator, text: 'check_recipient_access' }, { separator: ' ', text: guard },
    { separator: separator === '' ? ', ' : separator, text }, ...pieces.slice(at + 1),
  ]
}

/** The name of the map that a lenient name is for; null if it is none. */
export const lenientOf = (name: string): string | null =>
  name.startsWith(lenientPrefix) ? name.slice(lenientPrefix.length) : null

/** The value of a parameter for a service, in its -o or in main.cf; '' if it has none. */
type ValueOf = (service: string, parameter: string) => string

/** Whether in no list of an smtpd service anything judges a recipient's domain before the guard has. */
export const asksGuardFirst = (postfix: Postconf, service: string, valueOf: ValueOf): boolean => {
  const rejectsByDns = valueOf(service, 'unknown_address_reject_code').startsWith('5')
  return restrictionListsOf(postfix).every(parameter => {
    const value = valueOf(service, parameter)
    return isGuarded(expand(value, postfix.written) ?? value, rejectsByDns)
  })
}

const isGuarded = (list: string, rejectsByDns: boolean): boolean => {
  const pieces = splitList(list).map(({ text }) => text)
  const guard = pieces.findIndex(isGuard)
  const unguarded = guard === -1 ? pieces : pieces.slice(0, guard)
  return judgeIn(unguarded) === -1 && !(rejectsByDns && unguarded.some(text => judgesByDns.test(text)))
}
