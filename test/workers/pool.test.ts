import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/load.js'
import type { Config } from '../../src/config/config.js'
import type { Log } from '../../src/log.js'
import { listenerKey } from '../../src/daemon/serving.js'
import { startWorkers } from '../../src/workers/pool.js'
import { fakeClock } from '../fixtures/clock.js'
import { freshFolder } from '../fixtures/guard.js'
import { socketmapAsk } from '../fixtures/wire.js'

/** A log that a test can wait for. */
const watchedLog = () => {
  const lines: string[] = []
  let watchers: (() => void)[] = []
  const add = (text: string): void => {
    lines.push(text)
    for (const watcher of watchers) watcher()
  }
  const log: Log = { isDebug: false, debug: add, info: add, warn: add, error: add, repeated: (_kind, text) => add(text) }
  const logged = (pattern: RegExp): Promise<void> => new Promise(resolve => {
    const look = (): void => { if (lines.some(line => pattern.test(line))) resolve() }
    watchers = [...watchers, look]
    look()
  })
  return { log, lines, logged }
}

const configure = (): Config => {
  const dir = freshFolder()
  const file = join(dir, 'holdfast.yaml')
  writeFileSync(join(dir, 'a'), 'key value\n')
  writeFileSync(file, `listen:\n  - socketmap: unix:${dir}/s\nhealth: off\nmaps:\n  m:\n    search: exact\n    text: a\n`)
  const loaded = loadConfig(file, {})
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

/** Answers clients of a unix socket through the workers. */
const serve = async (t: Test, config: Config, count = 2) => {
  const clock = fakeClock()
  const watched = watchedLog()
  const pool = await startWorkers(config, count, watched.log, clock)
  const [listener] = config.listeners
  if (listener === undefined) throw new Error('no listener')
  const path = join(freshFolder(), 's')
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, socket => pool.accept(listenerKey(listener), socket)).listen(path)
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    await pool.close({ isKept: true })
  })
  return { pool, clock, path, ...watched }
}

t.test('a worker that hangs is killed after half a minute, and another takes its place', async t => {
  const { pool, clock, path, logged, lines } = await serve(t, configure())
  const [hung] = await pool.shares()
  process.kill(hung?.process.pid ?? 0, 'SIGSTOP')
  await clock.advance(10_000)
  t.notOk(lines.some(line => line.includes('killing')), 'not yet')
  await clock.advance(35_000)
  await logged(/worker 0 has not answered for 30 s: killing it/)
  await logged(/worker 0 ended by SIGKILL/)
  for (let count = 0; count < 3; count++) t.equal(await socketmapAsk(path, 'm', 'key'), 'OK value')
  await clock.advance(1_000)
  await logged(/worker 0 answers again/)
  const [anew] = await pool.shares()
  t.not(anew?.process.pid, hung?.process.pid)
})

t.test('a client that a worker never took goes to another when that one ends, and a slow one gets no more meanwhile', async t => {
  const { pool, path, logged } = await serve(t, configure())
  const [stopped] = await pool.shares()
  process.kill(stopped?.process.pid ?? 0, 'SIGSTOP')
  const ask = (): Promise<string> => socketmapAsk(path, 'm', 'key')
  // One of the two comes to the worker that is stopped.
  const both = [ask(), ask()]
  t.equal(await Promise.race(both), 'OK value')
  for (let count = 0; count < 4; count++) t.equal(await ask(), 'OK value', 'whoever comes now need not wait')
  process.kill(stopped?.process.pid ?? 0, 'SIGKILL')
  t.same(await Promise.all(both), ['OK value', 'OK value'])
  await logged(/worker 0 ended by SIGKILL/)
})

t.test('while no worker runs, a client is closed and not left waiting', async t => {
  const { pool, path, logged } = await serve(t, configure(), 1)
  const [share] = await pool.shares()
  process.kill(share?.process.pid ?? 0, 'SIGKILL')
  await logged(/worker 0 ended/)
  t.equal(pool.canAnswer(), false)
  await t.rejects(socketmapAsk(path, 'm', 'key'), /the connection ended/)
  await t.rejects(pool.flush('m', null), /no worker runs/)
})

t.test('who looks at the status doesn\'t wait for a worker that hangs: it gets what that one last said', async t => {
  const { pool, clock } = await serve(t, configure())
  const [first] = await pool.shares()
  process.kill(first?.process.pid ?? 0, 'SIGSTOP')
  const shares = pool.shares()
  await clock.advance(1_000)
  t.equal((await shares).length, 2)
  process.kill(first?.process.pid ?? 0, 'SIGCONT')
})

t.test('a file that has got faults meanwhile: no worker starts, and the log says why', async t => {
  const config = configure()
  writeFileSync(config.fileName, 'maps: {}\n')
  const { log, lines } = watchedLog()
  await t.rejects(startWorkers(config, 2, log, fakeClock()), /could not start/)
  t.ok(lines.some(line => line.includes('holdfast.yaml')))
})
