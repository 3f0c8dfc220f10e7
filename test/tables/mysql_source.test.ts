import t from 'tap'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Unavailable } from '../../src/outcome.js'
import type { Result } from '../../src/mysql/connection.js'
import type { Database } from '../../src/mysql/database.js'
import { mysqlSource } from '../../src/tables/mysql_source.js'
import type { Definition } from '../../src/tables/mysql_source.js'

/** A definition that asks for every key but `unasked`, and answers with the first column of the first row. */
const definition: Definition = {
  texts: ['SELECT ', ''], requireResultSet: true, unfitModes: [], fingerprint: 'this one',
  bind: key => key === 'unasked' ? null : [key],
  answer: rows => rows[0]?.[0] == null ? absent : found(rows[0][0]),
}

const answering = (answer: Pick<Result, 'kind' | 'rows'> | Unavailable, doubt: Unavailable | null = null): Pick<Database, 'ask'> => ({
  ask: () => Promise.resolve(answer.kind === 'unavailable' ? answer : { ...answer, columns: [], from: { name: 'db:3306', doubtAbsence: () => Promise.resolve(doubt) } }),
})
const unasked: Pick<Database, 'ask'> = { ask: () => { throw new Error('asked') } }

t.test('a key that the definition doesn\'t ask for is absent at once', async t => {
  t.equal(mysqlSource(definition, unasked).lookup('unasked', 1_000), absent)
})

t.test('rows become the definition\'s answer', async t => {
  const one = answering({ kind: 'rows', rows: [[byteString('v')]] })
  t.same(await mysqlSource(definition, one).lookup('k', 1_000), found(byteString('v')))
  t.same(await mysqlSource(definition, answering({ kind: 'rows', rows: [] })).lookup('k', 1_000), absent)
})

t.test('a server whose absence is in doubt can\'t say absent, but can say found', async t => {
  const doubt = unavailable('distrusted', 'behind')
  t.same(await mysqlSource(definition, answering({ kind: 'rows', rows: [] }, doubt)).lookup('k', 1_000), doubt)
  t.same(await mysqlSource(definition, answering({ kind: 'rows', rows: [[byteString('v')]] }, doubt)).lookup('k', 1_000), found(byteString('v')))
})

t.test('a database that can\'t say leaves the answer open', async t => {
  const down = unavailable('source-down', 'refused')
  t.same(await mysqlSource(definition, answering(down)).lookup('k', 1_000), down)
})

t.test('no result set: an error, or absent where none is required', async t => {
  const nothing = answering({ kind: 'rows', rows: null })
  t.match(await mysqlSource(definition, nothing).lookup('k', 1_000), { kind: 'unavailable', reason: 'query-error' })
  t.same(await mysqlSource({ ...definition, requireResultSet: false }, nothing).lookup('k', 1_000), absent)
})

t.test('a bug is an internal error that tells its place and not the key', async t => {
  const broken: Definition = { ...definition, answer: (_rows, key) => { throw new TypeError(`can't read ${key}`) } }
  const outcome = await mysqlSource(broken, answering({ kind: 'rows', rows: [] })).lookup('secret@key', 1_000)
  t.match(outcome, { kind: 'unavailable', reason: 'internal-error', detail: /^TypeError at .*source\.test/ })
  t.notMatch(JSON.stringify(outcome), /secret/)
})

t.test('the definition\'s fingerprint is the source\'s', async t => {
  t.equal(mysqlSource(definition, unasked).definition, 'this one')
})
