import t from 'tap'
import type { Outcome, Unavailable } from '../../src/outcome.js'
import type { Source, AskedTable } from '../../src/tables/source.js'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Database } from '../../src/mysql/database.js'
import type { Result } from '../../src/mysql/sql.js'
import { mysqlSource } from '../../src/tables/source.js'

/** A definition that asks for every key but `unasked`, and answers with the first column of the first row. */
const definition: AskedTable = {
  texts: ['SELECT ', ''], requireResultSet: true, unfitModes: [],
  bind: key => key === 'unasked' ? null : [key],
  answer: rows => rows[0]?.[0] == null ? absent : found(rows[0][0]),
}

const answering = (
  answer: Pick<Result, 'kind' | 'rows'> | Unavailable, doubt: Unavailable | null = null,
): Pick<Database, 'ask' | 'outMs'> => ({
  outMs: () => null,
  ask: async (_query, _values, _budgetMs, { onReply } = {}) => {
    if (answer.kind === 'unavailable') return answer
    const reply = { ...answer, columns: [], server: 'db:3306#1' }
    await onReply?.(reply, { again: () => Promise.resolve(reply), doubtAbsence: () => Promise.resolve(doubt) })
    return reply
  },
})
const unasked: Pick<Database, 'ask' | 'outMs'> = { outMs: () => null, ask: () => { throw new Error('asked') } }

/** What the source says of a key. */
const ask = async (source: Source, key: string): Promise<Outcome> => (await source.ask(key, 1_000)).outcome

t.test('a key that the definition doesn\'t ask for is absent, and no server is asked', async t => {
  t.equal(await ask(mysqlSource(definition, unasked), 'unasked'), absent)
})

t.test('rows become the definition\'s answer', async t => {
  const one = answering({ kind: 'rows', rows: [[byteString('v')]] })
  t.same(await ask(mysqlSource(definition, one), 'k'), found(byteString('v')))
  t.same(await ask(mysqlSource(definition, answering({ kind: 'rows', rows: [] })), 'k'), absent)
})

t.test('a server whose absence is in doubt can\'t say absent, but can say found', async t => {
  const doubt = unavailable('distrusted', 'behind')
  t.same(await ask(mysqlSource(definition, answering({ kind: 'rows', rows: [] }, doubt)), 'k'), doubt)
  t.same(
    await ask(mysqlSource(definition, answering({ kind: 'rows', rows: [[byteString('v')]] }, doubt)), 'k'),
    found(byteString('v')),
  )
})

t.test('a database that can\'t say leaves the answer open', async t => {
  const down = unavailable('source-down', 'refused')
  t.same(await ask(mysqlSource(definition, answering(down)), 'k'), down)
})

t.test('no result set: an error, or absent where none is required', async t => {
  const nothing = answering({ kind: 'rows', rows: null })
  t.match(await ask(mysqlSource(definition, nothing), 'k'), { kind: 'unavailable', reason: 'query-error' })
  t.same(await ask(mysqlSource({ ...definition, requireResultSet: false }, nothing), 'k'), absent)
})

t.test('a bug is an internal error that tells its place and not the key', async t => {
  const broken: AskedTable = { ...definition, answer: (_rows, key) => { throw new TypeError(`can't read ${key}`) } }
  const outcome = await ask(mysqlSource(broken, answering({ kind: 'rows', rows: [] })), 'secret@key')
  t.match(outcome, { kind: 'unavailable', reason: 'internal-error', detail: /^TypeError at .*source\.test/ })
  t.notMatch(JSON.stringify(outcome), /secret/)
})

t.test('a server that is judged late, since it was given up, changes nothing of what the next one answers', async t => {
  const doubt = unavailable('distrusted', 'behind')
  const nothing = { kind: 'rows' as const, columns: [], rows: [], server: 'slow' }
  const answers = { found: [[byteString('v')]], absent: [] }
  for (const [name, rows] of Object.entries(answers)) {
    for (const verdict of [doubt, null]) {
      const held = (after: Promise<unknown>, why: Unavailable | null) =>
        ({ again: () => Promise.resolve(nothing), doubtAbsence: () => after.then(() => why) })
      const database: Pick<Database, 'ask' | 'outMs'> = {
        outMs: () => null,
        ask: async (_query, _values, _budgetMs, { onReply } = {}) => {
          const second = { ...nothing, rows, server: 'next' }
          let judge: () => void = () => undefined
          const late = onReply?.(nothing, held(new Promise<void>(resolve => { judge = resolve }), verdict))
          await onReply?.(second, held(Promise.resolve(), null))
          judge()
          await late
          return second
        },
      }
      t.match(await mysqlSource(definition, database).ask('k', 1_000), { outcome: { kind: name }, server: 'next' },
        `${name}, the slow one is ${verdict === null ? 'believed' : 'behind'}`)
    }
  }
})
