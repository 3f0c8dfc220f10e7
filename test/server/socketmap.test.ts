import t from 'tap'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { ByteString } from '../../src/outcome.js'
import { socketmap } from '../../src/server/socketmap.js'
import { socketmapRequest } from '../fixtures/wire.js'
import { decodeBy } from './decode.js'

const value = (text: string) => found(text as ByteString)

const decode = decodeBy(socketmap)

t.test('C131 the words are exact', t => {
  t.equal(socketmap.reply(absent), '9:NOTFOUND ,')
  t.equal(socketmap.reply(value('box@example.net')), '18:OK box@example.net,')
  t.equal(socketmap.reply(unavailable('timeout', 'no answer within 2000 ms')), '38:TEMP timeout: no answer within 2000 ms,')
  t.end()
})

t.test('C128 a value\'s bytes pass through, and are what is counted', t => {
  t.equal(socketmap.reply(found(byteString('café@example.net'))), '20:OK caf\u00c3\u00a9@example.net,')
  t.equal(socketmap.reply(value('caf\u00e9@example.net')), '19:OK caf\u00e9@example.net,')
  t.end()
})

t.test('C130 a value is sent up to 100,000 bytes with its OK, and never cut', t => {
  t.equal(socketmap.reply(value('x'.repeat(99_997))).length, '100000:'.length + 100_000 + 1)
  t.notOk(socketmap.fits('x'.repeat(99_998) as ByteString))
  t.end()
})

t.test('C40 an empty value and one with NUL can\'t be sent', t => {
  t.notOk(socketmap.fits('' as ByteString))
  t.notOk(socketmap.fits('box\0@example.net' as ByteString))
  t.end()
})

t.test('an error\'s text has no control characters, whatever its detail', t => {
  t.match(socketmap.reply(unavailable('query-error', 'line\r\nbreak\0and \u{1f600}')), /^\d+:TEMP query-error: [ -~]+,$/)
  t.end()
})

t.test('requests come out in order, with all of the key', t => {
  const { requests, fault } = decode(Buffer.concat([
    socketmapRequest('alias', 'info@example.com'), socketmapRequest('alias', 'a b  c '), socketmapRequest('alias', ''), socketmapRequest('', 'x'),
  ]))
  t.strictSame(requests, ['alias|info@example.com', 'alias|a b  c ', 'alias|', '|x'])
  t.equal(fault, null)
  t.end()
})

t.test('C65 a key that is not UTF-8 is a request all the same: it gets its one reply', t => {
  const { requests, fault } = decode(Buffer.concat([socketmapRequest('alias', Buffer.from([0x63, 0xe9])), socketmapRequest('alias', 'x')]))
  t.strictSame(requests, ['alias|c\udce9', 'alias|x'])
  t.equal(fault, null)
  t.end()
})

t.test('C133 a request without a space is a fault with a permanent reply', t => {
  const { requests, fault } = decode('7:alias x,5:alias,7:alias y,')
  t.strictSame(requests, ['alias|x'])
  t.match(fault, { reply: /^\d+:PERM malformed/ })
  t.end()
})

t.test('16,384 bytes are a request, one more is a fault with a permanent reply', t => {
  const key = (size: number) => 'k'.repeat(size - 'alias '.length)
  t.equal(decode(socketmapRequest('alias', key(16_384))).requests.length, 1)
  t.match(decode(socketmapRequest('alias', key(16_385))), { requests: [], fault: { reply: '21:PERM request too long,' } })
  t.end()
})

t.test('broken framing is a fault without a reply: nobody knows where one would begin', t => {
  for (const bytes of ['x', ':,', '07:alias x,', '7:alias x;', ' 7:alias x,', '-7:alias x,', '+7:alias x,']) {
    t.match(decode(bytes).fault, { reply: null }, bytes)
  }
  t.end()
})

t.test('half a request is pending, a whole one is not', t => {
  t.equal(decode('7:ali').pending, true)
  t.equal(decode('7').pending, true)
  t.equal(decode('7:ali', 'as x,').pending, false)
  t.equal(decode().pending, false)
  t.end()
})
