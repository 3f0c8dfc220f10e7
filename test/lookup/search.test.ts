import t from 'tap'
import { absent, byteString, readable } from '../../src/outcome.js'
import { compileSearch, completeValue } from '../../src/lookup/search.js'
import { asBytes } from '../../src/postfix/fold.js'
import type { Search, SearchSettings } from '../../src/postfix/parameters.js'
import { down, fresh, minute, stage, stale } from './stage.js'

const settings: SearchSettings = {
  recipientDelimiter: '+',
  parentDomainMatchesSubdomains: new Set(['relay_domains', 'fast_flush_domains', 'smtpd_access_maps']),
  propagateUnmatchedExtensions: new Set(['canonical', 'virtual', 'generic']),
  localDomains: new Set(['local.example', '[127.0.0.1]']),
}

const keys = (search: Search, key: string, changed: Partial<SearchSettings> = {}): readonly string[] =>
  compileSearch(search, { ...settings, ...changed }).steps(key).map(step => step.key)

// search, key, the keys that are asked for, in order
const plans: readonly (readonly [Search, string, readonly string[]])[] = [
  ['virtual', 'user@example.com', ['user@example.com', '@example.com']],
  ['virtual', 'user+tag@example.com', ['user+tag@example.com', 'user@example.com', '@example.com']],
  ['virtual', 'user+@example.com', ['user+@example.com', 'user@example.com', '@example.com']],
  ['virtual', '+tag@example.com', ['+tag@example.com', '@example.com']],
  ['virtual', 'postmaster@example.com', ['postmaster@example.com', '@example.com']],
  ['virtual', 'u+t@local.example', ['u+t@local.example', 'u@local.example', 'u+t', 'u', '@local.example']],
  ['virtual', 'u@local.example.', ['u@local.example.', 'u', '@local.example.']],
  ['virtual', 'u@local.example..', ['u@local.example..', '@local.example..']],
  ['virtual', 'u@[127.0.0.1]', ['u@[127.0.0.1]', 'u', '@[127.0.0.1]']],
  ['virtual', '"a b+c"@example.com', ['"a b+c"@example.com', '"a b"@example.com', '@example.com']],
  ['virtual', '"a b"@local.example', ['"a b"@local.example', '"a b"', '@local.example']],
  ['virtual', 'a b+c@example.com', ['a b+c@example.com', 'a b@example.com', '@example.com']],
  ['virtual', '"a+b c"@example.com', ['"a+b c"@example.com', 'a@example.com', '@example.com']],
  ['virtual', '"a@b"@example.com', ['"a@b"@example.com', '@example.com']],
  ['virtual', '@example.com', ['@example.com']],
  ['virtual', 'example.com', ['example.com']],
  ['virtual', 'my+example.com', ['my+example.com']],
  ['virtual', '', ['']],
  ['canonical', 'u+t@example.com', ['u+t@example.com', 'u@example.com', '@example.com']],
  ['generic', 'u+t@local.example', ['u+t@local.example', 'u@local.example', 'u+t', 'u', '@local.example']],
  ['generic', '"a b+c"@example.com', ['"a b+c"@example.com', '"a b"@example.com', '@example.com']],
  ['recipient', 'u+t@example.com', ['u+t@example.com', 'u@example.com', '@example.com']],
  ['recipient', '"a b+c"@local.example', [
    '"a b+c"@local.example', 'a b+c@local.example', '"a b"@local.example', 'a b@local.example',
    '"a b+c"', 'a b+c', '"a b"', 'a b', '@local.example',
  ]],
  ['recipient', 'a b+c@example.com', ['a b+c@example.com', 'a b@example.com', '@example.com']],
  ['recipient', '""@example.com', ['""@example.com', '@example.com']],
  ['recipient', '"<>"', ['"<>"']],
  ['transport', 'u+t@a.b.example', [
    'u+t@a.b.example', 'u@a.b.example', 'a.b.example', '.b.example', '.example',
  ]],
  ['transport', '"a b"@example.com', ['"a b"@example.com', 'a b@example.com', 'example.com', '.com']],
  ['transport', 'u@[192.0.2.1]', ['u@[192.0.2.1]', '[192.0.2.1]', '.0.2.1]', '.2.1]', '.1]']],
  ['transport', '*', ['*']],
  ['transport', 'a.b.example', ['a.b.example']],
  ['domain', 'a.b.example', ['a.b.example', 'b.example', 'example']],
  ['domain', 'a.example.', ['a.example.', 'example.']],
  ['domain', '.a.example', ['.a.example', 'example']],
  ['domain', 'a..example', ['a..example', '.example']],
  ['domain', '192.0.2.1', ['192.0.2.1']],
  ['domain', '[192.0.2.1]', ['[192.0.2.1]', '0.2.1]', '2.1]', '1]']],
  ['domain', '', ['']],
  ['access', 'u+t@a.example', ['u+t@a.example', 'u@a.example', 'a.example', 'example', 'u+t@', 'u@']],
  ['access', '"a b+c"@example', [
    '"a b+c"@example', 'a b+c@example', '"a b"@example', 'a b@example', 'example',
    '"a b+c"@', 'a b+c@', '"a b"@', 'a b@',
  ]],
  ['access', 'mx.a.example', ['mx.a.example', 'a.example', 'example']],
  ['access', 'unknown', ['unknown']],
  ['access', '<>', ['<>']],
  ['access', '192.0.2.1', ['192.0.2.1', '192.0.2', '192.0', '192']],
  ['access', '2001:db8::1', ['2001:db8::1', '2001:db8:', '2001:db8', '2001']],
  ['access', '::1', ['::1', ':']],
  ['exact', 'u+t@a.example', ['u+t@a.example']],
  ['exact', 'a.b.example', ['a.b.example']],
]

for (const [search, key, expected] of plans) {
  t.strictSame(keys(search, key), expected, `${search}: '${key}' asks for ${expected.join(' ')}`)
}

t.test('without a delimiter no extension is dropped', t => {
  t.strictSame(keys('virtual', 'u+t@example.com', { recipientDelimiter: '' }), ['u+t@example.com', '@example.com'])
  t.end()
})

t.test('any of several delimiters begins an extension', t => {
  t.strictSame(keys('virtual', 'u-a+b@example.com', { recipientDelimiter: '+-' }),
    ['u-a+b@example.com', 'u@example.com', '@example.com'])
  t.end()
})

t.test('a delimiter that occurs in domains cuts no bare domain', t => {
  t.strictSame(keys('virtual', 'my-shop.example', { recipientDelimiter: '-' }), ['my-shop.example'])
  t.end()
})

t.test('parent domains are asked with a dot unless they match subdomains, and the reverse', t => {
  const none = { parentDomainMatchesSubdomains: new Set<string>() }
  t.strictSame(keys('domain', 'a.b.example', none), ['a.b.example', '.b.example', '.example'])
  t.strictSame(keys('access', 'a.b.example', none), ['a.b.example', '.b.example', '.example'])
  const transport = { parentDomainMatchesSubdomains: new Set(['transport_maps']) }
  t.strictSame(keys('transport', 'u@a.b.example', transport),
    ['u@a.b.example', 'a.b.example', 'b.example', 'example'])
  t.end()
})

const completed = (search: Search, key: string, at: string, value: string, changed: Partial<SearchSettings> = {},
  asked = key): string | undefined => {
  const step = compileSearch(search, { ...settings, ...changed }).steps(key, asked).find(({ key }) => key === at)
  return step && readable(completeValue(step, byteString(value)))
}

const nothing = { propagateUnmatchedExtensions: new Set<string>() }

t.test('a value found without the extension gets it', t => {
  t.equal(completed('virtual', 'u+t@example.com', 'u@example.com', 'box@b.example'), 'box+t@b.example')
  t.equal(completed('canonical', 'u+t@example.com', 'u@example.com', 'box@b.example'), 'box+t@b.example')
  t.equal(completed('generic', 'u+t@example.com', 'u@example.com', 'box@b.example'), 'box+t@b.example')
  t.equal(completed('virtual', 'u+t@local.example', 'u', 'box@b.example'), 'box+t@b.example')
  t.end()
})

t.test('an extension keeps the case in which it was asked', t => {
  t.equal(completed('virtual', 'u+tag@example.com', 'u@example.com', 'box@b.example', {}, 'U+TaG@Example.COM'),
    'box+TaG@b.example')
  t.end()
})

t.test('a value found by the whole key or by the domain stays as it is', t => {
  t.equal(completed('virtual', 'u+t@example.com', 'u+t@example.com', 'box@b.example'), 'box@b.example')
  t.equal(completed('virtual', 'u+t@local.example', 'u+t', 'box@b.example'), 'box@b.example')
  t.equal(completed('virtual', 'u+t@example.com', '@example.com', 'box@b.example'), 'box@b.example')
  t.end()
})

t.test('an extension is not propagated where the parameter does not name the map', t => {
  t.equal(completed('virtual', 'u+t@example.com', 'u@example.com', 'box@b.example', nothing), 'box@b.example')
  t.equal(completed('virtual', 'u+t@example.com', 'u@example.com', 'box@b.example',
    { propagateUnmatchedExtensions: new Set(['canonical']) }), 'box@b.example')
  t.equal(completed('generic', 'u+t@example.com', 'u@example.com', 'box@b.example',
    { propagateUnmatchedExtensions: new Set(['canonical', 'virtual']) }), 'box@b.example')
  t.end()
})

t.test('a value that is only a domain is left for Postfix to complete with the whole localpart', t => {
  t.equal(completed('virtual', 'u+t@example.com', 'u@example.com', '@b.example'), '@b.example')
  t.equal(completed('virtual', 'u+t@example.com', '@example.com', '@b.example', nothing), '@b.example')
  t.end()
})

t.test('a value that is only a domain gets the localpart without an extension that is not propagated', t => {
  t.equal(completed('virtual', 'u+t@example.com', 'u@example.com', '@b.example', nothing, 'U+T@example.com'),
    'U@b.example')
  t.equal(completed('virtual', '"a b+t"@example.com', '"a b"@example.com', '@b.example', nothing), '"a b"@b.example')
  t.end()
})

t.test('values of maps other than virtual, canonical and generic stay as they are', t => {
  t.equal(completed('transport', 'u+t@example.com', 'u@example.com', 'smtp:relay'), 'smtp:relay')
  t.equal(completed('recipient', 'u+t@example.com', 'u@example.com', 'box@b.example'), 'box@b.example')
  t.equal(completed('access', 'u+t@example.com', 'u@example.com', 'OK'), 'OK')
  t.end()
})

t.test('C67 an extension that the key lost goes back into the value, in the sender\'s case', async t => {
  const { ask, lookup } = stage({ 'user@example.com': 'box@example.net' })
  t.strictSame(await ask('User+TaG@example.com'), fresh('box+TaG@example.net'))
  t.strictSame(await ask('user+tag@example.com'), fresh('box+tag@example.net'))
  t.strictSame(lookup.lookup('User+TaG@Example.com'), fresh('box+TaG@example.net'))
})

t.test('a localpart that Postfix puts before a value keeps the sender\'s case, for that sender alone', async t => {
  const { ask } = stage({ 'user@example.com': '@route.example:box@example.net' })
  t.match(await ask('User+tag@example.com'), { value: '"User@route.example:box+tag"@example.net' })
  t.match(await ask('user+tag@example.com'), { value: '"user@route.example:box+tag"@example.net' })
  t.match(await ask('USER+tag@example.com'), { value: '"USER@route.example:box+tag"@example.net' })
})

t.test('an extension keeps its case when only the whole answer is still fresh', async t => {
  const { ask, lookup, clock } = stage({ 'user@example.com': 'box@example.net' })
  await ask('User+TAG@example.com')
  await ask('user+tag@example.com')
  await clock.advance(minute)
  t.strictSame(lookup.lookup('user+tag@example.com'), fresh('box+tag@example.net'))
  t.strictSame(lookup.lookup('USER+TAG@example.com'), fresh('box+TAG@example.net'))
})

t.test('a whole answer bridges an outage in which its steps are no longer known', async t => {
  const { ask, source, clock } = stage({ 'user@example.com': 'box@example.net', '@example.org': 'catch@example.net' })
  await ask('user+tag@example.com')
  await ask('anybody@example.org')
  source.fault = down
  await clock.advance(10 * minute)
  t.strictSame(await ask('user+tag@example.com'), stale('box+tag@example.net'))
  t.strictSame(await ask('User+tag@example.com'), stale('box+tag@example.net'), 'whatever the case of the localpart')
  t.strictSame(await ask('Anybody@Example.ORG'), stale('catch@example.net'))
  t.match(await ask('somebody@example.org'), down, 'of another user the catch-all says nothing')
})

t.test('an answer put together from fresh steps in memory is known whole as well', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('user+tag@example.com')
  t.strictSame(await ask('user@example.com'), fresh('catch@example.net'))
  t.equal(source.asked.length, 3)
  source.fault = down
  await clock.advance(10 * minute)
  t.strictSame(await ask('user@example.com'), stale('catch@example.net'))
})

t.test('a whole answer is no fresher than the oldest of its steps', async t => {
  const { ask, source, lookup, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  await clock.advance(3 * minute)
  await ask('two@example.com')
  t.equal(
    source.asked.filter(key => key === '@example.com').length, 1 + 1,
    'asked once as a step, and once as a known key that shows that the table is whole',
  )
  source.fault = down
  await clock.advance(2 * minute - 1)
  t.strictSame(lookup.lookup('two@example.com'), fresh('catch@example.net'))
  await clock.advance(1)
  t.strictSame(await ask('two@example.com'), stale('catch@example.net'))
})

t.test('a whole answer is forgotten when all its steps are absent', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  t.strictSame(await ask('one@example.com'), stale('catch@example.net'))
  await clock.advance(5 * minute)
  t.equal(await ask('one@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.match(await ask('one@example.com'), down)
})

t.test('a user\'s own new row wins over the catch-all when the fresh time is over', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  source.rows.set('one@example.com', 'own@example.net')
  await clock.advance(5 * minute)
  t.strictSame(await ask('one@example.com'), fresh('own@example.net'))
})

t.test('a whole answer is refreshed ahead as well, all its steps anew', async t => {
  const { ask, source, lookup, clock } = stage({ '@example.com': 'old@example.net' })
  await ask('one@example.com')
  await clock.advance(4 * minute)
  source.rows.set('@example.com', 'new@example.net')
  t.strictSame(lookup.lookup('one@example.com'), fresh('old@example.net'))
  await clock.advance(0)
  t.strictSame(lookup.lookup('one@example.com'), fresh('new@example.net'))
  t.strictSame(
    source.asked.filter((key, index) => index >= 2 && key.startsWith('one')), ['one@example.com'],
    'its first step is asked anew, and then the catch-all',
  )
})

t.test('a map without smtputf8_enable does not take a local domain for what it folds to', async t => {
  const german: SearchSettings = {
    recipientDelimiter: '', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(),
    localDomains: new Set(['strasse.example']), localDomainBytes: new Set([asBytes('stra\u00dfe.example')]),
  }
  const isLocal = (domain: string, smtputf8: boolean): boolean =>
    compileSearch('canonical', german, smtputf8).steps(`u1@${domain}`).some(({ key }) => key === 'u1')
  t.equal(isLocal('strasse.example', true), true)
  t.equal(isLocal('strasse.example', false), false)
  t.equal(isLocal(asBytes('stra\u00dfe.example'), false), true)
})
