import t from 'tap'
import { byteString, found } from '../../src/outcome.js'
import type { ByteString } from '../../src/outcome.js'
import { defineFromCf, defineTable } from '../../src/tables/definition.js'
import type { Defined, TableDefinition } from '../../src/tables/definition.js'
import { withRemedies } from '../fixtures/remedy.js'
import { memoryFiles } from './files.js'

const base = 'user = pf\npassword = p\nhosts = unix:/s\ndbname = mail\n'
const query = 'query = SELECT goto FROM alias WHERE address=\'%s\'\n'

const define = (
  cf: string, more: Readonly<Record<string, string>> = {}, optionFiles: readonly string[] = [],
): Defined =>
  defineFromCf('/f.cf', memoryFiles({ '/f.cf': cf, ...more }, {}, optionFiles))
const defined = (...given: Parameters<typeof define>): TableDefinition => {
  const result = define(...given)
  if (!result.ok) throw new Error(result.problems.map(({ text }) => text).join('; '))
  return result.definition
}
const problems = (...given: Parameters<typeof define>): readonly string[] => {
  const result = define(...given)
  return result.ok ? [] : withRemedies(result.problems.map(({ place, text }) => `${place} ${text}`))
}
const warnings = (cf: string): readonly string[] =>
  withRemedies(define(cf).warnings.map(({ place, text }) => `${place} ${text}`))

t.test('a charset that can\'t be the name of one is an error', t => {
  t.match(problems(`${base}${query}charset = utf-8\n`), [/^\/f\.cf:6 charset: 'utf-8' is not the name of a character set; write one such as utf8mb4$/])
  t.end()
})

t.test('a plain file defines hosts, log-in and statement, with mysql_table(5)\'s defaults', t => {
  t.match(defined(base + query), {
    hosts: [{ kind: 'unix', path: '/s' }],
    login: { user: 'pf', password: 'p', dbname: 'mail', charset: 'utf8mb4', tls: null },
    texts: ['SELECT goto FROM alias WHERE address=', ''],
    requireResultSet: true, idleIntervalMs: undefined,
  })
  t.end()
})

t.test('without a query, the old parameters make one; with it they are ignored', t => {
  const old = 'table = alias\nselect_field = goto\nwhere_field = address\nadditional_conditions = and active = \'1\'\n'
  t.equal(defined(base + old).texts.join('?'), 'SELECT goto FROM alias WHERE address=? AND active=\'1\'')
  t.equal(
    defined(`${base}query =\n${old}`).texts.join('?'), 'SELECT goto FROM alias WHERE address=? AND active=\'1\'',
  )
  t.equal(defined(`${base}${old}table = nosuch\n${query}`).texts.join('?'), 'SELECT goto FROM alias WHERE address=?')
  t.match(problems(`${base}table = alias\n`), [/select_field: is missing/, /where_field: is missing/])
  t.match(problems(base), [/^\/f\.cf query: is missing/])
  t.end()
})

t.test('every problem is reported at once, with its line', t => {
  t.match(problems(
    'user = pf\npassword vmail\nhosts = {{ DB }}\nquery = SELECT \'%x\'\nexpansion_limit = 1 # one\n'
      + 'require_result_set = maybe\n',
  ), [
    /^\/f\.cf:2 .*'='/, /^\/f\.cf:3 hosts: /, /^\/f\.cf:3 hosts: /, /^\/f\.cf dbname: is missing/,
    /^\/f\.cf:4 query: in '%x': %x/,
    /^\/f\.cf:5 expansion_limit: /, /^\/f\.cf:6 require_result_set: is 'maybe'; must be yes or no/,
  ])
  t.end()
})

t.test('a parameter that is not acted on is named', t => {
  t.match(
    warnings(`${base}${query}retry_interval = 7\n`), [/^\/f\.cf:6 retry_interval: has no effect.*breaker: \{reset: /],
  )
  t.match(problems(`${base}${query}retry_interval = 0\n`), [/retry_interval: .*at least 1/])
  t.end()
})

t.test('numbers and booleans are taken as Postfix takes them, and nothing else', t => {
  for (const value of ['', 'abc', '1 # one', '1.5', '99999999999']) t.match(
    problems(`${base}${query}expansion_limit = ${value}\n`), [/^\/f\.cf:6 expansion_limit: /],
  )
  for (const value of ['-1', '0', '+3']) t.same(problems(`${base}${query}expansion_limit = ${value}\n`), [])
  t.match(problems(`${base}${query}idle_interval = 0\n`), [/idle_interval: .*at least 1/])
  t.equal(defined(`${base}${query}idle_interval = 5\nretry_interval = 7\n`).idleIntervalMs, 5_000)
  t.equal(defined(`${base}${query}idle_interval = 2147483647\n`).idleIntervalMs, 2_147_483_647, 'no timer is longer')
  t.equal(defined(`${base}${query}require_result_set = NO\n`).requireResultSet, false)
  t.match(problems(`${base}${query}result_format =\n`), [/result_format: is empty/])
  t.end()
})

t.test('C06 C22 an unknown parameter is ignored, as in Postfix, and a warning names its line and a like one', t => {
  t.match(
    warnings(`user = pf\ndbname = mail\nhost = 127.0.0.1:3307\n${query}`),
    [/^\/f\.cf:3 host: .*ignored.*did you mean 'hosts'/],
  )
  t.match(warnings(`${base}${query}host = x\n`), [/^\/f\.cf:6 host: .*ignored.*did you mean 'hosts'/])
  t.match(warnings(`${base}${query}comment = x\n`), [/^\/f\.cf:6 comment: .*ignored/])
  t.match(
    warnings(`${base}${query}domain\u00a0= a.test\n`),
    [/^\/f\.cf:6 domain\?\?: is no parameter .*did you mean 'domain'/], 'a blank that is none is shown',
  )
  t.end()
})

t.test('no user is refused, in the file and in the option files', t => {
  t.match(problems(`hosts = unix:/s\ndbname = mail\n${query}`), [/^\/f\.cf user: is missing/])
  t.end()
})

t.test('the file as a whole may be in quotes, be unreadable or hold a byte order mark: each is reported', t => {
  t.match(warnings(`${base}query = "SELECT 1 FROM a WHERE b='%s'"\n`), [/^\/f\.cf:5 query: the quotes/])
  t.match(
    defineFromCf('/nosuch.cf', memoryFiles({})),
    { ok: false, problems: [{ place: '/nosuch.cf', text: /can't be read/ }] },
  )
  t.match(warnings(`\ufeff${base}${query}`), [/byte order mark/])
  t.end()
})

t.test('only addresses in a domain on the list are asked, and @domain never', t => {
  const { bind } = defined(`${base}${query}domain = a.test, b.test\n`)
  for (const key of ['u@a.test', 'x@y@B.TEST']) t.same(bind(key), [key])
  for (const key of ['u@q.test', 'u@sub.a.test', '@a.test', 'a.test', 'u@', 'u', '']) t.equal(bind(key), null, key)
  t.match(
    problems(`${base}${query}domain = hash:/nosuch, /nofile\n`),
    [/^\/f\.cf:6 domain: hash:/, /^\/f\.cf:6 domain: \/nofile/],
  )
  t.end()
})

t.test('result_format and query need the same key', t => {
  const { bind, answer } = defined(`${base}${query}result_format = %U@%s\n`)
  t.equal(bind('@al.test'), null)
  t.same(answer([['a.test' as ByteString]], 'ann@al.test'), found(byteString('ann@a.test')))
  t.end()
})

t.test('the option file\'s group says what the .cf leaves out', t => {
  const options = {
    '/my.cnf': '[client]\npassword=other\n[postfix]\nuser=u\npassword=p#a%s $x\nsocket=/o.sock\nport=3310\n'
      + 'connect_timeout=3\nssl-ca=/ca.pem\ndefault-character-set=latin1\n',
  }
  const cf = `dbname = mail\nhosts = localhost, db.test\noption_file = /my.cnf\noption_group = postfix\n${query}`
  t.match(defined(cf, options), {
    hosts: [{ kind: 'unix', path: '/o.sock' }, { kind: 'inet', host: 'db.test', port: 3310 }],
    login: { user: 'u', password: 'p#a%s $x', charset: 'latin1', tls: { caFile: '/ca.pem', verify: false } },
  })
  t.equal(defined(`user = own\npassword = mine\n${cf}`, options).login.password, 'mine')
  t.match(problems(`${base}${query}option_file = /nosuch.cnf\n`), [/^\/f\.cf:6 option_file: can't be read/])
  t.end()
})

t.test('without an option file the machine\'s own are read, unless option_group is empty', t => {
  const options = { '/etc/my.cnf': '[client]\nsocket=/machine.sock\n' }
  const cf = `user = pf\ndbname = mail\n${query}`
  t.same(defined(cf, options, ['/etc/my.cnf', '/etc/none.cnf']).hosts, [{ kind: 'unix', path: '/machine.sock' }])
  t.same(
    defined(`${cf}option_group =\n`, options, ['/etc/my.cnf']).hosts,
    [{ kind: 'unix', path: '/run/mysqld/mysqld.sock' }],
  )
  t.end()
})

t.test('any TLS parameter asks for TLS', t => {
  t.match(defined(`${base}${query}tls_CAfile = /ca.pem\ntls_verify_cert = yes\ntls_ciphers = AES\n`).login.tls, {
    caFile: '/ca.pem', caPath: null, certFile: null, keyFile: null, ciphers: 'AES', verify: true,
  })
  t.match(defined(`${base}${query}tls_verify_cert = yes\n`).login.tls, { verify: true })
  t.equal(defined(`${base}${query}tls_verify_cert = no\n`).login.tls, null)
  t.end()
})

t.test('a key after LIKE is warned of', t => {
  t.match(warnings(`${base}query = SELECT a FROM b WHERE c LIKE '%s'\n`), [/^\/f\.cf:5 query: .*wildcard/])
  t.same(warnings(`${base}query = SELECT a FROM b WHERE c='%s' AND d LIKE 'x%%'\n`), [])
  t.end()
})

t.test('the fingerprint changes with what decides the answers, and with nothing else', t => {
  const first = defined(base + query).fingerprint
  for (const change of [
    'result_format = x\n', 'expansion_limit = 1\n', 'domain = a\n', 'dbname = other\n', 'query = SELECT 1\n',
    'require_result_set = no\n',
  ]) {
    t.not(defined(base + query + change).fingerprint, first, change)
  }
  for (const change of [
    'hosts = db\n', 'password = q\n', 'user = v\n', 'idle_interval = 9\n',
  ]) t.equal(defined(base + query + change).fingerprint, first, change)
  t.notMatch(first, /"p"|pf/)
  t.end()
})

t.test('parameters from elsewhere have the places of elsewhere', t => {
  const places = (parameter: string): string => `holdfast.yaml:7 ${parameter}`
  const parameters = {
    user: 'pf', dbname: 'mail', hosts: '127.0.0.1', query: 'SELECT \'%s\'', expansion_limit: 2,
    require_result_set: false,
  }
  t.match(defineTable(parameters, places), { ok: true, definition: { requireResultSet: false } })
  t.match(
    defineTable({ ...parameters, hosts: 'a b:c' }, places),
    { ok: false, problems: [{ place: 'holdfast.yaml:7 hosts', text: /^hosts: 'c' is not a port/ }] },
  )
  t.end()
})
