/**
 * Absences in an outage, asked of the daemon as Postfix asks.
 *
 * 1. Nobody's alias is asked for while all is well: absent. Recipient maps know
 *    one of the addresses, a list of sender logins another.
 * 2. MariaDB is killed, and half an hour goes by. A known
 *    recipient is still no alias. Somebody who may only send could be an alias by now.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('with MariaDB killed a known recipient without alias is absent, an address that only sends waits', async t => {
  const mariadb = await startMariadb({ sql: `
    CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
    CREATE TABLE recipient (address VARCHAR(255) PRIMARY KEY);
    INSERT INTO recipient VALUES ('user@box.example');
    CREATE TABLE login (address VARCHAR(255) PRIMARY KEY);
    INSERT INTO login VALUES ('noreply@v.example');
  ` })
  t.teardown(() => mariadb.stop())
  const { socket, user, password, database } = mariadb
  const holdfast = await startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s`, mode: '0600' }],
    health: 'off',
    databases: { mail: { hosts: `unix:${socket}`, user, password, dbname: database } },
    maps: {
      alias: { search: 'virtual', database: 'mail', query: "SELECT goto FROM alias WHERE address='%s'" },
      recipient: { search: 'recipient', database: 'mail', query: "SELECT 'ok' FROM recipient WHERE address='%s'" },
      login: { search: 'recipient', sensitive: true, database: 'mail', query: "SELECT 'ok' FROM login WHERE address='%s'" },
    },
  }), { canShift: true })
  t.teardown(() => holdfast.kill())
  const ask = (map: string, key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, map, key)
  t.equal(await ask('recipient', 'user@box.example'), 'OK ok')
  t.equal(await ask('login', 'noreply@v.example'), 'OK ok')
  for (const key of ['user@box.example', 'noreply@v.example']) t.equal(await ask('alias', key), 'NOTFOUND ')

  await mariadb.kill()
  await holdfast.halfAnHourPasses()
  t.equal(await ask('alias', 'user@box.example'), 'NOTFOUND ')
  t.match(await ask('alias', 'noreply@v.example'), /^TEMP /)
  t.match(await ask('alias', 'never@box.example'), /^TEMP /)
})
