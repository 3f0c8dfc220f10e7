import t from 'tap'
import type { Search } from '../../src/postfix/parameters.js'
import { byteString } from '../../src/outcome.js'
import { createTargets, isKnownAsOurs, isKnownElsewhere } from '../../src/trust/known_elsewhere.js'
import type { Neighbour } from '../../src/trust/known_elsewhere.js'

const map = (search: Search, ...keys: readonly string[]): Neighbour => ({ search, knows: key => keys.includes(key) })

const domains = map('domain', 'relay.example')
const mailboxDomains = map('exact', 'box.example', '@all.example')
const recipients = map('recipient', 'user@relay.example')
const targets = createTargets()
targets.note(byteString('friend@elsewhere.example, \u00dcber@Relay.Example,box+x@box.example'))
const aliases = { ...map('virtual', 'info@v.example'), targets }
const bySteps = map('exact', 'steps@box.example')
const all = [domains, mailboxDomains, recipients, aliases, bySteps]

const cases: readonly (readonly [search: Search, key: string, expected: boolean, why: string])[] = [
  ['virtual', 'user@relay.example', true, 'a known recipient that is no alias'],
  ['virtual', 'other@relay.example', false, 'nobody knows the address: it could be an alias meanwhile'],
  ['virtual', 'info@v.example', false, 'that it was an alias is no reason to refuse it'],
  ['virtual', 'friend@elsewhere.example', true, 'out of our domains, where a known alias leads'],
  ['virtual', '@elsewhere.example', true, 'the catch-all step of such a target'],
  ['virtual', 'foe@elsewhere.example', false, 'a stranger beside it'],
  ['virtual', '\u00fcber@relay.example', false, 'an alias leads there, but within a domain of ours'],
  ['virtual', '@relay.example', true, 'the catch-all that a known domain doesn\'t have'],
  ['virtual', '@new.example', false, 'the catch-all of a domain that nobody knows'],
  ['virtual', 'relay.example', true, 'virtual_alias_maps as virtual_alias_domains, for a relay domain'],
  ['virtual', 'box.example', true, 'and for a mailbox domain'],
  ['virtual', 'v.example', false, 'a domain that nobody knows'],
  ['canonical', 'user@relay.example', true, 'a known recipient that is not rewritten'],
  ['canonical', 'sender@elsewhere.example', false, 'a stranger'],
  ['generic', 'user@relay.example', true, 'a known recipient that is not rewritten'],
  ['generic', 'sender@elsewhere.example', false, 'a stranger'],
  ['exact', 'relay.example', true, 'virtual_alias_domains, for a relay domain'],
  ['exact', 'new.example', false, 'a domain in no list'],
  ['exact', 'user@relay.example', true, 'a known recipient that is no alias, where Postfix does the steps'],
  ['exact', '@relay.example', true, 'and the catch-all step of its domain'],
  ['exact', 'other@relay.example', false, 'nobody knows the address: it could be an alias meanwhile'],
  ['exact', 'any@all.example', true, 'the next step finds the catch-all'],
  ['exact', 'friend@elsewhere.example', true, 'out of our domains, where a known alias leads'],
  ['exact', '@elsewhere.example', true, 'the catch-all step of such a target'],
  ['exact', 'foe@elsewhere.example', false, 'a stranger beside it'],
  ['exact', 'steps@box.example', true, 'a recipient or alias in another map for which Postfix does the steps'],
  ['virtual', 'steps@box.example', true, 'the same for a map that does the steps'],
  ['exact', '@new.example', false, 'the catch-all of a domain that nobody knows'],
  ['domain', 'box.example', true, 'relay_domains, for a mailbox domain'],
  ['domain', 'new.example', false, 'a domain in no list'],
  ['transport', 'user@relay.example', true, 'a known recipient without a route of its own'],
  ['transport', 'info@v.example', true, 'a known alias without a route of its own'],
  ['transport', 'other@relay.example', false, 'what strangers make up in a known domain'],
  ['transport', 'relay.example', true, 'a known domain without a route of its own'],
  ['transport', '*', true, 'no route for everything'],
  ['transport', 'sender@elsewhere.example', false, 'a domain in no list'],
  ['recipient', 'user@relay.example', false, 'a recipient map has the last word itself'],
  ['access', 'relay.example', false, 'an access table may be a list of those who are let in'],
]

for (const [search, key, expected, why] of cases) {
  t.test(`${search} ${key}: ${expected ? 'known elsewhere' : 'not known elsewhere'}: ${why}`, t => {
    t.equal(isKnownElsewhere(search, key, all), expected)
    t.end()
  })
}

t.test('a key is known as ours by its domain, but a client name in an access table never is', t => {
  const ours = [map('exact', 'box.example', '127.0.0.1', 'mx.example'), ...all]
  const cases: readonly (readonly [search: Search, key: string, expected: boolean])[] = [
    ['recipient', 'user@box.example', true], ['recipient', 'box.example', true], ['exact', 'mx.example', true],
    ['recipient', 'user@elsewhere.example', false],
    ['access', 'user@box.example', true], ['access', 'user@elsewhere.example', false],
    ['access', 'box.example', false], ['access', 'mx.example', false],
    ['access', '127.0.0.1', false], ['exact', '127.0.0.1', false],
  ]
  for (const [search, key, expected] of cases) t.equal(isKnownAsOurs(search, key, ours), expected, `${search} ${key}`)
  t.end()
})

t.test('without other maps no key is known elsewhere, except `*` of transport_maps', t => {
  t.strictSame(cases.filter(([search, key]) => isKnownElsewhere(search, key, [])).map(([, key]) => key), ['*'])
  t.end()
})

t.test('Holdfast keeps the latest targets of aliases, up to a limit', t => {
  const noted = createTargets()
  const address = (number: number): string => `user${number}@${number % 2 === 0 ? 'even' : 'odd'}.example`
  const count = 450_000
  noted.note(byteString('first@gone.example'))
  for (let number = 0; number < count; number++) noted.note(byteString(address(number)))
  t.equal([...Array(100_000).keys()].every(back => noted.has(address(count - 1 - back))), true)
  t.same(
    [noted.has('@even.example'), noted.has('@odd.example')], [true, true], 'a domain that all lead to is among them',
  )
  t.same([noted.has('first@gone.example'), noted.has('@gone.example'), noted.has(address(0))], [false, false, false])
  t.end()
})

t.test('without a list of our domains, no target of an alias counts as foreign', async t => {
  t.equal(isKnownElsewhere('virtual', 'friend@elsewhere.example', [aliases]), false)
})

t.test('the domains that main.cf names don\'t make all others foreign', t => {
  const named: Neighbour = { ...map('exact', 'named.example'), isPartial: true }
  t.equal(isKnownElsewhere('virtual', 'friend@elsewhere.example', [named, aliases]), false)
  t.equal(isKnownElsewhere('virtual', 'friend@elsewhere.example', [named, domains, aliases]), true)
  t.equal(isKnownElsewhere('exact', 'named.example', [named]), true)
  t.end()
})
