/**
 * Keys and values are personal data: they are in answers, and in the log only
 * if somebody asks for that. Nor can a peer fill log, metrics or status by what
 * it asks.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freePort } from '../fixtures/port.js'
import { openWire, socketmapAsk, socketmapRequest } from '../fixtures/wire.js'

const config = (dir: string, port: number, level: string): string => {
  writeFileSync(join(dir, 'a'), 'ann@example.com secret-box@example.net\n')
  return `listen:\n  - socketmap: unix:${dir}/s\nhealth: 127.0.0.1:${port}\nlog: {level: ${level}}\nmaps:\n  alias: {search: exact, text: a}\n`
}

t.test('keys and values are logged at debug level alone, from a reload to the next', async t => {
  const port = await freePort()
  const holdfast = await during(t, startHoldfast(dir => config(dir, port, 'info')), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), 'alias', key)
  const reloaded = async (level: string): Promise<void> => {
    const before = holdfast.log().length
    holdfast.configure(config(holdfast.dir, port, level))
    holdfast.reload()
    await holdfast.logged(/reloaded/, before)
  }
  t.equal(await ask('ann@example.com'), 'OK secret-box@example.net')
  t.equal(await ask('nobody@example.com'), 'NOTFOUND ')
  t.match(await socketmapAsk(join(holdfast.dir, 's'), 'other', 'ann@example.com'), /^TEMP /)
  t.notMatch(holdfast.log(), /ann@|nobody@|secret-box/)

  await reloaded('debug')
  await ask('ann@example.com')
  await ask('nobody@example.com')
  await holdfast.logged(/debug: map alias: ann@example\.com: found: secret-box@example\.net\n/)
  await holdfast.logged(/debug: map alias: nobody@example\.com: absent\n/)

  await reloaded('info')
  const quiet = holdfast.log().length
  await ask('ann@example.com')
  t.notMatch(holdfast.log().slice(quiet), /ann@/)
  for (const path of ['metrics', 'status', 'readyz']) t.notMatch(await (await fetch(`http://127.0.0.1:${port}/${path}`)).text(), /ann@|nobody@|secret-box/)
})

t.test('a client that asks for unknown maps adds no series to the metrics, and one line to the log', async t => {
  const port = await freePort()
  const holdfast = await during(t, startHoldfast(dir => config(dir, port, 'info')), 'kill')
  const series = async (): Promise<readonly string[]> => (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).split('\n')
    .filter(line => line.startsWith('holdfast_')).map(line => line.replace(/ \S+$/, ''))
  const wire = await during(t, openWire({ path: join(holdfast.dir, 's') }), 'close')
  const askAll = async (from: number): Promise<void> => {
    for (let i = from; i < from + 300; i++) {
      wire.send(socketmapRequest(`map${i}`, `user${i}@example.com`))
      t.match(String(await wire.netstring()), /^TEMP /)
    }
  }
  await askAll(0)
  const before = await series()
  await askAll(300)
  t.same(await series(), before)
  t.notMatch(before.join('\n'), 'map1')
  t.equal(holdfast.log().match(/a client asks for map/g)?.length, 1)
  t.notMatch(holdfast.log(), 'user1@')
})
