/** Whether a table was made anew, as the servers themselves say it. */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { openServers } from '../../src/mysql/database.js'
import { defineTable } from '../../src/tables/definition.js'
import { mysqlSource } from '../../src/tables/source.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import { inet, loginTo } from '../mysql/bed.js'
import { serverSettings } from '../fixtures/server_settings.js'

const products = [
  { name: 'MariaDB', start: startMariadb, skip: false },
  { name: 'MySQL', start: startMysql, skip: noMysql },
]

for (const { name, start, skip } of products) t.test(name, { skip }, async t => {
  const table = 'CREATE TABLE alias (address VARCHAR(90) PRIMARY KEY, goto VARCHAR(90));'
  const server = await start({ sql: `${table} CREATE TABLE other (a INT);` })
  t.teardown(() => server.stop())
  const servers = openServers(serverSettings())
  t.teardown(() => servers.close())
  const { user, password, database: dbname, port } = server
  const createdBy = async (query: string): Promise<string | null> => {
    const defined = defineTable(
      { hosts: `127.0.0.1:${port}`, user, password, dbname, query }, parameter => parameter,
    )
    if (!defined.ok) throw new Error(JSON.stringify(defined.problems))
    const source = mysqlSource(defined.definition, servers.database([inet(server)], loginTo(server)))
    const seen: (string | null)[] = []
    await source.ask('nobody@example.com', 10_000, {
      onAbsent: async (_server, held) => {
        seen.push(await held.createdAt())
        return null
      },
    })
    return seen[0] ?? null
  }
  const ofAlias = (): Promise<string | null> => createdBy('SELECT goto FROM `alias` a WHERE a.address=\'%s\'')
  const atFirst = await ofAlias()
  t.type(atFirst, 'string')

  await t.test('rows that come and go, and other tables, do not change it', async t => {
    // It is told to the second.
    await setTimeout(1_100)
    await server.sql('INSERT INTO alias VALUES (\'a\', \'b\'); DELETE FROM alias; DROP TABLE other; CREATE TABLE other (a INT)')
    t.equal(await ofAlias(), atFirst)
    t.equal(await createdBy(`SELECT goto FROM ${dbname}.alias WHERE address='%s'`), atFirst)
  })

  await t.test('DROP and CREATE change it', async t => {
    await server.sql(`DROP TABLE alias; ${table}`)
    t.not(await ofAlias(), atFirst)
  })
})
