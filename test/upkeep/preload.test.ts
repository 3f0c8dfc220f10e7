import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { createLog } from '../../src/log.js'
import type { MapLookup } from '../../src/lookup/lookup.js'
import { unavailable } from '../../src/outcome.js'
import { preload } from '../../src/upkeep/preload.js'
import { down, fresh, minute, stage, stale } from '../lookup/stage.js'

const log = createLog({ level: 'error', format: 'text', journal: false }, () => undefined, () => 0)
const users = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)

/** A node that joins, with an empty memory of that size. */
const joining = async (staged: ReturnType<typeof stage>, entries = 100): Promise<MapLookup> => {
  const node = staged.open({}, new Memory({ entries, bytes: 1_000_000, absentEntries: 10 }))
  const { known } = node
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
