/**
 * The installed Postfix has the last word on what a table answers.
 *
 * 1. Each mysql_table(5) file is a mysql: table for Postfix and a map of
 *    Holdfast, with `search: exact`, for postmap(1) makes no steps of its own.
 * 2. Each key is asked of the mysql: table, and of Holdfast by socketmap on a
 *    unix socket, by socketmap on a port and by tcp_table.
 * 3. The four answers are one.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { mailMaps, mailSql, writeCf } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { postmapQuery } from '../fixtures/postfix.js'

type Table = { readonly query: string, readonly more?: string, readonly keys: readonly string[] }

const addressKeys = [
  'info@v.example', 'INFO@V.Example', 'info+tag@v.example', 'own+tag@v.example', 'Own+TAG@v.example', 'multi@v.example',
  'list@v.example', 'some@v.example', 'empty@v.example', 'null@v.example', "o'brien@v.example", 'back\\slash@v.example',
  'j\u00fcrgen@v.example', 'J\u00dcRGEN@v.example', '100%d@v.example', 'x@sub.v.example', 'x@sub.sub.v.example',
  '@catch.example', '@CATCH.example', 'stranger@catch.example', '@v.example', 'stranger@v.example',
  'bare', 'unknown', 'info@', '@', 'a@b@v.example', '"info"@v.example', 'info@v.example ', ' info@v.example',
  'in%@v.example', 'info_@v.example', "' OR '1'='1", '',
]
const domainKeys = ['v.example', 'V.EXAMPLE', 'sub.v.example', 'other.v.example', '.v.example', 'example', 'v.example.', '', '*']

const tables: Readonly<Record<string, Table>> = {
  alias: { query: mailMaps.virtual_alias.query, keys: addressKeys },
  parts: {
    query: "SELECT goto FROM alias WHERE address=CONCAT('%u','@','%d') ORDER BY id",
    keys: ['info@v.example', 'Info@V.example', 'info@', '@v.example', 'bare', "o'brien@v.example", 'a@b@v.example', '100%d@v.example'],
  },
  limited: {
    query: mailMaps.virtual_alias.query, more: 'domain = v.example, catch.example\n',
    keys: ['info@v.example', 'INFO@V.EXAMPLE', 'x@sub.v.example', '@catch.example', 'bare', 'box@relay.example', 'info@'],
  },
  format: {
    query: mailMaps.virtual_alias.query, more: 'result_format = <%u|%d|%s|%U|%D>\n',
    keys: ['info@v.example', 'multi@v.example', 'list@v.example', 'bare', '@catch.example', 'own+tag@v.example'],
  },
  labels: {
    query: "SELECT CONCAT('%1','/','%2','/','%3')", keys: ['a@one.two.three', 'a@two.three', 'a@a.one.two.three', 'one.two.three', 'a@one..three'],
  },
  one: { query: mailMaps.virtual_alias.query, more: 'expansion_limit = 1\n', keys: ['info@v.example', 'multi@v.example', 'stranger@v.example'] },
  domain: { query: mailMaps.virtual_domain.query, keys: domainKeys },
  transport: { query: mailMaps.transport.query, keys: ['relay.example', 'two@relay.example', '.parent.example', 'parent.example', 'deep.parent.example', '*'] },
}

t.test('postmap has the same answer from Holdfast as from mysql:', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const cfDir = freshFolder()
  const names = Object.keys(tables)
  const inetPort = await freePort()
  const tcpPorts = new Map<string, number>()
  for (const name of names) tcpPorts.set(name, await freePort())
  const files = new Map(Object.entries(tables).map(([name, { query, more }]) => [name, writeCf(cfDir, name, mariadb, query, more)]))
  const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
    listen: [
      { socketmap: `unix:${dir}/s` }, { socketmap: `inet:127.0.0.1:${inetPort}` },
      ...[...tcpPorts].map(([map, port]) => ({ tcp: `127.0.0.1:${port}`, map })),
    ],
    health: 'off',
    maps: Object.fromEntries([...files].map(([name, cf]) => [name, { search: 'exact', cf }])),
  })), 'kill')

  for (const [name, { keys }] of Object.entries(tables)) {
    t.test(name, async t => {
      for (const key of keys) {
        const [mysql, ...answers] = await Promise.all([
          `mysql:${files.get(name) ?? ''}`, `socketmap:unix:${holdfast.dir}/s:${name}`,
          `socketmap:inet:127.0.0.1:${inetPort}:${name}`, `tcp:127.0.0.1:${tcpPorts.get(name) ?? 0}`,
        ].map(table => postmapQuery(table, key)))
        // What went wrong is worded by each in its own way.
        const expected = mysql?.kind === 'error' ? { kind: 'error' } : mysql
        for (const answer of answers) t.match(answer, expected, JSON.stringify(key))
      }
    })
  }
})
