/**
 * The steps of search.ts against the real thing.
 *
 * 1. A private Postfix has, for each parameter, a mysql: table and a socketmap
 *    beside it. Both say "not found" to everything, so Postfix does all its
 *    steps: all of them to MySQL, the whole keys to the socketmap.
 * 2. Recipients, clients and HELO names of every odd shape go through smtpd,
 *    trivial-rewrite and cleanup; what is accepted goes on through smtp.
 * 3. MariaDB's general log says what Postfix asked of each mysql: table. The
 *    steps for the questions to the socketmap have to be just that, in order. A
 *    second question, a quoted localpart again without quotes, counts only if
 *    the steps for the first don't include it.
 * 4. The same with other delimiters and with parent domains the other way.
 */
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import type * as Tap from 'tap'
import { compileSearch, type Plan } from '../../src/lookup/search.js'
import type { Search, SearchSettings } from '../../src/postfix/parameters.js'
import { fold } from '../../src/postfix/fold.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startPostfix } from '../fixtures/postfix.js'
import { smtpSession, startSmtpSink } from '../fixtures/smtp.js'
import { startSocketmap } from '../fixtures/socketmap.js'

/** The parameters under test and what their tables are. */
const searches: Readonly<Record<string, Search>> = {
  virtual: 'virtual', canonical: 'canonical', generic: 'generic', transport: 'transport', relay_rcpt: 'recipient',
  local_rcpt: 'recipient', relocated: 'recipient', relayhost: 'recipient', bcc: 'recipient', relay: 'domain', alias_domains: 'exact', mailbox_domains: 'exact',
  client: 'access', helo: 'access', sender: 'access', rcpt: 'access',
}

const addresses = [
  'user@example.com', 'User+Tag@Sub.Example.COM', 'user+@example.com', '+user@example.com', 'a+b+c@a.b.c.example.com',
  'user-ext@example.com', 'user-a+b@example.com', 'user+a-b@example.com', 'owner-list@example.com',
  'list-request@example.com', 'Owner-List+x@example.com', '-request@example.com',
  'postmaster@example.com', 'postmaster+x@example.com', 'mailer-daemon@example.com', 'double-bounce@example.com',
  '"a b"@example.com', '"a b+c d"@example.com', '"a+b c"@example.com', '"a\\"b+x"@example.com', '"a\\\\b"@example.com',
  '"user"@example.com', '".dot"@example.com', '"two..dots+x"@example.com', '"a,b"@example.com', '"+ x"@example.com',
  '"(x)+y"@local.example', 'user+tag@local.example', 'User@LOCAL.example', '"a b+c"@local.example', 'u@local.example.',
  'user+tag@[127.0.0.1]', 'user+tag@[192.0.2.1]', 'user@[IPv6:2001:db8::1]', 'user@x', 'user@example.com.',
  '@relay.example:user+x@example.com', "o'brien+%s@example.com", 'a%b+c@example.com', 'a!b+c@example.com',
  'müller+Ähre@example.com', 'user+tag@müller.example', '"ä b+ö"@example.com',
]

// Name, address (as XCLIENT spells it), HELO name.
const clients: readonly (readonly [string, string, string])[] = [
  ['mail.a.example', '192.0.2.77', 'mail.b.example'],
  ['UPPER.a.Example', '198.51.100.1', 'Host.B.EXAMPLE'],
  ['[UNAVAILABLE]', 'IPV6:2001:db8::1', '[192.0.2.1]'],
  ['localhost', 'IPV6:::1', 'localhost'],
  ['mx.x', 'IPV6:2001:db8:0:1:2:3:4:5', 'host.example.'],
]

const unescape = (literal: string): string => literal.replace(/\\(.)/g, '$1')
const distinct = (keys: readonly string[]): readonly string[] => [...new Set(keys)]

const startBed = async (settings: SearchSettings) => {
  const mariadb = await startMariadb({
    sql: `CREATE TABLE t (m varchar(20), k varchar(255), v varchar(255)) COLLATE utf8mb4_bin;
      SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON`,
  })
  const socketmap = await startSocketmap(() => undefined)
  const sink = await startSmtpSink()
  const onward = `smtp:[${sink.host}]:${sink.port}`
  const folder = dirname(socketmap.path)
  const both = (map: string): string => {
    const cf = join(folder, `${map}.cf`)
    writeFileSync(cf, `hosts = unix:${mariadb.socket}\nuser = ${mariadb.user}\npassword = ${mariadb.password}\n`
      + `dbname = ${mariadb.database}\nquery = SELECT v FROM t WHERE m = '${map}' AND k = '%s'\n`)
    return `mysql:${cf}, socketmap:unix:${socketmap.path}:${map}`
  }
  const check = (restriction: string, map: string): string =>
    both(map).split(', ').map(table => `${restriction} ${table}`).join(', ')
  const acceptPort = await freePort()
  const postfix = await startPostfix({
    mainCf: {
      recipient_delimiter: settings.recipientDelimiter,
      parent_domain_matches_subdomains: [...settings.parentDomainMatchesSubdomains].join(', '),
      helpful_warnings: 'no',
      mydestination: settings.localDomains.has('local.example') ? 'local.example' : '',
      myorigin: 'origin.example',
      virtual_alias_maps: both('virtual'),
      canonical_maps: both('canonical'),
      smtp_generic_maps: both('generic'),
      transport_maps: both('transport'),
      relay_recipient_maps: both('relay_rcpt'),
      local_recipient_maps: both('local_rcpt'),
      relocated_maps: both('relocated'),
      sender_dependent_relayhost_maps: both('relayhost'),
      recipient_bcc_maps: both('bcc'),
      relay_domains: `${both('relay')}, example.com`,
      virtual_alias_domains: both('alias_domains'),
      virtual_mailbox_domains: both('mailbox_domains'),
      default_transport: onward,
      relay_transport: onward,
      local_transport: onward,
      smtpd_authorized_xclient_hosts: '127.0.0.1',
      smtpd_relay_restrictions: 'permit_mynetworks, reject_unauth_destination',
      mynetworks: '127.0.0.1',
      smtpd_relay_before_recipient_restrictions: 'no',
      smtpd_recipient_restrictions: [
        check('check_client_access', 'client'), check('check_helo_access', 'helo'),
        check('check_sender_access', 'sender'), check('check_recipient_access', 'rcpt'),
        'reject_unlisted_recipient', 'reject',
      ].join(', '),
    },
    // Here smtpd asks for nothing that cleanup asks for too.
    masterCf: `127.0.0.1:${acceptPort} inet n - n - - smtpd\n`
      + '  -o smtpd_recipient_restrictions=permit -o smtpd_reject_unlisted_recipient=no\n',
  })

  const logged = async (): Promise<readonly { map: string, key: string }[]> => {
    const rows = await mariadb.sql("SELECT CAST(argument AS CHAR) q FROM mysql.general_log WHERE argument LIKE 'SELECT v %'")
    return rows.map(row => {
      const [, map = '', key = ''] = /m = '(\w+)' AND k = '([^]*)'$/.exec(String(row['q'])) ?? []
      return { map, key: unescape(key) }
    })
  }
  let seen = { table: 0, socketmap: 0 }
  const mapsSeen = new Set<string>()
  return {
    postfix, acceptPort, sink,
    mapsSeen: (): readonly string[] => [...mapsSeen].sort(),
    /** What each map was asked since the last call, of the mysql: table and of the socketmap. */
    questions: async () => {
      const table = await logged()
      const since = { table: table.slice(seen.table), socketmap: socketmap.asked.slice(seen.socketmap) }
      seen = { table: table.length, socketmap: socketmap.asked.length }
      for (const { map } of since.socketmap) mapsSeen.add(map)
      return Object.entries(searches).map(([map, search]) => ({
        map,
        search,
        plan: compileSearch(search, settings),
        table: since.table.filter(asked => asked.map === map).map(asked => asked.key),
        socketmap: since.socketmap.filter(asked => asked.map === map).map(asked => asked.key),
      })).filter(({ table, socketmap }) => table.length > 0 || socketmap.length > 0)
    },
    stop: async () => {
      await postfix.stop()
      await sink.stop()
      await mariadb.stop()
      await socketmap.stop()
    },
  }
}

type Bed = Awaited<ReturnType<typeof startBed>>

/** The keys looked up for the questions, one after the other. One that an earlier one has covered adds nothing. */
const stepsFor = (plan: Plan, questions: readonly string[]): readonly string[] => {
  const keys = new Set<string>()
  for (const asked of questions) {
    const key = fold(asked)
    if (!keys.has(key)) for (const step of plan.steps(key, asked)) keys.add(step.key)
  }
  return [...keys]
}

const compare = (t: Tap.Test, about: string, asked: Awaited<ReturnType<Bed['questions']>>, asOneSet: readonly Search[]): void => {
  for (const { map, search, plan, table, socketmap } of asked) {
    const [ours, postfix] = [stepsFor(plan, socketmap), distinct(table)]
    if (asOneSet.includes(search)) t.strictSame([...ours].sort(), [...postfix].sort(), `${map}: ${about}, in any order`)
    else t.strictSame(ours, postfix, `${map}: ${about}`)
  }
}

/** Recipients, which are the senders as well, as smtpd and trivial-rewrite look them up. */
const rcptTo = async (t: Tap.Test, bed: Bed): Promise<void> => {
  const session = await smtpSession(bed.postfix.smtpPort)
  for (const address of addresses) {
    await session.command(`MAIL FROM:<${address}> SMTPUTF8`)
    await session.rcpt(address)
    await session.command('RSET')
    // To smtpd these are a matter of found or not, and it asks both forms of a quoted localpart.
    compare(t, address, await bed.questions(), ['virtual', 'canonical'])
  }
  await session.quit()
}

/** The same as cleanup looks them up, which takes the values for addresses, and smtp after it. */
const data = async (t: Tap.Test, bed: Bed): Promise<void> => {
  const session = await smtpSession(bed.acceptPort)
  let accepted = 0
  for (const address of addresses) {
    await session.command(`MAIL FROM:<${address}> SMTPUTF8`)
    if ((await session.rcpt(address)).code === 250) {
      t.equal((await session.data('Subject: x\n')).code, 250, `message for ${address}`)
      await bed.sink.next()
      const asked = await bed.questions()
      compare(t, address, asked.filter(({ map }) => ['virtual', 'canonical', 'bcc', 'generic'].includes(map)), [])
      accepted++
    }
    await session.command('RSET')
  }
  await session.quit()
  t.ok(accepted > addresses.length / 2, 'most messages were accepted')
}

/** Clients by name and address, what they call themselves, and the empty sender. */
const xclient = async (t: Tap.Test, bed: Bed): Promise<void> => {
  for (const [name, address, helo] of clients) {
    const session = await smtpSession(bed.postfix.smtpPort)
    await session.command(`XCLIENT NAME=${name} ADDR=${address}`)
    await session.command(`EHLO ${helo}`)
    await session.mail('')
    await session.rcpt('user@example.com')
    await session.quit()
    const asked = await bed.questions()
    compare(t, `${name} ${address} ${helo}`,
      asked.filter(({ map }) => ['client', 'helo', 'sender', 'relayhost'].includes(map)), [])
  }
}

const proof = async (t: Tap.Test, settings: SearchSettings): Promise<void> => {
  const bed = await startBed(settings)
  t.teardown(() => bed.stop())
  await t.test('RCPT TO', t => rcptTo(t, bed))
  await t.test('XCLIENT', t => xclient(t, bed))
  // Last, for the queue manager looks up what was accepted in its own time.
  await t.test('DATA', t => data(t, bed))
  t.strictSame(bed.mapsSeen(), Object.keys(searches).sort(), 'every map was asked')
}

t.test('steps are the keys that Postfix asks a mysql: table for', t => proof(t, {
  recipientDelimiter: '+',
  parentDomainMatchesSubdomains: new Set(['relay_domains', 'smtpd_access_maps']),
  propagateUnmatchedExtensions: new Set(['canonical', 'virtual']),
  localDomains: new Set(['local.example', 'origin.example', '[127.0.0.1]']),
}))

t.test('so they are with two delimiters, no local domain and the other styles of parent domains', t => proof(t, {
  recipientDelimiter: '-+',
  parentDomainMatchesSubdomains: new Set(['transport_maps']),
  propagateUnmatchedExtensions: new Set(),
  localDomains: new Set(['origin.example', '[127.0.0.1]']),
}))
