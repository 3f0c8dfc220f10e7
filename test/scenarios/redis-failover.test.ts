/**
 * Redis fails over under load, in each shape that does. MariaDB is up.
 *
 * 1. Clients look up all the time, also keys that nobody has asked for, so that
 *    each goes to Redis; the primary is killed; the replica takes
 *    over. Every reply is right: a lookup beyond the deadline would be TEMP.
 * 2. Redis is used again: with MariaDB gone, and after a restart, what was asked
 *    since then is known.
 */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { Report } from '../../src/admin/summary.js'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startCluster, startGuarded } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const answers: readonly (readonly [map: string, key: string, reply: string])[] = [
  ['virtual_alias', 'info@v.example', 'OK box@relay.example'],
  ['virtual_alias', 'info+tag@v.example', 'OK box+tag@relay.example'],
  ['virtual_alias', 'stranger@catch.example', 'OK all@relay.example'],
  ['virtual_domain', 'v.example', 'OK v.example'],
  ['relay_domain', 'relay.example', 'OK relay.example'],
  ['relay_domain', 'other.example', 'NOTFOUND '],
  ['relay_recipient', 'box@relay.example', 'OK ok'],
  ['transport', 'box@relay.example', 'OK smtp:[127.0.0.1]:25'],
]
/** Each is asked for in one run only. */
const answersOf = (run: string): typeof answers => [
  ['virtual_alias', `${run}@catch.example`, 'OK all@relay.example'], ['virtual_alias', `${run}@v.example`, 'NOTFOUND '],
  ['relay_recipient', `box+${run}@relay.example`, 'OK ok'],
]

/**
 * A daemon on this Redis, whose clients ask on while `fail` has it fail over, until it is used again; the function that
 * it gives restarts the daemon, and asks for what was asked last.
 */
const failsOver = async (t: Test, mariadb: Mariadb, redis: Readonly<Record<string, unknown>>, fail: () => Promise<void>): Promise<() => Promise<void>> => {
  const port = await freePort()
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, {
    redis, health: `127.0.0.1:${port}`,
  })), 'kill')
  const ask = (map: string, key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, map, key)
  const reads = async (): Promise<number> => {
    const { redis } = await (await fetch(`http://127.0.0.1:${port}/status`)).json() as Report
    return (redis?.hits ?? 0) + (redis?.misses ?? 0)
  }
  const name = Object.keys(redis).join(' ')
  let isOver = false
  let asked = 0
  const wrong: string[] = []
  const client = async (): Promise<void> => {
    while (!isOver) {
      for (const [map, key, reply] of [...answers, ...answersOf(`user${asked}`)]) {
        const said = await ask(map, key)
        asked++
        if (said !== reply) wrong.push(`${map} ${key}: ${said}`)
      }
    }
  }
  const untilReads = async (count: number): Promise<void> => { while (await reads() < count) await setTimeout(20) }
  const clients = [client(), client(), client(), client()]
  await untilReads(1)
  await fail()
  await untilReads(await reads() + 100)
  isOver = true
  await Promise.all(clients)
  t.strictSame(wrong, [], `${name}: of ${asked} replies`)
  // An outage of Redis is logged once, however many lookups meet it.
  const lines = holdfast.log().split('\n').filter(line => line.includes('redis: '))
  t.ok(lines.length < 15, `${name}: ${lines.length} lines in the log`)
  const last = Array.from({ length: 20 }, (_, number) => answersOf(`last${number}`)).flat()
  for (const [map, key, reply] of last) t.equal(await ask(map, key), reply, `${name}: ${map} ${key}`)
  return async () => {
    await holdfast.stop()
    await holdfast.start()
    for (const [map, key, reply] of last) {
      if (reply.startsWith('OK ')) t.equal(await ask(map, key), reply, `${name}: ${map} ${key} in the outage`)
    }
  }
}

t.test('no wrong answer, none too late, and what was asked after the failover is known', async t => {
  const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
  const guarded = await during(t, startGuarded({ sentinelPassword: 's3cret' }))
  const cluster = await during(t, startCluster())
  const { master, sentinels, primary } = guarded
  const checks = await Promise.all([
    failsOver(t, mariadb, { master, sentinels: sentinels.map(({ host, port }) => `${host}:${port}`), sentinel_password: 's3cret' }, async () => {
      await primary.kill()
      await guarded.promoted()
    }),
    failsOver(t, mariadb, { cluster: cluster.nodes.map(({ host, port }) => `${host}:${port}`) }, async () => {
      await cluster.nodes[0]?.kill()
      await cluster.promoted()
    }),
  ])
  await mariadb.kill()
  for (const check of checks) await check()
})
