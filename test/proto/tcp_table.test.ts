import t from 'tap'
import * as tcp from '../../proto/tcp_table.js'
import { encodeKey } from '../../proto/text.js'
import { bytes, cuts, feed, fuzzed, fuzzSeed, random, randomCuts, shown } from './stream.js'

/** Bytes as clients send them, and the lines in them. */
const streams = new Map<string, readonly string[]>([
  ['get max\n', ['get max']],
  ['get \n', ['get ']],
  ['\n', ['']],
  ['\r\n', ['']],
  ['get max\r\n', ['get max']],
  ['get max\r\r\n', ['get max\r']],
  ['get a\rb\n', ['get a\rb']],
  ['get one\nget two\n\nget three\n', ['get one', 'get two', '', 'get three']],
  ['\0\xff\n', ['\0\xff']],
])

for (const [stream, lines] of streams) {
  t.test(`${JSON.stringify(stream)}: the same lines wherever the stream is cut`, async t => {
    for (const chunks of cuts(bytes(stream))) {
      const decoder = new tcp.LineDecoder(tcp.maxLineBytes)
      t.same(feed(decoder, chunks), { pieces: lines, error: null }, shown(chunks))
      t.notOk(decoder.pending)
      t.equal(decoder.heldBytes, 0)
    }
  })
}

t.test('lines of 4,095 and 4,096 bytes with their LF pass, one of 4,097 does not', async t => {
  for (const [lineBytes, error] of [[4_095, null], [4_096, null], [4_097, 'too-long']] as const) {
    const line = `get ${'k'.repeat(lineBytes - 5)}`
    for (const chunks of [[`${line}\n`], [line, '\n'], [line.slice(0, 9), `${line.slice(9)}\n`]]) {
      const fed = feed(new tcp.LineDecoder(tcp.maxLineBytes), chunks.map(bytes))
      t.same(fed, error === null ? { pieces: [line], error } : { pieces: [], error })
    }
  }
})

t.test('too long as soon as 4,096 bytes hold no LF', async t => {
  t.equal(feed(new tcp.LineDecoder(tcp.maxLineBytes), [bytes('k'.repeat(4_095))]).error, null)
  t.equal(feed(new tcp.LineDecoder(tcp.maxLineBytes), [bytes('k'.repeat(4_096))]).error, 'too-long')
  t.equal(feed(new tcp.LineDecoder(tcp.maxLineBytes), [bytes('k'.repeat(4_095)), bytes('k')]).error, 'too-long')
})

t.test('lines before one that is too long are delivered', async t => {
  const fed = feed(new tcp.LineDecoder(tcp.maxLineBytes), [bytes(`get a\nget b\n${'k'.repeat(4_096)}\nget c\n`)])
  t.same(fed, { pieces: ['get a', 'get b'], error: 'too-long' })
})

t.test('a stream that failed stays failed, holds nothing and is not pending', async t => {
  const decoder = new tcp.LineDecoder(tcp.maxLineBytes)
  feed(decoder, [bytes('k'.repeat(4_000)), bytes('k'.repeat(4_000))])
  t.same(feed(decoder, [bytes('get max\n')]), { pieces: [], error: 'too-long' })
  t.equal(decoder.heldBytes, 0)
  t.notOk(decoder.pending)
})

t.test('pending from the first byte of a line to its LF', async t => {
  const decoder = new tcp.LineDecoder(tcp.maxLineBytes)
  t.notOk(decoder.pending)
  for (const byte of 'get max') {
    feed(decoder, [bytes(byte)])
    t.ok(decoder.pending)
  }
  feed(decoder, [bytes('\n')])
  t.notOk(decoder.pending)
})

t.test('a line that lies whole in its chunk is a view of the chunk', async t => {
  const chunk = bytes('get max\n')
  const seen: Buffer[] = []
  new tcp.LineDecoder(tcp.maxLineBytes).push(chunk, buffer => seen.push(buffer))
  t.equal(seen[0], chunk)
})

const parse = (line: string) => tcp.parseRequest(bytes(line), 0, line.length)
const get = (key: string) => ({ kind: 'get', key }) as const

/** Lines as bytes, and what they ask. */
const requests = new Map<string, ReturnType<typeof parse>>([
  ['get max', get('max')],
  ['get ', get('')],
  ['get User+Ext@VDom.Example', get('User+Ext@VDom.Example')],
  ['get %22a%20b%22@example.com', get('"a b"@example.com')],
  ['get %C3%9Cser@D', get('Üser@D')],
  ['get %c3%9cser@D', get('Üser@D')],
  ['get %25%2525', get('%%25')],
  ['get a%0Db%0A%09%00', get('a\rb\n\t\0')],
  ['get %EF%BF%BD', get('\ufffd')],
  ['get ~!"', get('~!"')],
  ['put max moritz', { kind: 'put' }],
  ['put max', { kind: 'put' }],
  ['put ', { kind: 'put' }],
  ['', 'bad-request'],
  ['get', 'bad-request'],
  ['ge', 'bad-request'],
  ['put', 'bad-request'],
  ['GET max', 'bad-request'],
  ['get\tmax', 'bad-request'],
  [' get max', 'bad-request'],
  ['gets max', 'bad-request'],
  ['delete max', 'bad-request'],
  ['get  max', 'bad-coding'],
  ['get a b', 'bad-coding'],
  ['get max ', 'bad-coding'],
  ['get a\tb', 'bad-coding'],
  ['get a\0b', 'bad-coding'],
  ['get a\x7f', 'bad-coding'],
  ['get \xc3\x9cser', 'bad-coding'],
  ['get %', 'bad-coding'],
  ['get %4', 'bad-coding'],
  ['get %4%', 'bad-coding'],
  ['get %%41', 'bad-coding'],
  ['get %G0', 'bad-coding'],
  ['get %0G', 'bad-coding'],
  ['get %0@', 'bad-coding'],
  ['get %0`', 'bad-coding'],
  ['get %+1', 'bad-coding'],
  ['get a%4', 'bad-coding'],
  ['get %FCser', { kind: 'get', key: '\udcfcser' }],
  ['get %C3', { kind: 'get', key: '\udcc3' }],
  ['get %ED%A0%80', { kind: 'get', key: '\udced\udca0\udc80' }],
])

for (const [line, request] of requests) {
  t.test(`${JSON.stringify(line)} asks ${JSON.stringify(request)}`, async t => {
    t.same(parse(line), request)
  })
}

t.test('reads its own part of the buffer only', async t => {
  t.same(tcp.parseRequest(bytes('get one\nget two\nget three\n'), 8, 15), get('two'))
  t.equal(tcp.parseRequest(bytes('ge t\nxy'), 0, 2), 'bad-request')
  t.equal(tcp.parseRequest(bytes('get %41'), 0, 6), 'bad-coding')
})

t.test('every byte of a key may be coded, and either case of its digits means the same', async t => {
  for (let byte = 0; byte < 0x80; byte++) {
    const hex = byte.toString(16).padStart(2, '0')
    t.same(parse(`get %${hex}`), get(String.fromCharCode(byte)))
    t.same(parse(`get %${hex.toUpperCase()}`), get(String.fromCharCode(byte)))
  }
})

t.test('printable ASCII goes as it is, and each other byte, % and space as %XX', async t => {
  for (let byte = 0; byte < 0x100; byte++) {
    const text = String.fromCharCode(byte)
    const plain = byte > 0x20 && byte < 0x7f && text !== '%'
    t.equal(tcp.encodeHex(text), plain ? text : `%${Buffer.from([byte]).toString('hex').toUpperCase()}`)
  }
  t.equal(tcp.encodeHex(''), '')
  t.equal(tcp.encodeHex('a@b,c@d'), 'a@b,c@d')
})

t.test('replies are exactly these bytes', async t => {
  t.equal(tcp.okReply('box@example.net'), '200 box@example.net\n')
  t.equal(tcp.okReply('a@b, 100%\r\ncaf\xc3\xa9'), '200 a@b,%20100%25%0D%0Acaf%C3%A9\n')
  t.equal(tcp.notFoundReply, '500 absent\n')
  t.equal(tcp.putReply, '500 put is not served\n')
  t.equal(tcp.tempReply('no answer in 2 s'), '400 no answer in 2 s\n')
})

t.test('a reason is one bounded line that decodes', async t => {
  t.equal(tcp.tempReply('100% full\r\n500 absent\0\xe9'), '400 100%25 full??500 absent??\n')
  t.equal(tcp.tempReply('x'.repeat(201)), `400 ${'x'.repeat(200)}\n`)
  t.equal(tcp.tempReply('%'.repeat(201)), `400 ${'%25'.repeat(200)}\n`)
})

t.test('values whose reply line has 4,095 and 4,096 bytes fit, 4,097 does not', async t => {
  for (const [value, fits] of [
    ['v'.repeat(4_090), true],
    ['v'.repeat(4_091), true],
    ['v'.repeat(4_092), false],
    [`%${'v'.repeat(4_087)}`, true],
    [`%${'v'.repeat(4_088)}`, true],
    [`%${'v'.repeat(4_089)}`, false],
  ] as const) {
    t.equal(tcp.fits(value), fits)
    t.equal(tcp.okReply(value).length <= 4_096, fits)
  }
})

t.test('an empty value and one with a NUL do not fit, one of spaces does', async t => {
  t.notOk(tcp.fits(''))
  t.notOk(tcp.fits('a\0'))
  t.ok(tcp.fits(' '))
})

t.test('no input makes the decoder throw or hold more than a line, and cuts never change the result', async t => {
  const seed = fuzzSeed()
  t.comment(`FUZZ_SEED=${seed}`)
  const below = random(seed)
  const limit = 30
  const examples = [...streams.keys(), 'get 5678901234567890123456789\n'].map(bytes)
  const letters = bytes('get put%4\r\n')
  let wrong = 0
  for (let round = 0; round < 100_000; round++) {
    const stream = fuzzed(examples, letters, below)
    const whole = feed(new tcp.LineDecoder(limit), [stream])
    const cut = feed(new tcp.LineDecoder(limit), randomCuts(stream, below), decoder => {
      if (decoder.heldBytes > limit) wrong++
    })
    if (JSON.stringify(whole) !== JSON.stringify(cut)) {
      wrong++
      t.comment(JSON.stringify(stream.toString('latin1')))
    }
    if (whole.pieces.some(line => line.length >= limit || line.includes('\n'))) wrong++
  }
  t.equal(wrong, 0)
})

t.test('no line makes the parser throw, and a key it reads has the bytes that were coded', async t => {
  const seed = fuzzSeed()
  t.comment(`FUZZ_SEED=${seed}`)
  const below = random(seed)
  const examples = [...requests.keys()].map(bytes)
  const letters = bytes('get max%%%0aAfFgG')
  let wrong = 0
  for (let round = 0; round < 100_000; round++) {
    const line = fuzzed(examples, letters, below)
    const request = tcp.parseRequest(line, 0, line.length)
    if (typeof request === 'string' || request.kind === 'put') continue
    const coded = line.toString('latin1').slice(4)
    const bytes = coded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    if (encodeKey(request.key).toString('latin1') !== bytes) wrong++
  }
  t.equal(wrong, 0)
})
