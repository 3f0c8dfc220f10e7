/** What smtpd hears in an outage: of senders by lenient names, of recipients by the guard. */
import t from 'tap'
import { guardRecipient, leniently } from '../../src/lookup/recipient_guard.js'
import { absent, byteString, found, reasons, unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'

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

t.test('the guard lets a recipient be refused only if every list says that its domain is absent', async t => {
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
  t.equal(await said('ann@new.example', absent, down), down)
  t.match(await said('ann@new.example', down, known), { kind: 'found', value: 'defer_unauth_destination' })
  t.match(await said('"a@b"@new.example', absent, known), { kind: 'found', value: 'defer_unauth_destination' })
  for (const recipient of ['ann@STATIC.example', 'ann@[192.0.2.1]', 'postmaster', '']) {
    t.equal(await said(recipient, down), absent, recipient)
  }
})
