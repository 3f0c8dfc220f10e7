import t from 'tap'
import { encodeNetstring, NetstringDecoder } from '../../proto/netstring.js'
import { bytes, cuts, feed, fuzzed, fuzzSeed, random, randomCuts, shown } from './stream.js'

const limit = 30

/** Bytes as clients send them, and the payloads in them. */
const valid = new Map<string, readonly string[]>([
  ['9:mymap max,', ['mymap max']],
  ['6:mymap ,', ['mymap ']],
  ['0:,', ['']],
  ['0:,0:,1:x,', ['', '', 'x']],
  ['1:,,', [',']],
  ['3:1:,,', ['1:,']],
  ['12:m a,b:c%d\0\xff\n,', ['m a,b:c%d\0\xff\n']],
  ['10:0123456789,', ['0123456789']],
  ['30:012345678901234567890123456789,', ['012345678901234567890123456789']],
  ['9:mymap one,9:mymap two,11:mymap three,', ['mymap one', 'mymap two', 'mymap three']],
])

for (const [stream, payloads] of valid) {
  t.test(`${JSON.stringify(stream)}: the same payloads wherever the stream is cut`, async t => {
    for (const chunks of cuts(bytes(stream))) {
      const decoder = new NetstringDecoder(limit)
      t.same(feed(decoder, chunks), { pieces: payloads, error: null }, shown(chunks))
      t.notOk(decoder.pending)
      t.equal(decoder.heldBytes, 0)
    }
  })
}

/** A stream with a fault: what comes out before it, and its name. */
const faulty = new Map<string, readonly [payloads: readonly string[], error: string]>([
  [':,', [[], 'bad-length']],
  [',', [[], 'bad-length']],
  ['x', [[], 'bad-length']],
  [' 1:x,', [[], 'bad-length']],
  ['-1:x,', [[], 'bad-length']],
  ['+1:x,', [[], 'bad-length']],
  ['1 :x,', [[], 'bad-length']],
  ['1x', [[], 'bad-length']],
  ['0x1:x,', [[], 'bad-length']],
  ['\xb1:x,', [[], 'bad-length']],
  ['00:,', [[], 'bad-length']],
  ['01:x,', [[], 'bad-length']],
  ['GET / HTTP/1.0\r\n', [[], 'bad-length']],
  ['1:xy', [[], 'missing-comma']],
  ['0:x', [[], 'missing-comma']],
  ['2:x,\n', [[], 'missing-comma']],
  ['31:', [[], 'too-long']],
  ['31', [[], 'too-long']],
  ['99999999999999999999999999999999', [[], 'too-long']],
  ['1:x,\n1:y,', [['x'], 'bad-length']],
  ['1:x,31:y', [['x'], 'too-long']],
  ['1:x,1:y;1:z,', [['x'], 'missing-comma']],
])

for (const [stream, [payloads, error]] of faulty) {
  t.test(`${JSON.stringify(stream)}: ${error} wherever the stream is cut`, async t => {
    for (const chunks of cuts(bytes(stream))) {
      t.same(feed(new NetstringDecoder(limit), chunks), { pieces: payloads, error }, shown(chunks))
    }
  })
}

t.test('a stream that failed stays failed, holds nothing and is not pending', async t => {
  const decoder = new NetstringDecoder(limit)
  t.same(feed(decoder, [bytes('1:x'), bytes('y'), bytes(',1:z,')]), { pieces: [], error: 'missing-comma' })
  t.same(feed(decoder, [bytes('1:z,')]), { pieces: [], error: 'missing-comma' })
  t.equal(decoder.heldBytes, 0)
  t.notOk(decoder.pending)
})

t.test('a length is refused at the digit that takes it over the limit', async t => {
  for (const [max, digits] of [[9, '10'], [10_000, '10001'], [10_000, '99999'], [99_999, '100000']] as const) {
    const decoder = new NetstringDecoder(max)
    t.equal(feed(decoder, [bytes(digits.slice(0, -1))]).error, null)
    t.equal(feed(decoder, [bytes(digits.slice(-1))]).error, 'too-long', `${digits} of ${max}`)
  }
})

t.test('payloads of one less than the limit and of the limit pass, one more does not', async t => {
  for (const [length, error] of [[9_999, null], [10_000, null], [10_001, 'too-long']] as const) {
    const payload = 'k'.repeat(length)
    const fed = feed(new NetstringDecoder(10_000), [bytes(`${length}:`), bytes(payload), bytes(',')])
    t.same(fed, error === null ? { pieces: [payload], error } : { pieces: [], error })
  }
})

t.test('pending from the first digit to the comma', async t => {
  const decoder = new NetstringDecoder(limit)
  t.notOk(decoder.pending)
  for (const byte of '12:mymap carlos') {
    feed(decoder, [bytes(byte)])
    t.ok(decoder.pending)
  }
  feed(decoder, [bytes(',')])
  t.notOk(decoder.pending)
})

t.test('a payload that lies whole in its chunk is a view of the chunk', async t => {
  const chunk = bytes('9:mymap max,')
  const seen: Buffer[] = []
  new NetstringDecoder(limit).push(chunk, buffer => seen.push(buffer))
  t.equal(seen[0], chunk)
})

t.test('encodes length, payload and comma, counting bytes', async t => {
  t.equal(encodeNetstring(''), '0:,')
  t.equal(encodeNetstring('caf\xc3\xa9'), '5:caf\xc3\xa9,')
  t.equal(encodeNetstring('x'.repeat(100_000)), `100000:${'x'.repeat(100_000)},`)
})

t.test('no bytes make it throw or hold more than the limit, and cutting never changes what comes out', async t => {
  const seed = fuzzSeed()
  t.comment(`FUZZ_SEED=${seed}`)
  const below = random(seed)
  const examples = [...valid.keys(), ...faulty.keys()].map(bytes)
  const letters = bytes('0123456789:, a')
  let wrong = 0
  for (let round = 0; round < 100_000; round++) {
    const stream = fuzzed(examples, letters, below)
    const whole = feed(new NetstringDecoder(limit), [stream])
    const cut = feed(new NetstringDecoder(limit), randomCuts(stream, below), decoder => {
      if (decoder.heldBytes > limit + 1) wrong++
    })
    if (JSON.stringify(whole) !== JSON.stringify(cut)) {
      wrong++
      t.comment(JSON.stringify(stream.toString('latin1')))
    }
    if (whole.pieces.some(piece => piece.length > limit)) wrong++
  }
  t.equal(wrong, 0)
})
