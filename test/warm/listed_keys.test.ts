/** Which keys a table lacks, as its list tells, and as its lookup does, on real servers. */
import t from 'tap'
import { byteString } from '../../src/outcome.js'
import { fold } from '../../src/postfix/fold.js'
import { listedAs } from '../../src/lookup/listed.js'
import { askComparison } from '../../src/tables/comparison.js'
import { nameOf, openServers } from '../../src/mysql/database.js'
import { defineTable } from '../../src/tables/definition.js'
import { mysqlSource } from '../../src/tables/mysql_source.js'
import { listKeys } from '../../src/warm/listed_keys.js'
import { load } from '../../src/warm/table_load.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import type { Settings, SqlServer } from '../fixtures/sql_server.js'

const server = 'db:3306'

t.test('each key counts in small letters and without blanks at its end', async t => {
  const listed = listKeys({ comparison: 'folded', server })
  for (const key of ['Info@Example.com', 'blank@example.com   ', 'a b@example.com', '', '   ']) listed.take(byteString(key))
  listed.take(null)
  listed.onListed(server, null)
  const list = await listed.list()
  if (typeof list === 'string') throw new Error(list)
  const { mayHave } = listedAs(1e12, list.keys, list.bits)
  for (const key of ['info@example.com', 'blank@example.com', 'a b@example.com']) t.ok(mayHave(key), key)
  t.notOk(mayHave('other@example.com'))
})

t.test('a key of more than printable ASCII is an objection where a collation folds, and of no matter where bytes count', async t => {
  for (const key of ['ünfo@example.com', '\u212a@example.com', 'tab\t@example.com', 'nul\0@example.com', 'del\x7f@example.com']) {
    const folded = listKeys({ comparison: 'folded', server })
    folded.take(byteString(key))
    t.match(await folded.list(), /more than printable ASCII/, key)
    const bytes = listKeys({ comparison: 'bytes', server })
    bytes.take(byteString(key))
    bytes.onListed(server, null)
    t.match(await bytes.list(), { keys: 0 }, key)
  }
})

t.test('an objection of somebody else\'s counts, and so does a table that is too long', async t => {
  const objected = listKeys({ comparison: 'bytes', server })
  objected.onListed(server, 'the replica lags')
  objected.take(byteString('a'))
  t.equal(await objected.list(), 'the replica lags')
  const long = listKeys({ comparison: 'bytes', server }, 2)
  for (const key of ['a', 'b', 'c']) long.take(byteString(key))
  t.equal(await long.list(), 'there are more than 2 keys')
  const elsewhere = listKeys({ comparison: 'bytes', server })
  elsewhere.onListed('other:3306', null)
  t.equal(await elsewhere.list(), 'they were listed by other:3306, and lookups ask db:3306')
  t.match(await listKeys({ comparison: 'bytes', server }).list(), /not listed to their end/)
})

const products: readonly { readonly name: string, readonly start: (settings: Settings) => Promise<SqlServer>, readonly skip: string | false, readonly types: readonly string[] }[] = [
  { name: 'MariaDB', start: startMariadb, skip: false, types: ['VARCHAR(30) COLLATE utf8mb4_uca1400_as_ci', 'VARCHAR(30) COLLATE utf8mb4_unicode_520_nopad_ci'] },
  { name: 'MySQL', start: startMysql, skip: noMysql, types: ['VARCHAR(30) COLLATE utf8mb4_0900_ai_ci', 'VARCHAR(30) COLLATE utf8mb4_0900_as_cs'] },
]
const everywhere = [
  'VARCHAR(30) COLLATE utf8mb4_general_ci', 'VARCHAR(30) COLLATE utf8mb4_unicode_ci', 'CHAR(30) COLLATE utf8mb4_general_ci', 'TEXT COLLATE utf8mb4_unicode_ci',
  'VARCHAR(30) COLLATE latin1_swedish_ci', 'VARCHAR(30) COLLATE ascii_general_ci', 'VARCHAR(30) COLLATE utf8mb4_bin', 'VARCHAR(30) COLLATE latin1_bin', 'VARBINARY(30)', 'BINARY(30)',
]
/** Few letters, so that keys come near each other: case, blanks, what some collations pass over, and what others take for two letters. */
const letters = 'aAsSzZ-_\'.@ +e'
const wordOf = (alphabet: string): string => Array.from({ length: 1 + Math.floor(Math.random() * 5) }, () => alphabet.charAt(Math.floor(Math.random() * alphabet.length))).join('')

for (const { name: product, start, skip, types } of products) t.test(`${product}: no key that the list denies is found by a lookup`, { skip }, async t => {
  const server = await start({})
  t.teardown(() => server.stop())
  const { user, password, database: dbname, port } = server
  const defined = defineTable({ hosts: `127.0.0.1:${port}`, user, password, dbname, query: 'SELECT v FROM listed WHERE k=\'%s\'' }, parameter => parameter)
  if (!defined.ok || typeof defined.definition.listing === 'string') throw new Error(JSON.stringify(defined))
  const { definition, definition: { listing } } = defined
  const servers = openServers({
    connections: 8, failures: 3, windowMs: 10_000, resetMs: 60_000, suspectMs: 60_000, idleMs: 60_000, maxLagMs: null, onState: () => undefined,
  })
  t.teardown(() => servers.close())
  for (const prepared of [true, false]) {
    const database = servers.database(definition.hosts, { ...definition.login, prepared })
    const source = mysqlSource(definition, database)
    for (const type of prepared ? [...everywhere, ...types] : everywhere.slice(0, 1)) {
      const isBytes = /bin/i.test(type)
      const rows = Array.from({ length: 60 }, () => wordOf(isBytes && !type.includes('latin1') ? `${letters}\u00fc\u212a` : letters))
      await server.sql(`DROP TABLE IF EXISTS listed; CREATE TABLE listed (id INT AUTO_INCREMENT PRIMARY KEY, k ${type}, v VARCHAR(9) DEFAULT 'x');
        INSERT INTO listed (k) VALUES ${rows.map(row => `('${row.replaceAll('\'', '\'\'')}')`).join()}, (NULL)`)
      const compared = await askComparison(database, 'utf8mb4', listing)
      if (typeof compared === 'string') throw new Error(`${type}: ${compared}`)
      t.equal(compared.comparison, isBytes ? 'bytes' : 'folded', type)
      const listed = listKeys({ ...compared, server: nameOf(definition.hosts[0] ?? { kind: 'unix', path: '' }) })
      t.equal(await load({
        table: { definition, database }, listing, after: null, listed,
        write: () => Promise.resolve(), onWritten: () => undefined, onRows: () => undefined, objection: () => null,
      }), null)
      const list = await listed.list()
      if (typeof list === 'string') throw new Error(`${type}: ${list}`)
      const { mayHave } = listedAs(1e12, list.keys, list.bits)
      const asked = [...new Set([...rows, ...rows.map(row => `${row} `), ...Array.from({ length: 120 }, () => wordOf(letters)), ...Array.from({ length: 60 }, () => wordOf(`${letters}\u00e4\u00df\u212a\t\0`))].map(fold))].filter(key => key !== '')
      const denied = asked.filter(key => !mayHave(key))
      t.ok(denied.length > 30, `${type}: ${denied.length}`)
      const outcomes = await Promise.all(denied.map(async key => source.lookup(key, 10_000)))
      t.strictSame(denied.filter((_, index) => outcomes[index]?.kind !== 'absent'), [], type)
    }
  }
})
