import t from 'tap'
import { decodeKey, encodeKey } from '../../proto/text.js'
import { asBytes, fold, hasStrayBytes } from '../../src/postfix/fold.js'
import { bytes, fuzzSeed, random } from './stream.js'

const decode = (key: string): string => decodeKey(bytes(key), 0, key.length)

t.test('bytes that are UTF-8 are text, others stand by themselves', async t => {
  for (const [key, text] of [
    ['max@d', 'max@d'], ['\xc3\xbcser', 'üser'], ['jos\xe9@d', 'jos\udce9@d'], ['\xc3', '\udcc3'], ['\xef\xbf\xbd', '\ufffd'],
    ['\xef\xbf\xbd\xff', '\ufffd\udcff'], ['\xed\xb2\x80', '\udced\udcb2\udc80'], ['\xf0\x9f\x93\xab\xf0', '📫\udcf0'],
  ] as const) {
    t.equal(decode(key), text)
    t.equal(hasStrayBytes(decode(key)), text.includes('\udc80') || /[\udc80-\udcff]/u.test(text))
  }
})

t.test('a key has its bytes again, whatever they are, and two keys are never one text', async t => {
  const seed = fuzzSeed()
  t.comment(`FUZZ_SEED=${seed}`)
  const below = random(seed)
  const texts = new Map<string, string>()
  let wrong = 0
  for (let round = 0; round < 50_000; round++) {
    const key = Buffer.from(Array.from({ length: below(7) }, () => [0x61, 0xc3, 0xbc, 0xef, 0xbf, 0xbd, 0xe9][below(7)] ?? 0))
    const text = decodeKey(key, 0, key.length)
    if (!encodeKey(text).equals(key)) wrong++
    if ((texts.get(text) ?? key.toString('latin1')) !== key.toString('latin1')) wrong++
    texts.set(text, key.toString('latin1'))
  }
  t.equal(wrong, 0)
})

t.test('without smtputf8_enable, letters beyond ASCII are bytes, which have no case', async t => {
  t.equal(fold(asBytes('\u00dcSER@D')), asBytes('\u00dcser@d'))
  t.not(fold(asBytes('\u00dc')), fold(asBytes('\u00fc')))
  t.equal(encodeKey(asBytes('stra\u00dfe')).toString('utf8'), 'stra\u00dfe')
  t.equal(asBytes('max@d'), 'max@d')
  t.equal(asBytes(decode('jos\xe9')), 'jos\udce9')
})
