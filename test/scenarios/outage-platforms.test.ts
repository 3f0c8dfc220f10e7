/**
 * Real platforms in an outage, with the configuration that adopt writes and its
 * defaults.
 *
 * 1. A Postfix for each platform is moved over to Holdfast; known recipients get
 *    mail from a stranger and from a user of ours.
 * 2. MariaDB dies, and every absence grows older than absent_for (35 s).
 * 3. Every known recipient is still accepted to the end of DATA: from known
 *    senders, from senders and from clients that nobody has seen before.
 * 4. Holdfast is restarted, and so it is still.
 * 5. A domain that is ours since a moment before MySQL died is deferred, not
 *    refused; so it still is when MySQL is back, by an smtpd(8) that has taken it
 *    for a stranger's; then its mail is accepted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { ispconfig, iredmail, postfixadmin, refused, schema } from './adopt.js'
import type { Shape } from './adopt.js'
import { moveOver } from './moved.js'

const [stranger, user] = ['friend@elsewhere.example', 'ann@v.example']

// A virtual(8) would ask MySQL itself.
const withoutVirtual: Shape = { ...postfixadmin, settings: { ...postfixadmin.settings, virtual_transport: 'discard' } }

// As iRedMail has it: smtpd looks every sender up as if it were a recipient.
const withSenderChecks: Shape = {
  ...iredmail,
  settings: { ...iredmail.settings, smtpd_reject_unlisted_sender: 'yes', smtpd_sender_restrictions: 'reject_unlisted_sender' },
}

const fresh = ['ann@fresh.example']

const platforms: readonly { readonly shape: Shape, readonly senders: readonly string[], readonly newSenders: readonly string[] }[] = [
  { shape: ispconfig, senders: [user, stranger], newSenders: ['new@never.example', 'rex@r.example'] },
  { shape: withSenderChecks, senders: [user, stranger], newSenders: ['new@never.example', 'rex@r.example'] },
  { shape: withoutVirtual, senders: [user, stranger], newSenders: ['new@never.example', 'rex@r.example'] },
]

t.test('known recipients of each platform are accepted to the end of DATA after 35 s without MySQL', async t => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const moved = await Promise.all(platforms.map(async platform => {
    return { ...platform, ...await moveOver(t, platform.shape, mariadb) }
  }))
  for (const { shape, bed, senders } of moved) t.strictSame(await refused(bed, senders), [], `${shape.name} with MySQL`)
  for (const { copies } of moved) await copies()
  await mariadb.sql('INSERT INTO domain (name, kind) VALUES (\'fresh.example\', \'mailbox\')')
  await mariadb.sql('INSERT INTO mailbox (address, path) VALUES (\'ann@fresh.example\', \'fresh/ann/\')')
  await mariadb.kill()
  await sleep(35_000)
  await Promise.all(moved.map(async ({ shape: { name }, bed, restart, senders, newSenders }) => {
    t.strictSame(await refused(bed, senders), [], `${name}: from known senders`)
    t.strictSame(await refused(bed, newSenders), [], `${name}: from senders never seen`)
    t.strictSame(await refused(bed, senders, '127.0.0.77'), [], `${name}: from a client never seen`)
    t.match(await refused(bed, [stranger, user], undefined, fresh), [/: 4\d\d /, /: 4\d\d /], `${name}: new domain`)
    await restart()
    t.strictSame(await refused(bed, ['newer@never.example', 'rex@r.example']), [], `${name}: restarted`)
  }))
  await mariadb.start()
  await Promise.all(moved.map(async ({ shape: { name }, bed }) => {
    for (let n = 0; ; n++) {
      const refusals = await refused(bed, [stranger, `${n}@never.example`], undefined, fresh)
      t.strictSame(refusals.filter(text => !/: 4\d\d /.test(text)), [], `${name}: MySQL is back`)
      if (!refusals.some(text => text.startsWith(`${n}@`))) return
      await sleep(500)
    }
  }))
})
