/**
 * Redis is a help, never a need.
 *
 * 1. With MariaDB up, Redis is killed, then hung: every answer is right.
 * 2. Redis and Holdfast are restarted with MariaDB down: what one had verified
 *    before is answered from Redis; what nobody has verified is deferred. The same
 *    while Redis is so slow that Holdfast would otherwise do without it.
 * 3. Redis is emptied while a table is in doubt; a second node joins.
 */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailSql, tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const answers: readonly (readonly [map: string, key: string, reply: string])[] = [
  ['virtual_alias', 'info@v.example', 'OK box@relay.example'],
  ['virtual_alias', 'info+tag@v.example', 'OK box+tag@relay.example'],
  ['virtual_alias', 'multi@v.example', 'OK one@relay.example,two@relay.example'],
  ['virtual_alias', 'stranger@catch.example', 'OK all@relay.example'],
  ['virtual_alias', 'j\u00fcrgen@v.example', 'OK one@relay.example'],
  ['virtual_domain', 'v.example', 'OK v.example'],
  ['relay_domain', 'sub.relay.example', 'OK relay.example'],
  ['relay_recipient', 'box+x@relay.example', 'OK ok'],
  ['transport', 'box@relay.example', 'OK smtp:[127.0.0.1]:25'],
]
const strangers: readonly (readonly [map: string, key: string])[] = [
  ['virtual_alias', 'stranger@v.example'], ['virtual_domain', 'other.example'], ['relay_recipient', 'stranger@relay.example'],
]

t.test('Redis killed or hung, MariaDB up: every answer is right', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, {
    redis: { path: redis.socket },
  }), { canShift: true }), 'kill')
  const askAll = async (): Promise<void> => {
    // Every answer is asked anew: nothing is hidden by memory.
    await holdfast.halfAnHourPasses()
    for (const [map, key, reply] of answers) t.equal(await socketmapAsk(`${holdfast.dir}/s`, map, key), reply, `${map} ${key}`)
    for (const [map, key] of strangers) t.equal(await socketmapAsk(`${holdfast.dir}/s`, map, key), 'NOTFOUND ', `${map} ${key}`)
  }
  await askAll()
  await redis.kill()
  await askAll()
  await redis.start()
  await askAll()
  await redis.pause()
  await askAll()
  redis.resume()
  await askAll()
})

t.test('Redis and Holdfast restarted with MariaDB down: answers come from Redis', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis({ args: ['--appendonly', 'yes'] }))
  // Redis is slower to answer than the daemon is to start or to stop.
  const proxy = await during(t, startProxy({ path: redis.socket }))
  proxy.slow(50)
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, { redis: { path: proxy.socket, command_timeout: '2s' } })), 'kill')
  const path = `${holdfast.dir}/s`
  for (const [map, key, reply] of answers) t.equal(await socketmapAsk(path, map, key), reply)

  await holdfast.stop()
  await mariadb.kill()
  await redis.kill()
  await redis.start()
  await holdfast.start()
  for (const [map, key, reply] of answers) t.equal(await socketmapAsk(path, map, key), reply, `${map} ${key}`)
  for (const [map, key] of strangers) t.match(await socketmapAsk(path, map, key), /^TEMP /, `${map} ${key}`)
  // Slower than its command timeout, it is left alone; but there is nobody else.
  await holdfast.stop()
  await proxy.pass()
  holdfast.configure(mailConfig(holdfast.dir, mariadb, { redis: { path: proxy.socket, command_timeout: '100ms' }, deadline: '10s' }))
  await holdfast.start()
  await holdfast.logged(/redis: ready/)
  proxy.slow(200)
  for (const [map, key, reply] of answers) t.equal(await socketmapAsk(path, map, key), reply, `${map} ${key}`)

})

t.test('a Redis that lost the doubts of a node has them again for one that joins', async t => {
  const keys = Array.from({ length: 10 }, (_, index) => `user${index}@v.example`)
  const mariadb = await startMariadb({ sql: tableSql(keys.map(key => `('${key}', 'box')`).join()) })
  t.teardown(() => mariadb.stop())
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const client = new Redis({ path: redis.socket })
  t.teardown(() => client.disconnect())
  const config = (dir: string): string => tableConfig(dir, mariadb, { alias: { search: 'exact' } }, { redis: { path: redis.socket } })
  const first = await startHoldfast(config)
  t.teardown(() => first.kill())
  for (const key of keys) t.equal(await socketmapAsk(`${first.dir}/s`, 'alias', key), 'OK box')
  await mariadb.sql('DELETE FROM a WHERE k > \'user3\'')
  // For each stranger a known key is drawn and asked: the doubt begins with the first that is gone.
  for (let n = 0; !(await socketmapAsk(`${first.dir}/s`, 'alias', `${n}@v.example`)).startsWith('TEMP distrusted');) n++
  await client.flushall()
  while (await client.exists('holdfast:doubts of maps') === 0) await setTimeout(20)
  const second = await startHoldfast(config)
  t.teardown(() => second.kill())
  for (const key of keys.slice(3)) t.match(await socketmapAsk(`${second.dir}/s`, 'alias', key), /^(OK|TEMP) /, 'never absent')
  t.match(await socketmapAsk(`${second.dir}/s`, 'alias', 'stranger@v.example'), /^TEMP distrusted/)
})
