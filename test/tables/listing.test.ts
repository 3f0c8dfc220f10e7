import t from 'tap'
import type { KeyText } from '../../src/tables/expansion.js'
import { deriveListing, listingSql } from '../../src/tables/listing.js'
import type { Listing, KeySearch } from '../../src/tables/listing.js'
import { columnsSql, listingOf, orderedListing, orderedSql } from '../../src/tables/ordered_listing.js'
import { scanQuery } from '../../src/tables/query_template.js'

const derive = (query: string): Listing | string => {
  const scanned = scanQuery(query)
  if (!scanned.ok) throw new Error(scanned.problems.join('; '))
  return deriveListing(scanned.statement)
}
const oneBlank = (text: string): string => text.replace(/\s+/g, ' ').trim()

const shownText = (text: KeyText): string => text.map(piece => {
  if (typeof piece === 'string') return piece
  if ('cut' in piece) return `cut(${shownText(piece.cut)} ${piece.delimiter} ${piece.count})`
  return typeof piece.part === 'number' ? `%${piece.part}` : { all: '%s', user: '%u', domain: '%d' }[piece.part]
}).join('')
const shownSearch = ({ columns, ways, tests, requirements, values, from, where, clock, order }: KeySearch): string => [
  ways.map(
    way => way.map((text, index) => `${shownText(text)}=${columns[index] ?? ''}`).join(' & ') || 'any key',
  ).join(' or '),
  ...tests.map(({ text, pattern, isNegated }) => `${shownText(text)} ${isNegated ? 'not ' : ''}like ${pattern}`),
  ...requirements.map(({ searches, isNegated }) => `${isNegated ? 'none' : 'some'} of ${searches.join()}`),
  values.map(value => typeof value === 'string' ? value : `"${shownText(value)}"`).join(', '), from,
  where.join(' AND '),
  ...clock === null ? [] : [`now: ${clock}`], ...order === '' ? [] : [`by ${order}`],
].map(oneBlank).join(' | ')
/**
 * A listing as the key's texts and the columns that they are compared with, then conditions on the key, values, tables,
 * conditions on the row.
 */
const shown = (query: string): readonly string[] | string => {
  const listing = derive(query)
  if (typeof listing === 'string') return listing
  const limits = listing.selects.filter(({ limit }) => limit !== Infinity).map(
    ({ searches, limit }) => `limit ${limit} of ${searches.join()}`,
  )
  return [...listing.searches.map(shownSearch), ...limits, ...listing.isDistinct ? ['distinct'] : []]
}

const derived: readonly (readonly [query: string, ...listing: readonly string[]])[] = [
  ['SELECT goto FROM alias WHERE address=\'%s\'', '%s=address | goto | alias | '],
  ['select goto from alias where address = "%s" and active = 1;', '%s=address | goto | alias | active = 1'],
  ['SELECT goto FROM alias WHERE (active=\'1\' AND (\'%s\' = address)) AND goto<>\'\'',
    '%s=address | goto | alias | active=\'1\' AND goto<>\'\''],
  ['SELECT `goto`, note FROM mail.`alias` WHERE `address` = %s', '%s=`address` | `goto`, note | mail.`alias` | '],
  ['SELECT a.goto FROM mail.alias AS a WHERE a.address=\'%S\' ORDER BY a.id DESC, a.goto',
    '%s=a.address | a.goto | mail.alias AS a | | by a.id DESC, a.goto'],
  ['SELECT goto FROM alias a WHERE address=\'%s\' LIMIT 1', '%s=address | goto | alias a | ', 'limit 1 of 0'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND live=1 ORDER BY id LIMIT 3',
    '%s=address | goto | alias | live=1 | by id', 'limit 3 of 0'],
  ['SELECT CONCAT(store,\'/\',path) AS address FROM box WHERE LOWER(address)=LOWER(\'%s\')',
    '%s=LOWER(address) | CONCAT(store,\'/\',path) AS address | box | '],
  ['SELECT 1 FROM dom WHERE name=\'%s\' AND NOT (route LIKE \'smtp%%\' OR route LIKE \'relay%%\')',
    '%s=name | 1 | dom | NOT (route LIKE \'smtp%\' OR route LIKE \'relay%\')'],
  ['SELECT v FROM box WHERE a=1 AND x BETWEEN 1 AND 2 AND (y=1 OR z=2) AND addr=\'%s\'',
    '%s=addr | v | box | a=1 AND x BETWEEN 1 AND 2 AND y=1 OR z=2'],
  ['SELECT goto /* the %% target */ FROM alias WHERE address=\'%s\' -- all', '%s=address | goto | alias | '],
  ['SELECT goto FROM alias WHERE t.`now`=1 AND end > 3 AND address=\'%s\'',
    '%s=address | goto | alias | t.`now`=1 AND end > 3'],
  ['SELECT goto FROM alias WHERE CASE WHEN live=1 AND 1 THEN 0 ELSE 1 END AND address=\'%s\'',
    '%s=address | goto | alias | CASE WHEN live=1 AND 1 THEN 0 ELSE 1 END'],
  // Parts of the key.
  ['SELECT v FROM dom WHERE name=\'%d\'', '%d=name | v | dom | '],
  ['SELECT v FROM box WHERE local=\'%u\' AND dom=\'%d\'', '%u=local & %d=dom | v | box | '],
  ['SELECT v FROM fwd WHERE addr=\'@%d\'', '@%d=addr | v | fwd | '],
  ['SELECT v FROM fwd WHERE CONCAT(\'@\',\'%d\')=addr', '@%d=addr | v | fwd | '],
  ['SELECT v FROM dom WHERE name=CONCAT(\'%2\',\'.\',\'%1\')', '%2.%1=name | v | dom | '],
  ['SELECT v FROM box WHERE addr=CONCAT(SUBSTRING_INDEX(\'%u\',\'+\',1),\'@%d\')', 'cut(%u + 1)@%d=addr | v | box | '],
  ['SELECT v FROM box, dom WHERE box.addr=\'%s\' AND box.dom=\'%d\' AND box.dom=dom.name',
    '%s=box.addr & %d=box.dom | v | box, dom | box.dom=dom.name'],
  ['SELECT v FROM f, d WHERE d.name=\'%d\' AND f.addr=CONCAT(\'%u\',\'@\',d.target)',
    '%d=d.name & %u=LEFT(f.addr, CHAR_LENGTH(f.addr) - CHAR_LENGTH(SUBSTRING_INDEX(f.addr, \'@\', -1)) - 1) | v | '
      + 'f, d | LOCATE(\'@\', f.addr) > 0 AND SUBSTRING_INDEX(f.addr, \'@\', -1) = d.target'],
  ['SELECT v FROM f WHERE CONCAT(\'%s\',tail)=addr', '%s=LEFT(addr, CHAR_LENGTH(addr) - CHAR_LENGTH(CONCAT(tail))) '
    + '| v | f | RIGHT(addr, CHAR_LENGTH(CONCAT(tail))) = CONCAT(tail)'],
  ['SELECT v FROM d WHERE name=\'%d\' AND \'%u\' NOT LIKE \'%%+%%\' AND \'%u\'<>\'root\'',
    '%d=name | %u not like %+% | %u not like root | v | d | '],
  ['SELECT v FROM d WHERE name=\'%s\' AND owner<>\'%d\'',
    '%s=name | v | d | owner<>SUBSTRING_INDEX(LOWER(name), \'@\', -1)'],
  ['SELECT \'%s\', CONCAT(home,\'%d\') FROM d WHERE name=\'%d\'', '%d=name | "%s", CONCAT(home,LOWER(name)) | d | '],
  // Several tables, several queries, alternatives.
  ['SELECT goto FROM alias NATURAL JOIN dom WHERE address=\'%s\'', '%s=address | goto | alias NATURAL JOIN dom | '],
  ['SELECT goto FROM alias a LEFT JOIN dom d ON a.d=d.id WHERE a.address=\'%s\'',
    '%s=a.address | goto | alias a LEFT JOIN dom d ON a.d=d.id | '],
  ['(SELECT a FROM b WHERE c=\'%s\' LIMIT 1) UNION (SELECT d FROM e WHERE f=\'%d\')', '%s=c | a | b | ',
    '%d=f | d | e | ', 'limit 1 of 0', 'distinct'],
  ['SELECT a FROM b WHERE c=\'%s\' UNION ALL SELECT d FROM e WHERE f=\'%s\'', '%s=c | a | b | ', '%s=f | d | e | '],
  ['SELECT a FROM b WHERE (c=\'%s\' OR c=\'@%d\') AND live=1', '%s=c or @%d=c | a | b | live=1'],
  ['SELECT a FROM b WHERE live=1 AND c IN (\'%s\',\'@%d\')', '%s=c or @%d=c | a | b | live=1'],
  ['SELECT a FROM b WHERE c=\'%s\' OR (d=\'%d\' AND live=1)', '%s=c | a | b | ', '%d=d | a | b | live=1'],
  ['SELECT a FROM b WHERE c=\'%s\' OR c=\'*\'', '%s=c | a | b | ', 'any key | a | b | c=\'*\''],
  ['SELECT DISTINCT a FROM b WHERE c=\'%s\'', '%s=c | a | b | '],
  ['SELECT d FROM (SELECT t AS d, 0 AS p FROM f WHERE a=\'%s\' UNION SELECT x, 1 FROM g WHERE b=\'%s\') q ORDER BY '
    + 'p LIMIT 1',
    '%s=q.holdfast_key1 | d | (SELECT CAST(CONVERT(LOWER(a) USING utf8mb4) AS BINARY) AS holdfast_key1, t AS d, 0 '
      + 'AS p FROM f WHERE (a = LOWER(a) ) '
    + 'UNION SELECT CAST(CONVERT(LOWER(b) USING utf8mb4) AS BINARY) AS holdfast_key1, x, 1 FROM g WHERE (b = '
    + 'LOWER(b) ) ) AS q | | by p', 'limit 1 of 0'],
  // Queries within.
  ['SELECT a FROM b WHERE c=\'%s\' AND d IN (SELECT MAX(e) FROM f)', '%s=c | a | b | d IN (SELECT MAX(e) FROM f)'],
  ['SELECT a FROM b WHERE c=\'%s\' AND NOT EXISTS (SELECT 1 FROM f WHERE g=\'@%s\')', '@%s=g | | f | ',
    '%s=c | none of 0 | a | b | '],
  ['SELECT a FROM b WHERE c=\'%s\' AND \'%d\' IN (SELECT name FROM d WHERE live=1)', '%d=name | | d | live=1',
    '%s=c | some of 0 | a | b | '],
  ['SELECT IF(EXISTS(SELECT 1 FROM f WHERE g=\'%s\'), \'yes\', NULL) AS x', '%s=g | | f | ',
    'any key | some of 0 | \'yes\' | DUAL | '],
  // The clock.
  ['SELECT a FROM b WHERE c=\'%s\' AND (d IS NULL OR d > NOW()) AND e < CURRENT_TIMESTAMP',
    '%s=c | a | b | | now: (d IS NULL OR d > NOW() ) AND (e < CURRENT_TIMESTAMP )'],
  ['SELECT a FROM b WHERE c=\'%s\' AND UNIX_TIMESTAMP(d) > 5', '%s=c | a | b | UNIX_TIMESTAMP(d) > 5'],
]

/** Queries whose tables can't be listed, and a part of the reason. */
const refused: readonly (readonly [query: string, reason: string])[] = [
  ['CALL find(\'%s\')', 'procedure'],
  ['WITH a AS (SELECT 1) SELECT a FROM b WHERE c=\'%s\'', 'no plain SELECT'],
  ['SELECT 1', 'key does not stand'],
  ['SELECT goto FROM alias WHERE address LIKE \'%s\'', 'pattern'],
  ['SELECT goto FROM alias WHERE address LIKE \'%%@%s\'', 'pattern'],
  ['SELECT goto FROM alias WHERE address RLIKE \'%s\'', 'pattern'],
  ['SELECT goto FROM alias WHERE \'%s\' REGEXP address', 'pattern'],
  ['SELECT goto FROM alias WHERE address=\'%s\' OR \'%s\' REGEXP pattern', 'pattern'],
  ['SELECT goto FROM alias WHERE address=\'%u\' AND address<>\'%s\'', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address=UPPER(\'%s\')', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address=\'X-%s\'', 'capital'],
  ['SELECT goto FROM alias WHERE NOT address=\'%s\'', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address=\'%s\' COLLATE utf8mb4_bin', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address<>\'%s\'', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address<=>\'%s\'', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address=\'%s\' IS TRUE', 'not compared by ='],
  ['SELECT goto FROM alias WHERE (local, dom)=(\'%u\',\'%d\')', 'not compared by ='],
  ['SELECT goto FROM alias WHERE address=(SELECT a FROM b WHERE c=\'%s\')', 'a query within'],
  ['SELECT goto FROM alias WHERE address=CONCAT(name,\'@\',\'%d\')', 'joined with columns before it'],
  ['SELECT goto FROM alias WHERE address=\'%s\' XOR live=1', 'XOR'],
  ['SELECT goto FROM alias WHERE domain=\'*\' || address=\'%s\'', '||'],
  ['SELECT goto FROM alias JOIN dom ON dom.name=\'%d\' WHERE address=\'%s\'', 'in a JOIN'],
  ['SELECT goto FROM (SELECT goto FROM alias WHERE address=\'%s\' LIMIT 1) a', 'limits its rows'],
  ['SELECT a FROM b WHERE c=\'%s\' UNION SELECT d FROM e WHERE f=\'%s\' ORDER BY 1', 'several queries'],
  ['SELECT a FROM b WHERE c=\'%s\' UNION SELECT d FROM e WHERE f=\'%s\' UNION ALL SELECT 1', 'mixes'],
  ['SELECT a FROM b WHERE c=\'%s\' UNION SELECT d, e FROM e WHERE f=\'%s\'', 'different numbers of columns'],
  ['SELECT NOW() FROM alias WHERE address=\'%s\'', 'clock'],
  ['SELECT a FROM alias WHERE address=\'%s\' AND a < (SELECT NOW())', 'clock'],
  ['SELECT a FROM alias WHERE address=\'%s\' AND NOT EXISTS (SELECT 1 FROM b WHERE c=\'%s\' AND d > NOW())', 'clock'],
  ['SELECT a FROM alias WHERE address=\'%s\' AND owner=CURRENT_USER', 'session'],
  ['SELECT IF(RAND() < 0.5, a, b) FROM alias WHERE address=\'%s\'', 'RAND()'],
  ['SELECT our_function(goto) FROM alias WHERE address=\'%s\'', 'OUR_FUNCTION()'],
  ['SELECT GROUP_CONCAT(goto) FROM alias WHERE address=\'%s\'', 'one row of several'],
  ['SELECT 1 FROM a WHERE EXISTS (SELECT COUNT(*) FROM alias WHERE address=\'%s\')', 'one row of several'],
  ['SELECT goto FROM alias WHERE address=\'%s\' GROUP BY goto', 'one row of several'],
  ['SELECT ROW_NUMBER() OVER (ORDER BY a) FROM alias WHERE address=\'%s\'', 'ROW_NUMBER()'],
  ['SELECT * FROM alias WHERE address=\'%s\'', 'names no columns'],
  ['SELECT a.* FROM alias a WHERE address=\'%s\'', 'names no columns'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND @a=1', 'variable'],
  ['SELECT goto FROM alias WHERE address=\'%s\' ORDER BY 1', 'orders by something else'],
  ['SELECT goto FROM alias WHERE address=\'%s\' LIMIT 0', 'LIMIT'],
  ['SELECT goto FROM alias WHERE address=\'%s\' LIMIT 1,1', 'LIMIT'],
  ['SELECT goto FROM alias WHERE address=\'%s\' FOR UPDATE', 'FOR'],
  ['SELECT goto FROM alias WHERE address=\'%s\'; SELECT 2', 'a ;'],
  ['SELECT /*!50000 goto */ FROM alias WHERE address=\'%s\'', 'code in it'],
  ['SELECT a FROM b WHERE (c=\'%s\' OR d=\'%s\') AND (e=\'%s\' OR f=\'%s\') AND (g=\'%s\' OR h=\'%s\') AND '
    + '(i=\'%s\' OR j=\'%s\')', 'too many'],
]

t.test('a query whose rows are found by equalities has a listing', t => {
  for (const [query, ...listing] of derived) {
    const searches = shown(query)
    t.strictSame(typeof searches === 'string' ? searches : searches.map(oneBlank), listing.map(oneBlank), query)
  }
  t.end()
})

t.test('a query whose table can\'t be listed says why', t => {
  for (const [query, reason] of refused) {
    const listing = shown(query)
    t.type(listing, 'string', query)
    t.match(listing, reason, query)
  }
  t.end()
})

t.test('the statement gives each search its number, its key columns and its values at the same places', t => {
  const listing = derive(
    'SELECT a FROM b WHERE c=\'%u\' AND d=\'%d\' UNION SELECT e FROM f WHERE g=\'%s\' AND h > NOW()',
  )
  if (typeof listing === 'string') return t.fail(listing)
  const key = (column: string): string => `CAST(CONVERT(LOWER(${column}) USING utf8mb4) AS BINARY)`
  t.equal(oneBlank(
    listingSql(listing),
  ), `(SELECT 0, 1, NULL, ${key('c')}, ${key('d')}, a FROM b WHERE (c = LOWER(c) ) AND (d = LOWER(d) ) ) UNION ALL `
    + `(SELECT 1, ((h > NOW() )) IS TRUE, NULL, ${key(
      'g',
    )}, NULL, e FROM f WHERE (g = LOWER(g) ) ) LIMIT 18446744073709551615`)
  t.end()
})

t.test('in the order of their keys come the rows of one search by the whole key', t => {
  for (const [query, listing] of [
    ['SELECT goto, \'x\' FROM alias, dom WHERE address=\'%s\' AND live=1 LIMIT 2',
      { key: 'address', values: 'goto, \'x\'', from: 'alias, dom', where: '(live=1\n)', order: '', maxRows: 2 }],
    ['SELECT goto FROM alias WHERE address=\'%s\' ORDER BY id',
      { key: 'address', values: 'goto', from: 'alias', where: 'TRUE', order: 'id', maxRows: Infinity }],
    ['SELECT goto FROM alias WHERE address=\'%d\'', /part of the key/],
    ['SELECT goto FROM alias WHERE address=\'%s\' AND dom=\'%d\'', /more than the key/],
    ['SELECT goto FROM alias WHERE address IN (\'%s\', \'@%d\')', /part of the key/],
    ['SELECT goto FROM alias WHERE address=\'%s\' UNION SELECT a FROM b WHERE c=\'%s\'', /several queries/],
    ['SELECT goto FROM alias WHERE address=\'%s\' AND \'%u\'<>\'x\'', /conditions on the key/],
    ['SELECT goto FROM alias WHERE address=\'%s\' AND until > NOW()', /clock/],
    ['SELECT DISTINCT goto FROM alias WHERE address=\'%s\'', /one row of several/],
    ['SELECT goto, \'%u\' FROM alias WHERE address=\'%s\'', /part of its answer/],
  ] as const) {
    const derived = derive(query)
    t.match(typeof derived === 'string' ? derived : orderedListing(derived), listing, query)
  }
  t.end()
})

t.test('an administrator\'s own query is listed by its first column, whatever the columns are called', t => {
  t.equal(oneBlank(columnsSql('SELECT a, b FROM c -- d')), 'SELECT * FROM (SELECT a, b FROM c -- d ) AS listed LIMIT 0')
  t.match(listingOf('SELECT 1', ['a']), 'must give the key and, after that, what is answered')
  const listing = listingOf('SELECT a, b, c FROM d', ['a', 'b`', 'c'])
  if (typeof listing === 'string') return t.fail(listing)
  t.match(
    oneBlank(orderedSql(listing)),
    'listed.`b```, listed.`c` FROM (SELECT a, b, c FROM d ) AS listed WHERE (TRUE ) ORDER BY 1',
  )
  t.end()
})
