import { join } from 'node:path'
import { BlockList } from 'node:net'
import { mock } from 'node:test'
import t from 'tap'
import { byteString, found } from '../../src/outcome.js'
import type { ConnectionHooks } from '../../src/server/client.js'
import { answers } from '../fixtures/answers.js'
import { freshFolder } from '../fixtures/guard.js'
import { startListening } from '../fixtures/listening.js'
import { openWire, socketmapAsk, socketmapRequest } from '../fixtures/wire.js'

const hooks: ConnectionHooks = {
  route: () => ({ answer: () => found(byteString('value')), onReply: () => undefined }), onFault: () => undefined, onBug: () => undefined,
}

t.test('one client too many gets a temporary error and is closed, and the others go on', async t => {
  const path = join(freshFolder(), 's')
  const listener = await startListening({ kind: 'unix', path, mode: 0o600, gid: null }, hooks, { maxConnections: 1, allowed: null })
  t.teardown(() => listener.close(0))
  const first = await openWire({ path })
  t.teardown(() => first.close())
  first.send(socketmapRequest('m', 'a'))
  t.equal(String(await first.netstring()), 'OK value')

  const second = await openWire({ path })
  second.send(socketmapRequest('m', 'a'))
  t.match(String(await second.netstring()), /^TEMP overloaded: too many connections/)
  await second.ended
  t.equal(listener.refused(), 1)
  first.send(socketmapRequest('m', 'a'))
  t.equal(String(await first.netstring()), 'OK value')

  listener.limit({ maxConnections: 2, allowed: null })
  t.equal(await socketmapAsk(path, 'm', 'a'), 'OK value')
})

t.test('a client that asks nothing for an hour or two is closed; one that asks, and one that waits for its answer, are not', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const path = join(freshFolder(), 's')
  const behind = answers()
  const listener = await startListening({ kind: 'unix', path, mode: 0o600, gid: null }, behind.hooks)
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
    if (hours === 0) t.equal(listener.connections(), 3, 'who has just come stays')
  }
  t.equal((await idle.ended).length, 0)
  t.equal(listener.connections(), 2)
  behind.settle('later', found(byteString('value')))
  t.equal(String(await waiting.netstring()), 'OK value')
})

t.test('a peer outside the allowed networks is closed before it can ask', async t => {
  const listener = await startListening({ kind: 'inet', host: '127.0.0.1', port: 0 }, hooks, { maxConnections: 9, allowed: new BlockList() })
  t.teardown(() => listener.close(0))
  const { address } = listener
  if (address.kind !== 'inet') throw new Error('not by TCP')
  const wire = await openWire({ host: '127.0.0.1', port: address.port })
  t.equal((await wire.ended).length, 0)
  t.equal(listener.refused(), 1)
  t.equal(listener.connections(), 0)

  const allowed = new BlockList()
  allowed.addSubnet('127.0.0.0', 8, 'ipv4')
  listener.limit({ maxConnections: 9, allowed })
  t.equal(await socketmapAsk({ host: '127.0.0.1', port: address.port }, 'm', 'a'), 'OK value')
})
