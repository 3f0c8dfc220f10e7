/** What nodes that share a real Redis tell each other of the servers that are in doubt. */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import type { MysqlMap } from '../../src/lookup/maps.js'
import { absent, byteString, found } from '../../src/outcome.js'
import { MapTrust } from '../../src/trust/map_trust.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { shareDoubts } from '../../src/upkeep/share_doubts.js'
import { fakeClock } from '../fixtures/clock.js'
import { startRedis } from '../fixtures/redis.js'

const redis = await startRedis()
t.teardown(() => redis.stop())
const client = new Redis({ path: redis.socket })
t.teardown(() => client.disconnect())

const start = 1_700_000_000_000
const hour = 3_600_000
const identity = { name: 'alias', definition: '0123456789abcdef' }

/**
 * A node whose table has a known key, but on no server until `isBack`. `written` resolves when Redis has text like
 * that.
 */
const join = async (t: Test, keyPrefix: string, now = start) => {
  const clock = fakeClock(now)
  const rows = { isBack: false }
  let noteChange = (): void => undefined
  const problems: string[] = []
  const table = new TableTrust({ maxShrink: 0.3, evidenceForMs: 24 * hour }, {
    source: {
      ask: async () => ({ outcome: rows.isBack ? found(byteString('box')) : absent, server: '' }),
    },
    clock, sample: () => ['user@example.com'], canaries: [], siblings: [], dropAbsences: () => undefined,
    onChange: () => noteChange(),
  })
  const trust = new MapTrust([table])
  const map = { name: 'alias', identity, trust, config: { sensitive: false } } as unknown as MysqlMap
  const share = () => {
    const sharing = shareDoubts({
      maps: [map], clock,
      redis: { client, keyPrefix, tried: Promise.resolve(), formerNames: () => Promise.resolve(new Map()) },
      onProblem: problem => { problems.push(problem) },
    })
    t.teardown(() => sharing.close())
    return sharing
  }
  const doubts = share()
  await doubts.tried
  noteChange = () => doubts.noteChange('alias')
  const servers = (): readonly string[] => trust.doubts.map(({ server }) => server).toSorted()
  const until = async (isSo: () => boolean): Promise<void> => { while (!isSo()) await setTimeout(5) }
  const written = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test((await client.hvals(`${keyPrefix}doubts of maps`)).join())) await setTimeout(5)
  }
  return { clock, rows, table, trust, doubts, share, problems, servers, until, written }
}

/** What a node writes that is in no doubt. */
const noDoubt = (keyPrefix: string): Promise<number> => client.hset(`${keyPrefix}doubts of maps`,
  `${identity.name} ${identity.definition}`, JSON.stringify({ trustedAt: 0, doubts: [] }))

t.test('a node that finds a server in doubt leaves what another one found meanwhile', async t => {
  const [first, second] = [await join(t, 'two:'), await join(t, 'two:')]
  first.table.doubt('one', 'shrunk')
  await first.written(/"one"/)
  first.doubts.close()
  second.table.doubt('two', 'shrunk')
  await second.written(/"two"/)
  t.strictSame((await join(t, 'two:', start + 1)).servers(), ['one', 'two'])
})

t.test('two nodes that find servers in doubt at the same time know both in the end, and none that is over', async t => {
  const [first, second] = [await join(t, 'both:'), await join(t, 'both:')]
  first.table.doubt('one', 'shrunk')
  second.table.doubt('two', 'shrunk')
  while (first.servers().length < 2 || second.servers().length < 2) {
    for (const { clock } of [first, second]) await clock.advance(5_000)
    await setTimeout(5)
  }
  first.trust.trust()
  await second.until(() => {
    for (const { clock } of [first, second]) void clock.advance(5_000)
    return second.servers().length === 0
  })
  for (let round = 0; round < 4; round++) {
    for (const { clock } of [first, second]) await clock.advance(5_000)
    await setTimeout(20)
  }
  t.strictSame([first.servers(), second.servers()], [[], []])
})

t.test('a doubt that is over here does not begin again by what another node still says', async t => {
  const node = await join(t, 'over:')
  node.table.doubt('one', 'shrunk')
  const before = node.trust.encode()
  node.trust.trust()
  const other = await join(t, 'else:')
  other.trust.decode(before)
  t.strictSame(other.servers(), ['one'])
  other.rows.isBack = true
  await other.clock.advance(5_000)
  t.strictSame(other.servers(), [])
  other.trust.decode(before)
  t.strictSame(other.servers(), [])
})

t.test('what Redis did not take is written when it does', async t => {
  const node = await join(t, 'later:')
  await client.set('later:doubts of maps', 'in the way')
  node.table.doubt('one', 'shrunk')
  await node.until(() => node.problems.length > 0)
  await client.del('later:doubts of maps')
  await noDoubt('later:')
  await node.clock.advance(5_000)
  await node.written(/"one"/)
})

t.test('a node whose clock was ahead when somebody ran trust voids no evidence of those that join later', async t => {
  const ahead = await join(t, 'ahead:', start + 3 * hour)
  ahead.table.doubt('one', 'shrunk')
  await ahead.written(/"one"/)
  ahead.trust.trust()
  ahead.doubts.close()
  await ahead.written(/"doubts":\[\]/)
  const first = await join(t, 'ahead:')
  t.equal(first.trust.trustedAt, start)
  await first.written(new RegExp(`"trustedAt":${start},`))
  t.equal((await join(t, 'ahead:', start + hour)).trust.trustedAt, start)
})

t.test('a doubt that a node takes away that did not know of it is written again', async t => {
  const node = await join(t, 'again:')
  node.table.doubt('one', 'shrunk')
  await node.written(/"one"/)
  await noDoubt('again:')
  await node.clock.advance(5_000)
  await node.written(/"one"/)
  // One more look shows that it is there. Who takes it away now knew of it, and has seen it end.
  await node.clock.advance(5_000)
  await client.ping()
  await noDoubt('again:')
  for (let round = 0; round < 3; round++) {
    await node.clock.advance(5_000)
    await client.ping()
  }
  t.strictSame((await join(t, 'again:', start + 1)).servers(), [])
  t.strictSame(node.servers(), ['one'])
})

t.test('a doubt that Redis did not take before a reload is written after it', async t => {
  const node = await join(t, 'reload:')
  await noDoubt('reload:')
  node.doubts.close()
  node.table.doubt('one', 'shrunk')
  node.share()
  await node.written(/"one"/)
})
