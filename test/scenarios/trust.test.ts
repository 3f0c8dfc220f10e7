/** An administrator at a running daemon: trust and status, over the admin socket, and refused elsewhere. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { command, start } from '../fixtures/control.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('a truncated table is not believed until an administrator trusts it, by the admin socket alone', async t => {
  const keys = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)
  const bed = await start(t, keys.map(key => `('${key}', 'box')`).join(','))
  for (const key of keys) t.equal(await bed.ask(key), 'OK box')
  await bed.mariadb.sql('TRUNCATE a')
  t.match(await bed.ask('nobody@example.com'), /^TEMP distrusted/)
  t.equal(statSync(join(bed.holdfast.dir, 'admin')).mode & 0o777, 0o660)
  for (const [path, refusal] of [['trust', 403], ['flush', 403], ['explain', 404]] as const) {
    const { status } = await fetch(
      `http://127.0.0.1:${bed.port}/${path}`,
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"map":"alias"}' },
    )
    t.equal(status, refusal, path)
  }
  const unknown = await command(bed, 'trust', 'aliases')
  t.equal(unknown.code, 75)
  t.match(unknown.stderr, 'holdfast trust: no map \'aliases\'; there are alias')
  const { stdout: status } = await run('curl', [
    '-s', '-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', join(bed.holdfast.dir, 'admin'),
    '--json', '{"map":"aliases"}', 'http://localhost/trust',
  ])
  t.equal(status, '404')
  const before = await command(bed, 'status')
  t.match(
    before.stdout,
    /^Known recipients are accepted, and those that the table has\. .* \(for \d+ s\)\n {2}map alias \(for \d+ s\): too many known keys are missing from the table, so .* is not believed .*holdfast trust alias/,
  )
  t.match((await command(bed, 'trust', 'alias')).stdout, 'believed as it is now')
  t.equal(await bed.ask('nobody@example.com'), 'NOTFOUND ')
  t.match(
    JSON.parse((await command(bed, 'status', '--json')).stdout),
    { summary: { state: 'well' }, maps: [{ name: 'alias' }] },
  )
})

t.test('a table that is emptied right after an administrator trusted it, with all of its rows, is not believed', async t => {
  const keys = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)
  const rows = keys.map(key => `('${key}', 'box')`).join(',')
  const bed = await start(t, rows)
  for (const key of keys) t.equal(await bed.ask(key), 'OK box')
  await bed.mariadb.sql('TRUNCATE a')
  t.match(await bed.ask('nobody@example.com'), /^TEMP distrusted/)
  await bed.mariadb.sql(`INSERT INTO a VALUES ${rows}`)
  t.match((await command(bed, 'trust', 'alias')).stdout, 'believed as it is now')
  for (const key of keys) t.equal(await bed.ask(key), 'OK box')
  await bed.mariadb.sql('TRUNCATE a')
  t.match(await bed.ask('nobody@example.com'), /^TEMP distrusted/)
})

t.test('a doubt whose table has its keys again leaves nothing in the status', async t => {
  const keys = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)
  const rows = keys.map(key => `('${key}', 'box')`).join(',')
  const bed = await start(t, rows)
  for (const key of keys) t.equal(await bed.ask(key), 'OK box')
  await bed.mariadb.sql('TRUNCATE a')
  t.match(await bed.ask('nobody@example.com'), /^TEMP distrusted: the table lacks too many keys/)
  await bed.mariadb.sql(`INSERT INTO a VALUES ${rows}`)
  await bed.holdfast.logged(/the table has its keys again/)
  t.match((await command(bed, 'status')).stdout, /^Mail is safe\. All is well\./)
})

t.test('a table in doubt stays so over a reload that searches it in another way, and what is known stays', async t => {
  const keys = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)
  const bed = await start(t, keys.map(key => `('${key}', 'box')`).join(','))
  for (const key of keys) t.equal(await bed.ask(key), 'OK box')
  await bed.mariadb.sql('TRUNCATE a')
  t.match(await bed.ask('nobody@example.com'), /^TEMP distrusted/)
  const { holdfast } = bed
  const file = join(holdfast.dir, 'holdfast.yaml')
  const before: unknown = JSON.parse(readFileSync(file, 'utf8'))
  holdfast.configure(JSON.stringify(Object.assign({ recipient_delimiter: '+' }, before)))
  holdfast.reload()
  await holdfast.logged(/ reloaded: 1 map/)
  for (const key of keys) t.equal(await bed.ask(key), 'OK box')
  t.match(await bed.ask('user1+tag@example.com'), /^(OK|TEMP)/)
  t.match(await bed.ask('nobody@example.com'), /^TEMP distrusted/)
})

t.test('a small table is not judged by one on another server, even in a database of the same name', async t => {
  const keys = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)
  const [one, other] = await Promise.all([keys.map(key => `('${key}', 'box')`).join(','), "('ann@example.org', 'box')"].map(rows =>
    startMariadb({ sql: `CREATE TABLE a (k VARCHAR(99) PRIMARY KEY, v TEXT); INSERT INTO a VALUES ${rows}` })))
  if (one === undefined || other === undefined) throw new Error('no server')
  t.teardown(() => Promise.all([one.stop(), other.stop()]))
  const login = ({ socket, user, password, database }: typeof one) => ({ hosts: `unix:${socket}`, user, password, dbname: database })
  const mapOn = (name: string) => ({ search: 'exact', database: name, query: 'SELECT v FROM a WHERE k=\'%s\'' })
  const holdfast = await startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off',
    databases: { one: login(one), other: login(other) }, maps: { large: mapOn('one'), small: mapOn('other') },
  }))
  t.teardown(() => holdfast.stop())
  const ask = (map: string, key: string) => socketmapAsk(join(holdfast.dir, 's'), map, key)
  for (const key of keys) t.equal(await ask('large', key), 'OK box')
  await other.sql('DELETE FROM a')
  t.equal(await ask('small', 'nobody@example.org'), 'NOTFOUND ')
  t.equal(await ask('large', 'nobody@example.com'), 'NOTFOUND ')
})

t.test('without a daemon the commands say so', async t => {
  const { code, stderr } = await run(process.execPath, [mainFile, 'status', '--at', '127.0.0.1:1'])
  t.equal(code, 75)
  t.match(stderr, /^holdfast status: nobody listens on inet:127\.0\.0\.1:1, as --at says\. .*systemctl status holdfast/)
})
