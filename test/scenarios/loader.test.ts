/**
 * A daemon whose table is loaded into Redis, and whose MariaDB falls silent in
 * the middle of the list: a process loads, halfway.
 *
 * 1. Lookups are answered meanwhile, and after that process is killed, too.
 * 2. A reload ends it; the next load goes on where it was.
 * 3. A stopped daemon, and a killed one, leave none behind.
 */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { call } from '../../src/cli/call.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { loadersOf, untilGone, untilLoader } from '../fixtures/loaders.js'
import { mailConfig } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const rows = 20_000
const mariadb = await startMariadb({
  sql: `CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
    INSERT INTO alias SELECT CONCAT('user', seq, '@v.example'), CONCAT('box', seq, '@relay.example') FROM seq_1_to_${rows}`,
})
t.teardown(() => mariadb.stop())
const redis = await startRedis()
t.teardown(() => redis.stop())
const plain = new Redis({ path: redis.socket })
t.teardown(() => plain.disconnect())
const proxy = await startProxy({ path: mariadb.socket })
t.teardown(() => proxy.stop())

/** Of a daemon, with a loader that is halfway. */
const startHalfway = async (t: Test, prefix: string): Promise<{ readonly holdfast: Holdfast, readonly loader: number, readonly command: (name: string) => ReturnType<typeof run> }> => {
  proxy.hushAfter(500_000)
  const holdfast = await startHoldfast(dir => mailConfig(dir, { ...mariadb, socket: proxy.socket }, {
    admin: `unix:${dir}/admin`, redis: { path: redis.socket, key_prefix: prefix, command_timeout: '1s' },
    maps: { virtual_alias: { search: 'virtual', database: 'mail', query: 'SELECT goto FROM alias WHERE address=\'%s\'', warm: 'auto' } },
  }))
  t.teardown(() => holdfast.kill())
  const command = (name: string) => run(process.execPath, [mainFile, name, ...name === 'warm' ? ['virtual_alias'] : [], '--at', `unix:${holdfast.dir}/admin`])
  const loader = await untilLoader(holdfast.pid())
  while (!/loading, \d{4,} rows/.test((await command('status')).stdout));
  return { holdfast, loader, command }
}

t.test('lookups are answered while a table is loaded, and when the process that loads is killed; a reload ends it, too, and the next load goes on', async t => {
  const { holdfast, loader, command } = await startHalfway(t, 'hf:')
  t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', 'user1@v.example'), 'OK box1@relay.example')
  process.kill(loader, 'SIGKILL')
  await holdfast.logged(/map virtual_alias: warm: not loaded: the process that loads ended by SIGKILL/)
  t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', `user${rows}@v.example`), `OK box${rows}@relay.example`)
  t.match((await command('status')).stdout, /warm virtual_alias +not yet .*failed: the process that loads ended by SIGKILL/)
  t.same(loadersOf(holdfast.pid()), [])

  const from = holdfast.log().length
  await call({ kind: 'unix', path: `${holdfast.dir}/admin` }, '/warm', { map: 'virtual_alias' })
  const next = await untilLoader(holdfast.pid())
  holdfast.reload()
  await holdfast.logged(/reloaded: 1 maps/, from)
  await untilGone(next)
  while (await plain.exists('hf:warm virtual_alias lease') === 1) await setTimeout(1)
  await proxy.pass()
  const { code, stdout } = await command('warm')
  t.equal(code, 0)
  const [, keys] = /^virtual_alias: ([\d,]+) keys of [\d,]+ rows loaded/.exec(stdout) ?? []
  t.ok(Number(keys?.replaceAll(',', '')) < rows - 1_000, stdout)
  t.notMatch(holdfast.log().slice(from), /not loaded/)
})

t.test('a daemon that is stopped ends its loader, and one that is killed leaves none', async t => {
  const stopped = await startHalfway(t, 'stopped:')
  t.equal((await stopped.holdfast.stop()).code, 0)
  await untilGone(stopped.loader)
  t.notMatch(stopped.holdfast.log(), /not loaded/)
  const killed = await startHalfway(t, 'gone:')
  process.kill(killed.holdfast.pid(), 'SIGKILL')
  await untilGone(killed.loader)
  t.pass()
})
