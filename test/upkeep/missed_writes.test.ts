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
import { makeEntry, statement } from '../../src/caches/entry.js'
import type { RedisAnswers } from '../../src/caches/redis.js'
import { Known } from '../../src/lookup/known.js'
import { compileSearch } from '../../src/lookup/search.js'
import { makeUpWrites } from '../../src/upkeep/missed_writes.js'
import { alias, box, open } from '../caches/bed.js'
import { stage, week } from '../lookup/stage.js'
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

t.test('a reload goes on to write what Redis missed', async t => {
  const redis = await during(t, startRedis())
  const { clock, lookup: { known: { memory } } } = stage({})
  const nodes = [open(t, { host: redis.host, port: redis.port }), open(t, { host: redis.host, port: redis.port })] as const
  const makeUp = (cache: RedisAnswers): (() => void) => {
    const known = new Known({
      identity: alias, plan: compileSearch('exact', { recipientDelimiter: '', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(), localDomains: new Set() }), lifetimes: week, confirmForMs: 300_000,
      absence: { does: 'refuses', inOutage: 'defer', isBelievedAtOnce: false },
    }, { memory, redis: cache, isKnownElsewhere: () => false, isKnownAsOurs: () => true, clock, random: () => 0 })
    return makeUpWrites({ maps: [{ redis: cache, memory, lookup: { known } }], redis: cache, clock })
  }
  const [before, after] = nodes
  await Promise.all([before.until('ready'), after.until('ready')])
  const rows = 1_000
  for (let number = 0; number < rows; number++) {
    memory.set(`user${number}@example.com`, makeEntry(statement(box, clock.now(), 0), week, clock.now(), 0))
  }
  before.cache.miss(0)
  const end = makeUp(before.cache)
  // One batch of several.
  await clock.advance(5_000)
  after.cache.inherit(before.cache)
  const endAfter = makeUp(after.cache)
  end()
  for (let batch = 0; batch < 10; batch++) await clock.advance(5_000)
  endAfter()
  const isIn = async (number: number): Promise<boolean> => (await after.cache.read(alias, [`user${number}@example.com`]))?.[0] != null
  // The last writes are under way.
  while (!await isIn(0) || !await isIn(rows - 1)) await setTimeout(10)
  for (let number = 0; number < rows; number++) if (!await isIn(number)) t.fail(`user${number} is not in Redis`)
})
