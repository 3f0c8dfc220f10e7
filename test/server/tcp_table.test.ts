import t from 'tap'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { ByteString } from '../../src/outcome.js'
import { tcpTable } from '../../src/server/tcp_table.js'
import { tcpTableRequest } from '../fixtures/wire.js'
import { decodeBy } from './decode.js'

const value = (text: string) => found(text as ByteString)

const decode = decodeBy(tcpTable)

t.test('C136 C140 the codes are exact, and each reply is one line', t => {
  t.equal(tcpTable.reply(absent), '500 absent\n')
  t.equal(tcpTable.reply(value('box@example.net')), '200 box@example.net\n')
  t.match(tcpTable.reply(unavailable('query-error', 'line\r\nbreak 100%')), /^400 query-error: [^\r\n]+100%25\n$/)
  t.end()
})

t.test('C137 no reason for an error makes a reply that begins with 5', t => {
  for (const reason of ['timeout', 'source-down', 'unknown-map', 'internal-error'] as const) {
    t.match(tcpTable.reply(unavailable(reason, '5')), /^400 /)
  }
  t.end()
})

t.test('a value is coded byte by byte', t => {
  t.equal(tcpTable.reply(found(byteString('a b%c\ncafé'))), '200 a%20b%25c%0Acaf%C3%A9\n')
  t.equal(tcpTable.reply(value('caf\u00e9')), '200 caf%E9\n')
  t.end()
})

t.test('C139 a reply of 4,096 bytes with its line feed is sent, a longer one is not', t => {
  t.equal(tcpTable.reply(value('x'.repeat(4_091))).length, 4_096)
  t.notOk(tcpTable.fits('x'.repeat(4_092) as ByteString))
  t.notOk(tcpTable.fits(`${'x'.repeat(4_089)} ` as ByteString), 'the coded bytes count')
  t.end()
})

t.test('an empty value and one with NUL can\'t be sent', t => {
  t.notOk(tcpTable.fits('' as ByteString))
  t.notOk(tcpTable.fits('x\0' as ByteString))
  t.end()
})

t.test('keys come out decoded, one for each line', t => {
  const { requests, fault } = decode(Buffer.concat([
    tcpTableRequest('info@example.com'), tcpTableRequest('a b%c'), tcpTableRequest('café'), tcpTableRequest(''), Buffer.from('get x\r\n'),
  ]))
  t.strictSame(requests, ['null|info@example.com', 'null|a b%c', 'null|café', 'null|', 'null|x'])
  t.equal(fault, null)
  t.end()
})

t.test('a key that is not UTF-8 gets its one reply', t => {
  t.strictSame(decode('get caf%E9\nget x\n').requests, ['null|caf\udce9', 'null|x'])
  t.end()
})

t.test('put is refused without a lookup, and the connection goes on', t => {
  t.strictSame(decode('put a b\nget x\n').requests, ['500 put is not served\n', 'null|x'])
  t.end()
})

t.test('a malformed line is a fault with a temporary reply, and nothing after it is read', t => {
  for (const line of ['hello', 'get', 'GET x', 'get a b', 'get %', 'get %4', 'get %zz', '']) {
    t.match(decode(`get first\n${line}\nget last\n`), { requests: ['null|first'], fault: { reply: '400 malformed request\n' } }, line)
  }
  t.end()
})

t.test('a key of 10,000 bytes is accepted, coded or not; a longer line is a fault, even without its end', t => {
  const key = `${'é'.repeat(4_999)}aa`
  t.strictSame(decode(tcpTableRequest(key)).requests, [`null|${key}`])
  t.strictSame(decode(`get ${'x'.repeat(10_000)}\n`).requests, [`null|${'x'.repeat(10_000)}`])
  const longest = 30_006 - 'get \n'.length
  t.equal(decode(`get ${'x'.repeat(longest)}\n`).requests.length, 1)
  t.match(decode(`get ${'x'.repeat(longest + 1)}\n`).fault, { reply: '400 request too long\n' })
  t.match(decode(`get ${'x'.repeat(longest + 1)}`).fault, { reply: '400 request too long\n' })
  t.end()
})

t.test('half a line is pending, a whole one is not', t => {
  t.equal(decode('get ').pending, true)
  t.equal(decode('get ', 'x\n').pending, false)
  t.end()
})
