/**
 * Cases from bug reports and configurations of the field, as far as they are
 * about a database that is away, refuses or fails, and about what the daemon
 * makes of it; each by its id. The whole daemon is asked, over socketmap.
 *
 * In all of them: an error is a temporary error, never an absence, and leaves
 * nothing behind in the cache.
 */
import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { during } from '../fixtures/during.js'
import { startHole } from '../fixtures/hole.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startRedis } from '../fixtures/redis.js'
import { startZone } from '../fixtures/zone.js'
import type { Name } from '../fixtures/zone.js'
import { proxyTo, startCase, untilAnswered } from './cases_bed.js'
import type { Bed, Setting } from './cases_bed.js'

const mariadb = await startMariadb({
  sql: `
    CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
    INSERT INTO alias VALUES ('info@example.com', 'box@example.net'), ('user@example.com', 'user@example.net'), ('@example.org', 'catch@example.net');
    CREATE TABLE l1 (address VARCHAR(255) PRIMARY KEY, goto TEXT) CHARACTER SET latin1 COLLATE latin1_general_ci;
    CREATE PROCEDURE fail_with(number INT, seconds INT, k VARCHAR(255)) BEGIN
      DO SLEEP(seconds); SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = number, MESSAGE_TEXT = k;
    END;
    CREATE PROCEDURE fail_once(number INT, k VARCHAR(255)) BEGIN
      IF @failed IS NULL THEN SET @failed = 1; CALL fail_with(number, 0, k); END IF;
      SELECT goto FROM alias WHERE address = k;
    END;
    CREATE PROCEDURE not_ready_by_socket(k VARCHAR(255)) BEGIN
      IF USER() LIKE '%@localhost' THEN CALL fail_with(1047, 0, k); END IF;
      SELECT goto FROM alias WHERE address = k;
    END;
  `,
})
t.teardown(() => mariadb.stop())

const bySocket = `unix:${mariadb.socket}`
const byTcp = `127.0.0.1:${mariadb.port}`

const logs: (() => string)[] = []

const start = async (t: Pick<Test, 'teardown'>, { maps = {}, ...setting }: Partial<Setting>): Promise<Bed> => {
  const bed = await startCase(t, mariadb, { ...setting, maps: { alias: {}, ...maps } })
  logs.push(() => bed.log())
  return bed
}

/** The first word of the reason of each, or the whole reply. */
const reasonsOf = (replies: readonly string[]): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const reply of replies) {
    const reason = /^TEMP ([\w-]+):/.exec(reply)?.[1] ?? reply
    counts.set(reason, (counts.get(reason) ?? 0) + 1)
  }
  return counts
}

/** In front of the server, for one case each. */
const [flaky, stalling] = await Promise.all([proxyTo(t, mariadb.socket), proxyTo(t, mariadb.socket)])
await mariadb.sql('CREATE USER narrow IDENTIFIED BY \'secret-word\' WITH MAX_USER_CONNECTIONS 1; GRANT SELECT ON mail.* TO narrow')

/** For the cases that end well. */
const healing = await start(t, {
  databases: {
    either: `${bySocket}, ${byTcp}`, flaky: `127.0.0.1:${flaky.port}`,
    stalling: `127.0.0.1:${stalling.port}`, narrow: { hosts: bySocket, user: 'narrow', password: 'secret-word' },
  },
  maps: {
    catchall: { search: 'virtual' }, transport: { search: 'transport' }, echo: 'SELECT \'%s\'',
    narrow: { database: 'narrow', query: 'SELECT \'%s\'' },
    notReady: 'CALL not_ready_by_socket(\'%s\')', eitherReady: { database: 'either', query: 'CALL not_ready_by_socket(\'%s\')' },
    later: 'SELECT goto FROM later WHERE address=\'%s\'', column: 'SELECT late FROM alias WHERE address=\'%s\'',
    once: 'CALL fail_once(1213, \'%s\')', deadlock: 'CALL fail_with(1213, 0, \'%s\')', lockWait: 'CALL fail_with(1205, 0, \'%s\')',
    lost: 'SELECT goto FROM lost WHERE address=\'%s\'', damaged: 'SELECT goto FROM damaged WHERE address=\'%s\'',
    flaky: { database: 'flaky' }, stalling: { database: 'stalling' },
    collation: { database: 'flaky', query: 'SELECT goto FROM l1 WHERE address=\'%s\'' },
  },
})
const { ask } = healing

const fullPort = await freePort()
const downPort = await freePort()
const fiveMaps = ['one', 'two', 'three', 'four', 'five']

/** For those that don't. */
const { ask: askInVain } = await start(t, {
  databases: {
    none: `unix:/nonexistent/s, 127.0.0.1:${await freePort()}`, full: `127.0.0.1:${fullPort}`, down: `127.0.0.1:${downPort}`,
    gone: byTcp,
  },
  maps: {
    none: { database: 'none' }, full: { database: 'full' },
    slow: 'SELECT CONCAT(\'late\', SLEEP(30)) FROM alias WHERE address=\'%s\'',
    gone: { database: 'gone', query: 'CALL fail_with(9001, 10, \'%s\')' }, goneAtOnce: { database: 'gone', query: 'CALL fail_with(9001, 0, \'%s\')' },
    ...Object.fromEntries(fiveMaps.map(name => [name, { database: 'down' }])),
  },
})

t.test('C68 a catch-all is found for an address that has no row', async t => {
  t.equal(await ask('catchall', 'any@example.org'), 'OK catch@example.net')
  t.equal(await ask('catchall', 'any@example.com'), 'NOTFOUND ')
})

t.test('C71 a map of routes is asked for keys without an @', async t => {
  for (const key of ['*', 'example.com', 'sub.example.com', '.example.com']) t.equal(await ask('transport', key), 'NOTFOUND ')
})

t.test('C73 the server has closed the idle connections', async t => {
  t.equal(await ask('alias', 'info@example.com'), 'OK box@example.net')
  const sessions = await mariadb.sql(`SELECT id FROM information_schema.PROCESSLIST WHERE user = '${mariadb.user}'`)
  t.ok(sessions.length > 0)
  // One that listed a table may have gone by itself.
  for (const { id } of sessions) await mariadb.sql(`KILL ${Number(id)}`).catch(() => undefined)
  t.equal(await ask('alias', 'user@example.com'), 'OK user@example.net')
})

t.test('C74 all hosts are down: each lookup is a temporary error, of known and unknown keys', async t => {
  for (let lookup = 0; lookup < 50; lookup++) t.match(await askInVain('none', lookup % 2 === 0 ? 'info@example.com' : `nobody${lookup}@example.com`), /^TEMP /)
})

t.test('C76 the host is a black hole, which drops what should open a connection', async t => {
  await during(t, startHole('127.0.0.1', fullPort))
  t.match(await askInVain('full', 'info@example.com'), /^TEMP timeout: /)
})

t.test('C77 while the host\'s name does not resolve, known keys are answered, and it heals by itself', async t => {
  const well: Name = { a: ['127.0.0.1'] }
  let name: Name | undefined = well
  const nameserver = await during(t, startZone(() => name, { host: '127.0.5.3', options: 'timeout:1 attempts:1' }))
  const proxy = await proxyTo(t, mariadb.socket)
  const bed = await start(t, {
    databases: { db: `db.example.internal:${proxy.port}` }, command: nameserver.command, canShift: true,
  })
  t.equal(await bed.ask('alias', 'info@example.com'), 'OK box@example.net')
  for (const [manner, given] of Object.entries({ NXDOMAIN: undefined, SERVFAIL: { fault: 'SERVFAIL' }, silent: { fault: 'silent' } } as const)) {
    name = given
    await bed.halfAnHourPasses()
    const before = nameserver.questions()
    proxy.dropAll()
    const replies: string[] = []
    // The name is looked up again, whoever asks.
    for (; nameserver.questions() === before; await setTimeout(20)) replies.push(await bed.ask('alias', 'user@example.com'))
    t.notOk(replies.includes('NOTFOUND '), manner)
    t.equal(await bed.ask('alias', 'info@example.com'), 'OK box@example.net', manner)
  }
  name = well
  t.equal(await untilAnswered(bed, 'alias', 'user@example.com'), 'OK user@example.net')
})

t.test('C79 after a query that takes too long the next ones are answered, never with its rows', async t => {
  t.match(await askInVain('slow', 'info@example.com'), /^TEMP timeout: /)
  t.equal(await askInVain('alias', 'info@example.com'), 'OK box@example.net')
  t.equal(await askInVain('alias', 'nobody@example.com'), 'NOTFOUND ')
})

t.test('C80 a restart of the server while connections are idle fails no lookup', async t => {
  const burst = (name: string): Promise<readonly string[]> => Promise.all(Array.from({ length: 100 }, (_, at) => ask('echo', `${name}${at}@example.com`)))
  const expected = (name: string): readonly string[] => Array.from({ length: 100 }, (_, at) => `OK ${name}${at}@example.com`)
  t.same(await burst('before'), expected('before'))
  await mariadb.kill()
  await mariadb.start()
  t.same(await burst('after'), expected('after'))
})

t.test('C83 the account has a limit of connections, or of queries', async t => {
  const replies = await Promise.all(Array.from({ length: 50 }, (_, at) => ask('narrow', `${at}@example.com`)))
  for (const [at, reply] of replies.entries()) t.ok(reply === `OK ${at}@example.com` || reply.startsWith('TEMP '), reply)
  t.equal(await untilAnswered(healing, 'narrow', 'later@example.com'), 'OK later@example.com')

  await mariadb.sql('CREATE USER sparing IDENTIFIED BY \'secret-word\'; GRANT SELECT ON mail.* TO sparing')
  const sparing = await start(t, { databases: { db: { hosts: bySocket, user: 'sparing', password: 'secret-word' } }, maps: { echo: 'SELECT \'%s\'' } })
  t.equal(await sparing.ask('echo', 'first@example.com'), 'OK first@example.com')
  // The queries by which sessions are set up count, too.
  await mariadb.sql('ALTER USER sparing WITH MAX_QUERIES_PER_HOUR 10; KILL USER sparing')
  const some: string[] = []
  for (let at = 0; at < 20; at++) some.push(await sparing.ask('echo', `${at}@example.com`))
  t.match(some.at(-1), /^TEMP (source-refused|breaker-open): .*error 1226/)
})

t.test('C85 a cluster node that isn\'t ready: the other host answers; alone it is a temporary error', async t => {
  t.equal(await ask('eitherReady', 'info@example.com'), 'OK box@example.net')
  t.match(await ask('notReady', 'info@example.com'), /^TEMP source-down: .*error 1047/)
})

t.test('C86 a proxy for SQL whose servers are gone: the deadline holds, or the breaker is open', async t => {
  t.match(await askInVain('goneAtOnce', 'info@example.com'), /^TEMP \S+: .*error 9001/)
  const replies: string[] = []
  for (let at = 0; at < 4; at++) replies.push(await askInVain('gone', `${at}@example.com`))
  for (const reply of replies) t.match(reply, /^TEMP (timeout|source-down|breaker-open): /)
})

t.test('C88 C89 lookups are answered as soon as a missing table or column exists', async t => {
  for (let times = 0; times < 2; times++) {
    t.match(await ask('later', 'info@example.com'), /^TEMP query-error: .*error 1146/)
    t.match(await ask('column', 'info@example.com'), /^TEMP query-error: .*error 1054/)
  }
  await mariadb.sql('CREATE TABLE later AS SELECT * FROM alias; ALTER TABLE alias ADD late VARCHAR(255) DEFAULT \'late@example.net\'')
  t.equal(await ask('later', 'info@example.com'), 'OK box@example.net')
  t.equal(await ask('column', 'info@example.com'), 'OK late@example.net')
})

t.test('C91 Holdfast repeats a query once after a deadlock or a lock wait', async t => {
  t.equal(await ask('once', 'info@example.com'), 'OK box@example.net')
  t.match(await ask('deadlock', 'info@example.com'), /^TEMP query-error: .*error 1213/)
  t.match(await ask('lockWait', 'info@example.com'), /^TEMP query-error: .*error 1205/)
})

t.test('C92 a table that is damaged, or that has no file', async t => {
  await mariadb.sql(`
    CREATE TABLE lost AS SELECT * FROM alias; ALTER TABLE lost DISCARD TABLESPACE;
    CREATE TABLE damaged (address VARCHAR(100) PRIMARY KEY, goto VARCHAR(255)) ENGINE=MyISAM; INSERT INTO damaged SELECT address, goto FROM alias`)
  const [{ folder } = {}] = await mariadb.sql('SELECT @@datadir AS folder')
  await mariadb.sql('FLUSH TABLES')
  await mariadb.kill()
  truncateSync(join(String(folder), 'mail/damaged.MYI'), 100)
  await mariadb.start()
  for (const map of ['lost', 'damaged']) {
    for (const key of ['info@example.com', 'nobody@example.com']) t.match(await ask(map, key), /^TEMP query-error: /, `${map} ${key}`)
  }
  t.equal(await ask('alias', 'info@example.com'), 'OK box@example.net')
})

t.test('C121 the server is used again after an outage even if the first query is wrong', async t => {
  flaky.refuse()
  // The copy has left a connection, and is sure of keys in ASCII.
  flaky.dropAll()
  for (let at = 0; at < 6; at++) t.match(await ask('flaky', `früh${at}@example.com`), /^TEMP /)
  await healing.logged(new RegExp(`${flaky.port}\\S*: fails`))
  await flaky.pass()
  let reply = ''
  for (; !reply.includes('query-error'); await setTimeout(20)) reply = await ask('collation', '😀@example.com')
  t.match(reply, /error 1267/)
  t.equal(await ask('flaky', 'info@example.com'), 'OK box@example.net')
})

t.test('C122 while a server hangs, none of 500 lookups waits for it, and known keys are answered', async t => {
  const proxy = await proxyTo(t, mariadb.socket)
  const bed = await start(t, {
    databases: { db: `127.0.0.1:${proxy.port}` }, canShift: true,
  })
  t.equal(await bed.ask('alias', 'info@example.com'), 'OK box@example.net')
  await bed.halfAnHourPasses()
  proxy.blackhole()
  await Promise.all(['a', 'b', 'c'].map(key => bed.ask('alias', key)))
  await bed.logged(/: fails: /)
  const [known, ...others] = await Promise.all(['info@example.com', ...Array.from({ length: 500 }, (_, at) => `${at}@example.com`)].map(key => bed.ask('alias', key)))
  t.equal(known, 'OK box@example.net')
  t.same(Object.fromEntries(reasonsOf(others)), { 'breaker-open': 500 })
})

t.test('C124 the server is asked again even if the very first lookup failed', async t => {
  stalling.stall()
  stalling.dropAll()
  t.match(await ask('stalling', 'früh@example.com'), /^TEMP (timeout|breaker-open): /)
  await stalling.pass()
  t.equal(await untilAnswered(healing, 'stalling', 'info@example.com'), 'OK box@example.net')
})

t.test('C125 a thousand lookups over five maps on a server that is down: the maps share its breaker', async t => {
  const replies: string[] = []
  for (let at = 0; at < 1_000; at++) replies.push(await askInVain(fiveMaps[at % 5] ?? '', `${at}@example.com`))
  const { 'source-down': tried = 0, 'breaker-open': kept = 0, ...rest } = Object.fromEntries(reasonsOf(replies))
  t.same(rest, {})
  t.equal(tried + kept, 1_000)
  // Copies, too, may have found it out meanwhile.
  t.ok(tried <= 5, `${tried} lookups tried it`)
})

t.test('C146 a daemon that starts without MySQL and Redis listens, defers, and answers once they are up', async t => {
  const redis = await during(t, startRedis())
  const [toMysql, toRedis] = await Promise.all([proxyTo(t, mariadb.socket), proxyTo(t, redis.socket)])
  for (const proxy of [toMysql, toRedis]) proxy.refuse()
  const bed = await start(t, {
    databases: { db: `127.0.0.1:${toMysql.port}`, nameless: 'nobody.invalid' }, maps: { nameless: { database: 'nameless' } },
    more: { redis: { host: '127.0.0.1', port: toRedis.port } },
  })
  for (const map of ['alias', 'nameless']) t.match(await bed.ask(map, 'info@example.com'), /^TEMP /, map)
  for (const proxy of [toMysql, toRedis]) await proxy.pass()
  t.equal(await untilAnswered(bed, 'alias', 'info@example.com'), 'OK box@example.net')
})

t.test('the password is in none of the logs', t => {
  t.ok(logs.length > 4)
  for (const log of logs) t.notMatch(log(), mariadb.password)
  t.end()
})
