import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import { Client } from '../../src/server/client.js'
import type { Dialect } from '../../src/server/dialect.js'
import { ReplyRoom } from '../../src/server/reply_room.js'
import { socketmap } from '../../src/server/socketmap.js'
import { tcpTable } from '../../src/server/tcp_table.js'
import { answers } from '../fixtures/answers.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { openWire, socketmapRequest, tcpTableRequest } from '../fixtures/wire.js'
import type { Wire } from '../fixtures/wire.js'

type Settings = { dialect?: Dialect, patienceMs?: number, roomBytes?: number }

/** A server on a unix socket whose clients are under test. */
const serve = async (t: Test, { dialect = socketmap, patienceMs = 60_000, roomBytes }: Settings = {}) => {
  const folder = freshFolder()
  const path = join(folder, 's')
  const behind = answers()
  const room = new ReplyRoom(roomBytes)
  const clients: Client[] = []
  const sockets: Socket[] = []
  const server: Server = createServer({ allowHalfOpen: true }, socket => {
    sockets.push(socket)
    clients.push(new Client(socket, { ...behind.context, dialect, room }, patienceMs))
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
    removeFolder(folder)
  })
  const open = async () => {
    const wire = await openWire({ path })
    t.teardown(() => wire.close())
    return wire
  }
  return { ...behind, path, clients, sockets, open }
}

const box = (value: string) => found(byteString(value))

t.test('replies leave in the order of the requests, whenever their answers come', async t => {
  const { open, settle, untilWaiting } = await serve(t)
  const wire = await open()
  wire.send(Buffer.concat(['later1', 'now1', 'later2', 'now2'].map(key => socketmapRequest('alias', key))))
  await untilWaiting(2)
  settle('later2', box('two'))
  settle('later1', absent)
  const replies = []
  for (let count = 0; count < 4; count++) replies.push((await wire.netstring()).toString())
  t.strictSame(replies, ['NOTFOUND ', 'OK value of now1', 'OK two', 'OK value of now2'])
  t.equal(wire.waiting().length, 0, 'and not a byte more')
})

t.test('pipelined requests get exactly one reply each, wherever their bytes are cut', async t => {
  const { open, replies } = await serve(t)
  const wire = await open()
  const bytes = Buffer.concat(Array.from({ length: 40 }, (_, index) => socketmapRequest('alias', `key${index}`)))
  for (let at = 0; at < bytes.length; at += 7) wire.send(bytes.subarray(at, at + 7))
  for (let index = 0; index < 40; index++) t.equal((await wire.netstring()).toString(), `OK value of key${index}`)
  wire.finish()
  t.equal((await wire.ended).length, 0)
  t.equal(replies.length, 40)
})

for (const [dialect, request, reply] of [
  [
    socketmap, (key: string) => socketmapRequest('alias', key),
    async (wire: Wire) => (await wire.netstring()).toString().slice('OK '.length),
  ],
  [
    tcpTable, tcpTableRequest,
    async (wire: Wire) => decodeURIComponent((await wire.line()).toString()).slice('200 '.length),
  ],
] as const) {
  t.test(`${dialect.protocol}: half a request of one client is not mixed up with another client's`, async t => {
    const { open, replies } = await serve(t, { dialect })
    const [one, two, third] = [await open(), await open(), await open()]
    one.send(request('first').subarray(0, -4))
    two.send(request('second').subarray(0, -6))
    third.send(request('third'))
    t.equal(await reply(third), 'value of third', 'between the halves')
    two.send(request('second').subarray(-6))
    one.send(request('first').subarray(-4))
    t.equal(await reply(one), 'value of first')
    t.equal(await reply(two), 'value of second')
    third.send(request('fourth'))
    t.equal(await reply(third), 'value of fourth')
    t.equal(replies.length, 4)
  })
}

t.test('a thousand requests of one client are all answered, though only some are looked up at once', async t => {
  const { open, settle, waiting, untilWaiting } = await serve(t)
  const wire = await open()
  // Sent one after the other: a chunk that is whole in the server is not cut by it.
  const key = (index: number) => `later${index}-${'x'.repeat(15_000)}`
  for (let index = 0; index < 100; index++) wire.send(socketmapRequest('alias', key(index)))
  let most = 0
  for (let index = 0; index < 100; index++) {
    await untilWaiting(1)
    most = Math.max(most, waiting().length)
    const next = waiting()[0] ?? ''
    t.equal(next, key(index), `request ${index} comes next`)
    settle(next, absent)
    await wire.netstring()
  }
  t.ok(most <= 64 + 5, `${most} at once`)
})

t.test('C127 a lookup that throws is a temporary error, and the connection goes on', async t => {
  const { open, bugs } = await serve(t)
  const wire = await open()
  wire.send(socketmapRequest('alias', 'throw'))
  t.match((await wire.netstring()).toString(), /^TEMP internal-error: [ -~]+$/)
  wire.send(socketmapRequest('alias', 'now'))
  t.equal((await wire.netstring()).toString(), 'OK value of now')
  t.equal(bugs.length, 1)
  t.match(bugs[0], /^bug: Error: bug/)
})

t.test('a client that sends half a request and then nothing is closed when patience is over', async t => {
  const { open, faults } = await serve(t, { patienceMs: 30 })
  const wire = await open()
  wire.send('20:alias inf')
  t.equal((await wire.ended).length, 0)
  t.strictSame(faults, ['socketmap: closing a connection: incomplete request, no data for 0.03 s'])
})

t.test('an idle client is not closed, however short the patience', async t => {
  const { open, faults } = await serve(t, { patienceMs: 1 })
  const idle = await open()
  const impatient = await open()
  impatient.send('20:alias inf')
  await impatient.ended
  idle.send(socketmapRequest('alias', 'now'))
  t.equal((await idle.netstring()).toString(), 'OK value of now')
  t.equal(faults.length, 1)
})

t.test('a client that always leaves half a request behind, but goes on, is not closed', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { open, faults } = await serve(t, { patienceMs: 1_000 })
  const wire = await open()
  const bytes = socketmapRequest('alias', 'now')
  wire.send(bytes.subarray(0, 5))
  for (let times = 0; times < 10; times++) {
    wire.send(Buffer.concat([bytes.subarray(5), bytes.subarray(0, 5)]))
    t.equal((await wire.netstring()).toString(), 'OK value of now')
    mock.timers.tick(600)
  }
  t.strictSame(faults, [])
})

t.test('a client that does not read its replies is not read from, and is closed when patience is over', async t => {
  const { path, sockets, untilFault, faults } = await serve(t, { patienceMs: 200 })
  const socket = connect({ path })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.pause()
  const request = socketmapRequest('alias', 'k'.repeat(10_000))
  let sent = 0
  const pour = () => { while (!socket.destroyed && sent < 50_000_000 && socket.write(request)) sent += request.length }
  socket.on('drain', pour)
  pour()
  await untilFault()
  t.strictSame(faults, ['socketmap: closing a connection: replies not read for 0.2 s'])
  t.ok(sent < 5_000_000, `${sent} bytes were taken`)
  t.equal(sockets[0]?.destroyed, true)
})

t.test('a client that reads late but in time gets everything', async t => {
  const { open, sockets } = await serve(t)
  const wire = await open()
  wire.pause()
  for (let index = 0; index < 300; index++) wire.send(socketmapRequest('alias', `${index} ${'k'.repeat(10_000)}`))
  const peer = sockets[0]
  if (peer === undefined) throw new Error('not connected')
  while (!peer.isPaused()) await once(peer, 'pause')
  wire.resume()
  for (let index = 0; index < 300; index++) {
    t.ok((await wire.netstring()).toString().startsWith(`OK value of ${index} `))
  }
})

t.test('a request without a map name gets a permanent error in its turn, and ends the connection', async t => {
  const { open, settle, untilWaiting, faults } = await serve(t)
  const wire = await open()
  wire.send(Buffer.concat([
    socketmapRequest('alias', 'later'), Buffer.from('5:alias,'), socketmapRequest('alias', 'never answered'),
  ]))
  await untilWaiting(1)
  settle('later', absent)
  t.equal((await wire.netstring()).toString(), 'NOTFOUND ')
  t.match((await wire.netstring()).toString(), /^PERM /)
  t.equal((await wire.ended).length, 0)
  t.strictSame(faults, ['socketmap: closing a connection: a request without a map name'])
})

t.test('a request over the limit gets a permanent error before its bytes come, and the connection ends', async t => {
  const { open } = await serve(t)
  const wire = await open()
  wire.send('100000:')
  t.equal((await wire.netstring()).toString(), 'PERM request too long')
  t.equal((await wire.ended).length, 0)
})

t.test('bytes that are no netstring get no reply, and the connection ends', async t => {
  const { open, faults } = await serve(t)
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '007:alias x,', ':,', '7:alias x;', '-1:,', '\0']) {
    const wire = await open()
    wire.send(bytes)
    t.equal((await wire.ended).length, 0, JSON.stringify(bytes))
  }
  t.equal(faults.length, 6)
})

t.test('a client that goes on sending after a fault gets no more replies, and is cut off', async t => {
  const { path, sockets } = await serve(t, { patienceMs: 100 })
  const socket = connect({ path, allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  let received = ''
  socket.on('data', chunk => { received += chunk.toString() })
  socket.write('x')
  await once(socket, 'end')
  for (let times = 0; times < 10; times++) socket.write(socketmapRequest('alias', 'now'))
  const peer = sockets[0]
  if (peer !== undefined && !peer.closed) await once(peer, 'close')
  t.equal(received, '')
  t.equal(peer?.destroyed, true)
})

t.test('a client that has closed its side still gets its answers', async t => {
  const { open, settle, untilWaiting } = await serve(t)
  const wire = await open()
  wire.send(socketmapRequest('alias', 'later'))
  wire.finish()
  await untilWaiting(1)
  settle('later', box('box'))
  t.equal((await wire.netstring()).toString(), 'OK box')
  t.equal((await wire.ended).length, 0)
})

t.test('the answer for a client that is gone is counted and thrown away, and others are served', async t => {
  const { open, settle, untilWaiting, sockets, faults, replies } = await serve(t, { patienceMs: 20 })
  const gone = await open()
  gone.send(Buffer.concat([socketmapRequest('alias', 'later'), Buffer.from('20:alias')]))
  await untilWaiting(1)
  const peer = sockets[0]
  if (peer === undefined) throw new Error('not connected')
  peer.destroy()
  await once(peer, 'close')
  settle('later', absent)
  const other = await open()
  // When this client's time is over, that of the client that is gone would be, too.
  other.send('20:alias')
  await other.ended
  t.equal(faults.length, 1)
  t.equal(replies.length, 1)
})

t.test('drain() closes an idle client at once, and one with a lookup under way after its answer', async t => {
  const { open, clients, settle, untilWaiting } = await serve(t)
  const idle = await open()
  const busy = await open()
  busy.send(socketmapRequest('alias', 'later'))
  await untilWaiting(1)
  for (const client of clients) client.finish()
  t.equal((await idle.ended).length, 0)
  settle('later', unavailable('timeout', 'no answer within 2000 ms'))
  t.equal((await busy.netstring()).toString(), 'TEMP timeout: no answer within 2000 ms')
  t.equal((await busy.ended).length, 0)
})

t.test('tcp_table: replies in order as well, and a malformed line gets 400 and ends the connection', async t => {
  const { open, settle, untilWaiting } = await serve(t, { dialect: tcpTable })
  const wire = await open()
  wire.send(Buffer.concat([
    tcpTableRequest('later'), tcpTableRequest('now'), Buffer.from('hello\n'), tcpTableRequest('now'),
  ]))
  await untilWaiting(1)
  settle('later', absent)
  t.equal((await wire.line()).toString(), '500 absent')
  t.equal((await wire.line()).toString(), '200 value%20of%20now')
  t.equal((await wire.line()).toString(), '400 malformed request')
  t.equal((await wire.ended).length, 0)
})

t.test('tcp_table: a line without end gets 400 and ends the connection', async t => {
  const { open } = await serve(t, { dialect: tcpTable })
  const wire = await open()
  wire.send(`get ${'x'.repeat(40_000)}`)
  t.equal((await wire.line()).toString(), '400 request too long')
  t.equal((await wire.ended).length, 0)
})

/** Requests in 65 KB, each of which has a reply of 98 KB: 6 MB for every 65 requests. */
const flood = Buffer.concat(Array.from({ length: 1_000 }, (_, index) =>
  socketmapRequest('alias', `long${String(index).padStart(50, '0')}`)))
const unread = (sockets: readonly Socket[]): number =>
  sockets.reduce((sum, socket) => sum + socket.writableLength, 0)

t.test('65 KB of pipelined requests for a value of 98 KB: replies wait within 1 MiB, and come in order', async t => {
  const { open, sockets, replies } = await serve(t)
  const wire = await open()
  wire.pause()
  wire.send(flood)
  const peer = sockets[0]
  if (peer === undefined) throw new Error('not connected')
  while (!peer.isPaused()) await once(peer, 'pause')
  t.ok(unread(sockets) <= 1_048_576, `${unread(sockets)} bytes`)
  t.ok(replies.length < 30, `${replies.length} lookups`)
  wire.resume()
  for (let index = 0; index < 1_000; index++) {
    const reply = await wire.netstring()
    if (reply.length !== 98_003 || !reply.toString('latin1', 0, 100).includes(String(index).padStart(50, '0'))) {
      return t.fail(`reply ${index} is another one`)
    }
  }
  t.equal(replies.length, 1_000)
})

t.test('replies that several clients leave unread are bounded together; a client that reads is answered', async t => {
  const { open, sockets, replies } = await serve(t, { roomBytes: 3_000_000 })
  const greedy = []
  for (let count = 0; count < 6; count++) {
    const wire = await open()
    wire.pause()
    wire.send(flood)
    greedy.push(wire)
  }
  const reader = await open()
  reader.send(socketmapRequest('alias', 'now'))
  t.equal((await reader.netstring()).toString(), 'OK value of now')
  // Each may go over by its first one.
  t.ok(unread(sockets) <= 3_000_000 + 6 * 100_009, `${unread(sockets)} bytes`)
  t.ok(replies.length < 100, `${replies.length} lookups`)
  // The one that is held back by the others goes on when these are gone.
  const last = greedy.pop()
  for (const wire of greedy) wire.close()
  last?.resume()
  for (let index = 0; index < 1_000; index++) await last?.netstring()
  t.ok(unread(sockets.filter(socket => !socket.destroyed)) <= 3_000_000)
})

t.test('C141 tcp_table: a key of 9,000 bytes is answered, bad requests get 400, and memory is bounded', async t => {
  const { open } = await serve(t, { dialect: tcpTable })
  const ask = async (line: string): Promise<string> => {
    const wire = await open()
    wire.send(line)
    return (await wire.line()).toString('latin1', 0, 60)
  }
  // Its reply would be longer than Postfix reads.
  t.match(await ask(`get ${'x'.repeat(9_000)}\n`), /^400 bad-value: result too long/)
  t.match(await ask('get x\r\n'), /^200 /)
  t.match(await ask('put a b\n'), /^500 /)
  for (const line of ['get\n', 'GET x\n', 'hello\n', 'x'.repeat(1_000_000)]) {
    t.match(await ask(line), /^400 /, line.slice(0, 9))
  }
})
