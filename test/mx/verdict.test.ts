import t from 'tap'
import { judgeMx, mxNodes } from '../../src/mx/verdict.js'
import type { FaultKind } from '../../src/mx/verdict.js'

const nodes = mxNodes(new Map([
  ['mx1.example.com', 'primary'], ['mx2.example.com', 'primary'], ['mx3.example.com', 'primary'],
  ['mx4.example.com', 'primary'], ['mx9.example.com', 'fallback'],
]))

const records = (text: string) => text.split(' ').map(each => {
  const [number, host = ''] = each.split(':')
  return { number: Number(number), host: host.includes('.') || host === '' ? host : `${host}.example.com` }
})

/** Records as NUMBER:HOST, and what is wrong with them. */
const cases: readonly (readonly [mx: string, ...faults: FaultKind[]])[] = [
  ['10:mx1 10:mx2 10:mx3 90:mx9'],
  ['10:mx2 20:mx4 30:mx1 90:mx9'],
  ['10:mx1 10:mx2 10:mx3 10:mx4 90:mx9'],
  ['10:mx1 10:mx2 10:mx3', 'no-fallback'],
  ['10:mx1 10:mx2 90:mx9', 'few-primaries'],
  ['90:mx9', 'no-primary'],
  ['10:mx1 10:mx2 90:mx3 90:mx9', 'fallback-not-last'],
  ['5:mx9 10:mx1 10:mx2 10:mx3', 'fallback-not-last'],
  ['10:mx1 10:mx2 10:mx3 20:mail.example.net 90:mx9', 'stranger'],
  ['10:mail.example.net', 'stranger', 'no-primary', 'no-fallback'],
  ['10:mx1 10:mx1 10:mx2 90:mx9', 'few-primaries'],
  ['0:', 'null-mx'],
]

t.test('a domain has its primaries first and the fallback last and alone, or it is said what is wrong', async t => {
  for (const [mx, ...faults] of cases) {
    t.same(judgeMx(records(mx), nodes, 3).map(({ kind }) => kind), faults, mx)
  }
})

t.test('a fault names the hosts that it is about', async t => {
  t.same(judgeMx(records('10:mx1 10:mx2 10:mx3 90:mail.example.net 90:mx9'), nodes, 3), [
    { kind: 'stranger', hosts: ['mail.example.net'] }, { kind: 'fallback-not-last', hosts: ['mail.example.net'] },
  ])
})

t.test('with fewer nodes than each domain should have, all of them are enough', async t => {
  const two = mxNodes(new Map([['mx1.example.com', 'primary'], ['mx9.example.com', 'fallback']]))
  t.same(judgeMx(records('10:mx1 90:mx9'), two, 3), [])
})

t.test('where no primary is known by its name, each host but the fallback counts as one', async t => {
  const one = mxNodes(new Map([['mx9.example.com', 'fallback']]))
  t.same(judgeMx(records('10:mail.example.net 90:mx9'), one, 3), [])
  t.same(judgeMx(records('90:mail.example.net 90:mx9'), one, 3).map(({ kind }) => kind), ['fallback-not-last'])
})

t.test('a node that knows its name without the domain is found all the same; others aren\'t', async t => {
  const short = mxNodes(new Map([['mx1', 'primary'], ['mx9.example.com', 'fallback']]))
  t.equal(short.roleOf('mx1.example.com'), 'primary')
  t.equal(short.roleOf('mx9.example.com'), 'fallback')
  t.equal(short.roleOf('mx9.example.net'), null)
})
