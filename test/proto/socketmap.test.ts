import t from 'tap'
import * as socketmap from '../../proto/socketmap.js'
import { encodeKey } from '../../proto/text.js'
import { bytes, fuzzed, fuzzSeed, random } from './stream.js'

const parse = (payload: string) => socketmap.parseRequest(bytes(payload), 0, payload.length)

/** Payloads as bytes, and what they ask. */
const requests = new Map<string, ReturnType<typeof parse>>([
  ['mymap max', { map: 'mymap', key: 'max' }],
  ['mymap ', { map: 'mymap', key: '' }],
  ['virtual_alias User+Ext@VDom.Example', { map: 'virtual_alias', key: 'User+Ext@VDom.Example' }],
  ['alias "a b"@example.com', { map: 'alias', key: '"a b"@example.com' }],
  ['alias  max', { map: 'alias', key: ' max' }],
  ['alias a,b:c%40\t\n ', { map: 'alias', key: 'a,b:c%40\t\n ' }],
  ['alias \xc3\x9cser@d', { map: 'alias', key: 'Üser@d' }],
  ['alias \xef\xbb\xbfmax', { map: 'alias', key: '\ufeffmax' }],
  ['alias \xf0\x9f\x93\xab@d', { map: 'alias', key: '📫@d' }],
  ['alias \xef\xbf\xbd@d', { map: 'alias', key: '\ufffd@d' }],
  ['alias a\0b', { map: 'alias', key: 'a\0b' }],
  [' max', { map: '', key: 'max' }],
  [' ', { map: '', key: '' }],
  ['', 'no-space'],
  ['alias', 'no-space'],
  ['alias\tmax', 'no-space'],
  ['alias \xfcser@d', { map: 'alias', key: '\udcfcser@d' }],
  ['alias \xc3', { map: 'alias', key: '\udcc3' }],
  ['alias \xed\xa0\x80', { map: 'alias', key: '\udced\udca0\udc80' }],
  ['alias \xc0\xaf', { map: 'alias', key: '\udcc0\udcaf' }],
  ['alias \xef\xbf\xbd\xff', { map: 'alias', key: '\ufffd\udcff' }],
  ['\xff max', { map: '\udcff', key: 'max' }],
])

for (const [payload, request] of requests) {
  t.test(`${JSON.stringify(payload)} asks ${JSON.stringify(request)}`, async t => {
    t.same(parse(payload), request)
  })
}

t.test('reads its own part of the buffer only', async t => {
  t.same(socketmap.parseRequest(bytes('9:mymap max,6:other ,'), 2, 11), { map: 'mymap', key: 'max' })
  t.equal(socketmap.parseRequest(bytes('5:alias,9:mymap max,'), 2, 7), 'no-space')
})

t.test('replies are exactly these bytes', async t => {
  t.equal(socketmap.okReply('box@example.net'), '18:OK box@example.net,')
  t.equal(socketmap.okReply('caf\xc3\xa9@example.net'), '20:OK caf\xc3\xa9@example.net,')
  t.equal(socketmap.okReply(' v '), '6:OK  v ,')
  t.equal(socketmap.notFoundReply, '9:NOTFOUND ,')
  t.equal(socketmap.tempReply('no answer in 2 s'), '21:TEMP no answer in 2 s,')
  t.equal(socketmap.permReply('not a request'), '18:PERM not a request,')
})

t.test('a reason is one bounded line of printable ASCII', async t => {
  t.equal(socketmap.tempReply('a\r\nb\tc\0d\x7fe\xe9f'), '17:TEMP a??b?c?d?e?f,')
  t.equal(socketmap.tempReply('x'.repeat(199)), `204:TEMP ${'x'.repeat(199)},`)
  t.equal(socketmap.tempReply('x'.repeat(200)), `205:TEMP ${'x'.repeat(200)},`)
  t.equal(socketmap.permReply('x'.repeat(201)), `205:PERM ${'x'.repeat(200)},`)
})

t.test('values of 99,996 and 99,997 bytes fit, one of 99,998 does not', async t => {
  t.ok(socketmap.fits('v'.repeat(99_996)))
  t.ok(socketmap.fits('v'.repeat(99_997)))
  t.notOk(socketmap.fits('v'.repeat(99_998)))
  t.equal(socketmap.okReply('v'.repeat(99_997)).length, '100000:'.length + 100_000 + ','.length)
})

t.test('an empty value and one with a NUL do not fit, one of spaces does', async t => {
  t.notOk(socketmap.fits(''))
  t.notOk(socketmap.fits('a\0'))
  t.notOk(socketmap.fits('\0'))
  t.ok(socketmap.fits(' '))
})

t.test('no payload makes it throw, and what it reads is what was sent', async t => {
  const seed = fuzzSeed()
  t.comment(`FUZZ_SEED=${seed}`)
  const below = random(seed)
  const examples = [...requests.keys()].map(bytes)
  const letters = bytes('alias max@d\xc3\x9c\xef\xbf\xbd')
  let wrong = 0
  for (let round = 0; round < 100_000; round++) {
    const payload = fuzzed(examples, letters, below)
    const request = socketmap.parseRequest(payload, 0, payload.length)
    if (request === 'no-space') {
      if (payload.includes(0x20)) wrong++
    } else if (request.map.includes(' ') || !encodeKey(`${request.map} ${request.key}`).equals(payload)) wrong++
  }
  t.equal(wrong, 0)
})
