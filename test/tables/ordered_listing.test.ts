/**
 * What is listed of a table is what the lookup answers, on a real server: for
 * the queries of the field, for collations that find more than bytes say, and
 * for answers that are none.
 */
import t from 'tap'
import type { Test } from 'tap'
import { Connection } from '../../src/mysql/connection.js'
import { openConnection } from '../../src/mysql/session.js'
import { openServers } from '../../src/mysql/database.js'
import { defineTable } from '../../src/tables/definition.js'
import type { TableDefinition } from '../../src/tables/definition.js'
import { collectEntries, orderedListing, orderedSql } from '../../src/tables/ordered_listing.js'
import { deriveListing } from '../../src/tables/listing.js'
import { mysqlSource } from '../../src/tables/source.js'
import { scanQuery } from '../../src/tables/query_template.js'
import { fieldDatabase, fieldQueries } from '../fixtures/field-queries.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import type { Settings, SqlServer } from '../fixtures/sql_server.js'
import { inet, loginTo } from '../mysql/bed.js'
import { serverSettings } from '../fixtures/server_settings.js'

/** Each server with the collations that only it has. */
type Product = {
  readonly name: string
  readonly start: (settings: Settings) => Promise<SqlServer>
  readonly skip: string | false
  readonly collations: readonly string[]
}

const products: readonly Product[] = [
  {
    name: 'MariaDB', start: startMariadb, skip: false,
    collations: ['utf8mb4_unicode_520_nopad_ci', 'utf8mb4_uca1400_as_cs'],
  },
  {
    name: 'MySQL', start: startMysql, skip: noMysql,
    collations: [
      'utf8mb4_0900_ai_ci', 'utf8mb4_0900_as_ci', 'utf8mb4_0900_as_cs', 'utf8mb4_0900_bin', 'utf8mb4_de_pb_0900_ai_ci',
    ],
  },
]

for (const { name: product, start, skip, collations } of products) t.test(product, { skip }, async t => {
  const server = await start({ sql: fieldDatabase })
  t.teardown(() => server.stop())
  const servers = openServers(serverSettings())
  t.teardown(() => servers.close())
  const database = servers.database([inet(server)], loginTo(server))

  const define = (parameters: Readonly<Record<string, string>>): TableDefinition => {
    const { user, password, database: dbname, port } = server
    const defined = defineTable(
      { hosts: `127.0.0.1:${port}`, user, password, dbname, ...parameters }, parameter => parameter,
    )
    if (!defined.ok) throw new Error(JSON.stringify(defined.problems))
    return defined.definition
  }
  /** What is listed, by key; null if the query has no listing. */
  const list = async (parameters: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, string> | null> => {
    const definition = define(parameters)
    const scanned = scanQuery(parameters['query'] ?? '')
    const derived = scanned.ok ? deriveListing(scanned.statement) : ''
    const listing = typeof derived === 'string' ? derived : orderedListing(derived)
    if (typeof listing === 'string') return null
    const connection = await openConnection(
      {
        host: inet(server), ...loginTo(server), charset: parameters['charset'] ?? 'utf8mb4', ssl: null, limitMs: 0,
      },
      10_000,
    )
    if (!(connection instanceof Connection)) throw new Error(connection.detail)
    const entries = collectEntries(definition, listing.maxRows)
    const listed = new Map<string, string>()
    const keep = (
      entry: ReturnType<typeof entries.end>,
    ): void => { if (entry !== null) listed.set(entry.key, entry.outcome.value) }
    const sql = orderedSql(listing)
    const fault = await connection.list({ texts: [sql] }, 10_000, async rows => {
      for (const row of rows) keep(entries.push(row))
      return true
    })
    keep(entries.end())
    connection.end()
    if (fault !== null) throw new Error(`${sql}: ${fault.detail}`)
    return listed
  }
  /** Each listed key must have the answer that its lookup has. */
  const assertAsLookedUp = async (
    t: Test, parameters: Readonly<Record<string, string>>,
  ): Promise<ReadonlyMap<string, string>> => {
    const listed = await list(parameters)
    if (listed === null) throw new Error(`no listing: ${parameters['query'] ?? ''}`)
    const source = mysqlSource(define(parameters), database)
    // In which order the rows of a join come is the server's affair.
    const isJoin = /\bfrom\b[^()]*(,|\bjoin\b)/i.test(parameters['query'] ?? '')
    const comparable = (value: string): string => isJoin ? value.split(',').sort().join() : value
    for (const [key, value] of listed) {
      const { outcome } = await source.ask(key, 5_000)
      t.equal(
        outcome.kind === 'found' ? comparable(outcome.value) : outcome.kind, comparable(value),
        `${parameters['query'] ?? ''} for ${key}`,
      )
    }
    return listed
  }

  await t.test('queries of the field: each key that is listed has the answer that it is looked up with', async t => {
    let listable = 0
    for (const { parameters, checked, refusedByMysql } of fieldQueries) {
      if ((refusedByMysql && product === 'MySQL') || await list(parameters) === null) continue
      listable++
      const listed = await assertAsLookedUp(t, parameters)
      // The other way round, but for keys that one row can't answer alone.
      for (const [key, answer] of checked) if (typeof answer !== 'string') t.notOk(
        listed.has(key), `${parameters['query'] ?? ''}: ${key}`,
      )
    }
    t.ok(listable > 20, String(listable))
  })

  const table = (columns: string, rows: string): string => `DROP TABLE IF EXISTS listed; CREATE TABLE listed (id `
    + `INT AUTO_INCREMENT PRIMARY KEY, ${columns}, v VARCHAR(90)); INSERT INTO listed (k, v) VALUES ${rows}`
  const query = 'SELECT v FROM listed WHERE k=\'%s\' ORDER BY id'

  await t.test('keys that a collation takes for each other are left out, all others listed', async t => {
    const rows = [
      'plain@a', 'Capital@a', 'f\u00fcnf@a', 'funf@a', 'stra\u00dfe@a', 'strasse@a', 'strase@a', 'trail@a ', 'trail@a',
      'blank@a ', 'a-b@a', 'ab@a', '\u00c4@a', 'o\'x@a', '%@a', '\u65e5@a', '\u{1f600}@a', '\u{1f601}@a',
    ]
      .map(key => `('${key.replace('\'', '\'\'')}', 'of ${key.replace('\'', '\'\'')}')`).join(', ')
    for (const collation of [
      'utf8mb4_general_ci', 'utf8mb4_unicode_ci', 'utf8mb4_bin', 'utf8mb4_german2_ci', 'utf8mb4_roman_ci',
      ...collations,
    ]) {
      await server.sql(table(`k VARCHAR(90) COLLATE ${collation}`, rows))
      const listed = await assertAsLookedUp(t, { query })
      for (const key of ['plain@a', 'a-b@a', 'o\'x@a', '%@a', '\u65e5@a']) t.ok(listed.has(key), `${collation}: ${key}`)
      t.equal(listed.has('capital@a'), !/_bin|_cs/.test(collation), collation)
      t.equal(listed.has('trail@a'), false, collation)
    }
    await server.sql(table('k VARBINARY(90)', rows))
    const binary = await assertAsLookedUp(t, { query })
    t.ok(binary.has('plain@a') && binary.has('strasse@a'))
    t.notOk(binary.has('capital@a'))
  })

  await t.test('the rows of a key make one answer, in the order that the query asks for', async t => {
    await server.sql(
      table(
        'k VARCHAR(90)',
        '(\'two@a\', \'z\'), (\'one@a\', \'only\'), (\'Two@a\', \'a\'), (\'TWO@a\', \'m\'), (\'none@a\', NULL), '
          + '(\'some@a\', \'\'), (\'some@a\', \'x\'), (NULL, \'n\'), (\'\', \'e\')',
      ),
    )
    t.strictSame([...await assertAsLookedUp(t, { query })], [['one@a', 'only'], ['some@a', 'x'], ['two@a', 'z,a,m']])
    t.equal((await assertAsLookedUp(t, { query: query.replace('id', 'v DESC') })).get('two@a'), 'z,m,a')
    t.equal((await assertAsLookedUp(t, { query: query.replace('v', 'id, v') })).get('two@a'), '1,z,3,a,4,m')
    t.strictSame(
      [...(await assertAsLookedUp(t, { query: `${query} LIMIT 2` })).keys()], ['one@a', 'some@a'],
      'more rows than the limit',
    )
    t.strictSame([...(await assertAsLookedUp(t, { query, expansion_limit: '2' })).keys()], ['one@a', 'some@a'])
    t.equal(
      (await assertAsLookedUp(t, { query, result_format: 'smtp:[%s]' })).get('two@a'), 'smtp:[z],smtp:[a],smtp:[m]',
    )
  })

  await t.test('keys that the map never asks for are left out', async t => {
    await server.sql(
      table(
        'k VARCHAR(200)',
        `('in@a.test', 'x'), ('out@b.test', 'x'), ('@a.test', 'x'), ('word', 'x'), ('${'l'.repeat(150)}@a.test', 'x')`,
      ),
    )
    t.strictSame([...(await assertAsLookedUp(t, { query, domain: 'a.test' })).keys()], ['in@a.test'])
    t.strictSame(
      [...(await assertAsLookedUp(t, { query, result_format: '%U' })).keys()], ['in@a.test', 'out@b.test', 'word'],
    )
  })

  await t.test('a key with more rows or bytes than a lookup reads is left out', async t => {
    const rows = [
      ...Array<string>(10_001).fill('(\'many@a\', \'x\')'),
      ...Array<string>(4).fill('(\'long@a\', REPEAT(\'x\', 300000))'), '(\'one@a\', REPEAT(\'y\', 90000))',
      '(\'last@a\', \'z\')',
    ]
    await server.sql(table('k VARCHAR(90)', rows.join()).replace('v VARCHAR(90)', 'v MEDIUMTEXT'))
    t.strictSame([...(await assertAsLookedUp(t, { query })).keys()], ['last@a', 'one@a'])
  })

  await t.test('keys are listed in the order of their collation', async t => {
    await server.sql(
      table('k VARCHAR(90)', '(\'a@a\', 1), (\'B@a\', 2), (\'o\'\'c@a\', 3), (\'d@a\', 4), (\'d@a\', 5)'),
    )
    t.strictSame([...await list({ query }) ?? []], [['a@a', '1'], ['b@a', '2'], ['d@a', '4,5'], ['o\'c@a', '3']])
  })

  await t.test('a session in another character set lists ASCII keys, and values in its bytes', async t => {
    await server.sql(table('k VARCHAR(90)', '(\'plain@a\', \'\u00fc\'), (\'\u00fc@a\', \'x\')'))
    t.strictSame([...await list({ query, charset: 'latin1' }) ?? []], [['plain@a', '\xfc']])
  })
})
