/** Health over HTTP where `health:` says: on a unix socket, for supervisors that shouldn't need a port. */
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { run, startChild } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'

type Reply = { readonly code: number | undefined, readonly body: string }

const ask = (socketPath: string, path: string, method = 'GET'): Promise<Reply> => new Promise((resolve, reject) => {
  request(
    { socketPath, path, method },
    reply => void text(reply).then(body => resolve({ code: reply.statusCode, body }), reject),
  ).once('error', reject).end()
})

const config = (dir: string): string => {
  writeFileSync(join(dir, 'a'), 'key value\n')
  return `listen:\n  - socketmap: unix:${dir}/s\nhealth: unix:${dir}/health\nmaps:\n  m: {search: exact, text: a}\n`
}

t.test('health: unix:PATH answers every account there, and lets none of them do anything', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  const path = join(holdfast.dir, 'health')
  t.equal(statSync(path).mode & 0o777, 0o666)
  const ready = await ask(path, '/readyz')
  t.equal(ready.code, 200)
  t.match(
    JSON.parse(ready.body),
    {
      status: 'ready', summary: { state: 'well' }, listeners: [{ address: `unix:${holdfast.dir}/s` }],
      maps: [{ name: 'm' }],
    },
  )
  t.match(await ask(path, '/livez'), { code: 200 })
  t.match(await ask(path, '/metrics'), { code: 200, body: 'holdfast_ready 1' })
  t.match(await ask(path, '/flush', 'POST'), { code: 403 })
  t.match(
    await run(process.execPath, [mainFile, 'status', '--config', join(holdfast.dir, 'holdfast.yaml')]),
    { code: 0, stdout: 'Mail is safe.' },
  )
})

t.test('the health socket that a killed daemon left is replaced, and goes when it stops', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  const path = join(holdfast.dir, 'health')
  await holdfast.kill()
  t.ok(existsSync(path))
  await holdfast.start()
  t.match(await ask(path, '/livez'), { code: 200 })
  await holdfast.stop()
  t.notOk(existsSync(path))
})

t.test('status --watch shows the state anew, in colour on a terminal and plain elsewhere', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  // Nothing that forbids or forces colours.
  const env = { PATH: process.env['PATH'], TERM: 'xterm' }
  const command = [process.execPath, mainFile, 'status', '--config', join(holdfast.dir, 'holdfast.yaml')]
  const terminal = await during(t, startChild('script', ['-qec', `${command.join(' ')} --watch`, '/dev/null'], { env }), 'kill')
  // The screen is cleared before each.
  await terminal.printed(/\x1b\[2J\x1b\[\d+m.*Mail is safe[^]*\x1b\[2J\x1b\[\d+m.*Mail is safe/)
  const { stdout } = await run(command[0] ?? '', command.slice(1), { env })
  t.match(stdout, 'Mail is safe. All is well')
  t.notMatch(stdout, '\x1b')
})

t.test('Holdfast limits HTTP clients, and closes those that send nothing, half a request or no second one', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  const path = join(holdfast.dir, 'health')
  const sent = ['', 'GET /livez HTTP/1.1\r\nHost: x\r\n', 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n']
  const closed = Array.from({ length: 100 }, async (_, index) => {
    const socket = connect({ path })
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined).resume()
    const closed = new Promise(resolve => socket.once('close', resolve))
    socket.write(sent[index % 3] ?? '')
    await closed
  })
  await Promise.all(closed)
  t.match(await ask(path, '/livez'), { code: 200 })
})
