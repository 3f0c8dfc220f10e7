/**
 * Copies taken from real servers answer as the table does wherever they are sure,
 * and are not sure where the server's collation, its order of rows or the clock
 * has a say; and a copy that would answer otherwise is not used.
 */
import t from 'tap'
import type { Test } from 'tap'
import { buildCopy, readCopy } from '../../src/caches/copy.js'
import type { Copy } from '../../src/caches/copy.js'
import type { Outcome } from '../../src/outcome.js'
import { openServers } from '../../src/mysql/database.js'
import { defineTable } from '../../src/tables/definition.js'
import type { TableDefinition } from '../../src/tables/definition.js'
import { mysqlSource } from '../../src/tables/source.js'
import { takeCopy } from '../../src/upkeep/take_copy.js'
import type { TakeSettings } from '../../src/upkeep/take_copy.js'
import { plain } from '../fixtures/cf.js'
import type { Plain } from '../fixtures/cf.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import type { Settings, SqlServer } from '../fixtures/sql_server.js'
import { inet, loginTo } from '../mysql/bed.js'
import { serverSettings } from '../fixtures/server_settings.js'

/** Each server with the collations that only it has. */
const products: readonly {
  readonly name: string, readonly start: (settings: Settings) => Promise<SqlServer>, readonly skip: string | false,
  readonly collations: readonly string[],
}[] = [
  {
    name: 'MariaDB', start: startMariadb, skip: false,
    collations: ['utf8mb4_unicode_520_nopad_ci', 'utf8mb4_uca1400_as_cs'],
  },
  {
    name: 'MySQL', start: startMysql, skip: noMysql,
    collations: ['utf8mb4_0900_ai_ci', 'utf8mb4_0900_as_ci', 'utf8mb4_0900_as_cs', 'utf8mb4_0900_bin'],
  },
]

const takenAt = 1_700_000_000_000
const settings: TakeSettings = { maxRows: 100_000, budgetMs: 10_000, now: () => takenAt, onRows: async () => null }

type Parameters = Readonly<Record<string, string>>
type Taking = {
  readonly define: (parameters: Parameters) => TableDefinition
  readonly take: (parameters: Parameters, changed?: Partial<TakeSettings>) => Promise<Copy | string>
  readonly ask: (parameters: Parameters, key: string) => Promise<Outcome>
}

const takingFrom = (t: Test, server: SqlServer): Taking => {
  const servers = openServers(serverSettings())
  t.teardown(() => servers.close())
  const database = servers.database([inet(server)], loginTo(server))
  const define = (parameters: Parameters): TableDefinition => {
    const { user, password, database: dbname, port } = server
    const defined = defineTable(
      { hosts: `127.0.0.1:${port}`, user, password, dbname, ...parameters }, parameter => parameter,
    )
    if (!defined.ok) throw new Error(JSON.stringify(defined.problems))
    return defined.definition
  }
  return {
    define,
    take: (parameters, changed = {}) => {
      const definition = define(parameters)
      return takeCopy({ definition, database }, { ...settings, ...changed })
    },
    ask: async (parameters, key) => (await mysqlSource(define(parameters), database).ask(key, 10_000)).outcome,
  }
}

/** In which order rows come without ORDER BY is the server's affair. */
const comparable = (outcome: Outcome, { query = '' }: Parameters): Plain => {
  const answer = plain(outcome)
  return typeof answer === 'string' && !query.includes('ORDER BY') ? answer.split(',').sort().join() : answer
}

/**
 * What the copy says to each key: a value, null for absent, or unsure. It must be what the table says, where it is
 * sure.
 */
const answersOf = async (
  t: Test, { take, ask }: Taking, parameters: Parameters, keys: readonly string[],
): Promise<Readonly<Record<string, string | null>>> => {
  const copy = await take(parameters)
  if (typeof copy === 'string') throw new Error(`${parameters['query'] ?? ''}: ${copy}`)
  const answers: Record<string, string | null> = {}
  for (const key of keys) {
    const own = copy.answer(key)
    answers[key] = own.kind === 'found' ? own.value : own.kind === 'absent' ? null : 'unsure'
    if (own.kind !== 'unsure') t.strictSame(
      comparable(own, parameters), comparable(await ask(parameters, key), parameters),
      `${parameters['query'] ?? ''} for ${key}`,
    )
  }
  return answers
}

for (const { name: product, start, skip, collations } of products) t.test(product, { skip }, async t => {
  const server = await start({})
  t.teardown(() => server.stop())
  const taking = takingFrom(t, server)
  const table = (
    columns: string, rows: string,
  ): string =>
    `DROP TABLE IF EXISTS listed;
    CREATE TABLE listed (id INT AUTO_INCREMENT PRIMARY KEY, ${columns}, v VARCHAR(90));
    INSERT INTO listed (k, v) VALUES ${rows}`
  const query = 'SELECT v FROM listed WHERE k=\'%s\' ORDER BY id'

  await t.test('a key that a collation could take for another one is not answered, all others are', async t => {
    const rows = [
      'plain@a', 'Capital@a', 'f\u00fcnf@a', 'fanf@b', 'stra\u00dfe@a', 'trail@a ', 'a-b@a', 'ab@a', '\u00e4@c',
      'o\'x@a', '%@a', '\u65e5@d', 'u_der@a',
    ]
      .map(key => `('${key.replace('\'', '\'\'')}', 'of ${key.replace('\'', '\'\'')}')`).join(', ')
    const asked = [
      'plain@a', 'capital@a', 'nobody@a', 'f\u00fcnf@a', 'funf@a', 'fuenf@a', 'fanf@b', 'fanf@a', 'strasse@a',
      'strase@a', 'trail@a', 'trail@a ', 'trai@a', 'plain@a ', 'a-b@a', 'ab@a', 'a@c', 'ae@c', 'abcdefg@c', 'o\'x@a',
      'o"x@a', '%@a', '%', 'u_der@a', 'under@a',
    ]
    for (const collation of [
      'utf8mb4_general_ci', 'utf8mb4_unicode_ci', 'utf8mb4_bin', 'latin1_swedish_ci', 'latin1_general_cs',
      ...collations,
    ]) {
      await server.sql(table(
        `k VARCHAR(90) COLLATE ${collation}`,
        rows.replace(collation.startsWith('latin1') ? ', (\'\u65e5@d\', \'of \u65e5@d\')' : 'nothing', ''),
      ))
      const answers = await answersOf(t, taking, { query }, asked)
      t.match(answers, {
        'plain@a': 'of plain@a', 'nobody@a': null, 'fanf@b': 'of fanf@b', 'a-b@a': 'of a-b@a', 'ab@a': 'of ab@a',
        'o\'x@a': 'of o\'x@a', 'o"x@a': null, '%@a': 'of %@a', '%': null, 'under@a': null, 'abcdefg@c': null,
        'f\u00fcnf@a': 'unsure', 'funf@a': 'unsure', 'fuenf@a': 'unsure', 'strasse@a': 'unsure', 'trail@a': 'unsure',
        'trail@a ': 'unsure', 'plain@a ': 'unsure', 'a@c': 'unsure', 'ae@c': 'unsure', 'trai@a': null,
        'capital@a': /_bin|_cs/.test(collation) ? null : 'of Capital@a',
      }, collation)
    }
    await server.sql(table('k VARBINARY(90)', rows))
    t.match(
      await answersOf(t, taking, { query }, asked),
      { 'plain@a': 'of plain@a', 'capital@a': null, 'nobody@a': null, 'funf@a': 'unsure' },
    )
  })

  await t.test('the rows of a key make one answer, as the query and the file want it', async t => {
    await server.sql(table(
      'k VARCHAR(90)',
      '(\'two@a\', \'z\'), (\'one@a\', \'only\'), (\'Two@a\', \'a\'), (\'TWO@a\', \'m\'), (\'none@a\', NULL), '
        + '(\'some@a\', \'\'), '
        + '(\'some@a\', \'x\'), (NULL, \'n\'), (\'\', \'e\'), (\'same@a\', \'s\'), (\'same@a\', \'s\')',
    ))
    const asked = ['two@a', 'one@a', 'none@a', 'some@a', 'same@a', 'a', '@a']
    t.strictSame(
      await answersOf(t, taking, { query }, asked),
      { 'two@a': 'z,a,m', 'one@a': 'only', 'none@a': null, 'some@a': 'x', 'same@a': 's,s', a: null, '@a': null },
    )
    t.match(await answersOf(t, taking, { query: query.replace('id', 'v DESC') }, asked), { 'two@a': 'z,m,a' })
    t.match(await answersOf(t, taking, { query: query.replace('v', 'id, v') }, asked), { 'two@a': '1,z,3,a,4,m' })
    t.match(await answersOf(t, taking, { query: `${query} LIMIT 2` }, asked), { 'two@a': 'z,a', 'same@a': 's,s' })
    t.match(
      await answersOf(t, taking, { query: 'SELECT v FROM listed WHERE k=\'%s\' LIMIT 1' }, asked),
      { 'two@a': 'unsure', 'same@a': 's', 'one@a': 'only' },
      'without an order SQL leaves open which rows LIMIT cuts off',
    )
    t.match(
      await answersOf(t, taking, { query: 'SELECT v FROM listed WHERE k=\'%s\' ORDER BY k LIMIT 1' }, asked),
      { 'two@a': 'unsure', 'one@a': 'only' }, 'nor does an order in which they are equal',
    )
    t.match(
      await answersOf(t, taking, { query: 'SELECT DISTINCT v FROM listed WHERE k=\'%s\'' }, asked), { 'same@a': 's' },
    )
    t.match(
      await answersOf(t, taking, { query, expansion_limit: '2' }, asked), { 'two@a': 'unsure', 'one@a': 'only' },
      'too many results',
    )
    t.match(
      await answersOf(t, taking, { query, result_format: 'smtp:[%s]%u' }, asked),
      { 'two@a': 'smtp:[z]z,smtp:[a]a,smtp:[m]m' },
    )
    t.match(await answersOf(t, taking, { query, domain: 'b' }, asked), { 'two@a': null, 'one@a': null })
  })

  await t.test('alternatives, unions and parts of the key find what the query finds', async t => {
    await server.sql(`DROP TABLE IF EXISTS other;
      CREATE TABLE other (dom VARCHAR(90), local VARCHAR(90), v VARCHAR(90));
      INSERT INTO other VALUES ('a', 'ann', 'x'), ('a', 'bob', 'X'), ('b', 'bob', 'y'), ('A', 'cy', 'z')`)
    await server.sql(table(
      'k VARCHAR(90)',
      '(\'ann@a\', \'x\'), (\'@a\', \'catch\'), (\'bob@a\', \'x\'), (\'*\', \'star\'), (\'bob\', \'word\')',
    ))
    const asked = ['ann@a', 'bob@a', 'cy@a', 'zz@a', '@a', 'bob@b', 'bob', '*', 'zz@nowhere', 'a']
    t.strictSame(await answersOf(
      t, taking, { query: 'SELECT v FROM listed WHERE k=\'%s\' OR k=\'@%d\' ORDER BY id' }, asked,
    ), {
      'ann@a': 'unsure', 'bob@a': 'unsure', 'cy@a': 'catch', 'zz@a': 'catch', '@a': 'catch', 'bob@b': null, bob: null,
      '*': null, 'zz@nowhere': null, a: null,
    }, 'in which order several alternatives give rows only the server knows')
    t.match(
      await answersOf(t, taking, { query: 'SELECT v FROM listed WHERE k IN (\'%s\', \'*\')' }, asked),
      { 'zz@a': 'star', '*': 'star' }, 'a row for all keys',
    )
    t.match(
      await answersOf(t, taking, { query: 'SELECT v FROM other WHERE dom=\'%d\' AND local=\'%u\'' }, asked),
      { 'ann@a': 'x', 'cy@a': 'z', 'bob@b': 'y', 'zz@a': null, bob: null },
    )
    t.match(await answersOf(
      t, taking,
      {
        query: 'SELECT v FROM listed WHERE k=CONCAT(\'%u\',\'@\',\'%d\') '
          + 'UNION SELECT v FROM other WHERE dom=\'%d\' AND local=\'%u\'',
      },
      asked,
    ),
      {
        'ann@a': 'x', 'bob@a': 'unsure', 'cy@a': 'z', 'zz@a': null,
      }, 'one of equal rows counts; whether x and X are equal only the server knows')
    t.match(
      await answersOf(
        t, taking,
        {
          query: 'SELECT v FROM listed WHERE k=\'%s\' '
            + 'AND NOT EXISTS (SELECT 1 FROM other WHERE dom=\'%d\' AND local=\'%u\')',
        },
        ['ann@a', 'bob@a'],
      ),
      { 'ann@a': null },
    )
    t.match(await answersOf(
      t, taking, { query: 'SELECT \'%u\' FROM other WHERE dom=\'%d\' AND \'%u\' NOT LIKE \'b%%\' LIMIT 1' }, asked,
    ), { 'zz@a': 'zz', 'bob@a': null, 'zz@nowhere': null })
  })

  await t.test('a row that the clock makes count or not is no absence', async t => {
    await server.sql(table(
      'until DATETIME, k VARCHAR(90)',
      '(\'now@a\', \'x\'), (\'over@a\', \'y\'), (\'both@a\', \'1\'), (\'both@a\', \'2\')',
    )
      + '; UPDATE listed SET until = \'2001-01-01\' WHERE id IN (2, 3)')
    t.strictSame(await answersOf(
      t, taking, { query: 'SELECT v FROM listed WHERE k=\'%s\' AND (until IS NULL OR until > NOW())' },
      ['now@a', 'over@a', 'both@a', 'none@a'],
    ),
      { 'now@a': 'x', 'over@a': 'unsure', 'both@a': '2', 'none@a': null })
  })

  await t.test('a key with more rows or bytes than a lookup reads is not answered', async t => {
    const rows = [
      ...Array<string>(10_001).fill('(\'many@a\', \'x\')'),
      ...Array<string>(4).fill('(\'long@a\', REPEAT(\'x\', 300000))'), '(\'one@a\', REPEAT(\'y\', 90000))',
      '(\'last@a\', \'z\')',
    ]
    await server.sql(table('k VARCHAR(90)', rows.join()).replace('v VARCHAR(90)', 'v MEDIUMTEXT'))
    const answers = await answersOf(t, taking, { query }, ['many@a', 'long@a', 'one@a', 'last@a'])
    t.match(answers, { 'many@a': 'unsure', 'long@a': 'unsure', 'last@a': 'z' })
    t.equal(answers['one@a']?.length, 90_000)
  })

  await t.test('a copy that answers otherwise than its table is not used', async t => {
    await server.sql(table('k INT', '(0, \'zero\'), (7, \'seven\')'))
    t.match(
      await taking.take({ query }), 'a key that is absent in the copy is found in the table',
      'a number that all words are equal to',
    )
    await server.sql(table(
      'k VARCHAR(90) COLLATE utf8mb4_lithuanian_ci',
      Array.from({ length: 40 }, (_, number) => `('may${number}@a', 'x')`).join(),
    ))
    t.match(
      await taking.take({ query }), 'a key that is absent in the copy is found in the table',
      'a collation that takes y for i',
    )
    await server.sql(table('k VARCHAR(90)', '(\'one@a\', \'x\'), (\'two@a\', \'y\')'))
    t.match(await taking.take(
      { query }, { onRows: async () => { await server.sql('UPDATE listed SET v=\'new\''); return null } },
    ), 'a key has another value in the table than in the copy')
    t.match(
      await taking.take({ query }, { onRows: async () => { await server.sql('DELETE FROM listed'); return null } }),
      'a key that is found in the copy is absent in the table',
    )
    await server.sql(table('k VARCHAR(90)', '(\'\', \'\'), (\'one@a\', \'x\')'))
    t.match(
      await taking.take({ query: 'SELECT v FROM listed WHERE k=\'%s\' AND id=(SELECT 1 UNION SELECT 2)' }),
      /^query-error: .*1242/, 'the listing itself fails',
    )
  })

  await t.test('whoever takes a copy bounds it, and ends it', async t => {
    await server.sql(table(
      'k VARCHAR(90)', Array.from({ length: 500 }, (_, number) => `('user${number}@a', 'x')`).join(),
    ))
    t.equal(await taking.take({ query }, { maxRows: 300 }), 'it has more than 300 rows')
    let batches = 0
    t.equal(await taking.take({ query }, { onRows: async () => ++batches === 3 ? 'enough' : null }), 'enough')
    t.equal(batches, 3)
    t.match(await taking.take({ query: 'SELECT v FROM listed WHERE k LIKE \'%s\'' }), 'pattern')
    await server.sql(table(
      'k VARCHAR(90)', Array.from({ length: 1_001 }, (_, number) => `('\u00fc${number}@a', 'x')`).join(),
    ))
    t.equal(await taking.take({ query }), 'more than 1000 keys are not in printable ASCII')
  })

  await t.test('a copy that was written is read as it was; another definition has it as evidence', async t => {
    await server.sql(table('k VARCHAR(90)', '(\'number1@a\', \'x\'), (\'\u00fc@a\', \'y\')'))
    const copy = await taking.take({ query })
    if (typeof copy === 'string') throw new Error(copy)
    const pieces = [...copy.pieces()]
    const definition = taking.define({ query })
    if (typeof definition.listing === 'string') throw new Error(definition.listing)
    const read = await readCopy(definition, definition.listing, pieces)
    if (typeof read === 'string') throw new Error(read)
    t.strictSame([read.takenAt, read.rows, read.keys], [takenAt, 1, 1])
    for (const key of ['number1@a', 'number2@a', 'u@a', '\u00fc@a']) t.strictSame(read.answer(key), copy.answer(key), key)
    const other = taking.define({ query: query.replace('v', 'id') })
    for (const listing of [other.listing, 'it can\'t be listed']) {
      const foreign = await readCopy(other, listing, pieces)
      if (typeof foreign === 'string') throw new Error(foreign)
      t.equal(foreign.isForeign, true)
      t.match([foreign.answer('number1@a'), foreign.answer('number2@a')], [{ kind: 'found' }, { kind: 'absent' }])
    }
    t.equal(await readCopy(definition, definition.listing, []), 'it is damaged')
    t.equal(
      await readCopy(definition, definition.listing, [...pieces.slice(0, 1), Buffer.from('junk')]), 'it is damaged',
    )
    t.equal(await readCopy(definition, definition.listing, [Buffer.from('{}')]), 'it is damaged')
  })

  await t.test('keys are sampled as Postfix would ask for them', async t => {
    await server.sql(table('k VARCHAR(90)', '(\'ann@a.test\', \'x\'), (\'@b.test\', \'y\'), (\'c.test\', \'z\')'))
    const sample = async (query: string, keys = 10): Promise<readonly string[]> => {
      const copy = await taking.take({ query })
      return typeof copy === 'string' ? [copy] : copy.sampleKeys(keys).toSorted()
    }
    t.strictSame(await sample('SELECT v FROM listed WHERE k=\'%s\''), ['@b.test', 'ann@a.test', 'c.test'])
    t.equal((await sample('SELECT v FROM listed WHERE k=\'%s\'', 2)).length, 2)
    t.strictSame(await sample('SELECT v FROM listed WHERE k=\'@%d\''), ['holdfast-check@b.test'])
    t.strictSame(await sample('SELECT v FROM listed WHERE k=\'%d\''), ['holdfast-check@c.test'])
    t.strictSame(await sample('SELECT v FROM listed WHERE k=\'%2.%1\''), ['holdfast-check@c.test'])
    t.strictSame(await sample('SELECT v FROM listed WHERE CONCAT(\'%u\',\'@\',\'a.test\')=k AND id=\'%d\''), ['ann@1'])
  })

  await t.test('a session in another character set has copies too, with values in its bytes', async t => {
    await server.sql(table('k VARCHAR(90)', '(\'plain@a\', \'\u00fc\'), (\'\u00fc@a\', \'x\')'))
    const parameters = { query, charset: 'latin1' }
    const definition = taking.define(parameters)
    if (typeof definition.listing === 'string') throw new Error(definition.listing)
    const copy = await taking.take(parameters)
    t.match(
      typeof copy === 'string' ? copy : copy.answer('plain@a'), { kind: 'found', value: '\xc3\xbc' },
      'these connections are in utf8mb4',
    )
    t.equal(buildCopy(definition, definition.listing, 0).rows, 0)
  })
})
