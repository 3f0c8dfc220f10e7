import t from 'tap'
import { withRemedies } from '../fixtures/remedy.js'
import { needsOf } from '../../src/tables/expansion.js'
import { scanResultFormat } from '../../src/tables/result.js'
import { bindKey, scanQuery } from '../../src/tables/query_template.js'

const compile = (query: string, format = '%s'): { sql: string, bind: (key: string) => readonly string[] | null } => {
  const scanned = scanQuery(query)
  if (!scanned.ok) throw new Error(scanned.problems.join('; '))
  const result = scanResultFormat(format)
  if (!result.ok) throw new Error(result.problem)
  const { statement } = scanned
  return {
    sql: statement.texts.join('?'), bind: bindKey(statement, needsOf([...statement.expansions, ...result.expansions])),
  }
}
const problemsOf = (query: string): readonly string[] => {
  const scanned = scanQuery(query)
  return scanned.ok ? [] : withRemedies(scanned.problems)
}

/** A query, its statement, a key, and what is bound for it. */
const statements: readonly (readonly [query: string, sql: string, key: string, bound: readonly string[] | null])[] = [
  ['SELECT g FROM a WHERE k=\'%s\'', 'SELECT g FROM a WHERE k=?', 'u@d.e', ['u@d.e']],
  ['SELECT g FROM a WHERE k="%s"', 'SELECT g FROM a WHERE k=?', 'u@d.e', ['u@d.e']],
  ['SELECT \'%s\',\'%S\',\'%u\',\'%U\',\'%d\',\'%D\'', 'SELECT ?,?,?,?,?,?', 'a@b@c.d',
    ['a@b@c.d', 'a@b@c.d', 'a@b', 'a@b', 'c.d', 'c.d']],
  ['SELECT \'%d/%u/\', \'@%d\'', 'SELECT ?, ?', 'ann@a.test', ['a.test/ann/', '@a.test']],
  ['a LIKE \'%%@%s\' OR b LIKE \'x%%\'', 'a LIKE ? OR b LIKE \'x%\'', 'a.test', ['%@a.test']],
  ['SELECT \'100%%d@x\', \'%s\'', 'SELECT \'100%d@x\', ?', 'a%d%s@x', ['a%d%s@x']],
  ['WHERE id %% 2 = 0 AND k=%s', 'WHERE id % 2 = 0 AND k=?', '1 OR 1=1', ['1 OR 1=1']],
  ['SELECT g FROM a WHERE id IN (%1, %2) OR id=%3', 'SELECT g FROM a WHERE id IN (?, ?) OR id=?', 'u@3.2.1',
    ['1', '2', '3']],
  ['SELECT TRIM(LEADING \'0\' FROM %s), EXTRACT(YEAR FROM %s)',
    'SELECT TRIM(LEADING \'0\' FROM ?), EXTRACT(YEAR FROM ?)', 'k', ['k', 'k']],
  ['SELECT CONCAT(\'%2\',\'.\',\'%1\')', 'SELECT CONCAT(?,\'.\',?)', 'u@x.a.test', ['a', 'test']],
  // Escapes in a literal that becomes a parameter are taken off, in one that stays they stay.
  ['SELECT \'it\'\'s %u \\\'q\\\' \\\\ \\n\\x\', \'it\'\'s \\\' \\\\ \\n\'', 'SELECT ?, \'it\'\'s \\\' \\\\ \\n\'',
    'u@d', ['it\'s u \'q\' \\ \nx']],
  ['SELECT "say ""%u"" \'x\'"', 'SELECT ?', 'u@d', ['say "u" \'x\'']],
  ['SELECT \'AD\\\\%u\'', 'SELECT ?', 'u@d', ['AD\\u']],
  ['LIKE \'\\%%\\_%s\'', 'LIKE ?', 'k', ['\\%\\_k']],
  ['SELECT \'\' , \'%s\'', 'SELECT \'\' , ?', 'k', ['k']],
  ['SELECT \'?\', "?", `?` FROM t WHERE k=\'%s\' -- ?', 'SELECT \'?\', "?", `?` FROM t WHERE k=? -- ?', 'k', ['k']],
  ['SELECT 1 /* %u */ FROM t', 'SELECT 1   FROM t', '@d', null],
  ['SELECT 1 /* %u */ FROM t # %d', 'SELECT 1   FROM t  ', 'u@d', []],
  ['SELECT 1 /* it\'s 100%% */ + 1', 'SELECT 1 /* it\'s 100% */ + 1', 'k', []],
  ['SELECT 1 -- it\'s\n+ \'%s\'', 'SELECT 1 -- it\'s\n+ ?', 'k', ['k']],
  ['SELECT 5--\'%s\'', 'SELECT 5--?', 'k', ['k']],
  ['SELECT /*!50000 \'%s\' */', 'SELECT /*!50000 ? */', 'k', ['k']],
  ['CALL p(\'%s\');  ', 'CALL p(?)', 'k', ['k']],
  ['SELECT \'%s\'; SELECT 2 ;', 'SELECT ?; SELECT 2', 'k', ['k']],
  ['\'\\r\\n|$\' REGEXP \'%u\' COLLATE utf8mb4_bin', '\'\\r\\n|$\' REGEXP ? COLLATE utf8mb4_bin', 'u', ['u']],
  ['SELECT \'%s\'', 'SELECT ?', '"a b"@x.y', ['"a b"@x.y']],
  ['SELECT \'%s\'', 'SELECT ?', '\' OR \'1\'=\'1', ['\' OR \'1\'=\'1']],
]

t.test('a literal with expansions becomes one parameter, everything else stays text', t => {
  for (const [query, sql, key, bound] of statements) {
    const compiled = compile(query)
    t.equal(compiled.sql, sql, query)
    t.same(compiled.bind(key), bound, `${query} for ${key}`)
  }
  t.end()
})

/** Keys that lack what the templates want are absent without a question. */
const asked: readonly (readonly [query: string, format: string, key: string, isAsked: boolean])[] = [
  ['\'%s\'', '%s', 'word', true],
  ['\'%s\'', '%s', '@', true],
  ['\'%s\'', '%s', '', false],
  ['\'%u\'', '%s', 'word', true],
  ['\'%u\'', '%s', 'u@', true],
  ['\'%u\'', '%s', '@d', false],
  ['\'%u\'', '%s', '@', false],
  ['\'%d\'', '%s', '@d', true],
  ['\'%d\'', '%s', 'word', false],
  ['\'%d\'', '%s', 'u@', false],
  ['\'%D\'', '%s', 'word', false],
  ['\'%u%d\'', '%s', '@d', false],
  ['\'%1\'', '%s', 'word', false],
  ['\'%1\'', '%s', 'u@d', true],
  ['\'%2\'', '%s', 'u@d', false],
  ['\'%2\'', '%s', 'u@d.e', true],
  ['\'%3\'', '%s', 'u@a..b.c', true],
  ['\'%3\'', '%s', 'u@.b.c.', false],
  ['\'%1\'', '%s', 'u@...', false],
  ['\'%s\'', '%u@%d', 'word', true],
  ['\'%s\'', '%D', 'word', false],
  ['\'%s\'', '%D', 'u@', false],
  ['\'%s\'', '%U', '@d', false],
  ['\'%s\'', '%U', 'word', true],
  ['\'%s\'', '%3', 'u@a.b', false],
  ['\'%s\'', '%S', 'word', true],
]

t.test('the needs of query and result_format together decide which keys are asked', t => {
  for (const [query, format, key, isAsked] of asked) {
    t.equal(compile(query, format).bind(key) !== null, isAsked, `${query} ${format} ${key}`)
  }
  t.end()
})

t.test('empty labels of a domain are passed over', t => {
  t.same(compile('\'%1 %2 %3\'').bind('u@a..b.c.'), ['c b a'])
  t.end()
})

t.test('what can\'t be a statement is refused, every problem at once', t => {
  t.match(problemsOf('SELECT \'in%-\' , \'%x\''), [/^in 'in%-': %- is no expansion/, /^in '%x': %x is no expansion/])
  t.match(problemsOf('SELECT \'in%\''), [/^in 'in%': .*single %/])
  t.match(problemsOf('SELECT \'a %'), [/not closed/])
  t.match(problemsOf('SELECT 1 %'), [/single %/])
  t.match(problemsOf('SELECT a FROM `t_%d`'), [/back quotes/])
  for (const query of [
    'FROM %d', 'from t JOIN %d', 'FROM t_%d', 'FROM %d_t', 'FROM mail.%d', 'FROM %d.t', 'FROM t WHERE k=%u@%d',
    'FROM t WHERE k=%u%d', 'FROM (SELECT a FROM %d) b',
  ]) {
    t.match(problemsOf(`SELECT a ${query}`), [/^%[ud] outside quotes would be a name/], query)
  }
  t.match(problemsOf('SELECT ? FROM t'), [/\? outside quotes/])
  t.match(problemsOf('SELECT "a'), [/character 8 is not closed/])
  t.match(problemsOf('SELECT 1 /* x'), [/comment at character 10/])
  t.match(problemsOf('SELECT _utf8mb4 \'%s\''), [/character set/])
  t.match(problemsOf('SELECT x\'%s\''), [/character set/])
  t.match(problemsOf('SELECT \'\\%s\''), [/backslash/])
  t.match(problemsOf('SELECT \'\\\\\\%s\''), [/backslash/])
  t.end()
})

t.test('a key where the server takes only a number, or beside another literal, is refused', t => {
  for (const end of ['LIMIT %s', 'LIMIT \'%1\'', 'limit 1, %1', 'LIMIT 3 OFFSET %1', 'LIMIT %1, 2']) {
    t.match(problemsOf(`SELECT a FROM b ${end}`), [/after LIMIT or OFFSET/], end)
  }
  for (const query of ['\'a\' \'%s\'', '\'%s\' "b"', '\'%u\' /* and */ \'%d\'', '\'%s\'\n\'\'']) {
    t.match(problemsOf(`SELECT v FROM t WHERE k=${query}`), [/^two literals side by side/], query)
  }
  for (const query of ['\'a\' \'b\', \'%s\'', 'CONCAT(\'a\',\'%s\')', '\'%s\'=\'a\'', '\'%s\' AS \'limit\'']) {
    t.same(problemsOf(`SELECT ${query}`), [], query)
  }
  t.end()
})

t.test('a template says which sql_modes would read it otherwise', t => {
  const unfit = new Map<string, readonly string[]>([
    ['SELECT a FROM b WHERE c=\'%s\' AND d="x" AND e=\'\\n\'', []],
    ['c="%s"', ['ANSI_QUOTES']],
    ['c=\'%s\\n\'', ['NO_BACKSLASH_ESCAPES']],
    ['c=\'it\\\'s\' AND d=\'%s\'', ['NO_BACKSLASH_ESCAPES']],
    ['c="a\\"b"', ['ANSI_QUOTES', 'NO_BACKSLASH_ESCAPES']],
    ['c=\'it\'\'s %s\'', []],
  ])
  for (const [query, modes] of unfit) t.match(scanQuery(query), { statement: { unfitModes: modes } }, query)
  t.end()
})
