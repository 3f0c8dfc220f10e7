/** Domains as DNS has them, from a name server with each fault that name servers have. */
import t from 'tap'
import { checkDomains, mxStateOf } from '../../src/mx/check_domains.js'
import type { DomainMx } from '../../src/mx/check_domains.js'
import { openDns } from '../../src/mx/resolver.js'
import { mxNodes } from '../../src/mx/verdict.js'
import { during } from '../fixtures/during.js'
import { startZone } from '../fixtures/zone.js'
import type { Name } from '../fixtures/zone.js'

const nodes = mxNodes(new Map([['mx1.example', 'primary'], ['mx2.example', 'primary'], ['mx9.example', 'fallback']]))
const mx = ['10 mx1.example', '10 mx2.example', '90 mx9.example']
const address = { a: ['192.0.2.1'] }

const check = (domains: readonly string[], server: string): Promise<readonly DomainMx[]> =>
  checkDomains({ domains, nodes, primaries: 3, dns: openDns(server), maxUnderWay: 64 })

/** Names, and what is said of each domain among them. */
const cases: Readonly<Record<string, readonly [name: Name, state: ReturnType<typeof mxStateOf>]>> = {
  'right.example': [{ mx }, 'right'],
  'sub.right.example': [{ mx }, 'right'],
  'alias.example': [{ cname: 'right.example' }, 'right'],
  'truncated.example': [{ mx, fault: 'truncated' }, 'right'],
  'null.example': [{ mx: ['0 .'] }, 'null-mx'],
  'empty.example': [{}, 'no-mx'],
  'nowhere.example': [{ cname: 'empty.example' }, 'no-mx'],
  'own.example': [address, 'implicit-mx'],
  'six.example': [{ aaaa: ['2001:db8::1'] }, 'implicit-mx'],
  'servfail.example': [{ fault: 'SERVFAIL' }, 'unknown'],
  'refused.example': [{ fault: 'REFUSED' }, 'unknown'],
  'lame.test': [{ fault: 'referral' }, 'unknown'],
  'adrift.example': [{ mx: ['10 mx1.example', '10 gone.example', '90 mx9.example'] }, 'no-address'],
  'bare.example': [{ mx: ['10 mx1.example', '10 empty.example', '90 mx9.example'] }, 'no-address'],
  'astray.example': [{ mx: ['10 mx1.example', '10 lame.test', '90 mx9.example'] }, 'stranger'],
  'number.example': [{ mx: ['10 mx1.example', '10 192.0.2.1', '90 mx9.example'] }, 'no-address'],
  'nullish.example': [{ mx: ['0 .', '10 mx1.example', '10 mx2.example', '90 mx9.example'] }, 'no-address'],
  'away.example': [{ cname: 'empty.elsewhere.test' }, 'unknown'],
  'twice.example': [{ cname: 'away.example' }, 'unknown'],
  'empty.elsewhere.test': [{}, 'unknown'],
  'white.example': [{ mx: ['10 in.white.example', '90 last.white.example'] }, 'right'],
  'in.white.example': [{ a: ['192.0.2.1'], aaaa: ['2001:db8::2'] }, 'implicit-mx'],
  'last.white.example': [{ a: ['192.0.2.9'] }, 'implicit-mx'],
  'upside.example': [{ mx: ['90 in.white.example', '10 last.white.example'] }, 'fallback-not-last'],
  'half.example': [{ mx: ['10 mx1.example', '10 both.example', '90 mx9.example'] }, 'stranger'],
  'both.example': [{ a: ['192.0.2.1', '192.0.2.80'] }, 'implicit-mx'],
  'fifth.example': [{ mx: ['10 mx1.example', '10 mx2.example', '90 mx9.example', '5 servfail.example'] }, 'stranger'],
}
const others: Readonly<Record<string, Name>> = {
  'example': { soa: true }, 'mx1.example': address, 'mx2.example': { aaaa: ['2001:db8::2'] },
  'mx9.example': { a: ['192.0.2.9'] },
}
const names = (name: string): Name | undefined => cases[name]?.[0] ?? others[name]

t.test('what is wrong is told from what could not be asked', async t => {
  const zone = await during(t, startZone(names))
  const domains = [...Object.keys(cases), 'missing.example', 'two..dots', `${'x'.repeat(64)}.example`]
  const verdicts = await check(domains, zone.address)
  const states = Object.fromEntries(verdicts.map(verdict => [verdict.domain, mxStateOf(verdict)]))
  t.same(states, {
    ...Object.fromEntries(Object.entries(cases).map(([name, [, state]]) => [name, state])),
    'missing.example': 'no-domain', 'two..dots': 'no-domain', [`${'x'.repeat(64)}.example`]: 'no-domain',
  })
  const of = (name: string): DomainMx | undefined => verdicts.find(({ domain }) => domain === name)
  t.match(of('bare.example')?.faults, [
    { kind: 'no-address', hosts: ['empty.example'] }, { kind: 'stranger', hosts: ['empty.example'] }, { kind: 'few-primaries' },
  ])
  t.same(of('nullish.example')?.faults, [{ kind: 'no-address', hosts: ['.'] }])
  t.same(of('astray.example')?.faults.map(({ kind }) => kind), ['stranger', 'few-primaries'], 'not "without address"')
  t.match(of('astray.example')?.unknown, 'lame.test: ')
  t.same(of('upside.example')?.faults, [{ kind: 'fallback-not-last', hosts: ['mx1.example', 'mx2.example'] }], 'the nodes')
  t.match(of('fifth.example')?.unknown, /servfail\.example: .*SERVFAIL/)
})

t.test('while the addresses of the nodes can\'t be had, no host of another name is called a stranger', async t => {
  const zone = await during(t, startZone(name => name === 'mx2.example' ? { fault: 'SERVFAIL' } : names(name)))
  const [white] = await check(['white.example'], zone.address)
  t.match(white, { faults: [], unknown: /^mx2\.example: .*SERVFAIL/ })
})

t.test('a mail exchanger that is an alias, or an alias of nothing, is reported', async t => {
  const zone = await during(t, startZone(name => ({
    'a.example': { mx: ['10 mx1.example', '10 mx2.example', '90 mx9.example'] }, 'example': { soa: true } as const,
    'mx1.example': { cname: 'host.example' }, 'host.example': address, 'mx2.example': { cname: 'gone.example' },
    'mx9.example': address,
  })[name]))
  const [verdict] = await check(['a.example'], zone.address)
  t.same(verdict?.faults, [{ kind: 'alias', hosts: ['mx1.example', 'mx2.example'] }])
})

t.test('an internationalized domain is asked for by its ASCII form', async t => {
  const zone = await during(t, startZone(name => ({
    'xn--mller-kva.example': { mx }, ...others,
  })[name]))
  const names = ['müller.example', 'MÜLLER.example.', 'xn--mller-kva.example', 'ünbekannt.example']
  t.same((await check(names, zone.address)).map(mxStateOf), ['right', 'right', 'right', 'no-domain'])
  const bad = [
    'no good.example', '', '.', '192.0.2.1', '[192.0.2.1]', '2001:db8::1', 'müller.example/..', 'müller.example?x',
    'müller.example#x', 'müller.example:25', 'm%C3%BCller.example', 'info@müller.example', 'xn--.example',
  ]
  const before = zone.questions()
  for (const { domain, faults } of await check(bad, zone.address)) t.match(faults, [{ kind: 'bad-name' }], domain)
  t.equal(zone.questions(), before, 'and not asked for')
})

t.test('10,000 domains: at most 64 questions at a time, one for each domain, and those for the hosts', async t => {
  const zone = await during(t, startZone(name => /^d\d+\.example$/.test(name) ? { mx } : others[name], { delayMs: 1 }))
  const domains = Array.from({ length: 10_000 }, (_, index) => `d${index}.example`)
  const verdicts = await check(domains, zone.address)
  t.equal(verdicts.filter(verdict => mxStateOf(verdict) === 'right').length, 10_000)
  t.ok(zone.mostAtOnce() <= 64, `${zone.mostAtOnce()} at a time`)
  t.ok(zone.questions() <= 10_010, `${zone.questions()} questions`)
})
