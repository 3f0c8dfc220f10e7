/**
 * What a collation takes for equal, on real servers: of each that is trusted to
 * take no keys of ASCII for equal but for their case, and of each that isn't.
 */
import t from 'tap'
import { openServers } from '../../src/mysql/database.js'
import { askComparison, comparisonOf } from '../../src/tables/comparison.js'
import { defineTable } from '../../src/tables/definition.js'
import { askIdentity } from '../../src/mysql/identity.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import type { Settings, SqlServer } from '../fixtures/sql_server.js'
import { inet, loginTo } from '../mysql/bed.js'

/** Each server with collations that it must be found to have. */
const products: readonly { readonly name: string, readonly start: (settings: Settings) => Promise<SqlServer>, readonly skip: string | false, readonly trusted: readonly string[] }[] = [
  { name: 'MariaDB', start: startMariadb, skip: false, trusted: ['utf8mb4_general_ci', 'utf8mb4_unicode_520_nopad_ci', 'utf8mb4_uca1400_ai_ci', 'utf8mb4_uca1400_nopad_as_cs', 'utf8mb4_nopad_bin'] },
  { name: 'MySQL', start: startMysql, skip: noMysql, trusted: ['utf8mb4_0900_ai_ci', 'utf8mb4_0900_as_cs', 'utf8mb4_0900_bin', 'utf8mb4_unicode_ci'] },
]
const everywhere = ['utf8mb3_general_ci', 'latin1_swedish_ci', 'latin1_general_cs', 'latin1_german1_ci', 'ascii_general_ci', 'utf8mb4_bin', 'latin1_bin', 'binary']

/** Each letter of printable ASCII, and its small one, by number. */
const letters = Array.from({ length: 95 }, (_, index) => `(CHAR(${index + 32} USING latin1), ${String.fromCharCode(index + 32).toLowerCase().charCodeAt(0)})`).join()
const randomWord = (): string => Array.from({ length: 1 + Math.floor(Math.random() * 6) }, () => 'aAbcCdghHijJlLnsSyYzZeo\'-_.@1+'.charAt(Math.floor(Math.random() * 31))).join('')

for (const { name: product, start, skip, trusted } of products) t.test(product, { skip }, async t => {
  const server = await start({})
  t.teardown(() => server.stop())
  const collations = (await server.sql('SELECT DISTINCT COLLATION_NAME AS name, CHARACTER_SET_NAME AS charset FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE CHARACTER_SET_NAME IN (\'binary\',\'ascii\',\'latin1\',\'utf8mb3\',\'utf8mb4\')'))
    .map(({ name, charset }) => ({ name: String(name), charset: String(charset) }))
    // MariaDB names those of UCA 14 without their character set there, but not of a column.
    .map(({ name, charset }) => ({ name: name.startsWith('uca') ? `${charset}_${name}` : name, charset }))

  await t.test('no trusted collation takes letters of ASCII for equal that differ in more than case, nor for nothing', async t => {
    const words = Array.from({ length: 80 }, randomWord)
    const wordList = words.map(word => `('${word.replace(/'/g, '\'\'')}')`).join()
    const seen: string[] = []
    await server.sql(`CREATE TABLE letter (c VARCHAR(9) CHARACTER SET latin1, small INT); CREATE TABLE word (w VARCHAR(9) CHARACTER SET latin1);
      INSERT INTO letter VALUES ${letters}; INSERT INTO word VALUES ${wordList}`)
    for (const { name, charset } of collations) {
      const comparison = comparisonOf(name)
      if (comparison === null) continue
      seen.push(name)
      const of = (text: string): string => `CONVERT(${text} USING ${charset}) COLLATE \`${name}\``
      const between = (letter: string): string => of(`CONCAT('x', ${letter}, 'x')`)
      t.strictSame(await server.sql(`SELECT a.c AS one, b.c AS other FROM letter a JOIN letter b ON ${between('a.c')} = ${between('b.c')} WHERE a.small <> b.small`), [], name)
      t.strictSame(await server.sql(`SELECT c AS nothing FROM letter WHERE ${between('c')} = ${of('\'xx\'')}`), [], name)
      const equal = await server.sql(`SELECT a.w AS one, b.w AS other FROM word a JOIN word b ON ${of('a.w')} = ${of('b.w')}`)
      t.ok(equal.length >= words.length)
      t.strictSame(equal.map(({ one, other }) => [String(one), String(other)]).filter(([one, other]) => one?.toLowerCase() !== other?.toLowerCase()), [], name)
    }
    for (const name of [...trusted, ...everywhere]) t.ok(seen.includes(name), `${name} is among them`)
  })

  await t.test('a collation that takes other letters for equal is not trusted', async t => {
    const odd = await server.sql(collations.filter(({ charset }) => charset !== 'binary').map(({ name, charset }) =>
      `SELECT '${name}' AS name, (_${charset}'y' COLLATE ${name} = 'i') + (_${charset}'v' COLLATE ${name} = 'w') + (_${charset}'ccs' COLLATE ${name} = 'cscs') AS pairs`).join(' UNION ALL '))
    const others = odd.flatMap(({ name, pairs }) => Number(pairs) > 0 ? [String(name)] : [])
    t.ok(others.length >= 3, 'there are such collations')
    t.strictSame(others.filter(name => comparisonOf(name) !== null), [])
  })

  const servers = openServers({
    connections: 4, failures: 3, windowMs: 10_000, resetMs: 60_000, suspectMs: 60_000, idleMs: 60_000, maxLagMs: null, onState: () => undefined,
  })
  t.teardown(() => servers.close())
  const database = servers.database([inet(server)], loginTo(server))
  const asked = async (query: string, charset = 'utf8mb4'): Promise<unknown> => {
    const { user, password, database: dbname, port } = server
    const defined = defineTable({ hosts: `127.0.0.1:${port}`, user, password, dbname, query }, parameter => parameter)
    if (!defined.ok || typeof defined.definition.listing === 'string') throw new Error(JSON.stringify(defined))
    return askComparison(database, charset, defined.definition.listing)
  }

  await t.test('the server says which one it is', async t => {
    t.match(await askIdentity(database), { name: `127.0.0.1:${server.port}`, identity: /^[0-9a-f]{16}$/ })
  })

  await t.test('the server says how a key is compared, and why that is of no use', async t => {
    await server.sql(`
      CREATE TABLE kinds (folded VARCHAR(90) COLLATE utf8mb4_general_ci, bytes VARCHAR(90) COLLATE utf8mb4_bin, raw VARBINARY(90), \`odd \`\`name\` CHAR(9) COLLATE latin1_swedish_ci,
        lithuanian TEXT COLLATE utf8mb4_lithuanian_ci, number INT, day DATE, kind ENUM('a', 'b'), chinese VARCHAR(90) CHARACTER SET gbk, v INT);
      CREATE TABLE nothing LIKE kinds;
      CREATE VIEW seen AS SELECT folded, CONCAT(folded, '@', folded) AS joined, 'one' AS text, v FROM kinds;
      INSERT INTO kinds (number) VALUES (1)`)
    t.strictSame(await asked('SELECT v FROM kinds WHERE folded=\'%s\''), { comparison: 'folded' })
    t.strictSame(await asked('SELECT k.v FROM mail.`kinds` AS k WHERE k.BYTES=\'%s\''), { comparison: 'bytes' })
    t.strictSame(await asked('SELECT v FROM kinds WHERE raw=\'%s\''), { comparison: 'bytes' })
    t.strictSame(await asked('SELECT v FROM kinds WHERE `odd ``name`=\'%s\''), { comparison: 'folded' })
    t.strictSame(await asked('SELECT v FROM seen WHERE folded=\'%s\''), { comparison: 'folded' })
    t.strictSame(await asked('SELECT v FROM seen WHERE joined=\'%s\''), { comparison: 'folded' })
    t.match(await asked('SELECT v FROM kinds WHERE lithuanian=\'%s\''), /of the collation utf8mb4_lithuanian_ci it is not known/)
    t.match(await asked('SELECT v FROM kinds WHERE chinese=\'%s\''), /of the collation gbk_chinese_ci it is not known/)
    t.match(await asked('SELECT v FROM kinds WHERE number=\'%s\''), /kinds.number is of the type int/)
    t.match(await asked('SELECT v FROM kinds WHERE day=\'%s\''), /is of the type date/)
    t.match(await asked('SELECT v FROM kinds WHERE kind=\'%s\''), /is of the type enum/)
    t.match(await asked('SELECT v FROM seen WHERE text=\'%s\''), /is no column with a collation of its own/)
    t.match(await asked('SELECT v FROM nothing WHERE folded=\'%s\''), /the table is empty/)
    t.match(await asked('SELECT v FROM kinds WHERE folded=\'%s\'', 'gbk'), /character set gbk/)
    t.match(await asked('SELECT v FROM nowhere WHERE folded=\'%s\''), /1146/)
  })
})
