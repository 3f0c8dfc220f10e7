/**
 * Cases from the field, each by its id, in which a Postfix on proxy:mysql: is moved over with `holdfast adopt` and what
 * it writes, and then asked by SMTP.
 *
 * 1. N14, with MariaDB up: a row of transport_maps says virtual:, and that agent takes no socketmap.
 * 2. N01, N02, N03: each Postfix delivers once; MariaDB dies; every absence grows older than absent_for (35 s); the
 *    same mail is still accepted.
 */
import { chmodSync, chownSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { groupId } from '../../src/config/endpoint.js'
import { run } from '../fixtures/child.js'
import type { Child } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { writeCf } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { serve, switchOver, writeConfig } from '../fixtures/move_over.js'
import { settle, startPostfix } from '../fixtures/postfix.js'
import type { Postfix } from '../fixtures/postfix.js'
import { smtpSession } from '../fixtures/smtp.js'

const mariadb = await startMariadb({ sql: `
  CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY); INSERT INTO domain VALUES ('example.com');
  CREATE TABLE mailbox (address VARCHAR(255) PRIMARY KEY, path VARCHAR(255)); INSERT INTO mailbox VALUES ('box@example.com', 'box/');
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT); INSERT INTO alias VALUES ('info@example.com', 'box@example.com');
  CREATE TABLE bcc (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255)); CREATE TABLE route (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
  CREATE TABLE access (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255)); INSERT INTO access VALUES ('spam@bad.example', 'REJECT no thanks');
  CREATE TABLE by_virtual (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255)); INSERT INTO by_virtual VALUES ('example.com', 'virtual:');
` })
t.teardown(() => mariadb.stop())

type Bed = { readonly postfix: Postfix, readonly said: string, readonly config: string, readonly daemon: Child }

/** proxy:mysql: for a table, by a file of its own. */
type TableOf = (table: string, key?: string, value?: string) => string

/** A Postfix, moved over once it has delivered to box@example.com; the parameters are added to those of all cases. */
const moved = async (
  t: Test, more: (tableOf: TableOf, folder: string) => Readonly<Record<string, string>>,
  deliver = async (postfix: Postfix): Promise<void> => { t.equal(await mail(postfix), 250) },
): Promise<Bed> => {
  const folder = freshFolder()
  let files = 0
  const tableOf: TableOf = (table, key = 'address', value = 'goto') => {
    const file = writeCf(folder, `${table}${files++}`, mariadb, `SELECT ${value} FROM ${table} WHERE ${key}='%s'`)
    chmodSync(file, 0o640)
    chownSync(file, 0, groupId('postfix') ?? 0)
    settle(file)
    return `proxy:mysql:${file}`
  }
  const settings: Readonly<Record<string, string>> = {
    virtual_transport: 'discard:', virtual_mailbox_domains: tableOf('domain', 'domain', 'domain'),
    virtual_mailbox_maps: tableOf('mailbox', 'address', 'path'), virtual_alias_maps: tableOf('alias'), ...more(tableOf, folder),
  }
  const postfix = await during(t, startPostfix({ mainCf: {
    ...settings, proxy_read_maps: Object.values(settings).flatMap(value => value.match(/proxy:[^ ,]+/g) ?? []).join(' '),
  } }))
  await deliver(postfix)
  const config = join(folder, 'holdfast.yaml')
  const said = await writeConfig(t, postfix, config)
  const daemon = await serve(t, config)
  await switchOver(t, postfix)
  await deliver(postfix)
  return { postfix, said, config, daemon }
}

/** For a test that fails: what Postfix and Holdfast said last. */
const logsOf = ({ postfix, daemon }: Bed) => ({ postfix: postfix.log().slice(-2_000), holdfast: daemon.output().slice(-4_000) })

/** The code of the last reply to a mail. */
const mail = async ({ smtpPort }: Postfix, from = 'friend@example.net', to = 'box@example.com', client?: string): Promise<number> => {
  const session = await smtpSession(smtpPort, client)
  const replies = [await session.mail(from), await session.rcpt(to)]
  if (replies.every(({ code }) => code === 250)) replies.push(await session.data('Subject: test\n\ntest\n'))
  await session.quit()
  return replies.at(-1)?.code ?? 0
}

t.test('N14 transport_maps routes to virtual:, which keeps its mysql: table and delivers as before', async t => {
  const mailboxes = freshFolder()
  chmodSync(mailboxes, 0o777)
  const delivered = async (postfix: Postfix): Promise<void> => {
    const from = postfix.log().length
    t.equal(await mail(postfix), 250)
    await postfix.logged(/virtual\[\d+\]: .*to=<box@example\.com>.*status=sent/, from)
  }
  const { postfix, said, config } = await moved(t, tableOf => ({
    virtual_transport: 'lmtp:unix:private/dovecot-lmtp', transport_maps: tableOf('by_virtual'),
    virtual_mailbox_base: mailboxes, virtual_uid_maps: 'static:65534', virtual_gid_maps: 'static:65534', virtual_minimum_uid: '1',
  }), delivered)
  t.match(said, /virtual\/unix\/virtual_mailbox_maps: \S+\n.*virtual\(8\) takes no socketmap/)
  t.match(await run(process.execPath, [mainFile, 'check', '--config-dir', postfix.configDir, config]), { code: 0 })
  t.ok(readdirSync(join(mailboxes, 'box', 'new')).length >= 2)
})

t.test('an outage of MariaDB', { timeout: 240_000 }, async t => {
  const [bcc, mixed, access] = await Promise.all([
    moved(t, tableOf => ({ recipient_bcc_maps: tableOf('bcc'), sender_bcc_maps: tableOf('bcc') })),
    moved(t, (tableOf, folder) => {
      const text = join(folder, 'text')
      writeFileSync(text, 'other.example x\n')
      settle(text)
      return {
        virtual_alias_maps: `texthash:${text}, ${tableOf('alias')}`, transport_maps: `${tableOf('route')}, texthash:${text}`,
      }
    }),
    moved(t, tableOf => ({
      smtpd_client_restrictions: `check_client_access ${tableOf('access')}`,
      smtpd_sender_restrictions: `check_sender_access ${tableOf('access')}`,
      smtpd_recipient_restrictions: `reject_unauth_destination, check_recipient_access ${tableOf('bcc')} ${tableOf('route')}`,
    }), async postfix => {
      t.equal(await mail(postfix), 250)
      t.equal(await mail(postfix, 'spam@bad.example'), 554)
    }),
  ])
  await Promise.all([bcc, mixed, access].map(async ({ daemon, config }) => {
    const maps = readFileSync(config, 'utf8').match(/^ {4}cf: /gm)?.length ?? 0
    await daemon.printed(new RegExp(`(?:a copy of its table[^]*){${maps}}`))
  }))
  await mariadb.kill()
  await sleep(35_000)

  await t.test('N01 empty BCC tables: in an outage mail to a known recipient is accepted, from any sender', async t => {
    for (const sender of ['friend@example.net', 'stranger@example.org']) t.equal(await mail(bcc.postfix, sender), 250, sender)
  })

  await t.test('N02 text tables beside MySQL\'s: in an outage mail to a known recipient is accepted', async t => {
    t.equal(await mail(mixed.postfix), 250)
    t.equal(Math.floor(await mail(mixed.postfix, 'friend@example.net', 'nobody@example.com') / 100), 4)
  })

  await t.test('N03 access tables: in an outage mail passes, also from new clients, and no REJECT is lost', async t => {
    t.equal(await mail(access.postfix), 250, 'a client and a sender that were seen before', logsOf(access))
    t.equal(await mail(access.postfix, 'friend@example.net', 'box@example.com', '127.0.0.77'), 250, 'another client', logsOf(access))
    t.equal(await mail(access.postfix, 'new@never.example'), 250, 'another sender', logsOf(access))
    t.equal(await mail(access.postfix, 'spam@bad.example'), 554, 'a sender with a row', logsOf(access))
  })
})
