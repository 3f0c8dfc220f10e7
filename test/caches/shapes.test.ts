/**
 * Redis behind Sentinels, as a cluster and over TLS: the same cache. Failovers are in test/scenarios/redis-failover.
 */
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { statement } from '../../src/caches/entry.js'
import { makeCertificates } from '../fixtures/certificates.js'
import { during } from '../fixtures/during.js'
import { startCluster, startGuarded, startRedis } from '../fixtures/redis.js'
import { alias, box, day, open, verifiedAt } from './bed.js'

/** Enough keys for every node of a cluster. */
const keys = Array.from({ length: 30 }, (_, index) => `user${index * index * 31}@example.com`)
const known = statement(box, verifiedAt)
type Opened = ReturnType<typeof open>

/** Writes all keys again and again, until they are all there. */
const fill = async ({ cache, clock }: Opened): Promise<void> => {
  for (;;) {
    for (const key of keys) cache.write(alias, key, statement(box, verifiedAt), day)
    const answers = await cache.read(alias, keys)
    if (answers?.every(answer => answer !== null) === true) return
    clock.now += 10_000
    await setImmediate()
  }
}

t.test('a cluster', async t => {
  const cluster = await during(t, startCluster())
  const opened = open(t, { cluster: cluster.nodes.slice(1).map(({ host, port }) => ({ host, port })) })
  const { cache, clock, until } = opened
  await until('ready')

  await t.test('keys on every node are read in one go, and removed', async t => {
    await fill(opened)
    t.strictSame(await cache.read(alias, [...keys, 'nobody@example.com']), [...keys.map(() => known), null])
    const all: string[] = []
    for await (const records of cache.all(alias, key => key !== keys[1])) all.push(...records.map(([key]) => key))
    t.strictSame(all.sort(), keys.filter((_, index) => index !== 1).sort(), 'and listed')
    cache.remove(alias, keys[0] ?? '')
    t.strictSame(await cache.read(alias, keys.slice(0, 2)), [null, known])
    for (const { port } of cluster.nodes) {
      const plain = new Redis({ host: '127.0.0.1', port })
      t.ok(await plain.dbsize() > 0, 'each node has some')
      plain.disconnect()
    }
  })

  await t.test('two nodes redirect to each other: given up after some hops, and used once it is settled', async t => {
    const [second, third] = cluster.nodes.slice(1).map(({ port }) => new Redis({ host: '127.0.0.1', port }))
    if (second === undefined || third === undefined) throw new Error('no nodes')
    t.teardown(() => [second, third].forEach(plain => plain.disconnect()))
    const ids = [await second.cluster('MYID'), await third.cluster('MYID')] as const
    // Of all keys that the second node would have, one that nobody wrote: its slot is empty.
    let key = ''
    let slot = -1
    for (let number = 0; slot === -1; number++) {
      key = `moved${number}@example.com`
      const candidate = await second.cluster('KEYSLOT', `hf:alias:${key}`)
      if (candidate > 5_461 && candidate <= 10_922 && await second.cluster('COUNTKEYSINSLOT', candidate) === 0) slot =
        candidate
    }
    await second.cluster('SETSLOT', slot, 'NODE', ids[1])
    await third.cluster('SETSLOT', slot, 'NODE', ids[0])
    t.strictSame(await cache.read(alias, [key]), [null])
    t.ok(cache.status().faults.cluster > 0)
    t.equal(cache.status().state, 'resting')
    await third.cluster('SETSLOT', slot, 'NODE', ids[1])
    const answers: unknown[] = []
    do {
      clock.now += 10_000
      cache.write(alias, key, statement(box, verifiedAt), day)
      answers.push((await cache.read(alias, [key]))?.[0] ?? null)
      await setImmediate()
    } while (answers.at(-1) === null)
    t.strictSame(answers.at(-1), known)
    t.equal(cache.status().state, 'ready')
  })

  await t.test('CLUSTERDOWN: left alone', async t => {
    // Of three nodes one is no majority.
    await Promise.all(cluster.nodes.slice(1).map(node => node.kill()))
    const before = cache.status().faults.cluster
    while (cache.status().faults.cluster === before) {
      clock.now += 2_000
      await cache.read(alias, keys)
      await setImmediate()
    }
    t.equal(cache.status().state, 'resting')
    t.equal(cache.read(alias, keys), null)
  })
})

t.test('a primary that Sentinels name', async t => {
  const guarded = await during(t, startGuarded({ sentinelPassword: 's3cret' }))
  const { sentinels, master } = guarded
  const opened = open(t, { sentinels, master, sentinelPassword: 's3cret' })
  const { cache, until, states } = opened
  await until('ready')

  await t.test('without their password it is not used, counted, and costs no read any time', async t => {
    const { cache, until } = open(t, { sentinels, master })
    await until('down')
    t.equal(cache.read(alias, keys), null)
    t.ok(cache.status().faults.auth > 0)
  })

  await t.test('all Sentinels are gone: the connection that stands is used on', async t => {
    await fill(opened)
    await guarded.killSentinels()
    t.strictSame(await cache.read(alias, keys), keys.map(() => known))
    t.strictSame(states, ['ready'])
  })
})

t.test('TLS', async t => {
  const { file, authority, certificate, remove } = await makeCertificates()
  t.teardown(remove)
  await authority('stranger')
  await certificate('addressed', 'IP:127.0.0.1')
  await certificate('other', 'DNS:redis.example.com')
  await certificate('client', 'DNS:client')
  const material = (name: string) => ({
    'tls-cert-file': file(`${name}.pem`), 'tls-key-file': file(`${name}.key`), 'tls-ca-cert-file': file('ca.pem'),
    'tls-auth-clients': 'yes',
  })
  const start = async (name: string) => {
    const args = Object.entries({
      ...material(name), ...name === 'addressed' ? {} : { 'tls-auth-clients': 'no' },
    }).flatMap(([parameter, value]) => [`--${parameter}`, value])
    const redis = await during(t, startRedis({ tls: 'alone', args }))
    return redis.tlsPort
  }
  const [strict, other] = [await start('addressed'), await start('other')]
  const read = (name: string): Buffer => readFileSync(file(name))
  const ca = read('ca.pem')
  const own = { cert: read('client.pem'), key: read('client.key') }

  for (const [name, port, tls] of [
    ['a certificate for the address that was asked, and one of our own', strict, { ca, ...own, verify: true }],
    ['anybody\'s certificate where it needn\'t be verified', other, { verify: false }],
  ] as const) {
    await t.test(`used: ${name}`, async t => {
      const { cache, until, write } = open(t, { port, tls })
      await until('ready')
      await write('info@example.com')
      t.strictSame(await cache.read(alias, ['info@example.com']), [known])
    })
  }
  for (const [name, port, tls] of [
    ['a certificate for another name', other, { ca, verify: true }],
    ['a certificate of an authority that is not named', strict, { ca: read('stranger.pem'), ...own, verify: true }],
    ['no certificate of our own where the server wants one', strict, { ca, verify: true }],
    ['no TLS where the server speaks nothing else', strict, null],
  ] as const) {
    await t.test(`not used, counted, never waited for: ${name}`, async t => {
      const { cache, until } = open(t, { port, tls })
      await until('down')
      t.equal(cache.read(alias, ['info@example.com']), null)
      t.ok(cache.status().faults.connection > 0)
    })
  }
  const tls = { ca, ...own, verify: true }
  await t.test('Sentinels, and the primary that they name, all over TLS', async t => {
    const guarded = await during(t, startGuarded({ sentinelPassword: 's3cret', tls: material('addressed') }))
    const { sentinels, master } = guarded
    const opened = open(t, { sentinels, master, sentinelPassword: 's3cret', tls })
    await opened.until('ready')
    await fill(opened)
    t.strictSame(await opened.cache.read(alias, keys), keys.map(() => known))
    const stranger = open(
      t, { sentinels, master, sentinelPassword: 's3cret', tls: { ...tls, ca: read('stranger.pem') } },
    )
    await stranger.until('down')
    t.equal(stranger.cache.read(alias, keys), null)
  })

  await t.test('a cluster over TLS', async t => {
    const cluster = await during(t, startCluster({ tls: material('addressed') }))
    const nodes = cluster.nodes.map(({ host, tlsPort: port }) => ({ host, port }))
    const opened = open(t, { cluster: nodes.slice(1), tls })
    await opened.until('ready')
    await fill(opened)
    t.strictSame(await opened.cache.read(alias, keys), keys.map(() => known))
    const stranger = open(t, { cluster: nodes, tls: { ...tls, ca: read('stranger.pem') } })
    await stranger.until('down')
    t.equal(stranger.cache.read(alias, keys), null)
  })
})
