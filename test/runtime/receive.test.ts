import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { receive } from '../../src/runtime/receive.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'

/** A client and what a server receives of it; the server's socket is paused at first, as a listener gives it. */
const pair = async (t: Test) => {
  const folder = freshFolder()
  const path = join(folder, 's')
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(path)
  const accepted = once(server, 'connection')
  const client = connect(path)
  const [socket] = await accepted as [Socket]
  t.teardown(() => {
    client.destroy()
    socket.destroy()
    server.close()
    removeFolder(folder)
  })
  const taken: Buffer[] = []
  let wanted = Infinity
  let enough = (): void => undefined
  receive(socket, {
    take: chunk => {
      taken.push(Buffer.from(chunk))
      if (Buffer.concat(taken).length >= wanted) enough()
    },
  })
  return {
    client, socket,
    text: () => Buffer.concat(taken).toString(),
    /** Resolves when so many bytes have been taken. */
    took: (bytes: number) => new Promise<void>(resolve => {
      wanted = bytes
      enough = resolve
      if (Buffer.concat(taken).length >= bytes) resolve()
    }),
  }
}

const sentWhilePaused = async (client: Socket, socket: Socket, text: string) => {
  client.write(text)
  // The stream reads ahead, and says so to whoever looks.
  while (socket.readableLength < text.length) await new Promise(setImmediate)
}

t.test('a paused socket hands nothing over, and all of it afterwards', async t => {
  const { client, socket, text, took } = await pair(t)
  socket.resume()
  client.write('one')
  await took(3)
  socket.pause()
  await new Promise(resolve => client.write('two', resolve))
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  t.equal(text(), 'one')
  socket.resume()
  await took(6)
  t.equal(text(), 'onetwo')
})

t.test('chunks that came during a pause come before the one right after it', async t => {
  const { client, socket, text, took } = await pair(t)
  socket.resume()
  client.write('one,')
  await took(4)
  socket.pause()
  await sentWhilePaused(client, socket, 'two,')
  socket.resume()
  // As Node does with the next read.
  socket.push(Buffer.from('three'))
  await took(13)
  t.equal(text(), 'one,two,three')
})

t.test('a paused socket reads a bounded number of bytes, and loses none', async t => {
  const { client, socket, took, text } = await pair(t)
  socket.resume()
  client.write('x')
  await took(1)
  socket.pause()
  const size = 8_000_000
  const sent = new Promise(resolve => client.write('y'.repeat(size), resolve))
  while (socket.readableLength < socket.readableHighWaterMark) await new Promise(setImmediate)
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  t.ok(socket.readableLength < 1_000_000, `holds ${socket.readableLength} bytes`)
  t.ok(client.writableLength > 0, 'the client waits')
  socket.resume()
  await Promise.all([sent, took(size + 1)])
  t.equal(text().length, size + 1)
})

t.test('a socket that is paused and resumed again and again hands over every chunk in order', async t => {
  const { client, socket, took, text } = await pair(t)
  socket.resume()
  let sent = ''
  for (let number = 0; number < 500; number++) {
    sent += `${number},`
    client.write(`${number},`)
    if (number % 3 === 0) socket.pause()
    if (number % 7 === 0) socket.resume()
    if (number % 11 === 0) await new Promise(setImmediate)
  }
  socket.resume()
  await took(sent.length)
  t.equal(text(), sent)
})

t.test('the end of what a client sends is seen, with and without chunks before it', async t => {
  const talking = await pair(t)
  talking.socket.resume()
  talking.client.end('last')
  await once(talking.socket, 'end')
  t.equal(talking.text(), 'last')
  const silent = await pair(t)
  silent.socket.resume()
  silent.client.end()
  await once(silent.socket, 'end')
  t.equal(silent.text(), '')
})
