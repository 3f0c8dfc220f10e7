/** Nodes that announce themselves in a real Redis, alone and as a cluster; what others wrote there. */
import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { connectPatiently } from '../../src/caches/redis_client.js'
import type { RedisClient } from '../../src/caches/redis_client.js'
import type { RedisSettings } from '../../src/config/config.js'
import { Announcer } from '../../src/fleet/announcer.js'
import type { OwnAnnouncement } from '../../src/fleet/announcer.js'
import { fakeClock } from '../fixtures/clock.js'
import { during } from '../fixtures/during.js'
import { startCluster, startGuarded, startRedis } from '../fixtures/redis.js'
import { announcement } from './announcement.js'

const weekMs = 7 * 86_400_000
const keyPrefix = 'hf:'

const connect = async (t: Test, address: Partial<RedisSettings>): Promise<RedisClient> => {
  const client = await connectPatiently({ keyPrefix, commandTimeoutMs: 5_000, ...address })
  t.teardown(() => client.disconnect())
  return client
}

/** A node, after its first round, and its next one. */
const start = async (t: Test, client: RedisClient | null, own: Partial<OwnAnnouncement>, clock = fakeClock()) => {
  const [findings, problems]: [string[], string[]] = [[], []]
  const announcer = new Announcer({
    shared: () => client === null ? null : { client, keyPrefix }, own: () => ({ ...announcement, ...own }),
    knows: { lacks: () => null, roleOf: () => null, named: () => new Map([['mx1', 'primary']]) }, clock, onFinding: ({ kind }) => { findings.push(kind) },
    onProblem: problem => { problems.push(problem) },
  })
  t.teardown(() => announcer.close())
  const done = async (): Promise<void> => { while (clock.timers() === 0) await setImmediate() }
  await done()
  const round = async () => {
    await clock.advance(10_000)
    await done()
    return announcer.status
  }
  return { announcer, findings, problems, round, clock }
}

const names = (status: Announcer['status']): readonly string[] =>
  status?.nodes.map(({ name, state }) => `${name} ${state}`) ?? []

t.test('nodes see each other; one that is silent is gone after a minute, and forgotten after a week', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const first = await start(t, client, {})
  const second = await start(t, client, { name: 'mx2', role: 'fallback', state: 'degraded' })
  t.same(names(second.announcer.status), ['mx1 well', 'mx2 degraded'])
  t.same(names(await first.round()), ['mx1 well', 'mx2 degraded'])
  t.match(first.announcer.status, { problem: '', definitions: 1, findings: [] })
  second.announcer.close()
  await client.pexpire('hf:node mx2', weekMs - 61_000)
  t.same(names(await first.round()), ['mx1 well', 'mx2 gone'])
  await client.pexpire('hf:node mx2', 0)
  t.same(names(await first.round()), ['mx1 well'])
  t.same(await client.smembers('hf:nodes'), ['mx1'])
})

t.test('a node that is out of service is forgotten on request; one that is in service is not', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const first = await start(t, client, {})
  const second = await start(t, client, { name: 'mx2' })
  await first.round()
  t.match(await first.announcer.forget('mx2'), /^mx2 is in service: it announced itself \d s ago/)
  t.match(await first.announcer.forget('mx1'), /^mx1 is in service/, 'not itself')
  t.equal(await first.announcer.forget('mx3'), 'there is no node mx3')
  second.announcer.close()
  await client.pexpire('hf:node mx2', weekMs - 61_000)
  t.same(names(await first.round()), ['mx1 well', 'mx2 gone'])
  t.equal(await first.announcer.forget('mx2'), null)
  t.same(names(first.announcer.status), ['mx1 well'], 'at once')
  t.same(names(await first.round()), ['mx1 well'])
  t.same((await client.keys('hf:*')).sort(), ['hf:node mx1', 'hf:nodes'])
  await client.sadd('hf:nodes', 'garbage')
  await client.set('hf:node garbage', 'x')
  t.equal(await first.announcer.forget('garbage'), null)
  t.same(await client.smembers('hf:nodes'), ['mx1'])
  t.match(await (await start(t, null, {})).announcer.forget('mx2'), /^this node has no `redis:`/)
})

t.test('a node that `role:` names is forgotten only once it is taken out there: it would be unseen', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const named = await start(t, client, {})
  named.announcer.close()
  await client.pexpire('hf:node mx1', weekMs - 61_000)
  const other = await start(t, client, { name: 'mx2' })
  t.match(await other.announcer.forget('mx1'), /^mx1 stands in `role:`, .* take it out there, reload/)
  t.same(names(await other.round()), ['mx1 gone', 'mx2 well'], 'since when it is gone is still known')
})

t.test('what is no announcement does no harm', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const bad: Readonly<Record<string, string>> = {
    'no-json': '{', 'array': '[]', 'null': 'null', 'text': '"x"', 'other-name': JSON.stringify(announcement),
    'no-role': JSON.stringify({ ...announcement, name: 'no-role', role: 'king' }),
    'negative': JSON.stringify({ ...announcement, name: 'negative', inStateMs: -1 }),
    'long': JSON.stringify({ ...announcement, name: 'long', doubts: Array.from({ length: 101 }, () => 'x') }),
    'large': JSON.stringify({ ...announcement, name: 'large', more: 'x'.repeat(100_000) }),
  }
  for (const [name, text] of Object.entries(bad)) await client.set(`hf:node ${name}`, text, 'PX', weekMs)
  await client.set('hf:node for-ever', JSON.stringify({ ...announcement, name: 'for-ever' }))
  await client.set('hf:node future', JSON.stringify({ ...announcement, name: 'future' }), 'PX', 2 * weekMs)
  await client.hset('hf:node hash', 'a', 'b')
  await client.pexpire('hf:node hash', weekMs)
  await client.sadd('hf:nodes', ...Object.keys(bad), 'for-ever', 'future', 'hash', 'there is none', '')
  const { announcer, round } = await start(t, client, {})
  t.match(announcer.status, { problem: '' })
  t.same(names(announcer.status), ['mx1 well'])

  await client.sadd('hf:nodes', ...Array.from({ length: 200 }, (_, index) => `n${index}`))
  t.match(await round(), { nodes: [{ name: 'mx1' }], problem: /names 21\d nodes; more than 200 are not read/ })
  await client.del('hf:nodes')
  await client.set('hf:nodes', 'text')
  t.match(await round(), { nodes: [{ name: 'mx1' }], problem: /^WRONGTYPE/ })
  await client.del('hf:nodes')
  t.match(await round(), { nodes: [{ name: 'mx1' }], problem: '' })
})

t.test('two nodes with one name are told apart from one that was restarted', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const first = await start(t, client, {})
  first.announcer.close()
  const restarted = await start(t, client, {})
  for (let count = 0; count < 3; count++) await restarted.round()
  t.same(restarted.findings, [])
  const twin = await start(t, client, {})
  await restarted.round()
  await twin.round()
  await restarted.round()
  t.same([restarted.findings, twin.findings], [['same-name'], ['same-name']])
  twin.announcer.close()
  for (let count = 0; count < 8; count++) await restarted.round()
  t.same(restarted.announcer.status?.findings, [], 'over when the other one has gone')
})

t.test('while Redis can\'t be asked, the last nodes stay as they were, and it is said why', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const { announcer, round, clock } = await start(t, client, {})
  const readAt = clock.now()
  client.disconnect()
  await round()
  t.match(announcer.status, { nodes: [{ name: 'mx1', state: 'well' }], readAt, problem: /./ })
})

t.test('without Redis there is no status of other nodes', async t => {
  const { announcer, round } = await start(t, null, {})
  t.equal(announcer.status, null)
  t.equal(await round(), null)
})

t.test('in a cluster, nodes see each other as well', async t => {
  const cluster = await during(t, startCluster())
  const client = await connect(t, { cluster: cluster.nodes.map(({ host, port }) => ({ host, port })) })
  for (const name of ['mx1', 'mx2', 'mx3', 'mx4']) await start(t, client, { name })
  const { announcer } = await start(t, client, { name: 'mx9', role: 'fallback' })
  t.same(names(announcer.status), ['mx1 well', 'mx2 well', 'mx3 well', 'mx4 well', 'mx9 well'])
})

t.test('with Sentinels, nodes see each other before a failover and after it', { timeout: 120_000 }, async t => {
  const guarded = await during(t, startGuarded({ sentinelPassword: 'secret' }))
  const sentinelled = { sentinels: guarded.sentinels, master: guarded.master, sentinelPassword: 'secret' }
  const first = await start(t, await connect(t, sentinelled), {})
  const second = await start(t, await connect(t, sentinelled), { name: 'mx9', role: 'fallback' })
  t.same(names(second.announcer.status), ['mx1 well', 'mx9 well'])
  await guarded.primary.kill()
  await first.round()
  t.match(first.announcer.status, { nodes: [{ name: 'mx1', state: 'well' }], problem: /./ })
  await guarded.promoted()
  for (const { announcer, round } of [first, second, first]) {
    do await round()
    while (announcer.status?.problem !== '')
  }
  t.same(names(first.announcer.status), ['mx1 well', 'mx9 well'])
})

t.test('an account with the rights that the guide names is enough', async t => {
  const redis = await during(t, startRedis())
  const plain = new Redis(redis.port)
  await plain.acl(
    'SETUSER', 'holdfast', 'on', '>secret', '~hf:*', '&hf:*', '+@read', '+@write', '+@connection', '+eval', '+publish',
    '+subscribe')
  plain.disconnect()
  const client = await connect(t, { port: redis.port, username: 'holdfast', password: 'secret' })
  const { announcer } = await start(t, client, {})
  t.match(announcer.status, { nodes: [{ name: 'mx1' }], problem: '' })
})

t.test('an account that lacks a right is reported once, and again after it had it for a while', async t => {
  const redis = await during(t, startRedis())
  const plain = new Redis(redis.port)
  t.teardown(() => plain.disconnect())
  await plain.acl('SETUSER', 'holdfast', 'on', '>secret', '~hf:*', '&hf:*', '+@read', '+set', '+@connection')
  const client = await connect(t, { port: redis.port, username: 'holdfast', password: 'secret' })
  const { announcer, round, problems } = await start(t, client, {})
  t.match(announcer.status, { nodes: [], readAt: 0, problem: /^NOPERM .*sadd/ })
  t.same(problems, [], 'once may be chance')
  for (let count = 0; count < 3; count++) await round()
  t.match(problems, [/^NOPERM .*sadd/])
  t.equal(problems.length, 1)
  await plain.acl('SETUSER', 'holdfast', '+@write')
  t.match(await round(), { nodes: [{ name: 'mx1' }], problem: '' })
  await plain.acl('SETUSER', 'holdfast', '-sadd')
  for (let count = 0; count < 3; count++) await round()
  t.equal(problems.length, 2)
  t.match(announcer.status, { nodes: [{ name: 'mx1' }] }, 'what was read before stays')
})

t.test('nodes whose clocks are hours apart agree on who is there and since when', async t => {
  const redis = await during(t, startRedis())
  const client = await connect(t, { port: redis.port })
  const hourMs = 3_600_000
  const start1 = 1_700_000_000_000
  const first = await start(t, client, { inStateMs: 5 * hourMs }, fakeClock(start1))
  const second = await start(t, client, { name: 'mx2', inStateMs: 60_000 }, fakeClock(start1 + 7 * hourMs))
  const third = await start(t, client, { name: 'mx3', inStateMs: hourMs }, fakeClock(start1 - 9 * hourMs))
  for (const { round, clock } of [first, second, third]) {
    const status = await round()
    t.same(names(status), ['mx1 well', 'mx2 well', 'mx3 well'])
    t.same(status?.nodes.map(({ since }) => Math.round((clock.now() - (since ?? 0)) / 60_000)), [300, 1, 60], 'minutes ago')
  }
  second.announcer.close()
  await client.pexpire('hf:node mx2', weekMs - 2 * hourMs)
  t.same(names(await third.round()), ['mx1 well', 'mx2 gone', 'mx3 well'])
  const goneForMs = third.clock.now() - (third.announcer.status?.nodes[1]?.since ?? 0)
  t.equal(Math.round(goneForMs / 60_000), 120, 'minutes ago')
})
