/**
 * Recipients that exist are not refused by an smtpd(8) that asks leniently, where Holdfast knows less of a domain than
 * Postfix does.
 *
 * 1. A Postfix is moved over to Holdfast. One of its domains is in a file.
 * 2. main.cf gets another domain: its mail is accepted, as that of all others.
 * 3. The table of aliases is emptied: a recipient in the file's domain, who may have had an alias, is deferred.
 * 4. A client of ours sends to a domain of aliases. MySQL dies, and so does Holdfast; the new one knows nothing. The
 *    same smtpd, which remembers what the recipient's domain is, defers that recipient.
 * 5. The same with a domain that was added a moment before, and a Holdfast that is killed: the new one knows it.
 * 6. The same with a stranger, and a Holdfast that has lost its snapshot, and has copies without the domain.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { rcptReply, smtpSession } from '../fixtures/smtp.js'
import { settle } from '../fixtures/postfix.js'
import { move, postfixadmin, schema, startBed } from './adopt.js'
import type { Shape } from './adopt.js'
import { moveOver } from './moved.js'

const client = '127.0.0.77'

const mixed: Shape = {
  ...postfixadmin,
  files: [[/alias_domains/, 'alias_domains'], ...postfixadmin.files],
  settings: {
    virtual_transport: 'discard',
    mynetworks: client, smtpd_relay_restrictions: 'permit_mynetworks, reject_unauth_destination',
    smtpd_sender_restrictions: 'check_sender_access inline:{a=b}',
    virtual_alias_maps: 'mysql:/etc/postfix/sql/virtual_alias_maps.cf',
    virtual_mailbox_maps: 'mysql:/etc/postfix/sql/virtual_mailbox_maps.cf',
    virtual_alias_domains: 'mysql:/etc/postfix/sql/alias_domains.cf',
    virtual_mailbox_domains: 'mysql:/etc/postfix/sql/domains_maps.cf, /etc/postfix/vhost',
  },
}
const seen: Shape = {
  ...mixed, settings: { ...mixed.settings, virtual_mailbox_domains: 'mysql:/etc/postfix/sql/domains_maps.cf' },
}

/** So many rows that each table is judged by its own. */
const more = ['1', '2', '3', '4', '5', '6'].map(n => `
  INSERT INTO domain VALUES ('v${n}.example', 'mailbox', 'discard:'), ('w${n}.example', 'alias', 'discard:'),
    ('r${n}.example', 'relay', 'discard:');
  INSERT INTO mailbox VALUES ('ann@v${n}.example', 'x');`).join('')

t.test('a domain in a file, or one that main.cf gets later, has no fewer recipients than before', async t => {
  const mariadb = await during(t, startMariadb({ sql: schema + more }))
  const { bed: { postfix }, copies } = await moveOver(t, mixed, mariadb)
  const relayed = (await postfix.postconf('-h', 'relay_domains')).stdout.trim()
  t.equal((await postfix.postconf('-e', `relay_domains=later.example, ${relayed}`)).code, 0)
  settle(join(postfix.configDir, 'main.cf'))
  await postfix.reload()
  t.equal((await rcptReply(postfix.smtpPort, 'ann@later.example')).code, 250)
  await copies()
  await mariadb.sql('DELETE FROM alias')
  for (let n = 0; n < 3; n++) t.match(await rcptReply(postfix.smtpPort, `new${n}@text.example`), { code: 451 })
})

t.test('an smtpd that remembers a domain refuses nobody when Holdfast has forgotten it', async t => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const bed = await startBed(t, seen, mariadb)
  const { restart } = await move(t, bed)
  const session = await smtpSession(bed.postfix.smtpPort, client)
  await session.mail('ann@v.example')
  t.match(await session.rcpt('one@w.example'), { code: 250 })
  await mariadb.kill()
  await restart()
  t.match(await session.rcpt('one@w.example'), { code: 451 })
  await session.quit()
})

/** A client has just sent to a domain that is newer than the copies of the tables; then MySQL dies. */
const afterNewDomain = async (t: Test, client?: string) => {
  const mariadb = await during(t, startMariadb({ sql: schema + more }))
  const { bed: { postfix }, copies, restart, snapshot } = await moveOver(t, seen, mariadb)
  await copies()
  await mariadb.sql(`INSERT INTO domain VALUES ('new.example', 'alias', 'discard:');
    INSERT INTO alias VALUES ('one@new.example', 'ann@v.example')`)
  const session = await smtpSession(postfix.smtpPort, client)
  await session.mail('friend@elsewhere.example')
  t.match(await session.rcpt('one@new.example'), { code: 250 })
  await mariadb.kill()
  return { session, restart, snapshot }
}

t.test('kill -9 right after Holdfast learned a domain does not lose it: a client of ours is not refused', async t => {
  const { session, restart, snapshot } = await afterNewDomain(t, client)
  while (!existsSync(snapshot) || !readFileSync(snapshot, 'latin1').includes('"new.example"')) await sleep(10)
  await restart('SIGKILL')
  t.match(await session.rcpt('one@new.example'), { code: 451 })
  await session.quit()
})

t.test('an smtpd that remembers a domain refuses nobody when Holdfast has forgotten just that one', async t => {
  const { session, restart, snapshot } = await afterNewDomain(t)
  await restart('SIGKILL', () => rmSync(snapshot, { force: true }))
  t.match(await session.rcpt('one@new.example'), { code: 450 })
  t.match(await session.rcpt('one@w.example'), { code: 250 })
  await session.quit()
})
