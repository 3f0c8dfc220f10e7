/**
 * Copies of the tables behind the queries from the field: which can be taken, and whether they answer as the table
 * does.
 */
import t from 'tap'
import type { Copy } from '../../src/caches/copy.js'
import { fold } from '../../src/postfix/fold.js'
import { takeCopy } from '../../src/upkeep/take_copy.js'
import { openTable, plain, sorted, startCfBed, writeCf } from '../fixtures/cf.js'
import { fieldDatabase, fieldKeys, fieldQueries } from '../fixtures/field-queries.js'

import { startMariadb } from '../fixtures/mariadb.js'

/** Queries whose tables can't be listed, by number, with a part of the reason. */
const notListable: ReadonlyMap<number, string> = new Map([
  [31, 'a query within'], [33, 'a query within'], [34, 'one row of several'], [37, 'a query within'],
  [42, 'a query within'],
  [43, 'pattern'], [62, 'limits'], [70, 'one row of several'], [79, 'pattern'], [82, 'procedure'], [83, 'pattern'],
])

const settings = { maxRows: 1_000, budgetMs: 10_000, now: () => 0, onRows: async () => null }


t.setTimeout(300_000)

t.test('copies of the tables behind the queries from the field', async t => {
  const { folder, servers, account } = await startCfBed(t, startMariadb({ sql: fieldDatabase }))
  let taken = 0
  for (const [index, { name, parameters, checked, undecided = [] }] of fieldQueries.entries()) {
    await t.test(name, async t => {
      const table = openTable(writeCf(folder, `row-${index}`, { ...account, ...parameters }), servers)
      if (!table.defined.ok) throw new Error('the file has problems')
      const { definition } = table.defined
      const copy: Copy | string = await takeCopy(
        { definition, database: servers.database(definition.hosts, definition.login) }, settings,
      )
      const reason = notListable.get(index + 1)
      if (reason !== undefined || typeof copy === 'string') {
        t.type(copy, 'string')
        return t.match(copy, reason ?? 'a copy')
      }
      taken++
      const differences: unknown[] = []
      let sure = 0
      for (const key of new Set(fieldKeys.map(fold))) {
        const own = copy.answer(key)
        if (own.kind === 'unsure') continue
        sure++
        const [answer, asked] = [sorted(plain(own)), sorted(plain(await table.ask(key)))]
        if (!undecided.includes(key) && JSON.stringify(answer) !== JSON.stringify(asked)) differences.push({
          key, copy: answer, table: asked,
        })
      }
      t.strictSame(differences, [], `${sure} keys`)
      for (const [key, answer] of checked) {
        if (typeof answer === 'string' && !undecided.includes(key)) t.equal(
          copy.answer(key).kind, 'found', `${key} is found by the copy`,
        )
      }
      t.ok(sure > 150, `the copy is sure about ${sure} keys`)
    })
  }
  t.equal(taken, fieldQueries.length - notListable.size)
  t.ok(taken >= 75, `${taken} of ${fieldQueries.length} tables can be copied`)
})
