import t from 'tap'
import { withRemedies } from '../fixtures/remedy.js'
import { parseHosts } from '../../src/mysql/hosts.js'
import type { Host } from '../../src/mysql/hosts.js'

const defaults = { host: null, port: 3306, socket: '/default.sock' }
const local: Host = { kind: 'unix', path: '/default.sock' }
const inet = (host: string, port = 3306): Host => ({ kind: 'inet', host, port })

const lists = new Map<string, readonly Host[]>([
  ['', [local]],
  ['localhost', [local]],
  ['LocalHost:3307', [local]],
  ['inet:localhost', [local]],
  ['unix:localhost', [local]],
  ['unix:/run/m.sock', [{ kind: 'unix', path: '/run/m.sock' }]],
  ['127.0.0.1', [inet('127.0.0.1')]],
  ['127.0.0.1:3307', [inet('127.0.0.1', 3307)]],
  ['inet:db.example:3307', [inet('db.example', 3307)]],
  ['db_1.example:mysql', [inet('db_1.example')]],
  ['[::1]:3307', [inet('::1', 3307)]],
  ['[::1]', [inet('::1')]],
  ['::1', [inet('::1')]],
  ['unix:/run/none.sock, 127.0.0.1:3307\tdb2', [{ kind: 'unix', path: '/run/none.sock' }, inet('127.0.0.1', 3307), inet('db2')]],
])

t.test('hosts are what mysql_table(5) says, in their order', t => {
  for (const [list, hosts] of lists) t.same(parseHosts(list, defaults), { hosts, problems: [] }, list)
  t.end()
})

t.test('what is no host says what is wrong with it', t => {
  const problems = (list: string): readonly string[] => withRemedies(parseHosts(list, defaults).problems)
  t.match(problems('/run/mysqld/mysqld.sock'), [/write unix:\/run\/mysqld\/mysqld\.sock/])
  t.match(problems('unix:run/m.sock'), [/^'unix:run\/m\.sock' has no whole path; write one/])
  t.match(problems('unix:/run/m.sock:1'), [/colon/])
  t.match(problems('{{ DB_HOST }}'), [/'\{\{' is not a host name/, /'\}\}' is not a host name/])
  t.match(problems('db:port, db:0, db:65536, db:'), [/'port'/, /'0'/, /'65536'/, /''/].map(port => new RegExp(`${port.source} is not a port`)))
  t.match(problems('[::g]:3307'), [/not an IPv6 address/])
  t.match(problems('tcp:db.example:3306'), [/'tcp:db.example' is not a host name/])
  t.end()
})

t.test('localhost is the option file\'s host and socket, other hosts take its port', t => {
  const options = { host: 'db.example', port: 3310, socket: '/other.sock' }
  t.same(parseHosts('localhost, 10.0.0.1', options).hosts, [inet('db.example', 3310), inet('10.0.0.1', 3310)])
  t.same(parseHosts('localhost', { ...options, host: 'localhost' }).hosts, [{ kind: 'unix', path: '/other.sock' }])
  t.end()
})
