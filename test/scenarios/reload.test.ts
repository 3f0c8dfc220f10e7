/**
 * A daemon reads its configuration anew while a client is connected. A map is
 * added, one goes, one listener opens, one closes; then a configuration with
 * faults, and one whose address is taken: all stays as it was.
 */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { makeCertificates } from '../fixtures/certificates.js'
import { command, start as startBed } from '../fixtures/control.js'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startProxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import { openWire, socketmapAsk, socketmapRequest, tcpTableAsk } from '../fixtures/wire.js'

const textMap = (name: string, file: string): string => `  ${name}:\n    search: exact\n    text: ${file}\n`

const start = async (port: number): Promise<Holdfast> => startHoldfast(dir => {
  writeFileSync(join(dir, 'a'), 'key one\n')
  writeFileSync(join(dir, 'b'), 'key two\n')
  return `listen:\n  - socketmap: unix:${dir}/s\n  - tcp: 127.0.0.1:${port}\n    map: first\nhealth: off\nmaps:\n${textMap('first', 'a')}`
})

t.test('a connection outlives a reload, and its next request is answered from the new maps', async t => {
  const holdfast = await during(t, start(await freePort()), 'kill')
  const wire = await during(t, openWire({ path: join(holdfast.dir, 's') }), 'close')
  wire.send(socketmapRequest('first', 'key'))
  t.equal(String(await wire.netstring()), 'OK one')

  holdfast.configure(`listen:\n  - socketmap: unix:${holdfast.dir}/s\nhealth: off\nmaps:\n${textMap('first', 'b')}${textMap('second', 'a')}`)
  holdfast.reload()
  await holdfast.logged(/reloaded: 2 maps: first, second/)
  wire.send(socketmapRequest('first', 'key'))
  t.equal(String(await wire.netstring()), 'OK two')
  wire.send(socketmapRequest('second', 'key'))
  t.equal(String(await wire.netstring()), 'OK one')
})

t.test('a reload opens new addresses, and closes removed ones', async t => {
  const [before, after] = [await freePort(), await freePort()]
  const holdfast = await during(t, start(before), 'kill')
  t.equal(await tcpTableAsk({ host: '127.0.0.1', port: before }, 'key'), '200 one')
  holdfast.configure(`listen:\n  - tcp: 127.0.0.1:${after}\n    map: first\nhealth: off\nmaps:\n${textMap('first', 'a')}`)
  holdfast.reload()
  await holdfast.logged(/ reloaded: /)
  t.equal(await tcpTableAsk({ host: '127.0.0.1', port: after }, 'key'), '200 one')
  await t.rejects(openWire({ host: '127.0.0.1', port: before }))
})

t.test('while the file has faults, commands still ask the daemon, which says that a reload failed', async t => {
  const bed = await startBed(t, '(\'info@example.com\', \'box\')')
  const { holdfast } = bed
  const file = join(holdfast.dir, 'holdfast.yaml')
  const good = readFileSync(file, 'utf8')
  for (const bad of [good.replace('"maps"', '"mpas"'), good.replace(/}\s*$/, '')]) {
    const before = holdfast.log().length
    writeFileSync(file, bad)
    holdfast.reload()
    await holdfast.logged(/not reloaded/, before)
    const status = await command(bed, 'status')
    t.match(status.stdout, /^Mail is accepted\. One part is degraded\..*\n {2}configuration \(for .*\): a reload failed, /)
    t.match(status.stderr, /holdfast\.yaml:\d+: .*\nA daemon that runs goes on with the former configuration/)
    t.match((await command(bed, 'query', 'alias', 'info@example.com')).stdout, 'box')
    t.equal((await command(bed, 'flush', 'alias')).code, 0)
  }
  writeFileSync(file, good)
  const before = holdfast.log().length
  holdfast.reload()
  await holdfast.logged(/ reloaded: /, before)
  t.match((await command(bed, 'status')).stdout, /^Mail is safe/)
})

t.test('a configuration with faults changes nothing, and all its faults are in the log', async t => {
  const holdfast = await during(t, start(await freePort()), 'kill')
  holdfast.configure(`listen:\n  - socketmap: unix:${holdfast.dir}/s\nhealth: off\nroel: primary\ndeadline: soon\nmaps:\n${textMap('other', 'a')}`)
  holdfast.reload()
  await holdfast.logged(/not reloaded/)
  t.match(holdfast.log(), /holdfast.yaml:4: unknown parameter 'roel'; did you mean 'role'/)
  t.match(holdfast.log(), /holdfast.yaml:5: .*not a duration/)
  t.equal(await socketmapAsk(join(holdfast.dir, 's'), 'first', 'key'), 'OK one')
})

t.test('an address that is taken changes nothing, not even the other addresses', async t => {
  const holdfast = await during(t, start(await freePort()), 'kill')
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  t.teardown(() => other.close())
  const free = await freePort()
  holdfast.configure(`listen:\n  - socketmap: inet:127.0.0.1:${free}\n  - socketmap: inet:127.0.0.1:${port}\nhealth: off\nmaps:\n${textMap('other', 'a')}`)
  holdfast.reload()
  await holdfast.logged(/not reloaded: address already in use/)
  t.equal(await socketmapAsk(join(holdfast.dir, 's'), 'first', 'key'), 'OK one')
  await t.rejects(openWire({ host: '127.0.0.1', port: free }))
})

t.test('a reload keeps what memory knows: while MySQL is down, a known key is still answered', async t => {
  const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE a (k VARCHAR(90), v VARCHAR(90)); INSERT INTO a VALUES (\'key\', \'value\')' }))
  const configuration = (dir: string, staleFor: string): string => `
listen:
  - socketmap: unix:${dir}/s
health: off
maps:
  m:
    search: exact
    database: db
    query: SELECT v FROM a WHERE k='%s'
    stale_for: ${staleFor}
databases:
  db:
    hosts: "127.0.0.1:${mariadb.port}"
    user: ${mariadb.user}
    password: ${JSON.stringify(mariadb.password)}
    dbname: ${mariadb.database}
`
  const holdfast = await during(t, startHoldfast(dir => configuration(dir, '1d')), 'kill')
  const path = join(holdfast.dir, 's')
  t.equal(await socketmapAsk(path, 'm', 'key'), 'OK value')
  await mariadb.kill()
  holdfast.configure(configuration(holdfast.dir, '2d'))
  holdfast.reload()
  await holdfast.logged(/ reloaded: /)
  t.equal(await socketmapAsk(path, 'm', 'key'), 'OK value')
  t.match(await socketmapAsk(path, 'm', 'other'), /^TEMP /)
})

t.test('a reload finds every key, even if the account may have no more connections than before it', async t => {
  const keys = Array.from({ length: 40 }, (_, n) => `key${n}`)
  const mariadb = await during(t, startMariadb({ sql: `CREATE TABLE a (k VARCHAR(90));
    INSERT INTO a VALUES ${keys.map(key => `('${key}')`).join()}` }))
  await mariadb.sql(`ALTER USER '${mariadb.user}'@'%' WITH MAX_USER_CONNECTIONS 8`)
  const configuration = (dir: string, slow: string): string => `
listen:
  - socketmap: unix:${dir}/s
health: off
databases:
  db: {hosts: "127.0.0.1:${mariadb.port}", user: ${mariadb.user}, password: ${mariadb.password}, dbname: ${mariadb.database}}
maps:
  m: {search: exact, database: db, query: "SELECT k FROM a WHERE k='%s'"}
  ${slow}: {search: exact, database: db, query: "SELECT k FROM a WHERE k='%s' OR (k='key0' AND SLEEP(0.1))"}
`
  const holdfast = await during(t, startHoldfast(dir => configuration(dir, 'slow')), 'kill')
  const path = join(holdfast.dir, 's')
  const connections = async (): Promise<number> =>
    (await mariadb.sql(`SELECT 1 FROM information_schema.processlist WHERE user='${mariadb.user}'`)).length
  for (let round = 0; await connections() < 8; round++) {
    await Promise.all(keys.map(key => socketmapAsk(path, 'slow', `${key} ${round}`)))
  }
  holdfast.configure(configuration(holdfast.dir, 'other'))
  holdfast.reload()
  await holdfast.logged(/ reloaded: /)
  t.strictSame(await Promise.all(keys.map(key => socketmapAsk(path, 'm', key))), keys.map(key => `OK ${key}`))
})

t.test('a reload reads certificates again: Holdfast trusts the new authority, and drops no client', async t => {
  const certificates = await makeCertificates()
  t.teardown(() => certificates.remove())
  await Promise.all([certificates.authority('former'), certificates.certificate('server', 'IP:127.0.0.1')])
  const mariadb = await startMariadb({
    args: [`--ssl-cert=${certificates.file('server.pem')}`, `--ssl-key=${certificates.file('server.key')}`, `--ssl-ca=${certificates.file('ca.pem')}`],
    sql: 'CREATE TABLE a (k VARCHAR(90), v VARCHAR(90)); INSERT INTO a VALUES (\'key\', \'value\')',
  })
  t.teardown(() => mariadb.stop())
  const holdfast = await during(t, startHoldfast(dir => {
    copyFileSync(certificates.file('former.pem'), join(dir, 'ca.pem'))
    return JSON.stringify({
      listen: [{ socketmap: `unix:${dir}/s` }], health: 'off',
      maps: { m: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k=\'%s\'' } },
      databases: { db: {
        hosts: `127.0.0.1:${mariadb.port}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database,
        tls_CAfile: join(dir, 'ca.pem'), tls_verify_cert: 'yes',
      } },
    })
  }), 'kill')
  const wire = await during(t, openWire({ path: join(holdfast.dir, 's') }), 'close')
  wire.send(socketmapRequest('m', 'key'))
  t.match(String(await wire.netstring()), /^TEMP .*certificate/)
  copyFileSync(certificates.file('ca.pem'), join(holdfast.dir, 'ca.pem'))
  holdfast.reload()
  await holdfast.logged(/ reloaded: /)
  wire.send(socketmapRequest('m', 'key'))
  t.equal(String(await wire.netstring()), 'OK value')
})

t.test('C147 one faulty map does not stop the others, at the start or on a reload', async t => {
  const port = await freePort()
  const yaml = (dir: string): string => `listen:
  - socketmap: unix:${dir}/s
health: 127.0.0.1:${port}
maps:
  one: {search: exact, text: a}
  two: {search: exact, text: b}
  three: {search: exct, text: a}
  four: {search: exact, cf: four.cf}
  five: {search: exact, database: none, query: SELECT 1}
`
  const holdfast = await during(t, startHoldfast(dir => {
    writeFileSync(join(dir, 'a'), 'key one\n')
    writeFileSync(join(dir, 'b'), 'key two\n')
    return yaml(dir)
  }), 'kill')
  const ask = (map: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), map, 'key')
  t.equal(await ask('one'), 'OK one')
  t.equal(await ask('two'), 'OK two')
  for (const [map, place] of [['three', 'holdfast.yaml:7'], ['four', 'four.cf'], ['five', 'holdfast.yaml:9']] as const) {
    t.match(await ask(map), new RegExp(`^TEMP query-error: the map's definition has faults: .*${place}$`))
    t.match(holdfast.log(), new RegExp(`error: .*${place}: `))
    t.match(holdfast.log(), `map ${map}: not served`)
  }
  const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${port}/${path}`)).text()
  t.match(JSON.parse(await get('readyz')), { status: 'ready', summary: { state: 'deferring' } })
  t.match(await get('readyz'), 'its lookups are deferred')
  t.match(await get('metrics'), /holdfast_map_faults\{map="one"\} 0\n[^]*holdfast_map_faults\{map="four"\} 1\n/)
  t.match(await get('metrics'), 'holdfast_lookups_total')

  // The last good definition stays, whatever is wrong with the new one; what is good is taken over.
  rmSync(join(holdfast.dir, 'b'))
  writeFileSync(join(holdfast.dir, 'a'), 'key changed\n')
  holdfast.configure(yaml(holdfast.dir).replace('three: {search: exct', 'three: {search: exact'))
  holdfast.reload()
  await holdfast.logged(/reloaded: 3 maps/)
  t.equal(await ask('one'), 'OK changed')
  t.equal(await ask('two'), 'OK two')
  t.equal(await ask('three'), 'OK changed')
  t.match(holdfast.log(), 'map two: its last good definition stays in use')
  t.match(await get('readyz'), 'its last good definition stays in use')
  holdfast.configure(yaml(holdfast.dir).replace('two: {search: exact', 'two: {search: exct'))
  const before = holdfast.log().length
  holdfast.reload()
  await holdfast.logged(/reloaded: 3 maps/, before)
  t.equal(await ask('two'), 'OK two')
})

t.test('a reload in an outage of MySQL knows at once what only Redis knows', async t => {
  const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE a (k VARCHAR(99) PRIMARY KEY, v TEXT); INSERT INTO a VALUES (\'key1\', \'1\'), (\'key2\', \'2\'), (\'key3\', \'3\'), (\'key4\', \'4\')' }))
  const redis = await during(t, startRedis())
  const proxy = await during(t, startProxy({ host: '127.0.0.1', port: redis.port }))
  const configuration = (dir: string, port: number, more = {}): string => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', redis: { host: '127.0.0.1', port, ...more },
    databases: { db: { hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
    // A table without a copy.
    maps: { a: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k LIKE \'%s\'' } },
  })
  const holdfast = await during(t, startHoldfast(dir => configuration(dir, proxy.port)))
  const ask = (key: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), 'a', key)
  const reload = async (): Promise<void> => {
    const from = holdfast.log().length
    holdfast.reload()
    await holdfast.logged(/ reloaded: 1 map/, from)
  }
  // What another node asks later than this one has started, this one does not have in memory.
  const other = await during(t, startHoldfast(dir => configuration(dir, redis.port)), 'kill')
  for (const number of [1, 2, 3, 4]) t.equal(await socketmapAsk(join(other.dir, 's'), 'a', `key${number}`), `OK ${number}`)
  await other.stop()
  await mariadb.kill()
  t.equal(await ask('key1'), 'OK 1')
  // The same Redis keeps its connection: a new one would not come to stand.
  proxy.stall()
  await reload()
  t.equal(await ask('key2'), 'OK 2')
  t.equal(await ask('key1'), 'OK 1')
  await proxy.pass()
  // For another one the reload waits.
  proxy.slow(80)
  holdfast.configure(configuration(holdfast.dir, proxy.port, { command_timeout: '300ms' }))
  await reload()
  for (const number of [1, 2, 3, 4]) t.equal(await ask(`key${number}`), `OK ${number}`)
})

t.test('after a reload in an outage strangers still pass if a list of domains has no row and no copy', async t => {
  const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE relay_domain (domain varchar(255));' }))
  const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', recipient_guard: ['relay_domain'],
    databases: { mail: {
      hosts: `${mariadb.host}:${mariadb.port}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database,
    } },
    maps: { relay_domain: { search: 'domain', database: 'mail', query: "SELECT domain FROM relay_domain WHERE domain LIKE '%s'" } },
  })), 'kill')
  const ask = (domain: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), 'lenient/relay_domain', domain)
  t.equal(await ask('one.example'), 'NOTFOUND ')
  await mariadb.kill()
  t.equal(await ask('two.example'), 'NOTFOUND ')
  holdfast.reload()
  await holdfast.logged(/ reloaded: /)
  t.equal(await ask('three.example'), 'NOTFOUND ')
})

t.test('a reload that adds a Redis judges an emptied table by what that knows, as a start does', async t => {
  const keys = Array.from({ length: 20 }, (_, index) => `user${index}@v.example`)
  const mariadb = await during(t, startMariadb({ sql: tableSql([...keys, 'unasked@v.example'].map(key => `('${key}', 'box')`).join()) }))
  const { socket } = await during(t, startRedis())
  const alias = { alias: { search: 'exact' } }
  const config = (dir: string, redis: string | null): string =>
    tableConfig(dir, mariadb, alias, redis === null ? {} : { redis: { path: redis } })
  const first = await during(t, startHoldfast(dir => config(dir, socket)), 'kill')
  for (const key of keys) t.equal(await socketmapAsk(`${first.dir}/s`, 'alias', key), 'OK box')
  await first.stop()
  await mariadb.sql('DELETE FROM a')
  const before = await during(t, startRedis())
  const client = new Redis(socket)
  t.teardown(() => client.disconnect())
  for (const redis of [null, before.socket]) {
    const node = await during(t, startHoldfast(dir => config(dir, redis)), 'kill')
    node.configure(config(node.dir, socket))
    node.reload()
    await node.logged(/reloaded/)
    t.match(await socketmapAsk(`${node.dir}/s`, 'alias', 'unasked@v.example'), /^TEMP distrusted/)
    await node.kill()
    // The doubt that it found would help the next one.
    await client.del('hf:doubts of maps')
  }
})
