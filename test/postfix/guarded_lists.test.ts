/** Where the guard of recipients goes in a list of restrictions, and whether a list asks it before it judges. */
import t from 'tap'
import { hasUnseenDomains, lenientOf, whyNotLenient, withGuard } from '../../src/postfix/guarded_lists.js'
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
    ['permit_mx_backup, reject_unauth_destination', 'permit_mx_backup, check_recipient_access G, reject_unauth_destination'],
    ['permit_mx_backup, reject', 'check_recipient_access G, permit_mx_backup, reject'],
    ['permit_auth_destination, a_class', 'check_recipient_access G, permit_auth_destination, a_class'],
    [
      'permit_auth_destination, reject_rbl_client a.example, reject_unauth_destination',
      'check_recipient_access G, permit_auth_destination, reject_rbl_client a.example, reject_unauth_destination',
    ],
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

const postfixWith = (values: Readonly<Record<string, string>>) => ({
  configDir: '', inMainCf: new Set<string>(), services: [], overrides: [], written: new Map<string, string>(),
  expanded: new Map(Object.entries({ smtpd_restriction_classes: 'strict', unknown_address_reject_code: '450', ...values })),
})

t.test('a service asks the guard first if it does so in each of its lists, classes too', async t => {
  const asks = (values: Readonly<Record<string, string>>): boolean => whyNotLenient(postfixWith(values), 'smtp/inet') === null
  t.equal(asks({ smtpd_recipient_restrictions: 'permit_mynetworks' }), true)
  t.equal(asks({ smtpd_recipient_restrictions: `check_recipient_access ${guard}, reject_unauth_destination` }), true)
  t.equal(asks({ smtpd_relay_restrictions: 'reject_unauth_destination' }), false)
  t.equal(asks({ smtpd_recipient_restrictions: `reject_unauth_destination, check_recipient_access ${guard}` }), false)
  t.equal(asks({ strict: 'reject_unauth_destination' }), false)
  t.equal(asks({ strict: 'reject_unknown_recipient_domain' }), true)
  t.equal(asks({ strict: 'reject_unknown_recipient_domain', unknown_address_reject_code: '550' }), false)
  for (const unheard of ['warn_if_reject check_recipient_access', 'check_sender_access']) {
    t.equal(asks({ smtpd_recipient_restrictions: `${unheard} ${guard}, reject_unauth_destination` }), false, unheard)
  }
})

t.test('no service asks leniently where an address with a route in it may be a recipient', async t => {
  for (const [name, value] of [
    ['allow_untrusted_routing', 'yes'], ['resolve_dequoted_address', 'no'], ['allow_percent_hack', 'no'], ['swap_bangpath', 'no'],
  ] as const) {
    t.match(whyNotLenient(postfixWith({ [name]: value }), 'smtp/inet'), `${name} = ${value}: `)
    const overrides = [{ service: 'rewrite/unix', parameter: name, value }]
    t.match(whyNotLenient({ ...postfixWith({}), overrides }, 'smtp/inet'), `${name} = ${value}: `, 'of a service')
  }
})

t.test('a service whose list depends on a condition does not ask the guard first for certain', async t => {
  const postfix = postfixWith({})
  const override = (value: string) => [{ service: 'smtp/inet', parameter: 'smtpd_recipient_restrictions', value }]
  t.equal(whyNotLenient({ ...postfix, overrides: override('${x?{reject_unauth_destination}}') }, 'smtp/inet') === null, false)
  const written = new Map([['mine', `check_recipient_access ${guard}`], ['smtpd_recipient_restrictions', '']])
  t.equal(whyNotLenient({ ...postfix, written, overrides: override('$mine, reject_unauth_destination') }, 'smtp/inet') === null, true)
})

t.test('a service whose transport for other domains is error: may not ask leniently', async t => {
  for (const [transport, isLenient] of [['error', false], ['error:5.1.2 no', false], ['smtp', true], ['errors:x', true]] as const) {
    t.equal(whyNotLenient(postfixWith({ default_transport: transport }), 'smtp/inet') === null, isLenient, transport)
  }
})

t.test('Holdfast can\'t see domains in other tables, in files, after an excluded domain, or as parents', async t => {
  const isUnseen = (value: string): boolean =>
    hasUnseenDomains(postfixWith({ relay_domains: value }), table => table.startsWith('socketmap:'))
  for (const value of ['', 'a.example, b.example', 'a.example, socketmap:x', 'unionmap:{internal:none,socketmap:x}, !b.example, !mysql:/x.cf']) {
    t.equal(isUnseen(value), false, value)
  }
  for (const value of ['hash:/x, socketmap:x', '/etc/domains', '.a.example', 'unionmap:{hash:/x,socketmap:x}', 'mysql:/x.cf', '!b.example, socketmap:x']) {
    t.equal(isUnseen(value), true, value)
  }
})

t.test('a lenient name has the name of its map in it', async t => {
  t.strictSame(['lenient/m', 'm', 'lenient/', 'lenient/a/b'].map(lenientOf), ['m', null, '', 'a/b'])
})
