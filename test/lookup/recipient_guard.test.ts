/** What smtpd is answered in an outage: for senders by lenient names, for recipients by the guard. */
import t from 'tap'
import { guardRecipient, leniently, mayBeOurs } from '../../src/lookup/recipient_guard.js'
import type { MapConfig } from '../../src/config/config.js'
import { CurrentMaps, TextLookup } from '../../src/lookup/maps.js'
import { compileSearch } from '../../src/lookup/search.js'
import { absent, byteString, found, reasons, unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import { asBytes } from '../../src/postfix/fold.js'

const known = found(byteString('x'))
const down = unavailable('source-down', 'it is down')

t.test('a lenient name says absent where the map can\'t know, unless the domain is ours', async t => {
  for (const late of [false, true]) {
    const said = async (outcome: Outcome, isOurs: boolean): Promise<Outcome> =>
      await leniently(late ? Promise.resolve(outcome) : outcome, () => isOurs)
    t.equal(await said(known, false), known)
    t.equal(await said(absent, true), absent)
    t.equal(await said(down, true), down)
    const taken = await Promise.all(reasons.map(async reason =>
      (await said(unavailable(reason, ''), false)).kind === 'absent' ? [reason] : []))
    t.strictSame(taken.flat().sort(), [
      'breaker-open', 'distrusted', 'overloaded', 'source-down', 'source-refused', 'timeout',
    ])
  }
})

t.test('a domain may be ours if main.cf names it or a parent, a list has it, or a list is unknown', async t => {
  const has = (domain: string): boolean => domain === 'listed.example'
  const isOurs = (key: string, ...lists: readonly ((domain: string) => boolean)[]): boolean =>
    mayBeOurs(key, { staticDomains: new Set(['static.example']), lists })
  for (const ours of ['ann@Static.Example', 'ann@sub.static.example', 'ann@LISTED.example', 'listed.example', 'ann@[192.0.2.1]']) {
    t.equal(isOurs(ours, () => false, has), true, ours)
  }
  for (const other of ['ann@other.example', 'ann@example', 'ann@xstatic.example']) t.equal(isOurs(other, has), false, other)
  t.equal(mayBeOurs('ann@other.example', { staticDomains: new Set(), lists: [has, null] }), true)
})

t.test('a domain beyond ASCII is ours in a list without smtputf8_enable', async t => {
  const map = (name: string, table: (key: string) => Outcome) => {
    const config = { smtputf8: false } as MapConfig
    const plan = compileSearch('exact', {
      recipientDelimiter: '', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(),
      localDomains: new Set(),
    }, false)
    const lookup = new TextLookup(name, plan, { unknown: 'reject', outage: 'defer', outageAfterMs: 0 }, table)
    return [name, { kind: 'text', name, config, plan, lookup, table, content: '' }] as const
  }
  const maps = new CurrentMaps()
  const domain = asBytes('b\u00fccher.example')
  maps.replace(new Map([map('alias', () => down), map('domains', key => key === domain ? known : absent)]),
    { faults: new Map(), recipientGuard: ['domains'], staticDomains: new Set() })
  t.equal(await maps.lookup('lenient/alias', 'ann@b\u00fccher.example'), down)
  t.equal(await maps.lookup('lenient/alias', 'ann@other.example'), absent)
})

t.test('the guard lets a recipient be rejected only if every list says that its domain is absent', async t => {
  const said = async (recipient: string, ...outcomes: readonly Outcome[]): Promise<Outcome> => {
    const asked: string[] = []
    const outcome = await guardRecipient(recipient, new Set(['static.example']), outcomes.map(each => domain => {
      asked.push(domain)
      return each
    }))
    t.ok(asked.every(domain => domain === 'new.example'))
    return outcome
  }
  t.equal(await said('ann@new.example', absent, absent), absent)
  t.match(await said('ann@new.example', absent, down), { kind: 'found', value: /^DEFER_IF_REJECT / })
  for (const outcomes of [[down, known], [absent, known]]) {
    t.match(await said('ann@new.example', ...outcomes), { kind: 'found', value: 'defer_unauth_destination' })
  }
  for (const recipient of [
    'ann@STATIC.example', 'ann@[192.0.2.1]', 'postmaster', '', 'a%b@new.example', 'a!b@new.example', 'a@b@new.example',
  ]) {
    for (const outcome of [down, known]) t.equal(await said(recipient, outcome), absent, recipient)
  }
})
