/**
 * What a node learned while its Redis could not be written to is made up for.
 *
 * 1. Keys are asked while Redis hangs, while it takes no writes, and while it is
 *    killed, and has lost all that it held.
 * 2. Once it is well, all of them come to be in Redis: those of before, too.
 * 3. MariaDB and Holdfast are killed. Without a snapshot, Holdfast knows all of
 *    them after its start.
 */
import { setTimeout } from 'node:timers/promises'
import { Redis as Client } from 'ioredis'
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

const rounds = ['before', 'hung', 'refusing', 'killed'] as const
const keys = rounds.flatMap(round => Array.from({ length: 20 }, (_, index) => `${round}${index}@v.example`))

t.test('kill -9 after an outage of Redis loses nothing that was learned in it', async t => {
  const mariadb = await during(t, startMariadb({ sql: tableSql(keys.map(key => `('${key}', 'box')`).join()) }))
  const redis = await during(t, startRedis())
  const holdfast = await during(t, startHoldfast(dir => tableConfig(
    dir, mariadb, { alias: { search: 'exact' } }, { redis: { path: redis.socket } },
  )), 'kill')
  const client = new Client({ host: redis.host, port: redis.port })
  client.on('error', () => undefined)
  t.teardown(() => client.disconnect())
  const learn = async (round: typeof rounds[number]): Promise<void> => {
    for (const key of keys.filter(each => each.startsWith(round))) {
      t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'alias', key), 'OK box', key)
    }
  }
  const areIn = async (some: readonly (typeof rounds[number])[]): Promise<void> => {
    const wanted = keys.filter(key => some.some(round => key.startsWith(round)))
    while ((await client.keys('*:alias:*@*')).length < wanted.length) await setTimeout(100)
  }

  await learn('before')
  await redis.pause()
  await learn('hung')
  redis.resume()
  await areIn(['before', 'hung'])
  await client.config('SET', 'min-replicas-to-write', '1')
  await learn('refusing')
  await client.config('SET', 'min-replicas-to-write', '0')
  await areIn(['before', 'hung', 'refusing'])
  await redis.kill()
  await learn('killed')
  await redis.start()
  await areIn(rounds)

  await mariadb.kill()
  await holdfast.kill()
  await holdfast.start()
  for (const key of keys) t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'alias', key), 'OK box', key)
})
