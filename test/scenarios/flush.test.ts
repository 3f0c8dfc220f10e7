/**
 * A flush reaches every node that shares a Redis.
 *
 * 1. Nodes A and B know old answers; the rows change; A is told by HTTP on its admin socket, as a
 *    web panel would, of one key, then of a domain: B answers anew too.
 * 2. B's connections to Redis are cut; A is told of the whole map: B, which
 *    could not hear of it, asks anew once it is connected again.
 * 3. C starts later: what Redis has from before the flush is not fresh to it,
 *    but bridges an outage.
 */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('a flush reaches every node, those that missed it and those that start later', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const proxy = await during(t, startProxy({ path: redis.socket }))
  const node = async (socket: string) => {
    const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, {
      redis: { path: socket, command_timeout: '2s' }, admin: `unix:${dir}/admin`,
    })), 'kill')
    const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', key)
    const flush = async (body: Readonly<Record<string, string>>): Promise<string> => {
      const json = JSON.stringify({ map: 'virtual_alias', ...body })
      return (await run('curl', ['-s', '--unix-socket', `${holdfast.dir}/admin`, '--json', json, 'http://localhost/flush'])).stdout
    }
    return {
      holdfast, ask, flush,
      /** Asks until it says so; what another node tells takes its time. */
      until: async (key: string, reply: string): Promise<void> => { while (await ask(key) !== reply) await setTimeout(10) },
    }
  }
  const change = (to: string): Promise<unknown> => mariadb.sql(`UPDATE alias SET goto = '${to}@relay.example' WHERE address IN ('info@v.example', 'own@v.example', 'x@sub.v.example')`)
  const [a, b] = [await node(redis.socket), await node(proxy.socket)]
  await change('old')
  for (const key of ['info@v.example', 'own@v.example', 'x@sub.v.example']) {
    for (const { ask } of [a, b]) t.equal(await ask(key), 'OK old@relay.example')
  }
  // A plus address is kept whole: it must change with the row that it came from.
  t.equal(await b.ask('info+tag@v.example'), 'OK old+tag@relay.example')

  await change('new')
  t.equal(await b.ask('info@v.example'), 'OK old@relay.example', 'fresh for five minutes')
  t.equal(await a.flush({ key: 'Info@v.example' }), '{"done":"virtual_alias: asked anew: found"}')
  t.equal(await a.ask('info@v.example'), 'OK new@relay.example')
  await b.until('info@v.example', 'OK new@relay.example')
  t.equal(await b.ask('info+tag@v.example'), 'OK new+tag@relay.example')
  t.equal(await b.ask('own@v.example'), 'OK old@relay.example', 'of which nobody was told')
  const { stdout } = await run(process.execPath, [mainFile, 'flush', 'virtual_alias', '@V.example', '--at', `unix:${a.holdfast.dir}/admin`])
  t.match(stdout, 'virtual_alias: every key of @V.example is asked anew')
  t.notMatch(stdout, 'could not be told')
  await b.until('own@v.example', 'OK new@relay.example')
  t.equal(await b.ask('info@v.example'), 'OK new@relay.example')
  t.equal(await b.ask('x@sub.v.example'), 'OK old@relay.example', 'of another domain')

  proxy.refuse()
  proxy.dropAll()
  await b.holdfast.logged(/redis: down/)
  await change('newer')
  t.match(await a.flush({}), /"done"/)
  t.equal(await b.ask('info@v.example'), 'OK new@relay.example', 'it could not hear of that')
  await proxy.pass()
  for (const key of ['info@v.example', 'own@v.example', 'x@sub.v.example']) await b.until(key, 'OK newer@relay.example')

  // What Redis has of this key is from before the flush of all.
  await change('newest')
  t.match(await a.flush({}), /"done"/)
  const plain = new Redis({ path: redis.socket })
  t.teardown(() => plain.disconnect())
  t.match(await plain.get('holdfast:virtual_alias:x@sub.v.example'), /newer@relay\.example$/)
  // What anybody writes there is harmless.
  await plain.hset('holdfast:flushed', 'no such map', Date.now(), '', 'x', '{"a":[', Date.now() * 2)
  for (const text of ['', '[]', '[1,2,3]', '["virtual_alias",{}]', 'x'.repeat(100_000)]) await plain.publish('holdfast:flush', text)
  const c = await node(redis.socket)
  t.equal(await c.ask('x@sub.v.example'), 'OK newest@relay.example')
  await mariadb.kill()
  for (const { ask } of [a, b, c]) t.match(await ask('own@v.example'), /^OK newe(?:r|st)@relay\.example$/, 'in an outage what is known is served on')
})

t.test('Redis is gone: the flush says that other nodes could not be reached', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, { redis: { path: redis.socket }, admin: `unix:${dir}/admin` })), 'kill')
  await redis.kill()
  const { stdout } = await run(process.execPath, [mainFile, 'flush', 'virtual_alias', '--at', `unix:${holdfast.dir}/admin`])
  t.match(stdout, /every key is asked anew when it is next asked for; .*; other nodes could not be told: /)
})
