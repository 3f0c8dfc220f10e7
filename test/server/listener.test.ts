import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { BlockList, connect } from 'node:net'
import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { absent } from '../../src/outcome.js'
import type { ListenAddress } from '../../src/config/endpoint.js'
import { answers } from '../fixtures/answers.js'
import { startChild } from '../fixtures/child.js'
import { during } from '../fixtures/during.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startListening } from '../fixtures/listening.js'
import { openWire, socketmapAsk, socketmapRequest } from '../fixtures/wire.js'

const folderFor = (t: Test): string => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  return folder
}
const unix = (path: string, mode = 0o666, gid: number | null = null): ListenAddress => ({ kind: 'unix', path, mode, gid })
const anyPort: ListenAddress = { kind: 'inet', host: '127.0.0.1', port: 0 }

const serve = async (t: Test, address: ListenAddress, maxConnections = 100) => {
  const behind = answers()
  const listener = await startListening(address, behind.context, { maxConnections })
  t.teardown(() => listener.close(0))
  return { ...behind, listener }
}

t.test('a listener answers on a unix socket and on TCP, and names its address', async t => {
  const path = join(folderFor(t), 's')
  const { listener: onPath } = await serve(t, unix(path))
  t.equal(await socketmapAsk(path, 'alias', 'x'), 'OK value of x')
  t.equal(onPath.status.address, `unix:${path}`)
  const { listener: onPort } = await serve(t, anyPort)
  if (onPort.address.kind !== 'inet') throw new Error('not by TCP')
  t.ok(onPort.address.port > 0)
  t.equal(await socketmapAsk(onPort.address, 'alias', 'x'), 'OK value of x')
  t.equal(onPort.status.address, `inet:127.0.0.1:${onPort.address.port}`)
})

for (const umask of [0o077, 0o022, 0o777]) {
  t.test(`C143 under umask 0${umask.toString(8)} the socket has the mode and group of the configuration`, async t => {
    const folder = folderFor(t)
    const before = process.umask(umask)
    t.teardown(() => process.umask(before))
    const gid = process.getuid?.() === 0 ? 4_242 : null
    await serve(t, unix(join(folder, 'open')))
    await serve(t, unix(join(folder, 'closed'), 0o660, gid))
    t.equal(statSync(join(folder, 'open')).mode & 0o777, 0o666)
    t.equal(statSync(join(folder, 'closed')).mode & 0o777, 0o660)
    if (gid !== null) t.equal(statSync(join(folder, 'closed')).gid, gid)
    t.strictSame(readdirSync(folder).sort(), ['closed', 'open'], 'and nothing else is left there')
  })
}

t.test('C144 a path at which somebody answers is not taken', async t => {
  const path = join(folderFor(t), 's')
  await serve(t, unix(path))
  await t.rejects(startListening(unix(path), answers().context), {
    message: new RegExp(`^${path}: another process answers there \\(.*, process ${process.pid}\\); stop that one first$`),
  })
  t.equal(await socketmapAsk(path, 'alias', 'x'), 'OK value of x')
})

t.test('C145 a listener whose path another process has taken leaves it there when it closes', async t => {
  const path = join(folderFor(t), 's')
  const old = await serve(t, unix(path))
  const client = await during(t, openWire({ path }), 'close')
  client.send(socketmapRequest('alias', 'later'))
  await old.untilWaiting(1)
  rmSync(path)
  await serve(t, unix(path))
  const closed = old.listener.close(60_000)
  old.settle('later', absent)
  t.equal((await client.netstring()).toString(), 'NOTFOUND ', 'the old one answers what it was asked')
  await closed
  t.equal(await socketmapAsk(path, 'alias', 'x'), 'OK value of x')
})

t.test('a socket that a killed process left behind is replaced', async t => {
  const path = join(folderFor(t), 's')
  const killed = await startChild(process.execPath, ['-e', `require('net').createServer().listen('${path}', () => console.log('ready'))`])
  await killed.printed(/ready/)
  await killed.kill()
  t.equal(existsSync(path), true)
  await serve(t, unix(path))
  t.equal(await socketmapAsk(path, 'alias', 'x'), 'OK value of x')
})

t.test('a file that is no socket is left as it is, and listening fails', async t => {
  const folder = folderFor(t)
  const path = join(folder, 's')
  writeFileSync(path, 'precious')
  await t.rejects(startListening(unix(path), answers().context), { message: `${path} exists and is not a socket: remove it` })
  t.equal(readFileSync(path, 'utf8'), 'precious')
  t.strictSame(readdirSync(folder), ['s'])
})

t.test('listening fails, and says why: no folder, a folder that can\'t be written, a port in use', async t => {
  const folder = folderFor(t)
  const failing = (address: ListenAddress) => startListening(address, answers().context)
  await t.rejects(failing(unix(join(folder, 'none', 's'))), { message: `there is no folder ${join(folder, 'none')}: make it` })
  const { listener } = await serve(t, anyPort)
  await t.rejects(failing(listener.address), { code: 'EADDRINUSE' })
  if (process.getuid?.() !== 0) {
    chmodSync(folder, 0o555)
    await t.rejects(failing(unix(join(folder, 's'))), { code: 'EACCES' })
  }
})

t.test('a client beyond the limit is logged, and there is room again when another leaves', async t => {
  const path = join(folderFor(t), 's')
  const { faults, listener } = await serve(t, unix(path), 2)
  const first = await openWire({ path })
  const second = await during(t, openWire({ path }), 'close')
  for (const wire of [first, second]) {
    wire.send(socketmapRequest('alias', 'x'))
    await wire.netstring()
  }
  const third = await openWire({ path })
  third.send(socketmapRequest('alias', 'x'))
  t.match(String(await third.netstring()), /^TEMP overloaded/)
  await third.ended
  t.strictSame(faults, ['socketmap: closing a connection: more than 2 clients: max_connections'])
  first.finish()
  await first.ended
  first.close()
  t.equal(listener.status.connections, 1)
  t.equal(await socketmapAsk(path, 'alias', 'x'), 'OK value of x')
})

t.test('a thousand connections at once are all answered', async t => {
  const path = join(folderFor(t), 's')
  const { listener, settle, untilWaiting, waiting } = await serve(t, unix(path), 1_000)
  const wires = await Promise.all(Array.from({ length: 1_000 }, () => openWire({ path })))
  t.teardown(() => { for (const wire of wires) wire.close() })
  for (const [index, wire] of wires.entries()) wire.send(socketmapRequest('alias', `later${index}`))
  await untilWaiting(1_000)
  t.equal(listener.status.connections, 1_000)
  for (const key of waiting()) settle(key, absent)
  const replies = await Promise.all(wires.map(wire => wire.netstring()))
  t.ok(replies.every(reply => reply.toString() === 'NOTFOUND '))
})

t.test('C134 close: lookups under way are answered, idle clients see the end, new ones are refused', async t => {
  const path = join(folderFor(t), 's')
  const { listener, settle, untilWaiting } = await serve(t, unix(path))
  const idle = await openWire({ path })
  const busy = await openWire({ path })
  t.teardown(() => {
    idle.close()
    busy.close()
  })
  busy.send(socketmapRequest('alias', 'later'))
  await untilWaiting(1)
  const closed = listener.close(60_000)
  t.equal((await idle.ended).length, 0)
  await t.rejects(openWire({ path }), { code: 'ENOENT' })
  settle('later', absent)
  t.equal((await busy.netstring()).toString(), 'NOTFOUND ')
  t.equal((await busy.ended).length, 0)
  await closed
})

t.test('close does not wait longer than its grace for an answer or a client', async t => {
  const path = join(folderFor(t), 's')
  const { listener, untilWaiting } = await serve(t, unix(path))
  const busy = await openWire({ path })
  busy.send(socketmapRequest('alias', 'later'))
  await untilWaiting(1)
  await listener.close(10)
  t.equal((await busy.ended).length, 0)
})

t.test('a listener without file descriptors goes on, and answers when there are some again', async t => {
  const path = join(folderFor(t), 's')
  const script = `
    import { startListening } from '${new URL('../fixtures/listening.js', import.meta.url).href}'
    import { answers } from '${new URL('../fixtures/answers.js', import.meta.url).href}'
    await startListening({ kind: 'unix', path: '${path}', mode: 0o666, gid: null }, answers().context, { maxConnections: 1000 })
    console.log('ready')`
  const child = await during(t, startChild('sh', ['-c', 'ulimit -n 50; exec "$0" --input-type=module -e "$1"', process.execPath, script]), 'kill')
  await child.printed(/ready/)
  const wires = await Promise.all(Array.from({ length: 100 }, () => openWire({ path })))
  const [first] = wires
  first?.send(socketmapRequest('alias', 'x'))
  t.equal((await first?.netstring())?.toString(), 'OK value of x')
  for (const wire of wires) wire.close()
  t.equal(await socketmapAsk(path, 'alias', 'x').catch(() => socketmapAsk(path, 'alias', 'x')), 'OK value of x', 'Postfix, too, asks twice')
})

t.test('a client beyond max_connections gets a temporary error and is closed, and the others go on', async t => {
  const path = join(folderFor(t), 's')
  const listener = await startListening(unix(path), answers().context, { maxConnections: 1 })
  t.teardown(() => listener.close(0))
  const first = await during(t, openWire({ path }), 'close')
  first.send(socketmapRequest('m', 'a'))
  t.equal(String(await first.netstring()), 'OK value of a')

  const second = await openWire({ path })
  second.send(socketmapRequest('m', 'a'))
  t.match(String(await second.netstring()), /^TEMP overloaded: too many connections/)
  await second.ended
  t.equal(listener.status.refused, 1)
  first.send(socketmapRequest('m', 'a'))
  t.equal(String(await first.netstring()), 'OK value of a')

  listener.configure({ map: null, maxConnections: 2, maxTurnedAway: 64, allowed: null })
  t.equal(await socketmapAsk(path, 'm', 'a'), 'OK value of a')
})

t.test('a client that asks nothing for two hours is closed; one that asks or waits for an answer is not', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const path = join(folderFor(t), 's')
  const behind = answers()
  const listener = await startListening(unix(path), behind.context)
  t.teardown(() => listener.close(0))
  const [idle, busy, waiting] = [await openWire({ path }), await openWire({ path }), await openWire({ path })]
  t.teardown(() => {
    busy.close()
    waiting.close()
  })
  waiting.send(socketmapRequest('m', 'later'))
  await behind.untilWaiting(1)
  for (let hours = 0; hours < 4; hours++) {
    busy.send(socketmapRequest('m', 'a'))
    t.equal(String(await busy.netstring()), 'OK value of a')
    mock.timers.tick(3_600_000)
    if (hours === 0) t.equal(listener.status.connections, 3, 'a client that has just come stays')
  }
  t.equal((await idle.ended).length, 0)
  t.equal(listener.status.connections, 2)
  behind.settle('later', absent)
  t.equal(String(await waiting.netstring()), 'NOTFOUND ')
})

t.test('a peer outside the allowed networks is closed before it can ask', async t => {
  const listener = await startListening(anyPort, answers().context, { allowed: new BlockList() })
  t.teardown(() => listener.close(0))
  const { address } = listener
  if (address.kind !== 'inet') throw new Error('not by TCP')
  const wire = await openWire({ host: '127.0.0.1', port: address.port })
  t.equal((await wire.ended).length, 0)
  t.equal(listener.status.refused, 1)
  t.equal(listener.status.connections, 0)

  const allowed = new BlockList()
  allowed.addSubnet('127.0.0.0', 8, 'ipv4')
  listener.configure({ map: null, maxConnections: 9, maxTurnedAway: 64, allowed })
  t.equal(await socketmapAsk({ host: '127.0.0.1', port: address.port }, 'm', 'a'), 'OK value of a')
})

t.test('one address can\'t hold all places of a listener that other machines can reach', async t => {
  const allowed = new BlockList()
  allowed.addSubnet('127.0.0.0', 8, 'ipv4')
  const { context, faults } = answers()
  const listener = await startListening(anyPort, context, { allowed, maxConnections: 4 })
  t.teardown(() => listener.close(0))
  const { address } = listener
  if (address.kind !== 'inet') throw new Error('not by TCP')
  const open = async (localAddress: string) => {
    const wire = await during(t, openWire({ host: '127.0.0.1', port: address.port, localAddress }), 'close')
    wire.send(socketmapRequest('m', 'a'))
    return String(await wire.netstring())
  }
  for (let count = 0; count < 3; count++) t.equal(await open('127.0.0.2'), 'OK value of a')
  t.match(await open('127.0.0.2'), /^TEMP overloaded/)
  t.match(await open('127.0.0.2'), /^TEMP overloaded/)
  t.equal(await open('127.0.0.3'), 'OK value of a')
  t.match(faults[0], /^socketmap: closing a connection: more than 3 clients from one address/)
})

t.test('close: clients that don\'t close their side are not waited for, once they have their answers', async t => {
  const path = join(folderFor(t), 's')
  const { listener } = await serve(t, unix(path))
  const idle = connect({ path, allowHalfOpen: true })
  t.teardown(() => idle.destroy())
  idle.write(socketmapRequest('alias', 'x'))
  const [reply] = await once(idle, 'data') as [Buffer]
  t.equal(String(reply), '13:OK value of x,')
  // Longer than the test may take.
  await listener.close(600_000)
  t.equal(listener.status.connections, 0)
})
