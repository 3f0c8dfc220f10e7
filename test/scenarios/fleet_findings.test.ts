/** What doesn't fit together among daemons that share a Redis, and nodes that are out of service. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Redis } from 'ioredis'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startRedis } from '../fixtures/redis.js'
import { arePresent, holdfast, reported, roles, rows, startNode } from './fleet_bed.js'

t.test('nodes with other definitions, and with other data, are found', { timeout: 180_000 }, async t => {
  const [redis, mariadb, other] = [await startRedis(), await startMariadb({ sql: rows('a.example') }), await startMariadb({ sql: rows('b.example') })]
  t.teardown(() => Promise.all([redis.stop(), mariadb.stop(), other.stop()]))
  const shared = { redis: { port: redis.port } }
  const first = await startNode(t, 'mx1.example', mariadb, shared)
  await startNode(t, 'mx9.example', mariadb, shared)
  await reported(first, arePresent(2))

  const changed = await startNode(t, 'mx2.example', mariadb, shared, { alias: { search: 'virtual', query: "SELECT v FROM a WHERE k='%s' LIMIT 1" } })
  await first.holdfast.logged(/fleet: map alias: nodes have different definitions: mx1\.example, mx9\.example \/ mx2\.example/)
  t.match(await (await fetch(`${first.url}/metrics`)).text(), 'holdfast_fleet_definitions 2\n')
  await changed.holdfast.kill()

  const stranger = await startNode(t, 'staging.example', other, shared)
  await first.holdfast.logged(/fleet: staging\.example has the same key_prefix in Redis as mx1\.example, but other data/)
  await stranger.holdfast.logged(/fleet: mx\S+ has the same key_prefix in Redis as staging\.example, but other data/)
  t.notMatch(first.holdfast.log(), /mx9\.example has the same key_prefix/)
  await stranger.holdfast.kill()
})

t.test('a text table that is half rolled out, a node with the wrong role and one that is out of service are found', {
  timeout: 120_000,
}, async t => {
  const redis = await during(t, startRedis())
  const start = async (name: string, domains: string, more: Readonly<Record<string, unknown>> = {}) => {
    const port = await freePort()
    const holdfast = await during(t, startHoldfast(dir => {
      writeFileSync(join(dir, 'domains'), domains)
      writeFileSync(join(dir, 'own'), `${name} OK\n`)
      return JSON.stringify({
        listen: [{ socketmap: `unix:${dir}/s` }], health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`,
        redis: { port: redis.port }, role: roles, node: name, local_domains: [name],
        maps: { relay: { search: 'domain', text: 'domains' }, clients: { search: 'access', text: 'own' } }, ...more,
      })
    }), 'kill')
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
