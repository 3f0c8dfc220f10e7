/**
 * A fallback that refuses in an outage what it can't know: what is only its own trouble is none. MySQL is well, and not
 * one recipient that exists is refused:
 *
 * 1. while another statement has the table locked;
 * 2. right after a reload whose connections are too many for the account beside those of before;
 * 3. after a restart with a password that the account no longer has.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

const keys = Array.from({ length: 60 }, (_, index) => `user${index}@v.example`)

t.test('a fallback defers in its own trouble, whatever it does in an outage', async t => {
  const mariadb = await during(t, startMariadb({ sql: tableSql(keys.map(key => `('${key}', 'box')`).join()) }))
  // A table without a copy: nobody but MySQL knows who exists.
  const alias = { search: 'recipient', query: 'SELECT v FROM a WHERE k LIKE \'%s\'' }
  const start = () =>
    during(t, startHoldfast(dir => tableConfig(dir, mariadb, { alias }, { role: 'fallback', outage: 'reject' })), 'kill')
  const ask = ({ dir }: { readonly dir: string }, key: string) => socketmapAsk(`${dir}/s`, 'alias', key)
  const first = await start()
  t.equal(await ask(first, 'user0@v.example'), 'OK box')

  const locking = mariadb.sql('LOCK TABLES a WRITE; SELECT SLEEP(4); UNLOCK TABLES')
  while (!(await mariadb.sql('SHOW OPEN TABLES WHERE In_use > 0')).length) continue
  t.match(await ask(first, 'user1@v.example'), /^TEMP /, 'locked')
  await locking

  await mariadb.sql(`ALTER USER '${mariadb.user}'@'%' WITH MAX_USER_CONNECTIONS 8`)
  const limited = await start()
  // All eight connections are open.
  t.strictSame(new Set(await Promise.all(keys.slice(0, 20).map(key => ask(limited, key)))), new Set(['OK box']))
  limited.reload()
  await limited.logged(/ reloaded: /)
  for (const key of keys.slice(20)) t.match(await ask(limited, key), /^(?:OK|TEMP) /, 'reloaded')
  await limited.kill()

  await mariadb.sql(`ALTER USER '${mariadb.user}'@'%' IDENTIFIED BY 'another' WITH MAX_USER_CONNECTIONS 0`)
  await first.stop()
  await first.start()
  for (const key of keys.slice(20)) t.match(await ask(first, key), /^TEMP /, 'another password')
})
