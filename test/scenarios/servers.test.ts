/**
 * MySQL servers as on real sites, each behind the fault proxy, with which Postfix's own client works: the test asks
 * `postmap` on `mysql:` first. Holdfast must give the same answers, at the latest at the lookup that the title counts;
 * lookups before that one get a temporary error, never an absence.
 *
 * All settings are the defaults but for what the site needs. The table can't be copied, and the test asks for each key
 * once, so that MySQL alone can answer.
 */
import { networkInterfaces } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { accountOf, writeCf } from '../fixtures/cf.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startHole } from '../fixtures/hole.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { postmapQuery } from '../fixtures/postfix.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { freePort } from '../fixtures/port.js'
import { socketmapAsk } from '../fixtures/wire.js'
import { withHosts } from '../fixtures/with_file.js'
import { ownHost, startZone } from '../fixtures/zone.js'
import type { Name } from '../fixtures/zone.js'

const sql = `CREATE TABLE alias (address VARCHAR(190) PRIMARY KEY, goto TEXT);
  INSERT INTO alias SELECT CONCAT('user', seq), CONCAT('box', seq) FROM seq_1_to_20000;`
const query = 'SELECT goto FROM alias WHERE address LIKE \'%s\''

// They wait for times of the defaults more than they compute.
t.jobs = 3
const mariadb = await during(t, startMariadb({ sql }))

const proxyTo = async (t: Test, server: Mariadb = mariadb): Promise<Proxy> => {
  const proxy = await during(t, startProxy({ path: server.socket }))
  return proxy
}

type Bed = Holdfast & {
  /** Of a key that nobody has asked yet: `found`, `absent`, or the reason for a temporary error. */
  readonly askNew: () => Promise<string>
  readonly ask: (key: string) => Promise<string>
  readonly file: string
  readonly postmap: (key: string) => Promise<string>
}

const start = async (
  t: Test, hosts: string, { more = {}, q = query, command = [] }: {
    readonly more?: Readonly<Record<string, unknown>>
    readonly q?: string
    /** Stands before the daemon's own command. */
    readonly command?: readonly string[]
  } = {},
): Promise<Bed> => {
  let file = ''
  const holdfast = await during(t, startHoldfast(dir => {
    file = writeCf(dir, 'alias', { ...accountOf(mariadb), hosts, query: q })
    return JSON.stringify({
      listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', maps: { alias: { search: 'exact', cf: file } }, ...more,
    })
  }, { command }), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'alias', key)
  let asked = 0
  return {
    ...holdfast, file, ask,
    askNew: async () => {
      const key = ++asked
      const reply = await ask(`user${key}`)
      return reply === `OK box${key}` ? 'found' : reply.startsWith('NOTFOUND') ? 'absent' : /^TEMP ([\w-]+)/.exec(reply)?.[1] ?? reply
    },
    postmap: async key => {
      const answer = await postmapQuery(`mysql:${file}`, key)
      return answer.kind === 'found' ? answer.value : answer.kind
    },
  }
}

const times = async (count: number, ask: () => Promise<string>): Promise<readonly string[]> => {
  const all: string[] = []
  for (let asked = 0; asked < count; asked++) all.push(await ask())
  return all
}

/** The replies until one is found. */
const untilFound = async ({ askNew }: Bed): Promise<readonly string[]> => {
  const replies = [await askNew()]
  while (replies.at(-1) !== 'found') {
    // A server that rests is answered for at once: the table has only so many keys.
    await setTimeout(10)
    replies.push(await askNew())
  }
  return replies
}

t.test('a log-in that takes three deadlines (reverse DNS): check waits for it, and lookups work after it', async t => {
  const proxy = await proxyTo(t)
  // A log-in is five chunks from the server; a question is one.
  proxy.slow(1_200)
  const bed = await start(t, `127.0.0.1:${proxy.port}`)
  t.equal(await bed.postmap('user1'), 'box1')
  const replies = await untilFound(bed)
  t.notOk(replies.includes('absent'))
  t.same(await times(8, bed.askNew), Array(8).fill('found'))
  const { code, stdout } = await run(process.execPath, [mainFile, 'check', `${bed.dir}/holdfast.yaml`])
  t.equal(code, 0, stdout)
})

t.test('a round trip of 360 ms: all lookups are answered once a connection is open', async t => {
  const proxy = await proxyTo(t)
  proxy.slow(360)
  const bed = await start(t, `127.0.0.1:${proxy.port}`)
  t.equal(await bed.postmap('user1'), 'box1')
  await untilFound(bed)
  t.same(await times(20, bed.askNew), Array(20).fill('found'))
})

t.test('a name with a dead IPv6 address and a slow IPv4 address: all lookups are answered once connected', async t => {
  const port = await freePort()
  const [dead, slow] = [await startHole('::1', port), await startHole('127.0.0.1', port, mariadb.socket)]
  t.teardown(() => Promise.all([dead.stop(), slow.stop()]))
  const bed = await start(t, `db.test:${port}`, { command: withHosts('::1 db.test', '127.0.0.1 db.test') })
  const early = bed.askNew()
  // What its kernel sent first is lost; it sends the next after a second.
  await slow.tried()
  slow.open()
  const replies = [await early, ...await untilFound(bed)]
  t.notOk(replies.includes('absent'))
  t.same(await times(20, bed.askNew), Array(20).fill('found'))
  t.notMatch(bed.log(), /: fails: /)
})

t.test('a silent name server: each try ends after its time, and Holdfast connects once the name resolves', async t => {
  let name: Name = { fault: 'silent' }
  const zone = await during(t, startZone(() => name, { host: ownHost, options: 'timeout:2 attempts:5' }))
  const bed = await start(t, `db.test:${(await proxyTo(t)).port}`, {
    command: zone.command, more: { connect_timeout: '200ms', log: { level: 'debug' } },
  })
  while (!/: fails: /.test(bed.log())) t.not(await bed.askNew(), 'absent')
  await bed.logged(/(still fails: db\.test was not resolved in time[^]*){2}/)
  name = { a: ['127.0.0.1'] }
  await bed.logged(/answers again/)
  t.equal(await bed.askNew(), 'found')
})

t.test('an address moves, connections die silently: the second lookup works, or those after one reset', async t => {
  const moved = await during(t, startMariadb({ sql }))
  const proxy = await proxyTo(t)
  const bed = await start(t, `127.0.0.1:${proxy.port}`)
  await Promise.all(Array.from({ length: 8 }, bed.askNew))
  proxy.lead({ path: moved.socket })
  proxy.forsake()
  t.equal(await bed.postmap('user1'), 'box1')
  const replies = await untilFound(bed)
  t.notOk(replies.includes('absent'))
  t.same(await times(10, bed.askNew), Array(10).fill('found'))
  t.equal(await bed.ask('nobody'), 'NOTFOUND ')
})

t.test('one of two hosts is a black hole: once its breaker is open, no lookup waits for it or fails', async t => {
  const [first, second] = [await proxyTo(t), await proxyTo(t)]
  first.blackhole()
  // The socket is asked first.
  const bed = await start(t, `unix:${first.socket}, 127.0.0.1:${second.port}`)
  const replies: string[] = []
  while (!/unix:\S*: fails/.test(bed.log())) replies.push(await bed.askNew())
  t.same(new Set(replies), new Set(['found']), 'the second answers in the rest of the time')
  const accepted = first.accepted()
  t.same(await times(100, bed.askNew), Array(100).fill('found'))
  t.ok(first.accepted() <= accepted + 1, 'it may have tried it once more by itself')
})

t.test('37 simultaneous lookups of a 0.5 s query on eight connections: some time out, no breaker opens', async t => {
  const bed = await start(t, `unix:${mariadb.socket}`, { q: 'SELECT goto FROM alias WHERE address=\'%s\' AND SLEEP(0.5) = 0' })
  t.equal(await bed.postmap('user400'), 'box400')
  const replies = new Set(await Promise.all(Array.from({ length: 37 }, bed.askNew)))
  t.ok(replies.has('found'))
  for (const reply of replies) t.match(reply, /^(?:found|overloaded|timeout)$/)
  t.equal(await bed.askNew(), 'found')
  t.notMatch(bed.log(), /: fails: /)
})

t.test('the tries while a server hangs don\'t make its max_connect_errors block this host', async t => {
  const [address] = Object.values(networkInterfaces()).flatMap(each => each ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal).map(each => each.address)
  // For loopback MariaDB does not count.
  if (address === undefined) {
    t.pass('this machine has no other address')
    return
  }
  const port = await freePort()
  const server = await during(t, startMariadb({
    sql: `${sql} SET GLOBAL max_connect_errors = 8`, args: ['--skip-name-resolve=0', '--bind-address=0.0.0.0', `--port=${port}`],
  }))
  const bed = await start(t, `${address}:${port}`, {
    more: { log: { level: 'debug' } },
  })
  t.equal(await bed.askNew(), 'found')
  await server.pause()
  while (!/: fails: /.test(bed.log())) await Promise.all(Array.from({ length: 8 }, bed.askNew))
  // Each try takes as long as a log-in may.
  await bed.logged(/still fails[^]*still fails/)
  server.resume()
  const replies = await untilFound(bed)
  t.notOk(replies.includes('absent'))
  t.equal(await bed.postmap('user1'), 'box1')
  const [errors] = await server.sql('SHOW GLOBAL STATUS LIKE \'Aborted_connects\'')
  t.ok(Number(errors?.['Value']) < 8, JSON.stringify(errors))
})

t.test('the daemon finds out by itself that MySQL is back, even if nobody asks', async t => {
  const proxy = await proxyTo(t)
  const bed = await start(t, `127.0.0.1:${proxy.port}`)
  t.equal(await bed.askNew(), 'found')
  proxy.refuse()
  proxy.dropAll()
  while (!/: fails: /.test(bed.log())) await bed.askNew()
  await proxy.pass()
  await bed.logged(/mysql \S+: answers again/)
  t.equal(await bed.askNew(), 'found')
})
