import t from 'tap'
import { clockSkewMs } from '../../src/caches/entry.js'
import { createHeard } from '../../src/lookup/listed.js'
import { listOfKeys } from '../fixtures/listed.js'

const startedAt = 1_700_000_000_000

t.test('it denies a key that was not listed, and none that was', async t => {
  const listed = await listOfKeys(['info@example.com', '@example.com', 'o\'x y@example.com'], startedAt)
  for (const key of ['info@example.com', '@example.com', 'o\'x y@example.com']) t.ok(listed.mayHave(key), key)
  t.notOk(listed.mayHave('new@example.com'))
  t.equal(listed.keys, 3)
})

t.test('of a key that a collation may find though it is not listed it says nothing', async t => {
  const listed = await listOfKeys(['info@example.com'], startedAt)
  for (const key of ['ınfo@example.com', 'ünfo@example.com', 'other@example.com ', 'other\t@example.com', 'other\x7f@example.com', '\u212a', '日本@example.com', '']) t.ok(listed.mayHave(key), key)
})

t.test('its absences count from before it began by what clocks differ by', async t => {
  t.equal((await listOfKeys(['a'], startedAt)).verifiedAt, startedAt - clockSkewMs)
})

t.test('what was heard of is kept for the time given, and for twice that at most', async t => {
  const heard = createHeard()
  const keptMs = 600_000
  const lost: string[] = []
  for (let second = 0; second < 3_600; second++) {
    const now = startedAt + second * 1_000
    heard.add(`key ${second}`, now, keptMs)
    for (const ago of [0, 1, 300, 599]) if (second >= ago && !heard.has(`key ${second - ago}`)) lost.push(`key ${second - ago} after ${ago} s`)
  }
  t.same(lost, [])
  const left = Array.from({ length: 2_400 }, (_, second) => heard.has(`key ${second}`)).filter(Boolean)
  t.ok(left.length < 50, `${left.length} of 2400 are taken for known, being long gone`)
})

t.test('what was heard of outlasts a clock that is set back and forward again', async t => {
  const heard = createHeard()
  const keptMs = 600_000
  heard.add('key', startedAt, keptMs)
  heard.add('other', startedAt - 3_600_000, keptMs)
  heard.add('third', startedAt + 1_000, keptMs)
  t.ok(heard.has('key'))
  heard.add('fourth', startedAt + keptMs, keptMs)
  t.ok(heard.has('key'))
})
