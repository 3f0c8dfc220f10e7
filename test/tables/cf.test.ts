import t from 'tap'
import { parseCf } from '../../src/tables/cf.js'
import type { CfFile } from '../../src/tables/cf.js'
import { withRemedies } from '../fixtures/remedy.js'

const parse = (text: string | Buffer): CfFile => parseCf(Buffer.from(text), '/f.cf')
const values = (text: string): Record<string, string> =>
  Object.fromEntries([...parse(text).parameters].map(([name, { value }]) => [name, value]))
const textsOf = (problems: CfFile['errors']): readonly string[] =>
  withRemedies(problems.map(({ place, text }) => `${place} ${text}`))
const errors = (text: string | Buffer): readonly string[] => textsOf(parse(text).errors)
const warnings = (text: string | Buffer): readonly string[] => textsOf(parse(text).warnings)

t.test('a parameter has a name, an equals sign and a value without the blanks around it', t => {
  t.same(values('user=pf\npassword   =  p#a%s $x \t\nquery = SELECT a=b # c\nempty =\n'), {
    user: 'pf', password: 'p#a%s $x', query: 'SELECT a=b # c', empty: '',
  })
  t.end()
})

t.test('a file with CR LF line ends has the same values', t => {
  t.same(
    values('user = pf\r\n\r\ndbname = mail\r\nquery = SELECT 1'), { user: 'pf', dbname: 'mail', query: 'SELECT 1' },
  )
  t.end()
})

t.test('a continued value keeps the white space that continues it, and skips comment and blank lines', t => {
  t.same(values('query = SELECT goto\n  FROM alias\n\tWHERE a=\'%s\'\n  # note\n\n  AND b;\nuser = pf'), {
    query: 'SELECT goto  FROM alias\tWHERE a=\'%s\'  AND b;', user: 'pf',
  })
  t.end()
})

t.test('a dollar sign is a dollar sign', t => {
  t.same(values('user = u\npassword = a$b&c ${user}'), { user: 'u', password: 'a$b&c ${user}' })
  t.end()
})

t.test('places are the first line of a parameter, continued or not', t => {
  const { parameters } = parse('# head\nquery = a\n b\n\nuser = pf\n')
  t.equal(parameters.get('query')?.line, 2)
  t.equal(parameters.get('user')?.line, 5)
  t.end()
})

t.test('each line without an equals sign after its name is an error with its place', t => {
  t.match(errors('user = pf\npassword vmail\n= x\nhosts\n'), [
    /^\/f\.cf:2 .*no '=' after 'password'/, /^\/f\.cf:3 .*no name/, /^\/f\.cf:4 .*no '=' after 'hosts'/,
  ])
  t.notMatch(errors('password vmail\n').join(''), /vmail/)
  t.end()
})

t.test('of two different values the later counts, with a warning that names both lines but no value', t => {
  t.same(values('dbname = nosuch\ndbname = mail\n'), { dbname: 'mail' })
  t.match(warnings('password = one\nuser = u\npassword = two\n'), [/^\/f\.cf:3 password: .*line 1; remove one of the two$/])
  t.same(warnings('user = u\nuser = u\n'), [])
  t.end()
})

t.test('a byte order mark is dropped with a warning', t => {
  t.same(values('\ufeffuser = pf\n'), { user: 'pf' })
  t.match(warnings('\ufeffuser = pf\n'), [/^\/f\.cf:1 .*byte order mark/])
  t.end()
})

t.test('a value in quotes keeps them, with a warning', t => {
  t.same(values('query = "SELECT 1"\n'), { query: '"SELECT 1"' })
  t.match(warnings('query = "SELECT 1"\n'), [/^\/f\.cf:1 query: .*quotes/])
  t.end()
})

t.test('a first line that starts with white space is skipped with a warning', t => {
  t.same(values(' user = pf\nhosts = h\n'), { hosts: 'h' })
  t.match(warnings(' user = pf\nhosts = h\n'), [/^\/f\.cf:1 /])
  t.end()
})

t.test('a value that is not UTF-8 is an error, a comment that is not is none', t => {
  t.match(errors(Buffer.from('# caf\xe9\nuser = caf\xe9\n', 'latin1')), [/^\/f\.cf:2 user: .*UTF-8/])
  t.same(values('user = café'), { user: 'café' })
  t.end()
})
