import t from 'tap'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import type { Connection } from '../../src/mysql/connection.js'
import type { Rows } from '../../src/tables/result.js'
import { connectTo } from './bed.js'

/** A column's definition, and values for it as SQL. */
const columns: readonly (readonly [definition: string, ...values: string[]])[] = [
  ['TINYINT', '-128', '127', '0', 'NULL'],
  ['TINYINT(3) UNSIGNED ZEROFILL', '7', '255'],
  ['TINYINT(1)', '1'],
  ['SMALLINT', '-32768', '32767'],
  ['SMALLINT UNSIGNED', '65535'],
  ['MEDIUMINT', '-8388608', '8388607'],
  ['MEDIUMINT UNSIGNED', '16777215'],
  ['INT', '-2147483648', '2147483647', 'NULL'],
  ['INT UNSIGNED', '4294967295'],
  ['INT(8) ZEROFILL', '42', '123456789'],
  ['BIGINT', '-9223372036854775808', '9223372036854775807', '9007199254740993'],
  ['BIGINT UNSIGNED', '18446744073709551615'],
  ['BIGINT ZEROFILL', '42'],
  ['DECIMAL(20,4)', '12.5', '-0.0001', '0'],
  ['DECIMAL(8,2) ZEROFILL', '12.5'],
  ['FLOAT', '0.1', '-0.1', '1e20', '3.4e38', '1.17549e-38', '16777216', '1234565', '1234575', '0.000012345678', '1e15', '1e14', '1e-15', '1e-14', '0', '-0e0', '100', '2.5'],
  ['FLOAT(7,4)', '0.1', '-3.14159', '999.9999', '0.00005', '0'],
  ['FLOAT UNSIGNED ZEROFILL', '1.5', '12345678'],
  ['DOUBLE', '0.1', '1e20', '1e15', '1e14', '123456789012345', '1234567890123456', '0.1e-13', '1.5e-15', '1e-15', '-0.000012345678901234567', '1.7976931348623157e308',
    '2.2250738585072014e-308', '4.9e-324', '123456789.123456789', '-1e300', '0.30000000000000004', '0', '-0e0', '9007199254740993', '1e-5', '1e-14', '1e21', '1e22', '100'],
  ['DOUBLE(10,2)', '12.345', '-0.005', '99999999.99', '0'],
  ['DOUBLE(30,10)', '1e19', '0.1'],
  ['DOUBLE ZEROFILL', '1.5'],
  ['BIT(1)', 'b\'1\'', 'b\'0\''],
  ['BIT(64)', '0xFFFEFDFCFBFAF9F8', '1'],
  ['DATE', '\'2024-01-02\'', '\'0000-00-00\'', '\'9999-12-31\'', '\'2024-00-00\''],
  ['TIME', '\'01:02:03\'', '\'-838:59:59\'', '\'00:00:00\'', '\'-00:00:01\'', '\'100:00:00\''],
  ['TIME(3)', '\'01:02:03.5\'', '\'01:02:03\'', '\'00:00:00\'', '\'-838:59:59.999\''],
  ['TIME(6)', '\'01:02:03.000001\'', '\'00:00:00\''],
  ['DATETIME', '\'2024-01-02 03:04:05\'', '\'2024-01-02\'', '\'0000-00-00\''],
  ['DATETIME(1)', '\'2024-01-02 03:04:05.9\'', '\'2024-01-02\''],
  ['DATETIME(6)', '\'2024-01-02 03:04:05.000100\'', '\'2024-01-02 03:04:05\'', '\'0000-00-00\''],
  ['TIMESTAMP NULL', '\'2024-01-02 03:04:05\'', 'NULL'],
  ['TIMESTAMP(3) NULL', '\'2024-01-02 03:04:05.120\''],
  ['YEAR', '2024', '0', '1999'],
  ['ENUM(\'a\',\'ü\',\'\')', '\'ü\'', '\'\''],
  ['SET(\'a\',\'b\',\'ü\')', '\'a,ü\'', '\'\''],
  ['JSON', '\'{"a": 1, "ü": [null, 1.0]}\''],
  ['CHAR(5)', '\'ab \'', '\'\''],
  ['VARCHAR(40)', '\'box@example.net \'', '\'straße 😀\'', '\'\'', '\'a\\0b\''],
  ['VARCHAR(40) CHARACTER SET latin1', '\'café\''],
  ['VARCHAR(40) CHARACTER SET utf8mb3', '\'ünï\''],
  ['TEXT', 'REPEAT(\'ü\', 40000)'],
  ['BINARY(4)', '\'ab\''],
  ['VARBINARY(40)', '0x00FF80C3', '\'box@example.net\''],
  ['BLOB', '0xDEADBEEF00', '\'\''],
  ['POINT', 'ST_GeomFromText(\'POINT(1 2)\')'],
]

/** Types that only one of the two has. */
const ofMariadb: typeof columns = [['INET6', '\'2001:db8::1\''], ['UUID', '\'123e4567-e89b-12d3-a456-426655440000\'']]
const ofMysql: typeof columns = [['VECTOR(2)', 'STRING_TO_VECTOR(\'[1,-0.5]\')']]

const expressions: readonly string[] = [
  '1', '1.10', '1.50 * 2', '1e20', '1e0 / 3', 'NULL', '\'ü\'', '0x61', 'CONCAT(\'a\', 5)', 'COUNT(*)', 'SUM(1.5)', 'AVG(2)', 'ROUND(2.5e0)', 'ROUND(0.125e0, 2)',
  'ROUND(1e22, 2)', 'ROUND(1e23, 1)', 'ROUND(123456789012345678901e0, 2)', 'ROUND(0.1e0, 25)', 'ROUND(1.5e-10, 12)', 'ROUND(0.15e0, 1)', 'ROUND(0e0, 3)', 'ROUND(1e-9, 2)', 'ROUND(999.999e0, 2)', 'ROUND(-0.4e0)', '-0e0', 'TRUE', 'CAST(\'2024-01-02 03:04:05.6\' AS DATETIME(2))', 'SEC_TO_TIME(1.25)', 'SEC_TO_TIME(\'1.25\')',
  'TIMEDIFF(\'10:00:00\', \'09:00:00.5\')', 'DATE(\'2024-01-02\')', 'YEAR(\'2024-01-02\')', 'JSON_OBJECT(\'a\', 1)', 'MAKETIME(1, 2, 3.45)', 'FROM_UNIXTIME(0.5)',
  'CAST(1 AS UNSIGNED)', 'BIT_COUNT(7)', '1 << 63', 'PI()', 'PI() * 1e10', 'CAST(0.1 AS FLOAT)', 'CAST(0.1 AS DOUBLE)', 'IF(1, \'x\', 1.5)', 'COALESCE(NULL, 1.50)', 'GREATEST(1, 2.50)',
]

const answerOf = async (connection: Connection, sql: string): Promise<Rows> => {
  const result = await connection.ask({ sql, texts: [sql] }, [], 10_000)
  if (result.kind === 'fault') throw new Error(`${sql}: ${result.detail}`)
  return result.rows ?? []
}

for (const { name, start, more, skip } of [
  { name: 'MariaDB', start: startMariadb, more: ofMariadb, skip: false },
  { name: 'MySQL', start: startMysql, more: ofMysql, skip: noMysql },
]) t.test(`${name}: a prepared statement gives the bytes that the text protocol sends`, { skip }, async t => {
  const all = [...columns, ...more]
  const server = await start({
    args: ['--sql-mode='],
    sql: all.map(([definition, ...values], index) => `
      CREATE TABLE t${index} (id INT PRIMARY KEY AUTO_INCREMENT, c ${definition});
      INSERT INTO t${index} (c) VALUES ${values.map(value => `(${value})`).join(', ')};
    `).join(''),
  })
  t.teardown(() => server.stop())
  const binary = await connectTo(t, server)
  const text = await connectTo(t, server, { prepared: false })
  for (const [index, [definition, ...values]] of all.entries()) {
    const sql = `SELECT c FROM t${index} ORDER BY id`
    const rows = await answerOf(text, sql)
    t.equal(rows.length, values.length)
    // From the second time on the driver is asked in another way.
    for (const time of ['first', 'second', 'third']) t.same(await answerOf(binary, sql), rows, `${definition}, ${time} time`)
  }
  for (const expression of expressions) {
    const sql = `SELECT ${expression}`
    const rows = await answerOf(text, sql)
    for (const time of ['first', 'second']) t.same(await answerOf(binary, sql), rows, `${expression}, ${time} time`)
  }
})
