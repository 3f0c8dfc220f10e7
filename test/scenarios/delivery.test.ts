/**
 * A real Postfix whose five tables all come from Holdfast, against one whose
 * tables are mysql:.
 *
 * 1. Both reach the same MariaDB, and deliver to the sink that transport_maps
 *    names as next hop.
 * 2. Every recipient is tried on both by RCPT TO: the replies are the same.
 * 3. A message to all that were accepted arrives at the sink with the same
 *    envelope recipients: aliases expanded, extensions put back, catch-alls last.
 * The second Postfix has its tables by socketmap on a unix socket, by socketmap
 * on a port and by tcp_table in turn.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { mailConfig, mailMainCf, mailMaps, mailSql, writeCf } from '../fixtures/mail.js'
import type { MapName } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startPostfix } from '../fixtures/postfix.js'
import { smtpSession, startSmtpSink } from '../fixtures/smtp.js'
import type { SmtpSink } from '../fixtures/smtp.js'

const recipients = [
  'info@v.example', 'INFO@V.EXAMPLE', 'info+tag@v.example', 'Info+Tag@v.example', 'multi@v.example', 'multi+x@v.example',
  'list@v.example', 'own+tag@v.example', 'own+other@v.example', 'OWN+TAG@v.example', 'empty@v.example', 'null@v.example',
  'some@v.example', "o'brien@v.example", '100%d@v.example', 'stranger@v.example', 'x@sub.v.example', 'info@sub.v.example',
  'x@other.v.example', 'stranger@catch.example', 'Stranger+Ext@catch.example', 'known@catch.example', 'known+ext@catch.example',
  'box@moved.example', 'one+tag@moved.example', 'stranger@moved.example',
  'box@relay.example', 'BOX@Relay.Example', 'box+tag@relay.example', 'two@relay.example', 'two+tag@relay.example',
  'stranger@relay.example', 'anyone@any.example', 'Any+One@any.example', 'anyone@sub.any.example',
  'user@deep.parent.example', 'stranger@deep.parent.example', 'user@parent.example', 'user@elsewhere.example',
  '"info"@v.example', '"a b"@v.example', '"a b"@catch.example', 'user@[127.0.0.1]', 'postmaster@v.example',
]

type Side = { readonly replies: readonly string[], readonly delivered: readonly string[] }

/** Tries all recipients on a Postfix with these tables, and has one message delivered to those that are accepted. */
const tryAll = async (sink: SmtpSink, table: (map: MapName) => string): Promise<Side> => {
  const postfix = await startPostfix({ mainCf: mailMainCf(table) })
  try {
    const session = await smtpSession(postfix.smtpPort)
    await session.mail('sender@elsewhere.example')
    const replies: string[] = []
    for (const recipient of recipients) {
      const { code, text } = await session.rcpt(recipient)
      replies.push(`${recipient}: ${code} ${text}`)
    }
    const before = sink.received.length
    const { text } = await session.data('Subject: to all\n\nhello\n')
    await session.quit()
    const queueId = /queued as (\w+)/.exec(text)?.[1]
    if (queueId === undefined) throw new Error(`not queued: ${text}`)
    // qmgr(8) says so when all recipients have been dealt with.
    await postfix.logged(new RegExp(`${queueId}: removed`))
    return { replies, delivered: sink.received.slice(before).flatMap(message => message.recipients).sort() }
  } finally {
    await postfix.stop()
  }
}

t.test('a Postfix on Holdfast replies to each recipient and delivers as one on mysql: does', async t => {
  const sink = await during(t, startSmtpSink())
  const mariadb = await during(t, startMariadb({ sql: mailSql(sink.port) }))
  const cfDir = freshFolder()
  const inetPort = await freePort()
  const tcpPorts = new Map<string, number>()
  for (const name of Object.keys(mailMaps)) tcpPorts.set(name, await freePort())
  const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb, {
    listen: [
      { socketmap: `unix:${dir}/s`, mode: '0666' }, { socketmap: `inet:127.0.0.1:${inetPort}` },
      ...[...tcpPorts].map(([map, port]) => ({ tcp: `127.0.0.1:${port}`, map })),
    ],
  })), 'kill')

  const expected = await tryAll(sink, map => `mysql:${writeCf(cfDir, map, mariadb, mailMaps[map].query)}`)
  t.test('the mysql: side shows what it is to show', async t => {
    const reply = (recipient: string): string => expected.replies.find(line => line.startsWith(`${recipient}: `)) ?? ''
    t.match(reply('info+tag@v.example'), /: 250 2\.1\.5 /)
    t.match(reply('stranger@v.example'), /: 550 5\.1\.1 /)
    t.match(reply('stranger@relay.example'), /: 550 5\.1\.1 /)
    t.match(reply('user@elsewhere.example'), /: 554 5\.7\.1 /)
    t.notOk(expected.replies.some(line => /: 4\d\d /.test(line)))
    for (const recipient of ['box+tag@relay.example', 'all@relay.example', 'anyone@any.example', 'user@deep.parent.example']) {
      t.ok(expected.delivered.includes(recipient), recipient)
    }
  })

  const sides: readonly (readonly [string, (map: MapName) => string])[] = [
    ['socketmap on a unix socket', map => `socketmap:unix:${holdfast.dir}/s:${map}`],
    ['socketmap on a port', map => `socketmap:inet:127.0.0.1:${inetPort}:${map}`],
    ['tcp_table', map => `tcp:127.0.0.1:${tcpPorts.get(map) ?? 0}`],
  ]
  for (const [name, table] of sides) {
    t.test(name, async t => t.same(await tryAll(sink, table), expected))
  }
})
