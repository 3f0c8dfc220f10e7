/**
 * What is known goes out as a Postfix text table, and comes in from one.
 *
 * 1. A daemon with MariaDB is asked; `holdfast export` writes the rows that it
 *    knows. A postmap(1) on that table, as texthash: and as hash:, answers for
 *    each of its keys what the daemon answers.
 * 2. The daemon is gone: what it left in its snapshot, or in Redis, comes out all
 *    the same.
 * 3. An empty daemon without MariaDB defers; with the table imported it answers.
 *    When MariaDB is back, what MariaDB says counts, and no import changes that.
 */
import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailMaps, mailSql, mapsWith } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { postmapAnswers, postmapMake, settle } from '../fixtures/postfix.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const command = ({ dir }: Holdfast, ...args: readonly string[]) => run(process.execPath, [mainFile, ...args, '--config', join(dir, 'holdfast.yaml')])
/** The lines but the comment, sorted. */
const rowsOf = (text: string): readonly string[] => text.split('\n').filter(line => line !== '' && !line.startsWith('#')).sort()

const oddRows = `
  INSERT INTO alias (address, goto) VALUES ('"odd one"@v.example', 'one@relay.example'), ('odd one@v.example', 'one@relay.example'),
    ('lines@v.example', 'one@relay.example\\ntwo@relay.example'), ('ends@v.example', 'one@relay.example '), ('#hash@v.example', 'one@relay.example'), ('aÄ@v.example', 'Ö@relay.example');`

const mariadb = await during(t, startMariadb({ sql: mailSql(25) + oddRows }))

const start = async (t: Test, more: Readonly<Record<string, unknown>> = {}) => {
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, { admin: `unix:${dir}/admin`, ...more })), 'kill')
  return { holdfast, ask: (key: string) => socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', key) }
}

t.test('postmap answers from an export what the daemon answers', async t => {
  const { holdfast, ask } = await start(t)
  const keys = ['info@v.example', 'list@v.example', 'multi@v.example', 'some@v.example', 'own+tag@v.example', 'Own+other@v.example', 'o\'brien@v.example',
    'back\\slash@v.example', 'jürgen@v.example', '100%d@v.example', 'anybody@catch.example', 'someone@moved.example', 'bare', '"odd one"@v.example', 'AÄ@v.example']
  const unfit = ['odd one@v.example', 'lines@v.example', 'ends@v.example', '#hash@v.example']
  for (const key of [...keys, ...unfit, 'nobody@v.example']) await ask(key)

  const { code, stdout, stderr } = await command(holdfast, 'export', 'virtual_alias')
  t.equal(code, 0, stderr)
  t.strictSame(rowsOf(stderr), [...unfit.map(key => `holdfast export: left out, since a text table can't say it: ${JSON.stringify(key)}`), `holdfast export: ${rowsOf(stdout).length} rows`].sort())
  const exported = rowsOf(stdout).map(line => line.split('\t', 1)[0] ?? '')
  t.strictSame(exported, ['"odd one"@v.example', '100%d@v.example', '@catch.example', '@moved.example', 'aä@v.example', 'back\\slash@v.example', 'bare', 'info@v.example',
    'jürgen@v.example', 'list@v.example', 'multi@v.example', 'o\'brien@v.example', 'own+tag@v.example', 'own@v.example', 'some@v.example'].sort())

  const file = join(holdfast.dir, 'table')
  writeFileSync(file, stdout)
  settle(file)
  const hashed = await postmapMake(`hash:${file}`)
  t.equal(hashed.code, 0, hashed.stderr)
  t.equal(hashed.stderr, '')
  const answers = new Map(await Promise.all(exported.map(async key => [key, (await ask(key)).replace(/^OK /, '')] as const)))
  for (const type of ['texthash', 'hash']) t.strictSame(await postmapAnswers(`${type}:${file}`, exported), answers, type)

  t.match(await command(holdfast, 'export', 'nothing'), { code: 75, stdout: '', stderr: /there is no map 'nothing'; there are virtual_alias/ })
})

t.test('what a daemon left behind is exported when it is gone', async t => {
  const redis = await during(t, startRedis())
  const shared = { redis: { path: redis.socket } }
  const [alone, node] = await Promise.all([start(t, { snapshot: 'snapshot' }), start(t, shared)])
  for (const { ask } of [alone, node]) for (const key of ['info@v.example', 'any@catch.example']) t.match(await ask(key), /^OK /)
  // More than one SCAN's worth, written by another node.
  const plain = new Redis(redis.socket)
  const record = await plain.get('holdfast:virtual_alias:info@v.example') ?? ''
  const many = Array.from({ length: 3_000 }, (_, n) => `user${n}@v.example`)
  await plain.mset(new Map(many.map(key => [`holdfast:virtual_alias:${key}`, record])))
  plain.disconnect()
  const rows = [...many, 'info@v.example'].map(key => `${key}\tbox@relay.example`).concat('@catch.example\tall@relay.example').sort()

  const running = await command(node.holdfast, 'export', 'virtual_alias')
  t.equal(running.code, 0, running.stderr)
  t.strictSame(rowsOf(running.stdout), rows, 'of memory and Redis')
  await Promise.all([alone.holdfast.stop(), node.holdfast.stop()])

  const fromRedis = await command(node.holdfast, 'export', 'virtual_alias')
  t.equal(fromRedis.code, 0, fromRedis.stderr)
  t.strictSame(rowsOf(fromRedis.stdout), rows)
  const fromSnapshot = await command(alone.holdfast, 'export', 'virtual_alias')
  t.equal(fromSnapshot.code, 0, fromSnapshot.stderr)
  t.strictSame(rowsOf(fromSnapshot.stdout), ['@catch.example\tall@relay.example', 'info@v.example\tbox@relay.example'])

  await redis.kill()
  t.match(await command(node.holdfast, 'export', 'virtual_alias'), { code: 75, stderr: /rows may be missing: Redis could not be read/ }, 'and what can\'t be read is not passed over')
})

t.test('a sensitive map is not exported', async t => {
  const { holdfast, ask } = await start(t, { maps: { ...mapsWith({}), virtual_alias: { ...mailMaps.virtual_alias, database: 'mail', sensitive: true } } })
  t.match(await ask('info@v.example'), /^OK /)
  t.match(await command(holdfast, 'export', 'virtual_alias'), { code: 75, stdout: '', stderr: /sensitive/ })
  writeFileSync(join(holdfast.dir, 'table'), 'new@v.example box@relay.example\n')
  t.match(await command(holdfast, 'import', 'virtual_alias', join(holdfast.dir, 'table')), { code: 75, stderr: /sensitive/ })
})

t.test('imported rows bridge an outage, and what the table said counts for more', async t => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  // A copy would know what is to be imported.
  const shared = { redis: { path: redis.socket }, copy_rows: 0 }
  const [a, b] = await Promise.all([start(t, shared), start(t, shared)])
  t.equal(await a.ask('info@v.example'), 'OK box@relay.example')
  await mariadb.kill()
  t.match(await a.ask('own@v.example'), /^TEMP /)

  const file = join(a.holdfast.dir, 'table')
  writeFileSync(file, 'info@v.example wrong@relay.example\nown@v.example old@relay.example\n@catch.example all@relay.example\n@v.example\n')
  const imported = await command(a.holdfast, 'import', 'virtual_alias', file)
  t.match(imported, { code: 0, stdout: 'virtual_alias: 2 rows taken, for an outage; 1 were known already and stay as they were\n', stderr: /table:4: has a key but no value/ })
  t.equal(await a.ask('info@v.example'), 'OK box@relay.example', 'what the table said is not overridden')
  t.equal(await a.ask('own@v.example'), 'OK old@relay.example', 'what nobody knew is answered')
  t.equal(await b.ask('Own@v.example'), 'OK old@relay.example', 'on the other node too')
  t.match(await a.ask('someone@catch.example'), /^TEMP /, 'but a catch-all doesn\'t take the mail of those whose own row nobody knows')

  await mariadb.start()
  // The breaker of each node closes in its own time; until then the stale answer is given.
  while (await a.ask('own@v.example') !== 'OK one@relay.example') await new Promise(resolve => setTimeout(resolve, 20))
  t.match((await command(a.holdfast, 'import', 'virtual_alias', file)).stdout, /: 0 rows taken, for an outage; 3 were known already/)
  t.equal(await a.ask('own@v.example'), 'OK one@relay.example')

  utimesSync(file, 1e9, 1e9)
  t.match(await command(a.holdfast, 'import', 'virtual_alias', file), { code: 75, stderr: /older than stale_for/ })
  t.match(await command(a.holdfast, 'import', 'virtual_alias', join(a.holdfast.dir, 'none')), { code: 66, stderr: /can't be read/ })
})
