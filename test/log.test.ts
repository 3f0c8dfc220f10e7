import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { Redis } from 'ioredis'
import t from 'tap'
import { createLog, inWords, messageOf, printable } from '../src/log.js'
import type { LogSettings } from '../src/log.js'

const logging = (settings: Partial<LogSettings> = {}, now: () => number = () => 0) => {
  const lines: string[] = []
  const log = createLog({ level: 'info', format: 'text', journal: false, ...settings }, line => lines.push(line), now)
  return { log, lines }
}

t.test('a repeated warning comes once a minute a kind, and says how many were left out', t => {
  let now = 0
  const { log, lines } = logging({ journal: true }, () => now)
  for (let i = 0; i < 1_000; i++) log.repeated('timeout', 'map alias: timeout')
  log.repeated('query', 'map alias: query error')
  t.same(lines, ['<4>warn: map alias: timeout\n', '<4>warn: map alias: query error\n'])
  now = 59_999
  log.repeated('timeout', 'map alias: timeout')
  t.equal(lines.length, 2)
  now = 60_000
  log.repeated('timeout', 'map alias: timeout')
  t.equal(lines[2], '<4>warn: map alias: timeout repeated=1000\n')
  now = 120_000
  log.repeated('timeout', 'map alias: timeout')
  t.equal(lines[3], '<4>warn: map alias: timeout\n')
  t.end()
})

t.test('kinds that peers make up without end share one minute, and take no more memory', t => {
  const { log, lines } = logging()
  for (let i = 0; i < 100_000; i++) log.repeated(`peer ${i}`, 'not a netstring')
  t.equal(lines.length, 201)
  t.end()
})

t.test('journald reads the priority of each line; without journald there is the time', t => {
  const journald = logging({ level: 'debug', journal: true })
  journald.log.debug('a')
  journald.log.info('b')
  journald.log.warn('c')
  journald.log.error('d')
  t.same(journald.lines, ['<7>debug: a\n', '<6>b\n', '<4>warn: c\n', '<3>error: d\n'])
  const plain = logging()
  plain.log.info('ready')
  t.match(plain.lines[0], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ready\n$/)
  t.end()
})

t.test('JSON has level, time, text and fields, one object a line', t => {
  const { log, lines } = logging({ format: 'json' })
  log.warn('redis: down', { lasted_ms: 1_500 })
  t.match(JSON.parse(lines[0] ?? ''), { level: 'warn', time: /^\d{4}-/, msg: 'redis: down', lasted_ms: 1_500 })
  t.ok(lines[0]?.endsWith('}\n'))
  t.end()
})

t.test('a value that could be taken for two fields is quoted', t => {
  const { log, lines } = logging({ journal: true })
  log.warn('x', { one: 'a b=c', two: 'plain', three: undefined })
  t.equal(lines[0], '<4>warn: x one="a b=c" two=plain\n')
  t.end()
})

t.test('what is below the level is left out, and settings can change', t => {
  const { log, lines } = logging({ journal: true })
  log.debug('key=ann@example.net')
  t.notOk(log.isDebug)
  log.configure({ level: 'debug', format: 'text', journal: true })
  t.ok(log.isDebug)
  log.debug('seen')
  log.configure({ level: 'error', format: 'text', journal: true })
  log.warn('unseen')
  t.same(lines, ['<7>debug: seen\n'])
  t.end()
})

t.test('peers\' text ends no line, moves no cursor and is bounded', t => {
  t.equal(printable('a\nb\r\x1b[2J\x7f\u009b\u2028\u202eé€\ud800 \u{1f4e7}'), 'a?b??[2J????é€? \u{1f4e7}')
  t.equal(printable('x'.repeat(10_000)).length, 500)
  t.end()
})

t.test('errors of the system are logged in words, not by their codes', async t => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const { port } = typeof address === 'object' && address !== null ? address : { port: 0 }
  const failing: Readonly<Record<string, () => Promise<unknown>>> = {
    file: () => readFile('/nonexistent/file'),
    nobody: () => once(connect(1, '127.0.0.1'), 'connect'),
    'nobody at several addresses': () => Promise.reject(Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })),
    taken: () => once(createServer().listen(port, '127.0.0.1'), 'listening'),
    name: () => lookup('nobody.invalid'),
    redis: () => {
      const client = new Redis({ port: 1, lazyConnect: true, enableOfflineQueue: false })
      return client.get('key').finally(() => client.disconnect())
    },
  }
  const told: Record<string, string> = {}
  for (const [what, fail] of Object.entries(failing)) told[what] = await fail().then(() => 'no error', messageOf)
  t.match(told, {
    file: 'no such file or directory, open \'/nonexistent/file\'',
    nobody: 'connection refused: 127.0.0.1:1',
    'nobody at several addresses': 'connection refused',
    taken: `address already in use 127.0.0.1:${port}`,
    redis: 'not connected',
    name: /^(unknown host name|the name server does not answer): nobody\.invalid$/,
  })
  t.equal(messageOf('text'), 'unknown error')
  for (const plain of ['ERR syntax error', 'EXEC without MULTI', 'ESERVFAIL', 'TLS: unexpected EOF while reading']) {
    t.equal(inWords(plain), plain)
  }
  t.equal(inWords('All sentinels are unreachable. Last error: connect ECONNREFUSED 127.0.0.1:1'),
    'All sentinels are unreachable. Last error: connection refused: 127.0.0.1:1')
})
