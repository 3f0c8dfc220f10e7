/**
 * A table that was loaded ahead of demand answers in an outage for keys that
 * nobody has asked for, on every node.
 *
 * 1. A starts on an empty Redis: its log says what is loaded, and from what;
 *    then B starts, which loads nothing.
 * 2. With MariaDB up, a key that only its collation matches is found all the same.
 * 3. A row is added, and `holdfast warm` loads it; it says how many there are.
 * 4. MariaDB is killed: A and B answer for what nobody has asked them for. What
 *    is not in the table is deferred.
 * 5. Without Redis a node that loads into memory does the same; one whose server
 *    lacks the canary loads nothing.
 */
import t from 'tap'
import type { Test } from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailMaps, mailSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const maps = {
  virtual_alias: { ...mailMaps.virtual_alias, database: 'mail', warm: 'auto' },
  virtual_domain: { ...mailMaps.virtual_domain, database: 'mail', warm: 'SELECT domain, domain AS answer FROM virtual_domain' },
  // What the key only matches in part has no list.
  relay_recipient: { search: 'recipient', query: 'SELECT \'ok\' FROM relay_recipient WHERE address LIKE \'%s\'', database: 'mail', warm: 'auto' },
}
const answers: readonly (readonly [map: string, key: string, reply: string])[] = [
  ['virtual_alias', 'info@v.example', 'OK box@relay.example'],
  ['virtual_alias', 'INFO@V.example', 'OK box@relay.example'],
  ['virtual_alias', 'multi@v.example', 'OK one@relay.example,two@relay.example'],
  ['virtual_alias', 'some@v.example', 'OK box@relay.example'],
  ['virtual_alias', 'own+tag@v.example', 'OK two@relay.example'],
  ['virtual_alias', 'o\'brien@v.example', 'OK one@relay.example'],
  ['virtual_alias', 'jürgen@v.example', 'OK one@relay.example'],
  ['virtual_alias', '@catch.example', 'OK all@relay.example'],
  ['virtual_domain', 'v.example', 'OK v.example'],
]
const strangers: readonly (readonly [map: string, key: string])[] = [
  ['virtual_alias', 'stranger@v.example'], ['virtual_alias', 'empty@v.example'], ['virtual_domain', 'other.example'], ['relay_recipient', 'box@relay.example'],
]

const startNode = async (t: Test, mariadb: Mariadb, more: Readonly<Record<string, unknown>>): Promise<Holdfast> => {
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, { maps, admin: `unix:${dir}/admin`, ...more })), 'kill')
  return holdfast
}
const assertKnown = async (t: Test, { dir }: Holdfast): Promise<void> => {
  for (const [map, key, reply] of answers) t.equal(await socketmapAsk(`${dir}/s`, map, key), reply, `${map} ${key}`)
  for (const [map, key] of strangers) t.match(await socketmapAsk(`${dir}/s`, map, key), /^TEMP /, `${map} ${key}`)
}

t.test('in an outage a table that one node loaded into Redis answers on all nodes, even new keys', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const shared = { redis: { path: redis.socket } }
  const a = await startNode(t, mariadb, shared)
  t.match(a.log(), 'map virtual_alias: warm: auto: SELECT address, goto FROM alias WHERE TRUE')
  t.match(a.log(), 'map relay_recipient: warm: auto: its keys can\'t be listed: it compares the key, or a part of it, with a pattern')
  await a.logged(/map virtual_alias: warm: \d+ keys of \d+ rows loaded into Redis/)
  await a.logged(/map virtual_domain: warm: 4 keys of 4 rows loaded into Redis/)
  const b = await startNode(t, mariadb, shared)

  t.equal(await socketmapAsk(`${a.dir}/s`, 'virtual_alias', 'jurgen@v.example'), 'OK one@relay.example')
  await mariadb.sql('INSERT INTO alias (address, goto) VALUES (\'Late@v.example\', \'late@relay.example\')')
  const { code, stdout } = await run(process.execPath, [mainFile, 'warm', 'virtual_alias', '--at', `unix:${b.dir}/admin`])
  t.equal(code, 0)
  t.match(stdout, /^virtual_alias: \d+ keys of \d+ rows loaded\n$/)
  const refused = await run(process.execPath, [mainFile, 'warm', 'relay_recipient', '--at', `unix:${b.dir}/admin`])
  t.equal(refused.code, 75)
  t.match(refused.stderr, 'holdfast warm: relay_recipient is not loaded ahead of demand')

  const checked = await run(process.execPath, [mainFile, 'check', `${a.dir}/holdfast.yaml`])
  t.match(checked.stdout, /^warning: .*holdfast\.yaml:\d+: warm: the keys of map relay_recipient can't be listed, so they are not loaded: it compares the key, or a part of it, with a pattern; name a query that gives keys and answers, or remove this$/m)
  t.notMatch(checked.stdout, /keys of map virtual/)

  await mariadb.kill()
  for (const node of [a, b]) {
    await assertKnown(t, node)
    t.equal(await socketmapAsk(`${node.dir}/s`, 'virtual_alias', 'late@v.example'), 'OK late@relay.example')
  }
  const failed = await run(process.execPath, [mainFile, 'warm', 'virtual_alias', '--at', `unix:${b.dir}/admin`])
  t.equal(failed.code, 75)
  t.match(failed.stderr, /virtual_alias: not loaded: .*; the caches are as before/)
  t.equal(await socketmapAsk(`${a.dir}/s`, 'virtual_alias', 'list@v.example'), 'OK one@relay.example, box@relay.example')
})

t.test('a server without the canary is another database: nothing of it is loaded', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const holdfast = await startNode(t, mariadb, { maps: { ...maps, virtual_alias: { ...maps.virtual_alias, canary: 'canary@v.example' } } })
  await holdfast.logged(/map virtual_alias: warm: not loaded: the canary is missing/)
  await holdfast.logged(/map virtual_domain: warm: not loaded: the canary is missing/)
  t.notMatch(holdfast.log(), /warm: \d+ keys/)
})

t.test('without Redis a table is loaded into memory, and kept on a reload', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const holdfast = await startNode(t, mariadb, {})
  await holdfast.logged(/map virtual_alias: warm: \d+ keys of \d+ rows loaded into memory/)
  await holdfast.logged(/map virtual_domain: warm: 4 keys of 4 rows loaded into memory/)
  await mariadb.kill()
  const from = holdfast.log().length
  holdfast.reload()
  await holdfast.logged(/reloaded: 3 maps/, from)
  await assertKnown(t, holdfast)
  t.notMatch(holdfast.log().slice(from), /warm: not loaded/)
})
