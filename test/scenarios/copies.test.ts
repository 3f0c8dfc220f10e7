/**
 * Copies of tables, over a whole daemon with its defaults.
 *
 * 1. A table with two rows, one with 12,000 and an access table; nobody asks for anything.
 * 2. The daemon takes copies. MariaDB is killed.
 * 3. A recipient that nobody has asked for is found; a recipient that there isn't is deferred, since an absence would
 *    refuse him; a sender that the access table lacks passes, and one that it has is refused.
 * 4. The daemon is restarted in the outage: the same answers, by the files of the copies.
 *
 * And where two maps take each other's name while the daemon is stopped in the outage: by the first start and the next.
 */
import { mkdirSync } from 'node:fs'
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

/** With the map of the table `boxes`; more maps may follow it. */
const configOf = (dir: string, { host, port, user, password, database }: Mariadb): string => `listen: [{socketmap: "unix:${dir}/s"}]
health: "off"
copies: ${dir}/copies
databases:
  mail: {hosts: "${host}:${port}", user: ${user}, password: "${password}", dbname: ${database}}
maps:
  boxes: {search: recipient, database: mail, query: "SELECT path FROM boxes WHERE address='%s'"}
`

t.test('in an outage, copies answer for keys that nobody has asked for, also after a restart', async t => {
  const mariadb = await startMariadb({
    sql: `CREATE TABLE boxes (address VARCHAR(255) PRIMARY KEY, path TEXT); INSERT INTO boxes VALUES ('ann@v.example', 'ann/'), ('bob@v.example', 'bob/');
      CREATE TABLE large (address VARCHAR(255) PRIMARY KEY); INSERT INTO large SELECT CONCAT('user', seq, '@large.example') FROM seq_1_to_12000;
      CREATE TABLE access (sender VARCHAR(255) PRIMARY KEY, action TEXT); INSERT INTO access VALUES ('spam@x.example', 'REJECT');`,
  })
  t.teardown(() => mariadb.stop())
  const holdfast = await startHoldfast(dir => `${configOf(dir, mariadb)}  large: {search: recipient, database: mail, query: "SELECT 'OK' FROM large WHERE address='%s'"}
  access: {search: access, database: mail, query: "SELECT action FROM access WHERE sender='%s'", in_outage: defer}
`)
  t.teardown(() => holdfast.stop())
  await holdfast.logged(/map boxes: a copy of its table \(2 rows\)/)
  await holdfast.logged(/map access: a copy of its table \(1 row\)/)
  await holdfast.logged(/map large: a copy of its table \(12000 rows\)/)
  await mariadb.kill()
  const assertAnswers = async (when: string): Promise<void> => {
    const ask = (map: string, key: string) => socketmapAsk(`${holdfast.dir}/s`, map, key)
    t.equal(await ask('boxes', 'ann@v.example'), 'OK ann/', when)
    t.match(await ask('boxes', 'nobody@v.example'), /^TEMP /, when)
    t.equal(await ask('large', 'user11999@large.example'), 'OK OK', when)
    t.equal(await ask('access', 'spam@x.example'), 'OK REJECT', when)
    t.equal(await ask('access', 'friend@x.example'), 'NOTFOUND ', when)
  }
  await assertAnswers('in the outage')
  await holdfast.stop()
  await holdfast.start()
  await assertAnswers('after a restart in it')
})

t.test('a file of a copy that can\'t be read is named, and the daemon serves without it', async t => {
  const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE boxes (address VARCHAR(255) PRIMARY KEY, path TEXT); INSERT INTO boxes VALUES (\'ann@v.example\', \'ann/\')' }))
  const holdfast = await during(t, startHoldfast(dir => {
    // To read a folder is an error after it was opened, as with a bad disk.
    mkdirSync(`${dir}/copies/boxes.0`, { recursive: true })
    return configOf(dir, mariadb)
  }))
  await holdfast.logged(/map boxes: .*can't be read: EISDIR/)
  await holdfast.logged(/map boxes: a copy of its table \(1 row\)/)
  t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'boxes', 'ann@v.example'), 'OK ann/')
})

t.test('two maps that take each other\'s name in an outage keep their copies, also after kill -9 and a restart', async t => {
  const mariadb = await during(t, startMariadb({
    sql: `CREATE TABLE boxes (address VARCHAR(255) PRIMARY KEY, path TEXT); INSERT INTO boxes VALUES ('ann@v.example', 'ann/');
      CREATE TABLE other (address VARCHAR(255) PRIMARY KEY, path TEXT); INSERT INTO other VALUES ('bob@w.example', 'bob/')`,
  }))
  const holdfast = await during(t, startHoldfast(dir => `${configOf(dir, mariadb)}  other: {search: recipient, database: mail, query: "SELECT path FROM other WHERE address='%s'"}
`))
  await holdfast.logged(/map boxes: a copy of its table/)
  await holdfast.logged(/map other: a copy of its table/)
  await mariadb.kill()
  holdfast.configure(configOf(holdfast.dir, mariadb).replace('boxes:', 'other:')
    + '  boxes: {search: recipient, database: mail, query: "SELECT path FROM other WHERE address=\'%s\'"}\n')
  for (const when of ['renamed', 'killed before the snapshot has the new names', 'restarted', 'killed after one new copy']) {
    if (when.startsWith('killed')) await holdfast.kill()
    else await holdfast.stop()
    if (when.includes('new copy')) {
      await mariadb.start()
      await holdfast.start()
      await holdfast.logged(/a copy of its table/)
      await Promise.all([holdfast.kill(), mariadb.kill()])
    }
    await holdfast.start()
    t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'other', 'ann@v.example'), 'OK ann/', when)
    t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'boxes', 'bob@w.example'), 'OK bob/', when)
  }
})
