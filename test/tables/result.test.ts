import t from 'tap'
import { absent, byteString, found } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import { needsOf } from '../../src/tables/expansion.js'
import { answerRows, scanResultFormat } from '../../src/tables/result.js'

type Values = readonly (readonly (string | null)[])[]

const answer = (rows: Values, format = '%s', key = 'key@k.example', limit = 0, onEmpty?: () => void): Outcome => {
  const scanned = scanResultFormat(format)
  if (!scanned.ok) throw new Error(scanned.problem)
  const bytes = rows.map(row => row.map(value => value === null ? null : byteString(value)))
  return answerRows(scanned.pieces, needsOf(scanned.expansions), limit)(bytes, key, onEmpty)
}

/** Rows, a result_format, and the answer; null is absent. Seen with Postfix's own client. */
const vectors: readonly (readonly [rows: Values, format: string, value: string | null, key?: string])[] = [
  [[['v']], '%s', 'v'],
  [[], '%s', null],
  [[['a', 'b'], ['c', null]], '%s', 'a,b,c'],
  [[['', 'x']], '%s', 'x'],
  [[[null], [null]], '%s', null],
  [[['']], '%s', null],
  [[['0']], '%s', '0'],
  [[[' v ']], '%s', ' v '],
  [[['a\nb']], '%s', 'a\nb'],
  [[['a@x, b@x']], '%s', 'a@x, b@x'],
  [[['a\0b'], ['\0b'], ['c']], '%s', 'a,c'],
  [[['u@d.example']], '<%u|%d|%s>', '<u|d.example|u@d.example>'],
  [[['plain']], '<%u|%d|%s>', null],
  [[['a@x.example'], ['plain'], ['@y.example']], 'smtp:[%d]', 'smtp:[x.example],smtp:[y.example]'],
  [[['a@x.example'], ['plain'], ['@y.example']], '%u', 'a,plain'],
  [[['one'], ['two'], [null], [''], ['three']], 'lmtp:[%s]:24', 'lmtp:[one]:24,lmtp:[two]:24,lmtp:[three]:24'],
  [[['a@b@c']], '%u/%d', 'a@b/c'],
  [[['ann']], '%U@%D %S %1 %2', 'key@k.example key@k.example example k'],
  [[['a.test']], '%U@%s', 'ann@a.test', 'ann@al.test'],
  [[['v'], ['w']], 'OK', 'OK,OK'],
  [[['v']], '100%% %s', '100% v'],
  [[['ümlaut']], 'ö%s %U', 'öümlaut ü', 'ü@d'],
]

t.test('rows become the answer that Postfix\'s own client makes of them', t => {
  for (const [rows, format, value, key] of vectors) {
    t.same(
      answer(rows, format, key), value === null ? absent : found(byteString(value)),
      `${format} ${JSON.stringify(rows)}`,
    )
  }
  t.end()
})

t.test('bytes that are no UTF-8 pass through unchanged', t => {
  const value = 'caf\xe9' as ReturnType<typeof byteString>
  t.same(
    answerRows(['<', { of: 'value', part: 'all' }, '>'], needsOf([]), 0)([[value]], 'k'),
    found('<caf\xe9>' as typeof value),
  )
  t.end()
})

t.test('more usable values than expansion_limit are unavailable; skipped ones don\'t count', t => {
  const rows = [['one'], ['two'], [null], [''], ['three']]
  t.match(answer(rows, '%s', 'k', 1), { kind: 'unavailable', reason: 'bad-value' })
  t.match(answer(rows, '%s', 'k', 2), { kind: 'unavailable', reason: 'bad-value' })
  for (const limit of [3, 0, -1]) t.same(answer(rows, '%s', 'k', limit), found(byteString('one,two,three')))
  t.same(answer([['plain'], ['a@x']], '%d', 'k', 1), found(byteString('x')))
  t.end()
})

t.test('each empty value is reported, NULL is not', t => {
  let empty = 0
  answer([['', null], ['\0', 'x']], '%s', 'k', 0, () => empty++)
  t.equal(empty, 2)
  t.end()
})

t.test('an unknown expansion in result_format is refused', t => {
  t.match(scanResultFormat('%x'), { ok: false, problem: /%x is no expansion/ })
  t.match(scanResultFormat('a%'), { ok: false, problem: /single %/ })
  t.match(scanResultFormat('%0'), { ok: false })
  t.end()
})
