/** Several tables in one map, in a real MariaDB: the first that has a key answers, and each known row is in one. */
import t from 'tap'
import type { Test } from 'tap'
import { defineTable } from '../../src/tables/definition.js'
import { mysqlSource } from '../../src/tables/source.js'
import { accountOf } from '../fixtures/cf.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { serversFor } from '../mysql/bed.js'
import { fresh, minute, stage, stale } from './stage.js'

const mariadb = await startMariadb({ sql: `
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
  INSERT INTO alias SELECT CONCAT('user', seq, '@example.com'), 'box' FROM seq_1_to_20;
  CREATE TABLE catchall (domain VARCHAR(255) PRIMARY KEY, goto TEXT);
  INSERT INTO catchall VALUES ('example.com', 'all')` })
t.teardown(() => mariadb.stop())

/** Aliases, and behind them a catch-all for all of their keys; some of them are known. */
const bed = async (t: Test) => {
  const { servers } = serversFor(t)
  const tables = ['SELECT goto FROM alias WHERE address=\'%s\'', 'SELECT goto FROM catchall WHERE domain=\'%d\''].map(query => {
    const defined = defineTable({ ...accountOf(mariadb), hosts: `unix:${mariadb.socket}`, query }, parameter => parameter)
    if (!defined.ok) throw new Error(JSON.stringify(defined.problems))
    return mysqlSource(defined.definition, servers.database(defined.definition.hosts, defined.definition.login))
  })
  const staged = stage({}, { search: 'exact', tables })
  const { lookup, clock } = staged
  for (let number = 1; number <= 10; number++) await lookup.lookup(`user${number}@example.com`)
  t.strictSame(await lookup.lookup('nobody@example.com'), fresh('all'))
  await clock.advance(6 * minute)
  return staged
}

t.test('a known row that the first table lacks gives way to one of the next table only after two absences', async t => {
  const { lookup, clock } = await bed(t)
  await mariadb.sql('DELETE FROM alias WHERE address = \'user1@example.com\'')
  t.strictSame(await lookup.lookup('user1@example.com'), stale('box'))
  t.strictSame(await lookup.lookup('nobody@example.com'), fresh('all'), 'the first table never had it')
  await clock.advance(5 * minute)
  t.strictSame(await lookup.lookup('user1@example.com'), fresh('all'))
})

t.test('the next table answers at once after a flush of the key', async t => {
  const { lookup, clock } = await bed(t)
  await mariadb.sql('DELETE FROM alias WHERE address = \'user2@example.com\'')
  lookup.flush('user2@example.com', clock.now())
  t.strictSame(await lookup.lookup('user2@example.com'), fresh('all'))
})
