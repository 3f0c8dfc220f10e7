/**
 * MariaDB goes away under a running Postfix and comes back.
 *
 * For a killed server (connections break, the port refuses) and for a hung one
 * (SIGSTOP: it accepts and says nothing):
 * 1. Postfix has seen some recipients, and Holdfast has copies of the tables.
 * 2. The server goes. Known recipients are still accepted, and those never seen
 *    that a copy has; others get 451 4.3.0 within the deadline, and nobody a 5xx.
 * 3. The server comes back with a new alias. Nothing is restarted: after a while
 *    the new alias is accepted, and a stranger is refused as before. Until then
 *    both are deferred.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { mailConfig, mailMainCf, mailMaps, mailSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startPostfix } from '../fixtures/postfix.js'
import { rcptReply } from '../fixtures/smtp.js'
import { socketmapAsk } from '../fixtures/wire.js'

const deadlineMs = 2_000

const known = ['box@relay.example', 'BOX@Relay.Example', 'one+tag@relay.example', 'team@relay.example']
/** Postfix has not asked for them before. */
const copied = ['two@relay.example', 'box+new@relay.example']
const neverSeen = ['stranger@relay.example', 'user@never.example']

const faults: readonly (readonly [name: string, go: (server: Mariadb) => Promise<void>, back: (server: Mariadb) => Promise<void>])[] = [
  ['killed', server => server.kill(), server => server.start()],
  ['hung', server => server.pause(), server => Promise.resolve(server.resume())],
]

for (const [name, go, back] of faults) {
  t.test(`MariaDB ${name}: known recipients are accepted, others deferred, and it heals by itself`, async t => {
    const mariadb = await during(t, startMariadb({ sql: mailSql(25) }))
    const holdfast = await during(t, startHoldfast(dir => mailConfig(dir, mariadb)), 'kill')
    const path = `${holdfast.dir}/s`
    for (const map of Object.keys(mailMaps)) await holdfast.logged(new RegExp(`map ${map}: a copy of its table`))
    const postfix = await during(t, startPostfix({ mainCf: {
      ...mailMainCf(map => `socketmap:unix:${path}:${map}`),
      // A relay: no question goes to a table that has no answer for the domain.
      virtual_alias_domains: '',
      // smtpd remembers a failed resolution for the rest of its life: one client each.
      max_use: '1',
    } }))
    for (const recipient of known) t.match(await rcptReply(postfix.smtpPort, recipient), { code: 250 }, recipient)
    t.match(await rcptReply(postfix.smtpPort, 'nobody@relay.example'), { code: 550 })

    await go(mariadb)
    for (const recipient of [...known, ...copied]) t.match(await rcptReply(postfix.smtpPort, recipient), { code: 250 }, recipient)
    for (const recipient of neverSeen) {
      const reply = await rcptReply(postfix.smtpPort, recipient)
      t.match(reply, { code: 451, text: /^4\.3\.0 / }, recipient)
    }
    const from = performance.now()
    t.match(await socketmapAsk(path, 'virtual_alias', 'nobody-else@relay.example'), /^TEMP /)
    const took = performance.now() - from
    t.ok(took < 2 * deadlineMs, `answered after ${took} ms`)

    await back(mariadb)
    await mariadb.sql("INSERT INTO alias (address, goto) VALUES ('new@relay.example', 'box@relay.example')")
    for (const [recipient, finalCode] of [['new@relay.example', 250], ['newcomer@relay.example', 550]] as const) {
      let reply = await rcptReply(postfix.smtpPort, recipient)
      while (reply.code === 451) reply = await rcptReply(postfix.smtpPort, recipient)
      t.match(reply, { code: finalCode }, recipient)
    }
  })
}
