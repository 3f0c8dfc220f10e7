import t from 'tap'
import { columnsSql, deriveListing, listingOf, listingSql } from '../../src/tables/listing.js'
import type { Listing } from '../../src/tables/listing.js'
import { scanQuery } from '../../src/tables/query_template.js'

const derive = (query: string): Listing | string => {
  const scanned = scanQuery(query)
  if (!scanned.ok) throw new Error(scanned.problems.join('; '))
  return deriveListing(scanned.statement)
}
const oneBlank = (text: string): string => text.replace(/\s+/g, ' ').trim()
/** The listing as `key | values | from | where | order | limit`. */
const shown = (query: string): string => {
  const listing = derive(query)
  if (typeof listing === 'string') return listing
  const { key, values, from, where, order, maxRows } = listing
  return [key, values, from, where, order, maxRows === Infinity ? '' : String(maxRows)].map(oneBlank).join(' | ')
}

const derived: readonly (readonly [query: string, listing: string])[] = [
  ['SELECT goto FROM alias WHERE address=\'%s\'', 'alias.address | goto | alias | TRUE |  | '],
  ['select goto from alias where address = "%s" and active = 1;', 'alias.address | goto | alias | TRUE and active = 1 |  | '],
  ['SELECT goto FROM alias WHERE active=\'1\' AND address=\'%s\' AND goto<>\'\'', 'alias.address | goto | alias | active=\'1\' AND TRUE AND goto<>\'\' |  | '],
  ['SELECT `goto`, note FROM mail.`alias` WHERE `address` = %s', '`alias`.`address` | `goto`, note | mail.`alias` | TRUE |  | '],
  ['SELECT a.goto FROM mail.alias AS a WHERE a.address=\'%S\' ORDER BY a.id DESC, a.goto', 'a.address | a.goto | mail.alias AS a | TRUE | a.id DESC, a.goto | '],
  ['SELECT goto FROM alias a WHERE address=\'%s\' LIMIT 1', 'a.address | goto | alias a | TRUE |  | 1'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND live=1 ORDER BY id LIMIT 3', 'alias.address | goto | alias | TRUE AND live=1 | id | 3'],
  ['SELECT CONCAT(store,\'/\',path) AS address FROM box WHERE address=\'%s\'', 'box.address | CONCAT(store,\'/\',path) AS address | box | TRUE |  | '],
  ['SELECT 1 FROM dom WHERE name=\'%s\' AND NOT (route LIKE \'smtp%%\' OR route LIKE \'relay%%\')', 'dom.name | 1 | dom | TRUE AND NOT (route LIKE \'smtp%\' OR route LIKE \'relay%\') |  | '],
  ['SELECT REPLACE(route,\'virtual\',\':\') AS route FROM dom WHERE name=\'%s\' AND (live=\'1\' OR live=\'2\')', 'dom.name | REPLACE(route,\'virtual\',\':\') AS route | dom | TRUE AND (live=\'1\' OR live=\'2\') |  | '],
  ['SELECT \'null@localhost\' FROM box WHERE kind REGEXP \'room|group\' AND addr=\'%s\'', 'box.addr | \'null@localhost\' | box | kind REGEXP \'room|group\' AND TRUE |  | '],
  ['SELECT goto /* the %% target */ FROM alias WHERE address=\'%s\' -- all', 'alias.address | goto /* the % target */ | alias | TRUE -- all |  | '],
  ['SELECT goto FROM alias WHERE t.`now`=1 AND address=\'%s\'', 'alias.address | goto | alias | t.`now`=1 AND TRUE |  | '],
]

/** Queries that have no list of keys, and a part of the reason. */
const refused: readonly (readonly [query: string, reason: string])[] = [
  ['CALL find(\'%s\')', 'procedure'],
  ['(SELECT a FROM b WHERE c=\'%s\')', 'no plain SELECT'],
  ['SELECT 1', 'key does not stand'],
  ['SELECT goto FROM alias WHERE address LIKE \'%s\'', 'pattern'],
  ['SELECT goto FROM alias WHERE address RLIKE \'%s\'', 'pattern'],
  ['SELECT goto FROM alias WHERE \'%s\' REGEXP address', 'column'],
  ['SELECT goto FROM alias WHERE \'%s\' = address', 'column'],
  ['SELECT goto FROM alias WHERE address=\'%u\'', '%u'],
  ['SELECT goto FROM alias WHERE address=\'%d\'', '%d'],
  ['SELECT goto FROM alias WHERE address=CONCAT(\'%u\',\'@\',\'%d\')', '%u'],
  ['SELECT goto FROM alias WHERE address=\'@%s\'', 'only a part'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND address<>\'%s\'', 'more than once'],
  ['SELECT \'%s\' FROM alias', 'not compared with a column'],
  ['SELECT goto FROM alias WHERE address=LOWER(\'%s\')', 'column alone'],
  ['SELECT goto FROM alias WHERE LOWER(address)=\'%s\'', 'column alone'],
  ['SELECT goto FROM alias WHERE (address=\'%s\')', 'column alone'],
  ['SELECT goto FROM alias WHERE NOT address=\'%s\'', 'column alone'],
  ['SELECT goto FROM alias WHERE BINARY address=\'%s\'', 'BINARY'],
  ['SELECT goto FROM alias WHERE address=\'%s\' COLLATE utf8mb4_bin', 'COLLATE'],
  ['SELECT goto FROM alias WHERE address<>\'%s\'', 'column alone'],
  ['SELECT goto FROM alias WHERE address<=\'%s\'', 'column alone'],
  ['SELECT goto FROM alias WHERE address=\'%s\' OR address=\'*\'', 'OR'],
  ['SELECT goto FROM alias WHERE domain=\'*\' || address=\'%s\'', 'OR'],
  ['SELECT goto FROM alias WHERE address=\'%s\' IS TRUE', 'column alone'],
  ['SELECT goto FROM alias WHERE CASE WHEN live=1 AND address=\'%s\' AND 1 THEN 0 ELSE 1 END', 'column alone'],
  ['SELECT goto FROM alias, dom WHERE address=\'%s\'', 'joins'],
  ['SELECT goto FROM alias NATURAL JOIN dom WHERE address=\'%s\'', 'joins'],
  ['SELECT goto FROM alias LEFT JOIN dom USING (d) WHERE address=\'%s\'', 'joins'],
  ['SELECT goto FROM (SELECT * FROM alias) AS a WHERE address=\'%s\'', 'query within'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND EXISTS (SELECT 1 FROM dom)', 'query within'],
  ['SELECT goto FROM alias WHERE address=\'%s\' UNION SELECT addr FROM box', 'several queries'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND expires > NOW()', 'clock'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND expires > CURRENT_TIMESTAMP', 'clock'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND UNIX_TIMESTAMP() < until', 'clock'],
  ['SELECT IF(RAND() < 0.5, a, b) FROM alias WHERE address=\'%s\'', 'RAND()'],
  ['SELECT our_function(goto) FROM alias WHERE address=\'%s\'', 'OUR_FUNCTION()'],
  ['SELECT GROUP_CONCAT(goto) FROM alias WHERE address=\'%s\'', 'GROUP_CONCAT()'],
  ['SELECT COUNT(*) FROM alias WHERE address=\'%s\'', 'COUNT()'],
  ['SELECT DISTINCT goto FROM alias WHERE address=\'%s\'', 'one row of several'],
  ['SELECT goto FROM alias WHERE address=\'%s\' GROUP BY goto', 'one row of several'],
  ['SELECT * FROM alias WHERE address=\'%s\'', 'names no columns'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND x BETWEEN 1 AND 2', 'BETWEEN'],
  ['SELECT goto FROM alias WHERE address=\'%s\' AND @a=1', 'variable'],
  ['SELECT goto FROM alias WHERE address=\'%s\' LIMIT 0', 'LIMIT'],
  ['SELECT goto FROM alias WHERE address=\'%s\' LIMIT 1,1', 'LIMIT'],
  ['SELECT goto FROM alias WHERE address=\'%s\' FOR UPDATE', 'FOR'],
  ['SELECT goto FROM alias WHERE address=\'%s\'; SELECT 2', 'a ;'],
  ['SELECT /*!50000 goto */ FROM alias WHERE address=\'%s\'', 'names no columns'],
]

t.test('a query of one table with one column equal to the key has a listing', t => {
  for (const [query, listing] of derived) t.equal(shown(query), listing, query)
  t.end()
})

t.test('a query whose keys can\'t be listed says why', t => {
  for (const [query, reason] of refused) {
    const listing = derive(query)
    t.type(listing, 'string', query)
    t.match(listing, reason, query)
  }
  t.end()
})

t.test('an administrator\'s own query is listed by its first column, whatever the columns are called', t => {
  t.equal(oneBlank(columnsSql('SELECT a, b FROM c -- d')), 'SELECT * FROM (SELECT a, b FROM c -- d ) AS listed LIMIT 0')
  t.match(listingOf('SELECT 1', ['a']), 'must give the key and, after that, what is answered')
  const listing = listingOf('SELECT a, b, c FROM d', ['a', 'b`', 'c'])
  if (typeof listing === 'string') return t.fail(listing)
  t.match(oneBlank(listingSql(listing, 'o\'x')), 'listed.`b```, listed.`c` FROM (SELECT a, b, c FROM d ) AS listed WHERE (TRUE ) AND listed.`a` > _utf8mb4 0x6f2778 ORDER BY listed.`a`')
  t.end()
})
