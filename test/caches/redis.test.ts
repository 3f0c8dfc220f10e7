import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { redisKey } from '../../src/caches/redis_records.js'
import { statement } from '../../src/caches/entry.js'
import type { Test } from 'tap'
import { byteString, found } from '../../src/outcome.js'
import type { ByteString } from '../../src/outcome.js'
import { during } from '../fixtures/during.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { freePort } from '../fixtures/port.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { alias, box, day, open, verifiedAt } from './bed.js'

const server = async (t: Test, ...args: readonly string[]) => {
  const redis = await during(t, startRedis({ args }))
  return redis
}

/** A plain client, to read and change what Redis holds. */
const client = (t: Test, port: number) => {
  const plain = new Redis({ host: '127.0.0.1', port })
  t.teardown(() => plain.disconnect())
  return plain
}

t.test('what was written is read, byte by byte, with the time of its verification', async t => {
  const { port } = await server(t)
  const { cache, until, write } = open(t, { port })
  await until('ready')
  const bytes = found(Buffer.from(Array.from({ length: 255 }, (_, byte) => byte + 1)).toString('latin1') as ByteString)
  await write('info@example.com')
  await write('bytes@example.com', bytes)
  t.strictSame(await cache.read(alias, ['info@example.com', 'nobody@example.com', 'bytes@example.com']),
    [statement(box, verifiedAt), null, statement(bytes, verifiedAt)])
  t.match(cache.status(), { state: 'ready', hits: 2 })
})

t.test('C119 maps have keys of their own, and what another definition found is marked as that', async t => {
  const { port } = await server(t)
  const { cache, until, write } = open(t, { port })
  await until('ready')
  await write('info@example.com')
  t.strictSame(await cache.read({ ...alias, name: 'relay' }, ['info@example.com']), [null])
  t.match(await cache.read({ ...alias, definition: 'fedcba9876543210' }, ['info@example.com']), [{ isForeign: true }])
  t.match(cache.status(), { hits: 0, misses: 3 }, 'it is no answer')
  t.equal(cache.status().faults['invalid-record'], 0, 'which is no fault')
})

t.test('a record has its time to live, and is gone when it is removed', async t => {
  const { port } = await server(t)
  const { cache, until, write } = open(t, { port })
  const plain = client(t, port)
  await until('ready')
  await write('info@example.com', box, 90_000)
  const left = await plain.pttl('hf:alias:info@example.com')
  t.ok(left > 0 && left <= 90_000)
  cache.remove(alias, 'info@example.com')
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
  await write('info@example.com', box, 0)
  t.strictSame(await plain.keys('*'), [], 'and one that has expired already is not written')
})

t.test('writes and removals reach Redis in order, also without a read after them, and before close() ends', async t => {
  const { port } = await server(t)
  const { cache, until } = open(t, { port })
  const plain = client(t, port)
  await until('ready')
  const stands = async (names: readonly string[]): Promise<void> => {
    const keys = names.map(name => `hf:alias:${name}`).sort().join(' ')
    while ((await plain.keys('*')).sort().join(' ') !== keys) await setImmediate()
  }
  cache.write(alias, 'first', statement(box, verifiedAt), day)
  cache.write(alias, 'second', statement(box, verifiedAt), day)
  cache.remove(alias, 'first')
  await stands(['second'])
  const many = Array.from({ length: 250 }, (_, number) => `many${number}`)
  for (const name of many) cache.write(alias, name, statement(box, verifiedAt), day)
  cache.remove(alias, 'second')
  cache.close()
  await stands(many)
})

t.test('C113 foreign values, cut records and other types are misses, and the first two are counted', async t => {
  const { port } = await server(t)
  const { cache, until, write, states, told } = open(t, { port })
  const plain = client(t, port)
  await until('ready')
  await write('whole')
  const record = await plain.getBuffer('hf:alias:whole')
  await plain.set('hf:alias:cut', record?.subarray(0, -3) ?? '')
  await plain.set('hf:alias:foreign', '{"value":"box@example.net"}')
  await plain.set('hf:alias:empty', '')
  await plain.rpush('hf:alias:list', 'box@example.net')
  t.strictSame(
    await cache.read(alias, ['cut', 'foreign', 'empty', 'list', 'whole']),
    [null, null, null, null, statement(box, verifiedAt)],
  )
  t.match(cache.status().faults, { 'invalid-record': 3 })
  t.strictSame(told, ['invalid-record', 'invalid-record', 'invalid-record'], 'and told, for the log')
  t.strictSame(states, ['ready'], 'and the server is not left alone for that')
  const listed: unknown[] = []
  for await (const records of cache.all(alias, () => true)) listed.push(...records)
  t.strictSame(listed, [['whole', statement(box, verifiedAt)]], 'a list of all leaves them out')
  await write('cut')
  t.strictSame(await cache.read(alias, ['cut']), [statement(box, verifiedAt)], 'it is overwritten')
})

t.test('whole answers have a limited number of places; of two in the same place the later one stays', async t => {
  const { port } = await server(t)
  const { cache, until, write } = open(t, { port })
  await until('ready')
  const places = new Map<string, string>()
  let shared: readonly string[] = []
  for (let user = 0; shared.length === 0; user++) {
    const key = `\0user${user}@example.com`
    const place = redisKey('hf:', alias, key)
    const other = places.get(place)
    if (other !== undefined) shared = [other, key]
    places.set(place, key)
  }
  const [first = '', second = ''] = shared
  await write(first)
  t.strictSame(await cache.read(alias, [first, second]), [statement(box, verifiedAt), null])
  await write(second)
  t.strictSame(await cache.read(alias, [first, second]), [null, statement(box, verifiedAt)])
  const listed: unknown[] = []
  for await (const records of cache.all(alias, () => true)) listed.push(...records)
  t.strictSame(listed, [[second, statement(box, verifiedAt)]])
})

t.test('C106 while nobody listens, no read waits; Holdfast uses Redis as soon as it is up', async t => {
  const port = await freePort()
  const { cache, until } = open(t, { port })
  await until('down')
  t.equal(cache.read(alias, ['info@example.com']), null)
  cache.write(alias, 'info@example.com', statement(box, verifiedAt), day)
  cache.remove(alias, 'info@example.com')
  t.ok(cache.status().faults.connection > 0)
  await server(t, '--port', String(port))
  await until('ready')
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
})

t.test('if Redis is killed during a read, the read is a miss, and Holdfast reconnects by itself', async t => {
  const redis = await server(t)
  const { cache, until, states } = open(t, { port: redis.port })
  await until('ready')
  await redis.pause()
  const reading = cache.read(alias, ['info@example.com'])
  await redis.kill()
  t.strictSame(await reading, [null])
  await until('down')
  t.equal(cache.read(alias, ['info@example.com']), null)
  await redis.start()
  await until('ready')
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
  // Either the command or the connection fails first; a rest between the states changes nothing.
  t.strictSame(states.filter(state => state !== 'resting'), ['ready', 'down', 'ready'])
})

t.test('C107 a hung Redis: a miss after the command timeout, a rest of two seconds, then another try', async t => {
  const redis = await server(t)
  const { cache, clock, until, write } = open(t, { port: redis.port }, 50)
  await until('ready')
  await redis.pause()
  // On a busy machine a command may have timed out before.
  const { timeout } = cache.status().faults
  t.strictSame(await cache.read(alias, ['one', 'two']), [null, null])
  t.match(cache.status(), { state: 'resting', faults: { timeout: timeout + 1 } })
  t.equal(cache.read(alias, ['one']), null, 'not asked')
  cache.write(alias, 'one', statement(box, verifiedAt), day)
  clock.now += 1_999
  t.equal(cache.isUsable(), false)
  clock.now += 1
  t.strictSame(await cache.read(alias, ['one']), [null])
  t.equal(cache.status().faults.timeout, timeout + 2)
  redis.resume()
  // The server answers what it was asked while it hung; until it has, reads time out.
  let answer: unknown = null
  while (answer === null) {
    clock.now += 2_000
    await write('one')
    answer = (await cache.read(alias, ['one']))?.[0] ?? null
  }
  t.strictSame(answer, statement(box, verifiedAt))
  await until('ready')
})

t.test('while Redis rests, every lookup that nothing else can answer waits for it', async t => {
  const redis = await server(t)
  const writer = open(t, { port: redis.port })
  await writer.until('ready')
  await writer.write('one')
  const { cache, clock, until } = open(t, { port: redis.port }, 50)
  await until('ready')
  await redis.pause()
  t.strictSame(await cache.read(alias, ['one']), [null])
  t.equal(cache.isUsable(), false)
  const many = Array.from({ length: 1_000 }, (_, n) => String(n))
  const reading = cache.readPatiently(alias, ['one', ...many], 60_000)
  redis.resume()
  t.strictSame(await reading, [statement(box, verifiedAt), ...many.map(() => null)])
  t.equal(cache.isUsable(), false, 'its rest goes on')
  t.strictSame(await cache.readPatiently(alias, ['one'], 60_000), [statement(box, verifiedAt)])

  await redis.pause()
  const { timeout } = cache.status().faults
  t.strictSame(await cache.readPatiently(alias, ['one'], 50), [null], 'no longer than they have')
  t.equal(cache.status().faults.timeout, timeout + 1)
  redis.resume()
  do clock.now += 2_000
  while ((await cache.read(alias, ['one']))?.[0] === null)
  await until('ready')
})

t.test('an answer that comes after the timeout is never taken for that of a later read', async t => {
  const { port } = await server(t)
  const proxy = await during(t, startProxy({ host: '127.0.0.1', port }))
  const plain = client(t, port)
  // Another cache writes it, with a time limit that a busy machine doesn't exceed.
  const writer = open(t, { port })
  await writer.until('ready')
  const other = found(byteString('other@example.net'))
  await writer.write('one')
  await writer.write('two', other)
  const { cache, clock, until } = open(t, { port: proxy.port }, 100)
  await until('ready')
  proxy.slow(300)
  t.strictSame(await cache.read(alias, ['one']), [null])
  await plain.ping()
  const answers = []
  do {
    clock.now += 2_000
    answers.push((await cache.read(alias, ['two']))?.[0] ?? null)
    await proxy.pass()
  } while (answers.at(-1) === null)
  t.strictSame(answers.at(-1), statement(other, verifiedAt))
})

t.test('a Redis that accepts the connection and never answers is not used, and delays no read', async t => {
  const { port } = await server(t)
  const proxy = await during(t, startProxy({ host: '127.0.0.1', port }))
  proxy.stall()
  const { cache, until } = open(t, { port: proxy.port })
  await proxy.untilAccepted(1)
  t.equal(cache.read(alias, ['info@example.com']), null)
  t.equal(cache.status().state, 'connecting')
  await proxy.pass()
  proxy.dropAll()
  await until('ready')
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
})

t.test('a connection that breaks in the middle of an answer means a miss and a new connection', async t => {
  const { port } = await server(t)
  const proxy = await during(t, startProxy({ host: '127.0.0.1', port }))
  const { cache, until, write } = open(t, { port: proxy.port })
  await until('ready')
  await write('info@example.com')
  proxy.cutAfter(20)
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
  await until('down')
  await proxy.pass()
  await until('ready')
  t.strictSame(await cache.read(alias, ['info@example.com']), [statement(box, verifiedAt)])
})

for (const [name, settings] of [['no password', {}], ['a wrong password', { password: 'wrong' }]] as const) {
  t.test(`C112 ${name}: Redis is not used, counts as such and delays nothing, until it lets Holdfast in`, async t => {
    const { port } = await server(t, '--requirepass', 'secret')
    const { cache, until } = open(t, { port, ...settings })
    await until('down')
    t.equal(cache.read(alias, ['info@example.com']), null)
    t.ok(cache.status().faults.auth > 0)
    const plain = new Redis({ host: '127.0.0.1', port, password: 'secret' })
    t.teardown(() => plain.disconnect())
    if (name === 'no password') await plain.config('SET', 'requirepass', '')
    else await plain.config('SET', 'requirepass', 'wrong')
    await until('ready')
    t.strictSame(await cache.read(alias, ['info@example.com']), [null])
  })
}

t.test('Holdfast logs in with the right password', async t => {
  const { port } = await server(t, '--requirepass', 'secret')
  const { cache, until } = open(t, { port, password: 'secret' })
  await until('ready')
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
})

t.test('C109 a replica is read but not written to, and status says so, until it is the primary', async t => {
  const primary = await server(t)
  const { port } = await server(t)
  const plain = client(t, port)
  const { cache, clock, until, write, writes, states } = open(t, { port })
  await until('ready')
  await write('other@example.com')
  await plain.replicaof('127.0.0.1', primary.port)
  await write('info@example.com')
  await until('down')
  await until('ready')
  await write('info@example.com')
  t.equal(cache.status().faults.readonly, 1, 'the second write was left out')
  t.strictSame(states, ['ready', 'down', 'ready'], 'one new connection, to whatever the address now means')
  for (let tries = 2; tries <= 6; tries++) {
    clock.now += 10_000
    await write('info@example.com')
    t.equal(cache.status().faults.readonly, tries)
  }
  t.strictSame(states, ['ready', 'down', 'ready'], 'and no other for a minute')
  clock.now += 10_000
  await write('info@example.com')
  await until('down')
  await until('ready')
  await plain.replicaof('NO', 'ONE')
  clock.now += 10_000
  await write('info@example.com')
  t.strictSame(await cache.read(alias, ['info@example.com']), [statement(box, verifiedAt)])
  t.match(writes, [/^READONLY /, null])
})

t.test('Holdfast does not use a Redis that loads its data, until that has ended', async t => {
  const { port } = await server(t, '--enable-debug-command', 'yes', '--loading-process-events-interval-bytes', '1024')
  const plain = client(t, port)
  const { cache, clock, until, write } = open(t, { port })
  await until('ready')
  await write('info@example.com')
  await plain.debug('POPULATE', 1_000, 'filler', 100)
  await plain.config('SET', 'key-load-delay', '2000')
  const reloaded = plain.debug('RELOAD')
  // The command before may be done before the loading begins.
  while (cache.status().faults.loading === 0) {
    clock.now += 2_000
    await cache.read(alias, ['info@example.com'])
  }
  t.equal(cache.status().state, 'resting')
  t.equal(cache.read(alias, ['info@example.com']), null)
  await reloaded
  clock.now += 2_000
  t.strictSame(await cache.read(alias, ['info@example.com']), [statement(box, verifiedAt)])
  t.equal(cache.status().state, 'ready')
})

t.test('if Redis loads its data when Holdfast connects, that is the reported fault, until it has ended', async t => {
  const { port } = await server(t, '--enable-debug-command', 'yes', '--loading-process-events-interval-bytes', '1024')
  const plain = client(t, port)
  await plain.debug('POPULATE', 1_000, 'filler', 100)
  await plain.config('SET', 'key-load-delay', '2000')
  const other = client(t, port)
  await other.ping()
  const reloaded = plain.debug('RELOAD')
  while (!(await other.info('persistence')).includes('loading:1'));
  const { cache, until, told } = open(t, { port })
  await until('down')
  t.strictSame(new Set(told), new Set(['loading']))
  t.equal(cache.read(alias, ['info@example.com']), null)
  await reloaded
  await until('ready')
  t.strictSame(await cache.read(alias, ['info@example.com']), [null])
})

const dumps = freshFolder()
const refusals = {
  'N11 too few replicas': {
    word: 'NOREPLICAS', fault: 'no-replicas', args: [],
    prepare: (redis: Redis) => redis.config('SET', 'min-replicas-to-write', '1'),
    mend: (redis: Redis) => redis.config('SET', 'min-replicas-to-write', '0'),
  },
  'N11 a dump that can\'t be written': {
    word: 'MISCONF', fault: 'misconf', args: ['--dir', dumps, '--save', '3600 1'],
    prepare: async (redis: Redis) => {
      removeFolder(dumps)
      await redis.bgsave()
      while (!(await redis.info('persistence')).includes('rdb_last_bgsave_status:err'));
    },
    mend: (redis: Redis) => redis.config('SET', 'stop-writes-on-bgsave-error', 'no'),
  },
  'N12 no right to write': {
    word: 'NOPERM', fault: 'permission', args: [],
    prepare: (redis: Redis) => redis.acl('SETUSER', 'default', '-set'),
    mend: (redis: Redis) => redis.acl('SETUSER', 'default', '+set'),
  },
  'C110 memory full': {
    word: 'OOM', fault: 'oom', args: ['--maxmemory-policy', 'noeviction'],
    prepare: (redis: Redis) => redis.config('SET', 'maxmemory', '1'),
    mend: (redis: Redis) => redis.config('SET', 'maxmemory', '0'),
  },
} as const
for (const [name, { word, fault, args, prepare, mend }] of Object.entries(refusals)) {
  t.test(`${name}: Redis is read but not written to, and status says so, until it takes writes again`, async t => {
    const { port } = await server(t, ...args)
    const plain = client(t, port)
    const { cache, clock, until, write, writes, states } = open(t, { port })
    await until('ready')
    await write('info@example.com')
    await prepare(plain)
    await write('other@example.com')
    await write('third@example.com')
    t.equal(cache.status().faults[fault], 1, 'the second write was left out')
    t.match(cache.status().refusesWrites, { detail: new RegExp(`^${word} `) })
    t.strictSame(await cache.read(alias, ['info@example.com', 'other@example.com']), [statement(box, verifiedAt), null])
    await mend(plain)
    clock.now += 10_000
    await write('other@example.com')
    t.strictSame(await cache.read(alias, ['other@example.com']), [statement(box, verifiedAt)])
    t.match(writes, [new RegExp(`^${word} `), null])
    t.equal(cache.status().refusesWrites, null)
    t.strictSame(states, ['ready'])
  })
}

t.test('N12 a user for the keys of another prefix: reads and writes fail, and the fault is "permission"', async t => {
  const { port } = await server(t)
  const plain = client(t, port)
  await plain.call('ACL', 'SETUSER', 'narrow', 'on', '>pw', '~other:*', '&*', '+@all')
  const { cache, told, write } = open(t, { port, username: 'narrow', password: 'pw' })
  while (told.length === 0) {
    await write('info@example.com')
    await setImmediate()
  }
  t.strictSame(new Set(told), new Set(['permission']))
  t.strictSame(await cache.read(alias, ['info@example.com']) ?? [null], [null])
  t.equal(await plain.dbsize(), 0)
})

t.test('N12 a user without the right to INFO can still read', async t => {
  const { port } = await server(t)
  const { until, write } = open(t, { port })
  await until('ready')
  await write('info@example.com')
  await client(t, port).call('ACL', 'SETUSER', 'plain', 'on', '>pw', '~*', '&*', '+@all', '-info')
  const narrow = open(t, { port, username: 'plain', password: 'pw' })
  await narrow.until('ready')
  t.strictSame(await narrow.cache.read(alias, ['info@example.com']), [statement(box, verifiedAt)])
})

for (const [name, settings] of [
  ['N13 a database that can\'t be selected', { db: 20 }],
  ['a user that the server doesn\'t know', { username: 'nobody', password: 'wrong' }],
] as const) {
  t.test(`${name}: no write succeeds, the state stays "down", and nothing is printed`, async t => {
    const { port } = await server(t)
    const plain = client(t, port)
    const printed: unknown[] = []
    const { warn, error } = console
    t.teardown(() => Object.assign(console, { warn, error }))
    const print = (...line: unknown[]): number => printed.push(line)
    Object.assign(console, { warn: print, error: print })
    const { cache, until, states, told } = open(t, { port, ...settings })
    await until('down')
    // A second failure: it goes on trying.
    while (told.length < 2) await setImmediate()
    cache.write(alias, 'info@example.com', statement(box, verifiedAt), day)
    t.equal(cache.read(alias, ['info@example.com']), null)
    t.strictSame(new Set(told), new Set([name.startsWith('N13') ? 'database' : 'auth']))
    t.strictSame(states, ['down'])
    t.equal(await plain.dbsize(), 0)
    t.strictSame(printed, [])
  })
}

t.test('a late write replaces a record that is older or another definition\'s, and none that is newer', async t => {
  const { port } = await server(t)
  const { cache, until, write } = open(t, { port })
  await until('ready')
  const other = found(byteString('other@example.net'))
  for (const key of ['info@example.com', '\0whole@example.com']) {
    const readOne = async () => (await cache.read(alias, [key]))?.[0]
    for (const [wait, expected] of [[-1, other], [0, other], [1, box]] as const) {
      await write(key, other)
      await cache.writeLate(alias, key, statement(box, verifiedAt + wait), day)
      t.strictSame((await readOne())?.outcome, expected, `${wait} ms later`)
      cache.remove(alias, key)
    }
    await write(key, other, day, { ...alias, definition: 'fedcba9876543210' })
    await cache.writeLate(alias, key, statement(box, verifiedAt - 1), day)
    t.strictSame((await readOne())?.outcome, box)
  }
})

t.test('once Redis is back, the cache says since when it missed writes', async t => {
  const redis = await server(t)
  const { cache, until } = open(t, { port: redis.port })
  await until('ready')
  t.equal(cache.takeMissed(), null)
  await redis.kill()
  await until('down')
  for (const later of [5, 3, 9]) cache.write(alias, 'info@example.com', statement(box, verifiedAt + later), day)
  t.equal(cache.takeMissed(), null, 'not while it is away')
  await redis.start()
  await until('ready')
  t.equal(cache.takeMissed(), verifiedAt + 3)
  t.equal(cache.takeMissed(), null)
})

t.test('a clock that is set back prolongs no rest', async t => {
  const redis = await server(t)
  const { cache, clock, until } = open(t, { port: redis.port }, 50)
  await until('ready')
  await redis.pause()
  await cache.read(alias, ['one'])
  t.equal(cache.isUsable(), false)
  clock.set = -day
  clock.now += 2_000
  t.equal(cache.isUsable(), true)
  redis.resume()
})

t.test('a map finds the former names of its tables until it is noted, except names of present maps', async t => {
  const { port } = await server(t)
  const { cache, until } = open(t, { port })
  await until('ready')
  const names = async (...all: readonly [string, ...string[]]): Promise<readonly string[]> =>
    (await cache.formerNames(all.map(name => ({ ...alias, name })))).get(all[0]) ?? []
  cache.noteName(alias)
  cache.noteName({ ...alias, name: 'another', definition: 'fedcba9876543210' })
  t.strictSame(await names('aliases'), [alias.name])
  t.strictSame(await names('aliases', alias.name), [], 'a map of that name and definition is there')
  t.strictSame(await names(alias.name), [])
  cache.noteName({ ...alias, name: 'aliases' })
  t.strictSame(await names('aliases'), [])
})

t.test('of two renamed maps with one query each finds the name on its servers, and no map another\'s', async t => {
  const { port } = await server(t)
  const { cache, until } = open(t, { port })
  await until('ready')
  const map = (name: string, hosts: string) => ({ ...alias, name, hosts })
  const names = async (...maps: readonly ReturnType<typeof map>[]) => [...await cache.formerNames(maps)]
  cache.noteName(map('here', 'one'))
  cache.noteName(map('there', 'two'))
  t.strictSame(await names(map('now here', 'one'), map('now there', 'two')),
    [['now here', ['here']], ['now there', ['there']]])
  t.strictSame(await names(map('alone', 'three')), [['alone', ['here', 'there']]], 'its servers were exchanged')
  t.strictSame(await names(map('now here', 'one'), map('new', 'three')), [['now here', ['here']], ['new', ['there']]])
  cache.noteName(alias)
  t.strictSame(await names(map('new', 'three')), [['new', ['here', 'there', alias.name]]],
    'an earlier version noted no servers')
})
