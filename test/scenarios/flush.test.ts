/**
 * A flush reaches every node that shares a Redis.
 *
 * 1. Nodes A and B know old answers; the rows change; A is told by HTTP, as a
 *    web panel would, of one key, then of a domain: B answers anew too.
 * 2. B's connections to Redis are cut; A is told of the whole map: B, which
 *    could not hear of it, asks anew once it is connected again.
 * 3. C starts later: what Redis has from before the flush is not fresh to it,
 *    but bridges an outage.
 *
 * And what was flushed is asked for after a reload that changes how long it is
 * fresh, and after a restart; with Redis too, when that has lost the flushes.
 */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailSql, mapsWith } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const token = '0123456789abcdef'

t.test('a flush reaches every node, those that missed it and those that start later', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const proxy = await during(t, startProxy({ path: redis.socket }))
  const node = async (socket: string) => {
    const port = await freePort()
    const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, {
      redis: { path: socket }, health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`, admin_token: token,
    })), 'kill')
    const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', key)
    const post = (body: Readonly<Record<string, string>>, authorization: string) => fetch(`http://127.0.0.1:${port}/flush`, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization }, body: JSON.stringify({ map: 'virtual_alias', ...body }),
    })
    return {
      holdfast, ask, post,
      /** Asks until it says so; what another node tells takes its time. */
      until: async (key: string, reply: string): Promise<void> => { while (await ask(key) !== reply) await setTimeout(10) },
    }
  }
  const change = (to: string): Promise<unknown> => mariadb.sql(`UPDATE alias SET goto = '${to}@relay.example' WHERE address IN ('info@v.example', 'own@v.example', 'x@sub.v.example')`)
  const [a, b] = [await node(redis.socket), await node(proxy.socket)]
  const keys = ['info@v.example', 'own@v.example', 'x@sub.v.example']
  for (const { ask } of [a, b]) await Promise.all(keys.map(ask))
  await change('old')
  // Once they have heard of this one, they hear of each.
  t.equal((await a.post({}, `Bearer ${token}`)).status, 200)
  for (const key of keys) for (const node of [a, b]) await node.until(key, 'OK old@relay.example')
  // A plus address is kept whole: it must change with the row that it came from.
  t.equal(await b.ask('info+tag@v.example'), 'OK old+tag@relay.example')

  await change('new')
  for (const given of ['', 'Bearer', 'Bearer 0123456789abcdee', `Basic ${token}`]) t.equal((await a.post({ key: 'info@v.example' }, given)).status, 401, given)
  t.equal(await b.ask('info@v.example'), 'OK old@relay.example', 'fresh for five minutes')
  t.strictSame(await (await a.post({ key: 'Info@v.example' }, `Bearer ${token}`)).json(), { done: 'virtual_alias: asked anew: found' })
  t.equal(await a.ask('info@v.example'), 'OK new@relay.example')
  await b.until('info@v.example', 'OK new@relay.example')
  t.equal(await b.ask('info+tag@v.example'), 'OK new+tag@relay.example')
  t.equal(await b.ask('own@v.example'), 'OK old@relay.example', 'of which nobody was told')
  const { stdout } = await run(process.execPath, [mainFile, 'flush', 'virtual_alias', '@V.example', '--at', `unix:${a.holdfast.dir}/admin`])
  t.match(stdout, 'virtual_alias: every key of @V.example is asked anew')
  t.notMatch(stdout, 'other nodes')
  await b.until('own@v.example', 'OK new@relay.example')
  t.equal(await b.ask('info@v.example'), 'OK new@relay.example')
  t.equal(await b.ask('x@sub.v.example'), 'OK old@relay.example', 'of another domain')

  proxy.refuse()
  proxy.dropAll()
  await b.holdfast.logged(/redis: down/)
  await change('newer')
  t.equal((await a.post({}, `Bearer ${token}`)).status, 200)
  t.equal(await b.ask('info@v.example'), 'OK new@relay.example', 'it could not hear of that')
  await proxy.pass()
  for (const key of ['info@v.example', 'own@v.example', 'x@sub.v.example']) await b.until(key, 'OK newer@relay.example')

  // What Redis has of this key is from before the flush of all.
  await change('newest')
  t.equal((await a.post({}, `Bearer ${token}`)).status, 200)
  const plain = new Redis({ path: redis.socket })
  t.teardown(() => plain.disconnect())
  // It is written with the next read of Redis, or a tenth of a second later.
  while (!/newer@relay\.example$/.test(await plain.get('holdfast:virtual_alias:x@sub.v.example') ?? '')) await setTimeout(10)
  // What anybody writes there is harmless.
  await plain.hset('holdfast:flushed', 'no such map', Date.now(), '', 'x', '{"a":[', Date.now() * 2)
  for (const text of ['', '[]', '[1,2,3]', '["virtual_alias",{}]', 'x'.repeat(100_000)]) await plain.publish('holdfast:flush', text)
  const c = await node(redis.socket)
  t.equal(await c.ask('x@sub.v.example'), 'OK newest@relay.example')
  await mariadb.kill()
  for (const { ask } of [a, b, c]) t.match(await ask('own@v.example'), /^OK newe(?:r|st)@relay\.example$/, 'in an outage what is known is still answered')
})

t.test('Redis is gone: the flush says that other nodes are told later', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, { redis: { path: redis.socket }, admin: `unix:${dir}/admin` })), 'kill')
  await redis.kill()
  const { stdout } = await run(process.execPath, [mainFile, 'flush', 'virtual_alias', '--at', `unix:${holdfast.dir}/admin`])
  t.match(stdout, /every key is asked anew when it is next asked for; .*; other nodes are told as soon as Redis can be used: /)
})

t.test('what was flushed is asked anew after a reload with another lifetime, and after a restart', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const redis = await during(t, startRedis())
  const plain = new Redis({ path: redis.socket })
  t.teardown(() => plain.disconnect())
  for (const [title, more] of [['snapshot', {}], ['Redis', { redis: { path: redis.socket } }]] as const) {
    const config = (dir: string, freshFor = '5m') => mailConfig(dir, mariadb, {
      snapshot: 'snapshot', admin: `unix:${dir}/admin`, ...more, maps: mapsWith({ fresh_for: freshFor }),
    })
    const holdfast = await during(t, startHoldfast(dir => config(dir)), 'kill')
    const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', key)
    const change = async (to: string, ...what: readonly string[]): Promise<void> => {
      await mariadb.sql(`UPDATE alias SET goto = '${to}@relay.example' WHERE address IN ('info@v.example', 'own@v.example')`)
      const flush = ['flush', 'virtual_alias', ...what, '--at', `unix:${holdfast.dir}/admin`]
      t.equal((await run(process.execPath, [mainFile, ...flush])).code, 0)
    }
    await change('one')
    for (const key of ['info@v.example', 'own@v.example']) t.equal(await ask(key), 'OK one@relay.example')
    await change('two', '@v.example')
    const from = holdfast.log().length
    holdfast.configure(config(holdfast.dir, '1h'))
    holdfast.reload()
    await holdfast.logged(/ reloaded: /, from)
    t.equal(await ask('info@v.example'), 'OK two@relay.example', `${title}: after a reload`)
    await change('three')
    await holdfast.stop()
    await plain.del('holdfast:flushed')
    await holdfast.start()
    for (const key of ['info@v.example', 'own@v.example']) t.equal(await ask(key), 'OK three@relay.example', `${title}: after a restart`)
  }
})
