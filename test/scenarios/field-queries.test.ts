/**
 * Queries from the field, each asked for some hundred keys in one run of
 * Postfix's own client and through our source: the same answer, the same
 * absence, the same fault. On MySQL, where only servers
 * differ and not we, with fewer keys.
 */
import t from 'tap'
import { openTable, plain, startCfBed, writeCf } from '../fixtures/cf.js'
import type { Plain, Table } from '../fixtures/cf.js'
import { fieldDatabase, fieldKeys as keys, fieldQueries } from '../fixtures/field-queries.js'
import type { Checked, FieldQuery } from '../fixtures/field-queries.js'

import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import { postmapAnswers, postmapQuery } from '../fixtures/postfix.js'

/** Rows come in the server's order where a UNION has none; else the order counts. */
const comparable = (answer: Plain, query: string): unknown =>
  typeof answer === 'string' && /\bunion\b/i.test(query) ? answer.split(',').sort().join(',') : answer

const expectedOf = (checked: Checked): Plain =>
  typeof checked === 'string' ? checked : { no: checked.no === 'question' ? 'row' : checked.no }

/** The answers to `asked`, some at a time. */
const askAll = async (table: Table, asked: readonly string[]): Promise<ReadonlyMap<string, Plain>> => {
  const answers = new Map<string, Plain>()
  for (let start = 0; start < asked.length; start += 32) {
    await Promise.all(asked.slice(start, start + 32).map(async key => answers.set(key, plain(await table.ask(key)))))
  }
  return answers
}

/** The keys that aren't answered alike. */
const differences = (
  ours: ReadonlyMap<string, Plain>, theirs: ReadonlyMap<string, Plain>, { parameters, undecided = [] }: FieldQuery,
): readonly unknown[] => {
  const query = parameters['query'] ?? ''
  return [...ours].filter(([key, answer]) => {
    const their = theirs.get(key) ?? { no: 'row' }
    if (undecided.includes(key)) return typeof answer !== 'string' || typeof their !== 'string'
    return JSON.stringify(comparable(answer, query)) !== JSON.stringify(comparable(their, query))
  }).map(([key, answer]) => ({ key, ours: answer, theirs: theirs.get(key) }))
}

/** Asks Postfix's own client for all keys. After a fault it prints no answer at all, so each of `faults` runs alone. */
const askPostfix = async (
  path: string, asked: readonly string[], faults: readonly string[],
): Promise<ReadonlyMap<string, Plain>> => {
  const [answers, alone] = await Promise.all([
    postmapAnswers(`mysql:${path}`, asked.filter(key => !faults.includes(key))),
    Promise.all(faults.map(key => postmapQuery(`mysql:${path}`, key))),
  ])
  return new Map<string, Plain>([...answers, ...faults.map((key, at): [string, Plain] =>
    [key, alone[at]?.kind === 'error' ? { no: 'answer' } : 'not a fault'])])
}

// Some forty thousand questions.
t.setTimeout(300_000)

for (const { name: product, start, every, skip } of [
  { name: 'MariaDB', start: startMariadb, every: 1, skip: false },
  { name: 'MySQL', start: startMysql, every: 60, skip: noMysql },
]) t.test(`${product}: no difference between Postfix's own client and ours`, { skip }, async t => {
  const { folder, servers, account } = await startCfBed(t, start({ sql: fieldDatabase }))

  for (const [index, fieldQuery] of fieldQueries.entries()) {
    const { name, parameters, checked, refusedByMysql } = fieldQuery
    await t.test(name, async t => {
      const path = writeCf(folder, `row-${index}`, { ...account, ...parameters })
      const table = openTable(path, servers)
      const asked = keys.filter((key, at) => at % every === index % every || checked.has(key))
      const ours = await askAll(table, asked)
      const faults = [...ours].filter(([, answer]) => typeof answer !== 'string' && answer.no === 'answer').map(([key]) => key)
      const theirs = await askPostfix(path, asked, faults)
      t.same(differences(ours, theirs, fieldQuery), [], `${asked.length} keys`)
      const query = parameters['query'] ?? ''
      for (const [key, answer] of checked) {
        const expected: Plain = refusedByMysql && product === 'MySQL' ? { no: 'answer' } : expectedOf(answer)
        t.same(comparable(ours.get(key) ?? '', query), comparable(expected, query), key)
        const isAsked = table.defined.ok && table.defined.definition.bind(key) !== null
        t.equal(isAsked, typeof answer === 'string' || answer.no !== 'question', `${key} is asked or not`)
      }
    })
  }

  await t.test('a query without blanks around its quotes', async t => {
    const query = 'SELECT\'%u\'AS a,\'%s\'FROM fwd WHERE addr LIKE\'%s\'AND 1--\'%u\'AND\'%d\'IN(\'a.test\')'
    const path = writeCf(folder, 'dense', { ...account, query })
    const asked = ['info@a.test', 'two@a.test']
    t.same(await askAll(openTable(path, servers), asked), await askPostfix(path, asked, []))
  })

  await t.test('a key is folded as Postfix folds it', async t => {
    const path = writeCf(folder, 'echo', { ...account, query: 'SELECT \'%s\'' })
    // Scripts whose folding has been the same since before any supported Postfix.
    const blocks = [[0x21, 0x1c88], [0x1c90, 0x24ff], [0x2c00, 0x2dff], [0xa640, 0xa69f], [0xa720, 0xa787], [0xab70, 0xabbf], [0xfb00, 0xfb17], [0xff21, 0xff5a], [0x10400, 0x1044f]]
    const letters = blocks.flatMap(([first = 0, last = 0]) => Array.from({ length: last - first + 1 }, (_, at) => String.fromCodePoint(first + at)))
      .filter(letter => /\p{Assigned}/u.test(letter))
    const words = Array.from({ length: Math.ceil(letters.length / 50) }, (_, at) => letters.slice(at * 50, at * 50 + 50).join(''))
    const table = openTable(path, servers)
    const theirs = await postmapAnswers(`mysql:${path}`, words)
    for (const word of words) t.equal(plain(await table.ask(word)), theirs.get(word))
  })
})
