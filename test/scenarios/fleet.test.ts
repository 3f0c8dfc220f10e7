/**
 * Several daemons that share a Redis: each sees the others. `status --fleet`, the page's data and the metrics name
 * them, `mx` uses their names, and a daemon checks MX records by itself.
 */
import t from 'tap'
import { Redis } from 'ioredis'
import { during } from '../fixtures/during.js'
import { tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { startZone } from '../fixtures/zone.js'
import type { Name } from '../fixtures/zone.js'
import { arePresent, holdfast, reported, rows, startNode } from './fleet_bed.js'

t.test('a node sees who is there, in which state, and who is gone', {
  timeout: 180_000,
}, async t => {
  const [redis, mariadb] = [await startRedis(), await startMariadb({ sql: rows('a.example') })]
  t.teardown(() => Promise.all([redis.stop(), mariadb.stop()]))
  const shared = { redis: { port: redis.port } }
  const first = await startNode(t, 'mx1.example', mariadb, shared)
  await reported(first, arePresent(1))
  t.match((await holdfast(first, 'status', '--fleet')).stdout, /\n  mx9\.example +fallback +unseen +- +- +- +- +-\n/)
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_nodes{role="fallback",state="unseen"} 1\n')
  t.match(await holdfast(first, 'forget', 'mx9.example'), { code: 75, stderr: /mx9\.example stands in `role:`/ })
  const fallback = await startNode(t, 'mx9.example', mariadb, shared)
  await reported(first, arePresent(2))
  const { code, stdout } = await holdfast(first, 'status', '--fleet')
  t.equal(code, 0)
  t.match(stdout, /^ +role +state +since +MySQL +Redis +in doubt +version\n  mx1\.example +primary +well .* answers +ready +- .*\n  mx9\.example +fallback +well /)
  t.match(stdout, '2 nodes; those that are there have the same definitions')
  t.match(JSON.parse((await holdfast(first, 'status', '--fleet', '--json')).stdout), { nodes: [{ name: 'mx1.example' }, {}], findings: [] })
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_nodes{role="fallback",state="well"} 1\n')

  await mariadb.kill()
  await reported(first, ({ fleet }) => fleet?.nodes.find(({ name }) => name === 'mx9.example')?.servers[0]?.state === 'open')
  t.match((await holdfast(first, 'status', '--fleet')).stdout, /mx9\.example +fallback +degraded .* does not see \S*127\.0\.0\.1:\d+/)

  await fallback.holdfast.kill()
  // A minute later, by Redis' clock.
  const client = new Redis(redis.port)
  await client.pexpire('holdfast:node mx9.example', 7 * 86_400_000 - 61_000)
  client.disconnect()
  await reported(first, ({ fleet }) => fleet?.nodes.find(({ name }) => name === 'mx9.example')?.state === 'gone')
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_nodes{role="fallback",state="gone"} 1\n')

  await redis.kill()
  await reported(first, ({ fleet }) => fleet?.problem !== '')
  t.match((await holdfast(first, 'status', '--fleet')).stdout, /^Redis can't be asked for the nodes now \(.*; this is from/)
})

t.test('without Redis, a node says that it knows only itself', async t => {
  const mariadb = await during(t, startMariadb({ sql: rows('a.example') }))
  const node = await startNode(t, 'mx1.example', mariadb, {})
  t.match(await holdfast(node, 'status', '--fleet'), { code: 0, stdout: /^mx1\.example \(primary, well\) has no `redis:` .*, so it knows only itself\.\n$/ })
})

t.test('mx knows the nodes by what they announce, and a daemon with mx_every counts the domains in each state', {
  timeout: 180_000,
}, async t => {
  const address = { a: ['192.0.2.1'] }
  const names: Readonly<Record<string, Name>> = {
    'right.example': { mx: ['10 mx1.example', '90 mx9.example'] }, 'lazy.example': { mx: ['10 mx1.example'] },
    'moved.example': { mx: ['10 mx1.example', '10 mx7.example', '90 mx9.example'] },
    'mx1.example': address, 'mx9.example': { a: ['192.0.2.9'] }, 'mx7.example': { a: ['192.0.2.7'] }, 'deaf.example': { fault: 'SERVFAIL' },
  }
  const zone = await during(t, startZone(name => names[name]))
  const [redis, mariadb] = [await startRedis(), await startMariadb({
    sql: tableSql(['right', 'lazy', 'moved', 'deaf', 'gone'].map(name => `('${name}.example', 'x')`).join(', ')),
  })]
  t.teardown(() => Promise.all([redis.stop(), mariadb.stop()]))
  const shared = { redis: { port: redis.port }, mx_every: '1d', mx_resolver: zone.address }
  const domains = { relay_domains: { search: 'domain' } }
  const node = await startNode(t, 'mx1.example', mariadb, shared, domains)
  await startNode(t, 'mx9.example', mariadb, { ...shared, mx_every: undefined }, domains)
  await reported(node, arePresent(2))
  const { code, stdout } = await holdfast(node, 'mx')
  t.equal(code, 1)
  t.match(stdout, /is none of these nodes.*\n  moved\.example: mx7\.example:/)
  t.match(stdout, '1 of 5 domains right, 3 to mend, 1 not known')

  const { mx } = await reported(node, report => report.mx !== null)
  t.match(mx?.domains, { 'right': 1, 'no-fallback': 1, 'stranger': 1, 'unknown': 1, 'no-domain': 1 })
  t.match(await (await fetch(`${node.url}/metrics`)).text(), 'holdfast_mx_domains{state="no-fallback"} 1\n')
  t.match((await holdfast(node, 'status')).stdout, /mx +checked +.* 1 of 5 domains right/)
  await node.holdfast.logged(/mx: 1 of 5 domains have the MX records that the roles want, 1 could not be asked; run `holdfast mx`/)
  t.notMatch(await (await fetch(`${node.url}/status`)).text(), 'lazy.example', 'no domain is named')
})
