import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { createLog } from '../../src/log.js'
import type { MapLookup } from '../../src/lookup/lookup.js'
import { absent, unavailable } from '../../src/outcome.js'
import { bringEvidence, preload } from '../../src/upkeep/evidence.js'
import { copyOf, down, fresh, minute, stage, stale } from '../lookup/stage.js'

const log = createLog({ level: 'error', format: 'text', journal: false }, () => undefined, () => 0)
const users = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)

/** A node that joins, with an empty memory of that size. */
const joining = async (staged: ReturnType<typeof stage>, entries = 100): Promise<MapLookup> => {
  const node = staged.open({}, new Memory({ entries, bytes: 1_000_000, absentEntries: 10 }))
  const { known } = node
  known.isRedisRead = false
  await preload([{ name: 'alias', identity: known.identity, redis: known.redis, memory: known.memory, lookup: node }], log)
  return node
}

const learned = async () => {
  const staged = stage(Object.fromEntries(users.map(user => [user, 'box'])), { withRedis: true, search: 'exact' })
  for (const user of users) await staged.ask(user)
  return staged
}

t.test('a node that joins on a table that has lost its rows does not believe it', async t => {
  const staged = await learned()
  await staged.clock.advance(6 * minute)
  staged.source.rows.clear()
  const node = await joining(staged)
  t.match(await staged.ask('nobody@example.com', node), { kind: 'unavailable', reason: 'distrusted' })
  for (const user of users) t.strictSame(await staged.ask(user, node), stale('box'), user)
})

t.test('a node that joins in an outage knows what the others know, fresh or stale', async t => {
  const staged = await learned()
  staged.source.fault = down
  const node = await joining(staged)
  staged.redis.state.usable = false
  t.strictSame(await staged.ask('user7@example.com', node), fresh('box'))
})

t.test('what joins counts as asked for when it was verified, and pushes nothing out', async t => {
  const staged = await learned()
  const verifiedAt = staged.clock.now()
  await staged.clock.advance(minute)
  const { known: { memory } } = await joining(staged, 5)
  t.equal(memory.size().found, 5)
  for (const [, { askedAt }] of memory.known()) t.equal(askedAt, verifiedAt)
})

t.test('a Redis that fails on the way leaves what was read, and the node starts', async t => {
  const staged = await learned()
  const { cache } = staged.redis
  const all = cache.all.bind(cache)
  cache.all = async function* (map, isWanted) {
    yield* all(map, key => isWanted(key) && key < 'user2')
    throw new Error('gone')
  }
  const node = await joining(staged)
  staged.source.fault = unavailable('source-down', 'gone')
  t.strictSame(await staged.ask('user1@example.com', node), fresh('box'))
})

t.test('the first copies are taken once the files, the snapshot and Redis have been read', async t => {
  const { clock, open } = await learned()
  const lookup = open({}, new Memory({ entries: 100, bytes: 1_000_000, absentEntries: 10 }))
  const { known } = lookup
  known.isRedisRead = false
  const steps: string[] = []
  const later = (step: string) => () => new Promise<void>(resolve => {
    clock.after(1_000, () => {
      steps.push(`${step}, ${known.memory.size().found} known`)
      resolve()
    })
  })
  const evidence = bringEvidence({
    maps: [{ name: 'alias', identity: known.identity, redis: known.redis, memory: known.memory, lookup }],
    copies: { readFiles: later('copies'), start: () => steps.push(`start, ${known.memory.size().found} known`) },
    recall: later('snapshot'), redisTried: later('flushes')(), clock, log,
  })
  t.teardown(() => evidence.close())
  await clock.advance(2_000)
  await evidence.all
  t.strictSame(steps.toSorted(), ['copies, 0 known', 'flushes, 0 known', 'snapshot, 0 known', 'start, 20 known'])
  t.equal(steps.at(-1), 'start, 20 known')
})

t.test('a Redis that comes up after the start is read then, and overrules absences from an empty table', async t => {
  const staged = await learned()
  const { clock, redis, source, copies } = staged
  redis.state.usable = false
  source.rows.clear()
  const lookup = staged.open({}, new Memory({ entries: 100, bytes: 1_000_000, absentEntries: 10 }))
  const { known } = lookup
  known.isRedisRead = false
  await clock.advance(6 * minute)
  const evidence = bringEvidence({
    maps: [{ name: 'alias', identity: known.identity, redis: known.redis, memory: known.memory, lookup }],
    copies: { readFiles: () => Promise.resolve(), start: () => copies.put(0, copyOf({}, clock.now(), 0)) },
    recall: () => Promise.resolve(), redisTried: Promise.resolve(), clock, log,
  })
  t.teardown(() => evidence.close())
  await evidence.all
  await clock.advance(minute)
  for (const user of users) t.match(await staged.ask(user, lookup), { kind: 'unavailable', reason: 'distrusted' }, user)
  redis.state.usable = true
  await clock.advance(minute)
  for (const user of users) t.strictSame(await staged.ask(user, lookup), stale('box'), user)
  t.match(await staged.ask('nobody@example.com', lookup), { kind: 'unavailable', reason: 'distrusted' })
})

t.test('without Redis an absence backed by a table of the same database is given, but overrules nothing', async t => {
  const staged = await learned()
  const { clock, redis, source } = staged
  redis.state.usable = false
  source.rows.clear()
  const lookup = staged.open({}, new Memory({ entries: 100, bytes: 1_000_000, absentEntries: 10 }))
  const { known } = lookup
  known.isRedisRead = false
  const [user = ''] = users
  await clock.advance(6 * minute)
  known.keep(user, absent, clock.now())
  redis.state.usable = true
  await preload([{ name: 'alias', identity: known.identity, redis: known.redis, memory: known.memory, lookup }], log)
  t.strictSame(await staged.ask(user, lookup), stale('box'))
})

t.test('where Redis is empty, the table is believed once that is known', async t => {
  const staged = stage({}, { withRedis: true, search: 'exact' })
  const { known } = staged.lookup
  known.isRedisRead = false
  t.match(await staged.ask('nobody@example.com'), { kind: 'unavailable', reason: 'distrusted' })
  await preload([{ name: 'alias', identity: known.identity, redis: known.redis, memory: known.memory, lookup: staged.lookup }], log)
  await staged.clock.advance(minute)
  t.equal(await staged.ask('nobody@example.com'), absent)
})
