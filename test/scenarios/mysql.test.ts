/**
 * MySQL 9 through mysql_table(5) files: what Postfix's own client answers on the
 * same server is what we answer. Columns of each type, MySQL's own collation, procedures.
 */
import t from 'tap'
import { openTable, plain, startCfBed, writeCf } from '../fixtures/cf.js'
import type { Plain } from '../fixtures/cf.js'

import { noMysql, startMysql } from '../fixtures/mysql.js'
import { postmapQuery } from '../fixtures/postfix.js'

/** A column's definition, a value for it, and the text of it. */
const columns: readonly (readonly [definition: string, value: string, text: string])[] = [
  ['JSON', '\'{"b": [1, 2.50, null], "a": "ü"}\'', '{"a": "ü", "b": [1, 2.5, null]}'],
  ['DECIMAL(20,4)', '12.5', '12.5000'],
  ['BIGINT UNSIGNED', '18446744073709551615', '18446744073709551615'],
  ['DOUBLE', '1e20', '1e20'],
  ['FLOAT', '0.1', '0.1'],
  ['BIT(8)', 'b\'01100001\'', 'a'],
  ['BLOB', '\'box@example.net\'', 'box@example.net'],
  ['VARBINARY(40)', '\'straße\'', 'straße'],
  ['VARCHAR(40)', '\'a\\0b\'', 'a'],
  ['VARCHAR(40) CHARACTER SET latin1', '\'café\'', 'café'],
  ['TEXT', '\'😀 \'', '😀 '],
  ['DATE', '\'2024-01-02\'', '2024-01-02'],
  ['DATETIME(3)', '\'2024-01-02 03:04:05.5\'', '2024-01-02 03:04:05.500'],
  ['TIME', '\'-01:02:03\'', '-01:02:03'],
  ['YEAR', '2024', '2024'],
  ['ENUM(\'x\',\'y\')', '\'y\'', 'y'],
  ['SET(\'x\',\'y\')', '\'x,y\'', 'x,y'],
]

t.test('MySQL 9, Postfix\'s own client and we', { skip: noMysql }, async t => {
  const { folder, servers, account } = await startCfBed(t, startMysql({
    sql: `
      CREATE TABLE types (${columns.map(([definition], at) => `c${at} ${definition}`).join(', ')});
      INSERT INTO types VALUES (${columns.map(([, value]) => value).join(', ')});
      CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT) COLLATE utf8mb4_0900_ai_ci;
      CREATE TABLE padded (address VARCHAR(255) PRIMARY KEY, goto TEXT) COLLATE utf8mb4_general_ci;
      INSERT INTO alias VALUES ('info@example.com', 'box@example.net'), ('müller@example.com', 'm@example.net'), ('weiß@example.com', 'w@example.net');
      INSERT INTO padded SELECT * FROM alias;
      CREATE PROCEDURE look(k VARCHAR(255)) SELECT goto FROM alias WHERE address = k;
      CREATE PROCEDURE look_twice(k VARCHAR(255)) BEGIN SELECT goto FROM alias WHERE address = k; SELECT k; END;
    `,
  }))
  let files = 0
  const both = async (query: string, key: string): Promise<readonly Plain[]> => {
    const path = writeCf(folder, `q${files++}`, { ...account, query })
    const theirs = await postmapQuery(`mysql:${path}`, key)
    return [
      theirs.kind === 'found' ? theirs.value : { no: theirs.kind === 'absent' ? 'row' : 'answer' },
      plain(await openTable(path, servers).ask(key)),
    ]
  }
  const alike = async (query: string, key: string, answer: Plain): Promise<void> => {
    t.same(await both(query, key), [answer, answer], `${query} for '${key}'`)
  }

  for (const [at, [definition, , text]] of columns.entries()) {
    t.same(await both(`SELECT c${at} FROM types`, 'any'), [text, text], definition)
  }

  const inAlias = 'SELECT goto FROM alias WHERE address = \'%s\''
  const inPadded = 'SELECT goto FROM padded WHERE address = \'%s\''
  await alike(inAlias, 'info@example.com', 'box@example.net')
  // To utf8mb4_0900_ai_ci, a collation without padding, trailing blanks make another key.
  await alike(inAlias, 'info@example.com ', { no: 'row' })
  await alike(inPadded, 'info@example.com ', 'box@example.net')
  await alike(inAlias, 'MULLER@Example.COM', 'm@example.net')
  await alike(inAlias, 'weiss@example.com', 'w@example.net')
  await alike(inPadded, 'weiss@example.com', { no: 'row' })
  await alike('CALL look(\'%s\')', 'info@example.com', 'box@example.net')
  await alike('CALL look(\'%s\')', 'nobody@example.com', { no: 'row' })
  await alike('CALL look_twice(\'%s\')', 'info@example.com', { no: 'answer' })
  await alike('SELECT goto FROM nosuch WHERE address = \'%s\'', 'info@example.com', { no: 'answer' })
})
