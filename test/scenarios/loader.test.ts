/**
 * A daemon loads a table into Redis, and MariaDB falls silent in the middle of
 * the list.
 *
 * 1. Lookups are answered meanwhile.
 * 2. A reload ends the load without a warning, and a new one can begin at once.
 * 3. A daemon can be stopped in the middle of a load.
 */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { call } from '../../src/cli/daemon_at.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
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
const redis = await during(t, startRedis())
const plain = new Redis({ path: redis.socket })
t.teardown(() => plain.disconnect())
const proxy = await during(t, startProxy({ path: mariadb.socket }))

/** A daemon whose load is halfway. */
const startHalfway = async (t: Test, prefix: string): Promise<{ readonly holdfast: Holdfast, readonly command: (name: string) => ReturnType<typeof run> }> => {
  proxy.hushAfter(500_000)
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, { ...mariadb, socket: proxy.socket }, {
    admin: `unix:${dir}/admin`, redis: { path: redis.socket, key_prefix: prefix },
    maps: { virtual_alias: { search: 'virtual', database: 'mail', query: 'SELECT goto FROM alias WHERE address=\'%s\'', warm: 'auto' } },
  })), 'kill')
  const command = (name: string) => run(process.execPath, [mainFile, name, ...name === 'warm' ? ['virtual_alias'] : [], '--at', `unix:${holdfast.dir}/admin`])
  while (!/loading, \d{4,} rows/.test((await command('status')).stdout));
  return { holdfast, command }
}

t.test('lookups are answered while a table is loaded; a reload ends the load, and the next one is whole', async t => {
  const { holdfast, command } = await startHalfway(t, 'hf:')
  for (const number of [1, rows]) t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', `user${number}@v.example`), `OK box${number}@relay.example`)

  const from = holdfast.log().length
  const admin = { kind: 'unix', path: `${holdfast.dir}/admin` } as const
  const interrupted = call(admin, '/warm', { map: 'virtual_alias' }, 0).catch((error: unknown) => error)
  // It has been heard once this is answered.
  await call(admin, '/status')
  holdfast.reload()
  await holdfast.logged(/reloaded: 1 map/, from)
  while (await plain.exists('hf:warm virtual_alias lease') === 1) await setTimeout(1)
  await proxy.pass()
  const { code, stdout } = await command('warm')
  t.equal(code, 0)
  t.match(stdout, `virtual_alias: ${rows} keys of ${rows} rows loaded`)
  t.match(await interrupted, { message: /virtual_alias: not loaded: the configuration has changed/ })
  t.equal((await plain.keys('hf:virtual_alias:*')).length, rows)
  t.notMatch(holdfast.log().slice(from), /not loaded/)
})

t.test('a daemon that is stopped in the middle of a load ends at once, without a warning', async t => {
  const { holdfast } = await startHalfway(t, 'stopped:')
  t.equal((await holdfast.stop()).code, 0)
  t.notMatch(holdfast.log(), /not loaded/)
})
