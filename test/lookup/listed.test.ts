import t from 'tap'
import { clockSkewMs } from '../../src/caches/entry.js'
import { listOfKeys } from '../fixtures/listed.js'

const startedAt = 1_700_000_000_000

t.test('it denies a key that was not listed, and none that was or has been heard of since', async t => {
  const listed = await listOfKeys(['info@example.com', '@example.com', 'o\'x y@example.com'], startedAt)
  for (const key of ['info@example.com', '@example.com', 'o\'x y@example.com']) t.ok(listed.mayHave(key), key)
  t.notOk(listed.mayHave('new@example.com'))
  listed.add('new@example.com')
  t.ok(listed.mayHave('new@example.com'))
  t.equal(listed.keys, 3)
})

t.test('of a key that a collation may find though it is not listed it says nothing', async t => {
  const listed = await listOfKeys(['info@example.com'], startedAt)
  for (const key of ['ınfo@example.com', 'ünfo@example.com', 'other@example.com ', 'other\t@example.com', 'other\x7f@example.com', '\u212a', '日本@example.com', '']) t.ok(listed.mayHave(key), key)
})

t.test('its absences count from before it began by what clocks differ by', async t => {
  t.equal((await listOfKeys(['a'], startedAt)).verifiedAt, startedAt - clockSkewMs)
})
