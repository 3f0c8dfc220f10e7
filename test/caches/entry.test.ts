import t from 'tap'
import {
  decodeRecord, encodeRecord, isFresh, isKnownAbsent, makeEntry, statement, unexpiredFound,
} from '../../src/caches/entry.js'
import type { Lifetimes } from '../../src/config/config.js'
import { absent, byteString, found } from '../../src/outcome.js'
import type { ByteString } from '../../src/outcome.js'

const now = 1_700_000_000_000
const lifetimes: Lifetimes = { freshForMs: 300_000, staleForMs: 3_600_000, absentForMs: 30_000 }
const box = found(byteString('box@example.net'))

t.test('a found entry is fresh before staleAt, stale from then on, and of no use from expiredAt on', t => {
  const entry = makeEntry(statement(box, now), lifetimes, now, 0)
  t.equal(isFresh(entry, now + 299_999), true)
  t.equal(isFresh(entry, now + 300_000), false)
  t.equal(unexpiredFound(entry, now + 299_999), box, 'a fresh one is given as it is')
  t.strictSame(unexpiredFound(entry, now + 300_000), found(box.value, 'stale'))
  t.strictSame(unexpiredFound(entry, now + 3_599_999), found(box.value, 'stale'))
  t.equal(unexpiredFound(entry, now + 3_600_000), null)
  t.end()
})

t.test('an absent entry is fresh for absent_for, known until it expires, and never bridges anything by itself', t => {
  const entry = makeEntry(statement(absent, now), lifetimes, now, 0)
  t.equal(isFresh(entry, now + 29_999), true)
  t.equal(isFresh(entry, now + 30_000), false)
  t.equal(unexpiredFound(entry, now), null)
  t.equal(isKnownAbsent(entry, now + 3_599_999), true)
  t.equal(isKnownAbsent(entry, now + 3_600_000), false)
  t.equal(isKnownAbsent(makeEntry(statement(box, now), lifetimes, now, 0), now), false)
  t.end()
})

t.test('jitter ends a lifetime early, by a tenth at most, and never late', t => {
  for (const random of [0, 0.25, 0.5, 0.999999]) {
    for (const outcome of [box, absent]) {
      const full = outcome.kind === 'found' ? lifetimes.freshForMs : lifetimes.absentForMs
      const { staleAt } = makeEntry(statement(outcome, now), lifetimes, now, random)
      t.ok(staleAt > now + full * 0.9 - 1 && staleAt <= now + full, `${outcome.kind}, random ${random}`)
    }
  }
  t.end()
})

t.test('lifetimes count from the verification, not from when the entry was made', t => {
  const entry = makeEntry(statement(box, now - 200_000), lifetimes, now, 0)
  t.equal(isFresh(entry, now + 99_999), true)
  t.equal(isFresh(entry, now + 100_000), false)
  t.equal(entry.expiredAt, now - 200_000 + 3_600_000)
  t.end()
})

t.test('an answer from the future is stale from the start and expires no later than one given now', t => {
  const entry = makeEntry(statement(box, now + 5_001), lifetimes, now, 0)
  t.equal(isFresh(entry, now), false)
  t.equal(isFresh(entry, now + 5_001), false, 'also when its time has come')
  t.equal(entry.expiredAt, now + 3_600_000)
  t.equal(
    isFresh(makeEntry(statement(box, now + 5_000), lifetimes, now, 0), now), true, 'clocks may differ by five seconds',
  )
  t.end()
})

t.test('an entry verified later than the clock now says is not fresh: the clock was set back', t => {
  const entry = makeEntry(statement(box, now), lifetimes, now, 0)
  t.equal(isFresh(entry, now - 5_001), false)
  t.equal(isFresh(entry, now - 5_000), true)
  t.end()
})

t.test('a fresh entry is due for its refresh in the last fifth of its lifetime', t => {
  t.equal(makeEntry(statement(box, now), lifetimes, now, 0).askAgainAt, now + 240_000)
  t.end()
})

t.test('without a stale time nothing is left when an entry is no longer fresh', t => {
  const entry = makeEntry(statement(box, now), { ...lifetimes, staleForMs: 0 }, now, 0)
  t.equal(isFresh(entry, now + 299_999), true)
  t.equal(unexpiredFound(entry, now + 300_000), null)
  t.end()
})

const definition = '0123456789abcdef'

t.test('what was encoded is decoded, whatever bytes the value has', t => {
  const values = [
    'x', 'box@example.net', 'with spaces : 5:x', 'two\nlines\r\n', 'caf\u00e9', '-', '1 0 0:',
    '\u0001\u00ff'.repeat(40_000),
  ]
  for (const value of values) {
    const record = encodeRecord(statement(found(value as ByteString), now), definition)
    t.strictSame(decodeRecord(record, definition), statement(found(value as ByteString), now))
  }
  t.strictSame(decodeRecord(encodeRecord(statement(absent, now), definition), definition), statement(absent, now))
  t.end()
})

t.test('an answer of another definition of the map is told from what is no answer at all', t => {
  const record = encodeRecord(statement(box, now), 'ffffffffffffffff')
  t.strictSame(decodeRecord(record, definition), { ...statement(box, now), isForeign: true }, 'evidence of the key')
  t.equal(decodeRecord(encodeRecord(statement(absent, now), 'ffffffffffffffff'), definition), 'other-definition')
  t.end()
})

t.test('C113 a record cut at any point is invalid', t => {
  const record = encodeRecord(statement(box, now), definition)
  for (let size = 0; size < record.length; size++) {
    if (decodeRecord(record.slice(0, size), definition) !== 'invalid') t.fail(`cut to ${size} bytes`)
  }
  t.equal(decodeRecord(`${record}x`, definition), 'invalid', 'one with something after it, too')
  t.end()
})

t.test('C113 other programs\' values and other versions are invalid', t => {
  for (const foreign of [
    '', 'OK', 'box@example.net', '{"value":"box@example.net"}', `2 ${definition} ${now} 1:x`,
    `1 ${definition} ${now} 0:`,
    `1 ${definition} -1 1:x`, `1 ${definition} NaN 1:x`, `1 ${definition} ${now} 1:\0`, `1 ${definition} ${now} 01:xy`,
    `1 ${definition.toUpperCase()} ${now} 1:x`, `1 ${definition} ${now} --`, `\0asm`,
  ]) t.equal(decodeRecord(foreign, definition), 'invalid', JSON.stringify(foreign))
  t.end()
})
