import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { withRemedies } from '../fixtures/remedy.js'
import { parseDomainList } from '../../src/tables/domain_list.js'
import { asBytes } from '../../src/postfix/fold.js'
import { memoryFiles } from './files.js'

const content = {
  '/etc/domains': 'One.example\n# no.example\ntwo.example, three.example\n!four.example\n',
  '/etc/nested': '/etc/domains\nfive.example',
  '/etc/loop': '/etc/loop',
  '/etc/table': 'a.example x\nB.example y\n',
  '/etc/hashed': 'A.example x\n',
  '/etc/hashed.db': '',
  '/etc/newer': 'a.example x\n',
  '/etc/newer.db': '',
  '/etc/only.db': '',
  '/etc/wide': 'straße.example x\n',
  '/etc/wide.db': '',
}
const files = memoryFiles(content, {
  '/etc/newer': 2, '/etc/newer.db': 1, '/etc/hashed.db': 1, '/etc/wide.db': 1,
})
const matches = (list: string, domain: string, smtputf8 = true): boolean =>
  parseDomainList(list, files, smtputf8).matches(domain)

/** A list, then domains it has and domains it hasn't. */
const lists: readonly (readonly [list: string, has: readonly string[], hasNot: readonly string[]])[] = [
  ['a.example, B.Example', ['a.example', 'A.EXAMPLE', 'b.example'], ['sub.a.example', 'example', '']],
  ['.a.example', ['.a.example'], ['a.example', 'sub.a.example']],
  ['STRASSE.example', ['straße.example'], []],
  ['!a.example, a.example, b.example', ['b.example'], ['a.example']],
  ['!!a.example', ['a.example'], []],
  ['!a.example', [], ['a.example', 'b.example']],
  ['[10.0.0.1:25]', ['[10.0.0.1:25]'], []],
  ['/etc/domains', ['one.example', 'two.example', 'three.example'], ['no.example', 'four.example', 'x.example']],
  ['!/etc/domains two.example six.example', ['four.example', 'six.example'], ['one.example', 'two.example']],
  ['/etc/nested', ['one.example', 'five.example'], ['four.example']],
  ['texthash:/etc/table', ['a.example'], ['b.example', 'B.example']],
  ['!texthash:/etc/table, a.example, c.example', ['c.example'], ['a.example']],
  ['hash:/etc/hashed', ['a.example'], ['b.example']],
  ['a.example # comment', ['a.example'], ['comment', '#']],
]

t.test('the first item that matches decides, domains are compared whole and folded', t => {
  for (const [list, has, hasNot] of lists) {
    t.same(parseDomainList(list, files).errors, [], list)
    for (const domain of has) t.ok(matches(list, domain), `${list} has ${domain}`)
    for (const domain of hasNot) t.notOk(matches(list, domain), `${list} has not ${domain}`)
  }
  t.end()
})

t.test('without smtputf8_enable domains are compared by bytes, and only ASCII is folded', t => {
  const inBytes = (list: string, domain: string): boolean => matches(list, domain, false)
  for (const list of ['Straße.example', '/etc/wide', 'texthash:/etc/wide', 'hash:/etc/wide']) {
    t.ok(inBytes(list, asBytes('straße.example')), list)
    t.notOk(inBytes(list, 'strasse.example'), list)
  }
  t.ok(inBytes('MüLLER.example', asBytes('müller.example')))
  t.notOk(inBytes('müller.example', asBytes('mÜller.example')))
  t.end()
})

t.test('what can\'t be read in full is an error: its keys would be turned away unasked', t => {
  const errors = (list: string): readonly string[] => withRemedies(parseDomainList(list, files).errors)
  t.match(errors('/etc/nosuch'), [/\/etc\/nosuch can't be read/])
  t.match(errors('texthash:/etc/nosuch'), [/can't be read/])
  t.match(errors('hash:/etc/only'), [/\/etc\/only isn't there/])
  t.match(errors('hash:/etc/table'), [/\/etc\/table\.db isn't there/])
  t.match(errors('hash:/etc/newer'), [/run postmap hash:\/etc\/newer/])
  t.match(errors('mysql:/etc/x.cf, pcre:/etc/p, a.example'), [/mysql: table can't/, /pcre: table can't/])
  t.match(errors('/etc/loop'), [/includes itself/])
  t.match(errors('a.example !'), [/no domain stands after '!'/])
  t.end()
})

t.test('a domain that is added later is found as soon as its table is made', async t => {
  const now = { '/etc/hashed': 'A.example x\n', '/etc/hashed.db': '', '/etc/list': 'one.example' }
  const times = { '/etc/hashed': 1, '/etc/hashed.db': 1, '/etc/list': 1 }
  const list = parseDomainList('hash:/etc/hashed, /etc/list', memoryFiles(now, times))
  t.notOk(list.matches('new.example') || list.matches('two.example'))
  Object.assign(now, { '/etc/hashed': 'A.example x\nnew.example x\n', '/etc/list': 'one.example two.example' })
  Object.assign(times, { '/etc/hashed': 2, '/etc/list': 2 })
  const until = async (domain: string): Promise<void> => { while (!list.matches(domain)) await setTimeout(100) }
  t.ok(list.matches('a.example'), 'while postmap has not been run, what was read last counts')
  Object.assign(times, { '/etc/hashed.db': 2 })
  await Promise.all([until('new.example'), until('two.example')])
})

t.test('a comment at the end of the list is skipped with a warning', t => {
  const { warnings } = parseDomainList('a.example # b.example', files)
  t.match(withRemedies(warnings), [/^# begins no comment at the end of a line/])
  t.end()
})

t.test('a file that is being written is read when it has not changed for a second', async t => {
  const now = { '/etc/list': 'one.example two.example' }
  const times = { '/etc/list': 1 }
  const list = parseDomainList('/etc/list', memoryFiles(now, times))
  const until = async (domain: string, isIn: boolean): Promise<void> => { while (list.matches(domain) !== isIn) await setTimeout(100) }
  // Emptied, and half written, for a second and a half.
  for (let part = 0; part < 15; part++) {
    now['/etc/list'] = 'two.example'.slice(0, part)
    times['/etc/list'] = Date.now()
    await setTimeout(100)
    t.ok(list.matches('one.example'))
  }
  await until('one.example', false)
  t.ok(list.matches('two.example'))
})
