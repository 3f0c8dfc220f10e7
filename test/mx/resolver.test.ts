/** A resolver that is slow, or silent, for everything or for many names. */
import t from 'tap'
import { checkDomains, mxStateOf } from '../../src/mx/check_domains.js'
import { openDns } from '../../src/mx/resolver.js'
import { mxNodes } from '../../src/mx/verdict.js'
import { during } from '../fixtures/during.js'
import { startZone } from '../fixtures/zone.js'
import type { Name } from '../fixtures/zone.js'

const check = (domains: readonly string[], server: string) => checkDomains({
  domains, nodes: mxNodes(new Map([['mx1.example', 'primary'], ['mx9.example', 'fallback']])), primaries: 3,
  dns: openDns(server), maxUnderWay: 64,
})

const others: Readonly<Record<string, Name>> = {
  'example': { soa: true }, 'mx1.example': { a: ['192.0.2.1'] }, 'mx9.example': { a: ['192.0.2.9'] },
  'right.example': { mx: ['10 mx1.example', '90 mx9.example'] }, 'empty.example': {},
}

t.test('a slow answer is waited for, also after many quick ones', async t => {
  const zone = await during(t, startZone(name => name === 'slow.example' ? { mx: ['10 a.example'], delayMs: 3_000 } : others[name]))
  const dns = openDns(zone.address)
  for (let count = 0; count < 10; count++) await dns.mx('right.example')
  t.same(await dns.mx('slow.example'), { kind: 'found', data: [{ number: 10, host: 'a.example' }] })
})

t.test('a resolver that never answers is given up, and nothing counts as missing', { timeout: 60_000 }, async t => {
  const zone = await during(t, startZone(() => ({ fault: 'silent' })))
  const verdicts = await check(Array.from({ length: 1_000 }, (_, index) => `d${index}.example`), zone.address)
  t.ok(verdicts.every(verdict => mxStateOf(verdict) === 'unknown'))
  t.ok(zone.questions() <= 2 * 128 + 2, `${zone.questions()} questions`)
})

t.test('domains with dead servers, many in a row, don\'t make the resolver dead', { timeout: 120_000 }, async t => {
  const zone = await during(t, startZone(name => name.endsWith('dead.test') ? { fault: 'silent' } : others[name]))
  const dead = Array.from({ length: 128 }, (_, index) => `d${index}.dead.test`)
  const verdicts = await check([...dead, 'right.example', 'empty.example'], zone.address)
  t.same(verdicts.slice(-2).map(mxStateOf), ['right', 'no-mx'])
  t.same(new Set(verdicts.slice(0, -2).map(({ unknown }) => unknown)), new Set(['no answer in time']))
})
