/** Where the guard of recipients goes in a list of restrictions, and whether a list asks it before it judges. */
import t from 'tap'
import { asksGuardFirst, lenientOf, withGuard } from '../../src/postfix/guarded_lists.js'
import { joinList, splitList } from '../../src/postfix/parameter_list.js'

const guard = 'socketmap:unix:holdfast/holdfast.sock:recipient_guard'
const guarded = (list: string): string => joinList(withGuard(splitList(list), guard)).replace(guard, 'G')

t.test('the guard goes before the first restriction that judges a recipient\'s domain', async t => {
  for (const [list, expected] of [
    ['permit_mynetworks, reject_unauth_destination', 'permit_mynetworks, check_recipient_access G, reject_unauth_destination'],
    ['reject_unauth_destination', 'check_recipient_access G, reject_unauth_destination'],
    ['a\n  warn_if_reject reject_unauth_destination', 'a\n  check_recipient_access G\n  warn_if_reject reject_unauth_destination'],
    [
      'reject_unknown_recipient_domain permit_mynetworks Reject_Unauth_Destination',
      'reject_unknown_recipient_domain permit_mynetworks check_recipient_access G Reject_Unauth_Destination',
    ],
    ['permit_mynetworks,permit_auth_destination,reject', 'permit_mynetworks,check_recipient_access G,permit_auth_destination,reject'],
  ] as const) {
    t.equal(guarded(list), expected)
    t.equal(guarded(guarded(list).replace('G', guard)), guarded(list), 'once')
  }
})

t.test('a list that only defers, or judges no domain, stays as it is', async t => {
  for (const list of ['', 'permit_mynetworks, reject', 'permit_auth_destination, permit_mynetworks', 'permit_mynetworks, defer_unauth_destination']) {
    t.equal(guarded(list), list)
  }
})

t.test('a service asks the guard first if it does so in each of its lists, classes too', async t => {
  const postfix = {
    configDir: '', inMainCf: new Set<string>(), services: [], overrides: [],
    written: new Map([['mine', `check_recipient_access ${guard}`]]),
    expanded: new Map([['smtpd_restriction_classes', 'strict']]),
  }
  const asks = (values: Readonly<Record<string, string>>): boolean =>
    asksGuardFirst(postfix, 'smtp/inet', (_, parameter) => values[parameter] ?? '')
  t.equal(asks({ smtpd_recipient_restrictions: 'permit_mynetworks' }), true)
  t.equal(asks({ smtpd_recipient_restrictions: `check_recipient_access ${guard}, reject_unauth_destination` }), true)
  t.equal(asks({ smtpd_recipient_restrictions: '$mine, reject_unauth_destination' }), true)
  t.equal(asks({ smtpd_relay_restrictions: 'reject_unauth_destination' }), false)
  t.equal(asks({ smtpd_recipient_restrictions: `reject_unauth_destination, check_recipient_access ${guard}` }), false)
  t.equal(asks({ strict: 'reject_unauth_destination' }), false)
  t.equal(asks({ strict: 'reject_unknown_recipient_domain' }), true)
  t.equal(asks({ strict: 'reject_unknown_recipient_domain', unknown_address_reject_code: '550' }), false)
})

t.test('a lenient name has the name of its map in it', async t => {
  t.strictSame(['lenient/m', 'm', 'lenient/', 'lenient/a/b'].map(lenientOf), ['m', null, '', 'a/b'])
})
