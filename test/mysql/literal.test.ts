/**
 * The literal that a key becomes: wherever it stands, MariaDB and MySQL give the same rows
 * and use the same index as for the text in quotes, which Postfix's own client sends.
 */
import t from 'tap'
import type { Test } from 'tap'
import type { Connection } from '../../src/mysql/connection.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import { connectTo, seen, queryOf } from './bed.js'

const collations = ['utf8mb4_general_ci', 'utf8mb4_unicode_ci', 'utf8mb4_bin', 'latin1_swedish_ci', 'ascii_general_ci']

const types = [
  'VARCHAR(60)', 'CHAR(60)', 'INT', 'BIGINT UNSIGNED', 'DECIMAL(6,2)', 'DOUBLE', 'DATE', 'VARBINARY(60)',
  'ENUM(\'1\',\'a\',\'ann@a.test\')',
]

/** Where a key may stand, beside a text `k` and a number `n`. */
const expressions = [
  '?', '? = k', 'k <=> ?', 'k LIKE ?', 'k LIKE CONCAT(\'%\', ?)', '? LIKE k', '? LIKE \'%a\'', 'k IN (?, \'x\')',
  '? IN (k, \'1\', \'a\')', '? REGEXP \'^a\'', 'n = ?', 'n = ? + 0', '- ?', 'n IN (?)', 'n BETWEEN 0 AND ?', '? OR ?', 'NOT ?',
  'CONCAT(?, \'@\', k)', 'CONCAT_WS(\'@\', ?, n)', 'IF(? = k, ?, \'no\')', 'IF(?, 1, 0)', 'CASE WHEN k = ? THEN ? END',
  'CASE ? WHEN k THEN 1 WHEN \'1\' THEN 2 ELSE ? END', 'COALESCE(NULL, ?)', 'NULLIF(k, ?)', 'GREATEST(?, k)', 'STRCMP(k, ?)',
  'FIND_IN_SET(?, \'a,1\')', 'UPPER(?)', 'LENGTH(?)', 'CHAR_LENGTH(?)', 'HEX(?)', 'REVERSE(?)', 'REPLACE(k, ?, \'z\')',
  'SUBSTRING_INDEX(?, \'@\', 1)', 'LOCATE(\'@\', ?)', 'LEFT(?, 2)', 'CAST(? AS CHAR)', 'CAST(? AS SIGNED)', 'BINARY ? = k',
  '? COLLATE utf8mb4_bin = k', 'MD5(?)', 'CHARSET(?)', 'COLLATION(?)', 'COERCIBILITY(?)', 'COLLATION(CONCAT(?, k))',
  'EXISTS (SELECT 1 FROM contexts AS c WHERE c.k = ?)', '(SELECT ? AS u UNION SELECT ? LIMIT 1)',
]

const keys = ['1', '01', '1e0', ' 1', 'a', 'A', 'ann@a.test', 'ä', '😀', '', '%', 'a%', '_', '0x31', '2024-01-02']

/** What is answered for a key as our literal, and what for one in quotes. */
const assertSame = async (t: Test, connection: Connection, sql: string, where = ''): Promise<void> => {
  const { texts } = queryOf(sql)
  for (const key of keys) {
    const ours = await connection.ask({ texts }, texts.slice(1).map(() => key), 10_000)
    const quoted = await connection.ask({ texts: [texts.join(`'${key}'`)] }, [], 10_000)
    t.same(seen(ours), seen(quoted), `${where} ${sql} for '${key}'`)
  }
}

/** What EXPLAIN says, by column. */
const planOf = async (connection: Connection, sql: string, key: string): Promise<Readonly<Record<string, string | null>>> => {
  const { texts } = queryOf(`EXPLAIN FORMAT=TRADITIONAL ${sql}`)
  const result = await connection.ask({ texts }, texts.slice(1).map(() => key), 10_000)
  if (result.kind === 'fault') throw new Error(result.detail)
  return Object.fromEntries(result.columns.map(({ name }, index) => [name, result.rows?.[0]?.[index] ?? null]))
}

for (const { name: product, start, own, skip } of [
  { name: 'MariaDB', start: startMariadb, own: 'utf8mb4_uca1400_ai_ci', skip: false },
  { name: 'MySQL', start: startMysql, own: 'utf8mb4_0900_ai_ci', skip: noMysql },
]) t.test(product, { skip }, async t => {
  const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS n`).join(' UNION ')
  const server = await start({
    sql: `
      SET sql_mode = '';
      CREATE TABLE contexts (k VARCHAR(60), n INT);
      INSERT INTO contexts VALUES ('1', 1), ('a', 0), ('ann@a.test', 7), ('a%', NULL);
      ${types.map((type, index) => `
        CREATE TABLE type${index} (c ${type}, KEY (c));
        INSERT IGNORE INTO type${index} VALUES (1), ('a'), ('ann@a.test'), ('2024-01-02');
      `).join('')}
      CREATE TABLE digits AS ${digits};
      ${[...collations, own].map(collation => `
        CREATE TABLE ${collation} (k VARCHAR(60) COLLATE ${collation} PRIMARY KEY, v VARCHAR(60));
        INSERT INTO ${collation} SELECT CONCAT('user', a.n, b.n, c.n, '@a.test'), 'v' FROM digits AS a, digits AS b, digits AS c;
        INSERT INTO ${collation} VALUES ('ann@a.test', 'box'), ('1', 'one');
        ANALYZE TABLE ${collation};
      `).join('')}
    `,
  })
  t.teardown(() => server.stop())

  for (const sqlMode of ['DEFAULT', '\'\'', '\'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES\'']) {
    await t.test(`sql_mode ${sqlMode}: in any expression it is what a quoted text is`, async t => {
      await server.sql(`SET GLOBAL sql_mode = ${sqlMode}`)
      const connection = await connectTo(t, server)
      for (const expression of expressions) await assertSame(t, connection, `SELECT ${expression} FROM contexts`)
      // A syntax error for both: only a bare number may stand there.
      await assertSame(t, connection, 'SELECT k FROM contexts LIMIT ?')
      for (const index of types.keys()) {
        for (const condition of ['c = ?', 'c LIKE ?', 'c > ?', 'c IN (?, ?)']) {
          await assertSame(t, connection, `SELECT c FROM type${index} WHERE ${condition} ORDER BY c`, types[index])
        }
      }
    })
  }

  await t.test('in a session of another character set too', async t => {
    const connection = await connectTo(t, server, { charset: 'latin1' })
    for (const expression of ['?', 'k = ?', 'CONCAT(?, k)', 'COLLATION(?)', 'COERCIBILITY(?)', 'HEX(?)', 'UPPER(?)']) {
      await assertSame(t, connection, `SELECT ${expression} FROM contexts`)
    }
  })

  for (const collation of [...collations, own]) {
    await t.test(`${collation}: the index is used, and the column's collation decides`, async t => {
      const connection = await connectTo(t, server)
      const from = `SELECT v FROM ${collation} WHERE`
      for (const [condition, type] of [
        ['k = ?', 'const'], ['k = CONCAT(?, \'\')', 'const'], ['k IN (?, \'x@a.test\')', 'range'],
        ['k LIKE ?', 'range'], ['k = LOWER(?)', 'const'],
      ] as const) {
        t.match(await planOf(connection, `${from} ${condition}`, 'ann@a.test'), { type, key: 'PRIMARY' }, condition)
      }
      t.match(await planOf(connection, 'SELECT c FROM type0 WHERE c = ?', 'ann@a.test'), { type: 'ref', key: 'c' })
      for (const condition of ['k = ?', 'k IN (?, \'x\')', 'k LIKE ?', 'k = CONCAT(?, \'\')', 'k = LOWER(?)', 'k <> ? LIMIT 1']) {
        await assertSame(t, connection, `${from} ${condition}`)
      }
    })
  }
})
