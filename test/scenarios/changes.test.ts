/**
 * Edits of a table show without any hook, by a `changes` query. The machine's
 * clock and the database's differ by hours, as time zones do.
 *
 * 1. A row changes, one is new, a catch-all changes: each shows, and others,
 *    still fresh, are not asked anew.
 * 2. The database is away for a while: edits made right after are seen.
 * 3. More rows change at once than can be named: all are asked anew.
 */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailMaps, mailSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

// What deploy/changes.yaml says for a table that has no such column.
const column = 'ALTER TABLE alias ADD modified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, ADD INDEX (modified);'
const longAgo = 'UPDATE alias SET modified = NOW() - INTERVAL 2 DAY;'

t.test('edits show within seconds, without any hook', async t => {
  const mariadb = await during(t, startMariadb({ sql: `${mailSql(25)}${column}${longAgo}`, args: ['--default-time-zone=+09:00'] }))
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, {
    maps: {
      virtual_alias: {
        ...mailMaps.virtual_alias, database: 'mail', changes: 'SELECT address FROM alias WHERE modified >= \'%s\'',
      },
    },
  })), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'virtual_alias', key)
  const until = async (key: string, reply: string): Promise<void> => { while (await ask(key) !== reply) await setTimeout(20) }
  t.equal(await ask('info@v.example'), 'OK box@relay.example')
  t.equal(await ask('info+tag@v.example'), 'OK box+tag@relay.example')
  t.equal(await ask('own@v.example'), 'OK one@relay.example')
  t.equal(await ask('stranger@catch.example'), 'OK all@relay.example')
  t.equal(await ask('late@v.example'), 'NOTFOUND ')

  await mariadb.sql(`
    UPDATE alias SET goto = 'new@relay.example' WHERE address IN ('info@v.example', '@catch.example');
    INSERT INTO alias (address, goto) VALUES ('Late@v.example', 'late@relay.example');
    UPDATE alias SET goto = 'hidden@relay.example', modified = '2000-01-01' WHERE address = 'own@v.example'`)
  await until('info@v.example', 'OK new@relay.example')
  await until('info+tag@v.example', 'OK new+tag@relay.example')
  await until('stranger@catch.example', 'OK new@relay.example')
  await until('late@v.example', 'OK late@relay.example')
  t.equal(await ask('own@v.example'), 'OK one@relay.example', 'its time says that it did not change')

  await mariadb.kill()
  t.equal(await ask('info@v.example'), 'OK new@relay.example')
  await mariadb.start()
  await mariadb.sql('UPDATE alias SET goto = \'newer@relay.example\' WHERE address = \'info@v.example\'')
  await until('info@v.example', 'OK newer@relay.example')

  await mariadb.sql('INSERT INTO alias (address, goto) SELECT CONCAT(\'user\', seq, \'@v.example\'), \'one@relay.example\' FROM seq_1_to_1001')
  await until('own@v.example', 'OK hidden@relay.example')
  t.equal(await ask('info@v.example'), 'OK newer@relay.example')
  t.notMatch(holdfast.log(), 'can\'t be asked: query')
})
