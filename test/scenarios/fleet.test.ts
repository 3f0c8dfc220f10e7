/**
 * Several daemons that share a Redis: each sees the others; `status --fleet`, the page's data and the metrics say who is
 * there, who differs and who doesn't belong; `mx` takes their names; and a daemon checks MX records by itself.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { Redis } from 'ioredis'
import type { Report } from '../../src/admin/summary.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startRedis } from '../fixtures/redis.js'
import { startZone } from '../fixtures/zone.js'
import type { Name } from '../fixtures/zone.js'

const roles = { default: 'primary', 'mx9.example': 'fallback' }
const alias = { alias: { search: 'virtual' } }

type Node = { readonly holdfast: Holdfast, readonly url: string, readonly config: string }

const startNode = async (
  t: Test, name: string, mariadb: Mariadb, more: Readonly<Record<string, unknown>>,
  maps: Parameters<typeof tableConfig>[2] = alias,
): Promise<Node> => {
  const port = await freePort()
  const holdfast = await startHoldfast(dir => tableConfig(dir, mariadb, maps, {
    role: roles, node: name, health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`,
    // As adopt writes it: the names of this host.
    local_domains: [name, 'localhost'], ...more,
  }))
  t.teardown(() => holdfast.kill())
  return { holdfast, url: `http://127.0.0.1:${port}`, config: join(holdfast.dir, 'holdfast.yaml') }
}

const holdfast = (node: Node, ...args: readonly string[]) =>
  run(process.execPath, [mainFile, ...args, '--config', node.config])

/** The node's report, once it is as wanted. */
const reported = async ({ url }: Node, is: (report: Report) => boolean): Promise<Report> => {
  for (;;) {
    const report = await (await fetch(`${url}/status`)).json() as Report
    if (is(report)) return report
    await sleep(200)
  }
}

const arePresent = (count: number) => ({ fleet }: Report): boolean =>
  fleet?.nodes.filter(({ state }) => state === 'well').length === count

const rows = (domain: string): string => tableSql(
  Array.from({ length: 12 }, (_, index) => `('user${index}@${domain}', 'box${index}@x.example')`).join(', '))

t.test('a node sees who is there, in which state, who is gone, who has other definitions and who has other data', {
  timeout: 180_000,
}, async t => {
  const [redis, mariadb, other] = [await startRedis(), await startMariadb({ sql: rows('a.example') }), await startMariadb({ sql: rows('b.example') })]
  t.teardown(() => Promise.all([redis.stop(), mariadb.stop(), other.stop()]))
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

  const changed = await startNode(t, 'mx2.example', mariadb, shared, { alias: { search: 'virtual', query: "SELECT v FROM a WHERE k='%s' LIMIT 1" } })
  await first.holdfast.logged(/fleet: map alias: nodes have different definitions: mx1\.example, mx9\.example \/ mx2\.example/)
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_definitions 2\n')
  await changed.holdfast.kill()

  const stranger = await startNode(t, 'staging.example', other, shared)
  await first.holdfast.logged(/fleet: staging\.example has the same key_prefix in Redis as mx1\.example, but other data/)
  await stranger.holdfast.logged(/fleet: mx\S+ has the same key_prefix in Redis as staging\.example, but other data/)
  t.notMatch(first.holdfast.log(), /mx9\.example has the same key_prefix/)
  await stranger.holdfast.kill()

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

t.test('a text table that is half rolled out, a node with the wrong role and one that is out of service are found', {
  timeout: 120_000,
}, async t => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const start = async (name: string, domains: string, more: Readonly<Record<string, unknown>> = {}) => {
    const port = await freePort()
    const holdfast = await startHoldfast(dir => {
      writeFileSync(join(dir, 'domains'), domains)
      writeFileSync(join(dir, 'own'), `${name} OK\n`)
      return JSON.stringify({
        listen: [{ socketmap: `unix:${dir}/s` }], health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`,
        redis: { port: redis.port }, role: roles, node: name, local_domains: [name],
        maps: { relay: { search: 'domain', text: 'domains' }, clients: { search: 'access', text: 'own' } }, ...more,
      })
    })
    t.teardown(() => holdfast.kill())
    return { holdfast, url: `http://127.0.0.1:${port}`, config: join(holdfast.dir, 'holdfast.yaml') }
  }
  const first = await start('mx1.example', '# of today\na.example x\nb.example x\n')
  const second = await start('mx2.example', 'b.example x\na.example x\n')
  const fallback = await start('mx9.example', 'a.example x\nb.example x\n')
  const { fleet } = await reported(first, arePresent(3))
  t.match(fleet, { definitions: 1, findings: [] }, 'the order, comments, local_domains, and a list of each node\'s own')

  writeFileSync(join(second.holdfast.dir, 'domains'), 'a.example x\n')
  second.holdfast.reload()
  await first.holdfast.logged(/fleet: map relay: nodes have different definitions or text tables: mx1\.example, mx9\.example \/ mx2\.example/)
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_definitions 2\n')

  await second.holdfast.kill()
  const misplaced = await start('mx8.example', 'a.example x\nb.example x\n', { role: 'fallback' })
  await first.holdfast.logged(/fleet: mx8\.example runs as fallback, but the `role:` of mx1\.example makes it the primary/)
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_findings{kind="role"} 1\n')

  t.match(await holdfast(first, 'forget', 'mx8.example'), { code: 75, stderr: /mx8\.example is in service: it announced itself \d+ s ago/ })
  await misplaced.holdfast.kill()
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  for (const name of ['mx2', 'mx8']) await client.pexpire(`holdfast:node ${name}.example`, 7 * 86_400_000 - 61_000)
  for (const node of [first, fallback]) await reported(node, report => report.fleet?.nodes.filter(({ state }) => state === 'gone').length === 2)
  t.match(await holdfast(first, 'forget', 'MX8.example.'), { code: 0, stdout: /^mx8\.example is forgotten/ })
  t.match((await holdfast(first, 'status', '--fleet')).stdout, '3 nodes; those that are there have the same definitions')
  t.match(await holdfast(first, 'forget', 'mx2.example'), { code: 0 })
  await reported(fallback, report => report.fleet?.nodes.length === 2)
  t.match(await holdfast(first, 'forget', 'mx2.example'), { code: 75, stderr: /there is no node mx2\.example/ })
})

t.test('without Redis, a node says that it knows only itself', async t => {
  const mariadb = await startMariadb({ sql: rows('a.example') })
  t.teardown(() => mariadb.stop())
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
    'mx1.example': address, 'mx9.example': address, 'mx7.example': address, 'deaf.example': { fault: 'SERVFAIL' },
  }
  const zone = await startZone(name => names[name])
  t.teardown(() => zone.stop())
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
