/**
 * A table that was loaded as complete: what it lacks is absent without a question.
 *
 * 1. A loads into Redis and knows what the table lacks; B takes
 *    that from there. MariaDB is killed: strangers are absent on both, known ones found, and a key that a collation might find is deferred.
 * 2. MariaDB is back, a row is added and flushed: both nodes find it.
 * 3. Most rows are deleted, and it is loaded again: the list is not believed. An
 *    operator vouches for the table, it is loaded once more, and it is.
 * 4. Without Redis a node does the same alone. A map whose keys a collation takes
 *    for others says so, and asks.
 */
import t from 'tap'
import type { Test } from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const rows = Array.from({ length: 100 }, (_, number) => `('User${number}@v.example', 'box${number}@relay.example')`).join()
const complete = { search: 'virtual', warm: 'auto', complete: true, absent_for: '10m' }

const startNode = async (t: Test, mariadb: Mariadb, maps: Parameters<typeof tableConfig>[2], more: Readonly<Record<string, unknown>> = {}): Promise<Holdfast> => {
  const holdfast = await startHoldfast(dir => tableConfig(dir, mariadb, maps, { admin: `unix:${dir}/admin`, health: `unix:${dir}/health`, ...more }))
  t.teardown(() => holdfast.kill())
  return holdfast
}
const command = ({ dir }: Holdfast, ...args: readonly string[]) => run(process.execPath, [mainFile, ...args, '--at', `unix:${dir}/admin`])
const ask = ({ dir }: Holdfast, key: string, map = 'alias'): Promise<string> => socketmapAsk(`${dir}/s`, map, key)
const absentReply = /^NOTFOUND /

t.test('what a complete load did not list is absent on every node, until there is reason to ask', async t => {
  const mariadb = await startMariadb({ sql: tableSql(rows) })
  t.teardown(() => mariadb.stop())
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const shared = { redis: { path: redis.socket, command_timeout: '1s' } }
  const a = await startNode(t, mariadb, { alias: complete }, shared)
  await a.logged(/map alias: complete: what is not among its 100 keys is absent for absent_for since /)
  const b = await startNode(t, mariadb, { alias: complete }, shared)
  await b.logged(/complete: what is not among its 100 keys/)

  await mariadb.kill()
  for (const node of [a, b]) {
    t.match(await ask(node, 'stranger+tag@v.example'), absentReply)
    t.equal(await ask(node, 'user7+Tag@v.example'), 'OK box7+Tag@relay.example')
    t.match(await ask(node, 'üser7@v.example'), /^TEMP /)
  }
  t.match((await command(a, 'explain', 'nobody@v.example')).stdout, /nobody@v\.example\n +load: absent \(verified .* ago\)\n +table: unavailable/)

  await mariadb.start()
  await mariadb.sql('INSERT INTO a VALUES (\'new@v.example\', \'new@relay.example\')')
  // The breaker has had its rest when the flush has asked the table.
  while (!/asked anew: found/.test((await command(a, 'flush', 'alias', 'new@v.example')).stdout));
  for (const node of [a, b]) t.equal(await ask(node, 'new@v.example'), 'OK new@relay.example')

  await mariadb.sql('DELETE FROM a WHERE k <> \'user1@v.example\'')
  const from = a.log().length
  t.equal((await command(a, 'warm', 'alias')).code, 0)
  t.match((await a.logged(/map alias: complete: absences are asked for as ever: .*/, from))[0], /the list of keys is not believed: it (has 1 keys, where there were 10\d before|lacks)/)
  await command(a, 'trust', 'alias')
  await command(a, 'warm', 'alias')
  await a.logged(/map alias: complete: what is not among its 1 keys/, from)
})

t.test('without Redis a node that loads into memory knows what is absent by itself', async t => {
  const mariadb = await startMariadb({ sql: `${tableSql(rows)}; CREATE TABLE accented LIKE a; INSERT INTO accented SELECT * FROM a; INSERT INTO accented VALUES ('jürgen@v.example', 'box');
    CREATE TABLE tailored (k VARCHAR(90) COLLATE utf8mb4_lithuanian_ci, v VARCHAR(90)); INSERT INTO tailored SELECT * FROM a` })
  t.teardown(() => mariadb.stop())
  const of = (table: string) => ({ ...complete, query: `SELECT v FROM ${table} WHERE k='%s'` })
  const holdfast = await startNode(t, mariadb, { alias: complete, other: of('accented'), tailored: of('tailored') })
  await holdfast.logged(/map alias: complete: what is not among its 100 keys/)
  await holdfast.logged(/map other: complete: absences are asked for as ever: there are keys of more than printable ASCII/)
  await holdfast.logged(/map tailored: complete: absences are asked for as ever: of the collation utf8mb4_lithuanian_ci it is not known which keys it takes for equal/)
  const checked = await run(process.execPath, [mainFile, 'check', `${holdfast.dir}/holdfast.yaml`])
  t.match(checked.stdout, /^warning: .*: complete: absences of map tailored are asked for as ever: of the collation utf8mb4_lithuanian_ci/m)
  t.notMatch(checked.stdout, /map alias|map other/)
  t.match(await ask(holdfast, 'stranger@v.example', 'other'), absentReply)
  await mariadb.kill()
  t.match(await ask(holdfast, 'nobody@v.example'), absentReply)
  t.match(await ask(holdfast, 'nobody@v.example', 'other'), /^TEMP /)
})
