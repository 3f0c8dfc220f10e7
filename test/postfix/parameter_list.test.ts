/** Lists of main.cf: how they are cut, and what $name means in them. */
import t from 'tap'
import { expand, joinList, parseTable, referenceOf, splitList } from '../../src/postfix/parameter_list.js'

t.test('commas and blanks separate, except within braces', async t => {
  const cases = new Map([
    ['', []],
    [' , ', []],
    ['a', ['a']],
    ['a, b  c,d', ['a', 'b', 'c', 'd']],
    ['a {b, c} d', ['a', '{b, c}', 'd']],
    ['unionmap:{hash:/x, pipemap:{a b}} c', ['unionmap:{hash:/x, pipemap:{a b}}', 'c']],
    ['} a', ['}', 'a']],
  ])
  for (const [value, pieces] of cases) t.strictSame(splitList(value).map(({ text }) => text), pieces, value)
})

t.test('splitting and joining a list gives the same text', async t => {
  for (const value of ['a', 'a, b', 'a  b,\tc', 'x:{a, b} y']) t.equal(joinList(splitList(value)), value)
})

t.test('a reference is one parameter and nothing else', async t => {
  for (const [text, name] of [
    ['$a', 'a'], ['${a}', 'a'], ['$(a)', 'a'], ['$a:b', null], ['${a?b}', null], ['a', null],
  ] as const) {
    t.equal(referenceOf(text), name, text)
  }
})

t.test('$name is expanded, and a condition or a loop gives null', async t => {
  const values = new Map([['kind', 'mysql'], ['table', '$kind:/x'], ['loop', '$loop'], ['if', '${kind?a}']])
  for (const [text, expanded] of [
    ['proxy:${kind}:/a', 'proxy:mysql:/a'], ['$table', 'mysql:/x'], ['$(table) $none', 'mysql:/x '],
    ['$loop', null], ['$if', null], ['${kind?a}', null], ['$$', null], ['a', 'a'],
  ] as const) t.equal(expand(text, values), expanded, text)
})

t.test('mysql: tables and the members of compound tables are recognized', async t => {
  t.strictSame(parseTable('proxy:mysql:/a.cf'), { kind: 'mysql', proxy: true, name: '/a.cf' })
  t.strictSame(parseTable('mysql:name'), { kind: 'mysql', proxy: false, name: 'name' })
  t.strictSame(
    parseTable('proxy:unionmap:{ mysql:/a, hash:/b }'),
    { kind: 'union', proxy: true, members: ['mysql:/a', 'hash:/b'] },
  )
  t.strictSame(parseTable('pipemap:{mysql:/a}'), { kind: 'pipe', proxy: false, members: ['mysql:/a'] })
  for (const other of [
    'hash:/mysql:/a', 'proxy:unix:passwd.byname', '/etc/vhosts', 'example.com',
  ]) t.equal(parseTable(other), null, other)
})
