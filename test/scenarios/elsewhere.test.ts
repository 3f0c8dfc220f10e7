/**
 * Redis has what all nodes know of a recipient. In an outage an absence in the alias map refuses nobody if another map
 * has the recipient as a mailbox: so a node answers absent there, even if nobody ever asked it for the mailbox.
 *
 * 1. Two nodes share a Redis. The first is asked for a mailbox, and the second only for the alias, which is absent.
 * 2. MariaDB is gone, and half an hour goes by. Postfix asks the second node for the alias first, and stops where that is an error.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('a mailbox that only another node was asked for is known in an outage', async t => {
  const mariadb = await startMariadb({ sql: `
    CREATE TABLE mailbox (address VARCHAR(255) PRIMARY KEY, dir VARCHAR(255));
    INSERT INTO mailbox VALUES ('user@example.com', 'example.com/user/');
    CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
    INSERT INTO alias VALUES ('info@example.com', 'user@example.com')` })
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  // Tables without a copy: what a copy has is known without Redis.
  const config = (dir: string): string => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', redis: { path: redis.socket },
    databases: { mail: { hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
    maps: {
      mailbox: { search: 'recipient', database: 'mail', query: "SELECT dir FROM mailbox WHERE address LIKE '%s'" },
      alias: { search: 'virtual', database: 'mail', query: "SELECT goto FROM alias WHERE address LIKE '%s'" },
    },
  })
  const first = await startHoldfast(config)
  const second = await startHoldfast(config, { canShift: true })
  t.teardown(() => Promise.all([first.stop(), second.stop()]))
  t.equal(await socketmapAsk(`${first.dir}/s`, 'mailbox', 'user@example.com'), 'OK example.com/user/')
  t.equal(await socketmapAsk(`${second.dir}/s`, 'alias', 'user@example.com'), 'NOTFOUND ')
  t.equal(await socketmapAsk(`${second.dir}/s`, 'alias', 'nobody@example.com'), 'NOTFOUND ')
  await mariadb.stop()
  await second.halfAnHourPasses()
  t.match(await socketmapAsk(`${second.dir}/s`, 'alias', 'nobody@example.com'), /^TEMP /)
  t.equal(await socketmapAsk(`${second.dir}/s`, 'alias', 'user@example.com'), 'NOTFOUND ', 'the mailbox is known')
})
