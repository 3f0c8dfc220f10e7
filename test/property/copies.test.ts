/**
 * Random queries of the kinds that Holdfast can list, on the tables of the queries
 * from the field: whenever a copy answers, the table gives the same answer.
 *
 * HOLDFAST_SEED and HOLDFAST_QUERIES choose other queries than the first 40.
 */
import t from 'tap'
import { buildCopy } from '../../src/caches/copy.js'
import { fold } from '../../src/postfix/fold.js'
import { defineTable } from '../../src/tables/definition.js'
import { listingSql } from '../../src/tables/listing.js'
import { mysqlSource } from '../../src/tables/source.js'
import { plain, sorted, startCfBed } from '../fixtures/cf.js'
import { fieldDatabase, fieldKeys } from '../fixtures/field-queries.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { randomFrom } from './machine.js'

const firstSeed = Number(process.env['HOLDFAST_SEED'] ?? 1)
const queries = Number(process.env['HOLDFAST_QUERIES'] ?? 40)

/** More rows, such as a key that matches in two columns, so that a query finds a row in more than one way. */
const moreRows = `
  INSERT INTO fwd (id, addr, target, dom_name) VALUES (20, 'Info@A.test', 'x@y', 'a.test'), (21, '@b.test', 'c@b.test', 'b.test'),
    (22, 'ann', 'ann@a.test', 'a.test'), (23, 'ann@b.test', 'a.test', 'al.test');
  INSERT INTO send_as VALUES ('a.test', 'b.test', 1), ('ann', 'bob', 1)`

const columns = {
  box: ['addr', 'local', 'dom_name', 'login'], fwd: ['addr', 'target', 'dom_name'], dom: ['name', 'kind'],
  dom_alias: ['name', 'target'], send_as: ['login', 'as_addr'],
} as const
const tables = ['box', 'fwd', 'dom', 'dom_alias', 'send_as'] as const
type TableName = typeof tables[number]
const keyTexts = [
  '\'%s\'', '\'%s\'', '\'%d\'', '\'%u\'', '\'@%d\'', '\'%u@%d\'', 'LOWER(\'%s\')', 'CONCAT(\'%u\',\'@\',\'%d\')',
  'SUBSTRING_INDEX(\'%s\',\'@\',-1)', 'CONCAT(SUBSTRING_INDEX(\'%u\',\'+\',1),\'@%d\')',
] as const

/** Makes a random query. */
const drawQuery = (random: () => number): string => {
  const oneOf = <T>(choices: readonly [T, ...T[]]): T => choices[Math.floor(random() * choices.length)] ?? choices[0]
  let names = 0
  const column = (table: TableName, name: string): string => `${name}.${oneOf(columns[table])}`
  const fresh = (): {
    readonly table: TableName, readonly name: string,
  } => ({ table: oneOf(tables), name: `t${names++}` })
  const equality = (table: TableName, name: string): string => {
    const sides = [column(table, name), oneOf(keyTexts)]
    return (random() < 0.5 ? sides : sides.reverse()).join('=')
  }
  const rowCondition = (table: TableName, name: string): string => oneOf([
    `${column(table, name)} LIKE '%%a%%'`, `(${column(table, name)} IS NOT NULL OR 1=0)`,
    `LENGTH(${column(table, name)}) BETWEEN 1 AND 30`, `${column(table, name)}<>''`,
  ])
  const condition = (table: TableName, name: string, depth: number): string => {
    const kind = random()
    if (kind < 0.5 || depth > 2) return equality(table, name)
    if (kind < 0.62) return `(${condition(table, name, depth + 1)} AND ${rowCondition(table, name)})`
    if (kind < 0.74) return `(${condition(table, name, depth + 1)} OR ${condition(table, name, depth + 1)})`
    if (kind < 0.82) return `${column(table, name)} IN (${oneOf(keyTexts)}, ${oneOf(keyTexts)})`
    if (kind < 0.9) {
      const other = fresh()
      return `(${equality(table, name)} AND ${oneOf(['', 'NOT '])}EXISTS (SELECT 1 `
        + `FROM ${other.table} ${other.name} WHERE ${condition(other.table, other.name, depth + 1)}))`
    }
    if (kind < 0.95) {
      const other = fresh()
      return `(${equality(table, name)} AND '%d' IN (SELECT ${column(
        other.table, other.name,
      )} FROM ${other.table} ${other.name} WHERE ${rowCondition(other.table, other.name)}))`
    }
    return `(${equality(table, name)} AND '%u' NOT LIKE '${oneOf(['a%%', 'b%%', '%%+%%'])}')`
  }
  const select = (): string => {
    const { table, name } = fresh()
    const value = oneOf([column(table, name), `CONCAT(${column(table, name)},'!')`, '\'yes\'', '\'%s\''])
    const start = `SELECT ${oneOf(['', '', 'DISTINCT '])}${value} FROM ${table} ${name}`
    const kind = random()
    if (kind < 0.3) {
      const other = fresh()
      const joined = column(other.table, other.name)
      return `${start}, ${other.table} ${other.name} WHERE ${column(table, name)}=${kind < 0.2 ? joined
        : `CONCAT('%u','@',${joined})`} AND ${condition(other.table, other.name, 0)}`
    }
    const order = random() < 0.25 ? ` ORDER BY ${column(table, name)}` : ''
    return `${start} WHERE ${condition(table, name, 0)}${order}${random() < 0.2 ? ` LIMIT ${oneOf([1, 2])}` : ''}`
  }
  return random() < 0.3 ? `(${select()}) UNION ${oneOf(['', 'ALL '])}(${select()})` : select()
}


const asked = [...new Set([
  ...fieldKeys.map(fold).filter((key, index) => key.length < 40 && /^[\x20-\x7e]*$/.test(key) && index % 3 === 0),
  'ann@a.test', 'ann+x@a.test', 'info@a.test', 'info+x@a.test', 'two@a.test', '@a.test', 'a.test', 'ann', 'ann@b.test',
  'bob@b.test', 'zz@b.test', 'ann@al.test', 'info@al.test', 'zz@al.test', 'ann@ann', 'ann@a.test@b.test',
])]

t.setTimeout(300_000)

t.test('where a copy answers, the table gives the same answer', async t => {
  const { servers, account } = await startCfBed(t, startMariadb({ sql: fieldDatabase + moreRows }))
  let copies = 0
  let sure = 0
  for (let seed = firstSeed; seed < firstSeed + queries; seed++) {
    const query = drawQuery(randomFrom(seed))
    const defined = defineTable({ ...account, query }, parameter => parameter)
    if (!defined.ok) throw new Error(`seed ${seed}: ${query}: ${JSON.stringify(defined.problems)}`)
    const { definition } = defined
    const { listing } = definition
    if (typeof listing === 'string') continue
    const database = servers.database(definition.hosts, definition.login)
    const builder = buildCopy(definition, listing, 0)
    const fault = await database.list({ texts: [listingSql(listing)] }, async rows => {
      for (const row of rows) builder.add(row)
      return true
    })
    const copy = await builder.finish('')
    if (fault !== null || typeof copy === 'string') throw new Error(
      `seed ${seed}: ${query}: ${JSON.stringify(fault ?? copy)}`
    )
    copies++
    const source = mysqlSource(definition, database)
    const differences: unknown[] = []
    for (const key of asked) {
      const own = copy.answer(key)
      if (own.kind === 'unsure') continue
      sure++
      const [answer, table] = [sorted(plain(own)), sorted(plain((await source.ask(key, 20_000)).outcome))]
      if (JSON.stringify(answer) !== JSON.stringify(table)) differences.push({ key, copy: answer, table })
    }
    t.strictSame(differences, [], `seed ${seed}: ${query}`)
  }
  t.ok(copies > queries / 2, `${copies} of ${queries} queries could be listed`)
  t.ok(sure > copies * asked.length * 0.9, `sure of ${sure} answers of ${copies * asked.length}`)
})
