/**
 * A node without Redis keeps what it knows over a restart.
 *
 * 1. With MariaDB up, a few keys are asked; Holdfast is stopped, which writes
 *    its snapshot. MariaDB is killed. Holdfast starts again: what it had
 *    verified is answered, what it had not is deferred.
 * 2. The snapshot is damaged while Holdfast is down: it starts all the same,
 *    says so, and uses what comes before the damage.
 * 3. It starts eight days later, when the table has been emptied.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { mailConfig, mailSql, tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('a restart during an outage forgets nothing, and a damaged snapshot is not used', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, { snapshot: 'snapshot' })), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', key)
  t.equal(await ask('info@v.example'), 'OK box@relay.example')
  t.equal(await ask('stranger@catch.example'), 'OK all@relay.example')
  await holdfast.stop()
  await mariadb.kill()

  await holdfast.start()
  t.match(holdfast.log(), /snapshot: \d+ answers recalled/)
  t.equal(await ask('info@v.example'), 'OK box@relay.example')
  t.equal(await ask('stranger@catch.example'), 'OK all@relay.example', 'a catch-all\'s answer too')
  t.match(await ask('multi@v.example'), /^TEMP /, 'never asked before')
  await holdfast.stop()

  const file = join(holdfast.dir, 'snapshot')
  writeFileSync(file, readFileSync(file).subarray(0, 100))
  await holdfast.start()
  t.match(holdfast.log(), /snapshot: .*: it is damaged: cut short or changed/)
  t.match(await ask('info@v.example'), /^TEMP /)
})

t.test('kill -9 right after a doubt began loses neither the doubt nor whom it was about', async t => {
  const keys = Array.from({ length: 10 }, (_, index) => `user${index}@v.example`)
  const mariadb = await during(t, startMariadb({ sql: tableSql(keys.map(key => `('${key}', 'box')`).join()) }))
  const holdfast = await during(t, startHoldfast(dir => tableConfig(
    dir, mariadb, { alias: { search: 'exact' } }, { snapshot: 'snapshot' },
  )), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'alias', key)
  for (const key of keys) t.equal(await ask(key), 'OK box')
  await mariadb.sql('TRUNCATE a')
  t.match(await ask('stranger@v.example'), /^TEMP distrusted/)
  while (!existsSync(join(holdfast.dir, 'snapshot'))) await setTimeout(10)
  await holdfast.kill()
  await holdfast.start()
  t.match(await ask('stranger@v.example'), /^TEMP distrusted/)
  for (const key of keys) t.equal(await ask(key), 'OK box')
})

t.test('a node that was off for longer than stale_for does not believe a table that was emptied meanwhile', async t => {
  const keys = Array.from({ length: 10 }, (_, index) => `user${index}@v.example`)
  const mariadb = await startMariadb({ sql: tableSql(keys.map(key => `('${key}', 'box')`).join()) })
  t.teardown(() => mariadb.stop())
  const folder = freshFolder()
  // Once with the files of its copies, and once without, where the snapshot alone knows the keys.
  for (const more of [{ copies: 'copies' }, {}]) {
    const config = (dir: string): string => tableConfig(
      dir, mariadb, { alias: { search: 'exact' } }, { snapshot: join(folder, 'snapshot'), ...more },
    )
    const before = await startHoldfast(config)
    t.teardown(() => before.kill())
    for (const key of keys) t.equal(await socketmapAsk(`${before.dir}/s`, 'alias', key), 'OK box')
    await before.stop()
    await mariadb.sql('CREATE TABLE kept AS SELECT * FROM a; DELETE FROM a')
    const after = await startHoldfast(config, {
      canShift: true, env: { ...process.env, SHIFT_MS: String(8 * 86_400_000) },
    })
    t.teardown(() => after.kill())
    for (const key of [...keys, 'stranger@v.example']) {
      t.match(await socketmapAsk(`${after.dir}/s`, 'alias', key), /^TEMP distrusted/)
    }
    await mariadb.sql('INSERT INTO a SELECT * FROM kept; DROP TABLE kept')
    await after.logged(/the table has its keys again/)
    for (const key of keys) t.equal(await socketmapAsk(`${after.dir}/s`, 'alias', key), 'OK box')
    await after.stop()
  }
})

t.test('what a start with another recipient_delimiter can\'t use is there when that is put back, in an outage, too', async t => {
  const keys = Array.from({ length: 10 }, (_, index) => `user${index}@v.example`)
  const mariadb = await during(t, startMariadb({ sql: tableSql(keys.map(key => `('${key}', 'box@w.example')`).join()) }))
  const config = (dir: string, delimiter: string): string => tableConfig(dir, mariadb, { alias: { search: 'virtual' } }, {
    snapshot: 'snapshot', recipient_delimiter: delimiter,
  })
  const holdfast = await during(t, startHoldfast(dir => config(dir, '+')), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'alias', key)
  const plus = 'user1+tag@v.example'
  for (const key of keys) t.equal(await ask(key), 'OK box@w.example')
  t.equal(await ask(plus), 'OK box+tag@w.example')
  await mariadb.kill()
  for (const [delimiter, reply] of [['', /^TEMP /], ['-', /^TEMP /], ['+', /^OK box\+tag@w\.example$/]] as const) {
    await holdfast.stop()
    holdfast.configure(config(holdfast.dir, delimiter))
    await holdfast.start()
    for (const key of keys) t.equal(await ask(key), 'OK box@w.example', `delimiter '${delimiter}'`)
    t.match(await ask(plus), reply, `delimiter '${delimiter}'`)
  }
})

t.test('a daemon that can\'t listen leaves the snapshot as it is: it may be another one\'s', async t => {
  const dir = freshFolder()
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await new Promise(resolve => taken.once('listening', resolve))
  const address = taken.address()
  if (address === null || typeof address === 'string') throw new Error('not by TCP')
  writeFileSync(join(dir, 'a'), 'key value\n')
  writeFileSync(join(dir, 'snapshot'), 'another one\'s')
  writeFileSync(join(dir, 'holdfast.yaml'), JSON.stringify({
    listen: [{ socketmap: `inet:127.0.0.1:${address.port}` }], health: 'off', snapshot: 'snapshot', maps: { m: { search: 'exact', text: 'a' } },
  }))
  const { code, stderr } = await run(process.execPath, [mainFile, 'serve', join(dir, 'holdfast.yaml')])
  t.equal(code, 69)
  t.match(stderr, /can't start: address already in use/)
  t.equal(readFileSync(join(dir, 'snapshot'), 'utf8'), 'another one\'s')
})
