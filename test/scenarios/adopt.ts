/**
 * A live Postfix is moved over to Holdfast and back.
 *
 * 1. A private Postfix has the parameters of a mail server project's main.cf,
 *    on mysql: tables in a private MariaDB. One smtpd(8) is chrooted and has the
 *    project's -o with tables, one is not; cleanup(8) and
 *    trivial-rewrite(8) are chrooted.
 * 2. Both smtpd answer RCPT TO for recipients of each kind: known, by alias, by
 *    catch-all, with extension, of unknown user and domain.
 * 3. `holdfast adopt --output` writes the configuration; nothing of Postfix's
 *    changes. `--apply` switches.
 * 4. The same answers; no table that can be asked through Holdfast is MySQL's any more.
 * 5. The commands that `adopt` printed switch back: main.cf and master.cf say
 *    what they said before, and the answers are the same again.
 *
 * For some projects also what doesn't depend on main.cf: `--apply` refuses until
 * the daemon serves the maps; `compare` finds the tables' answers in the daemon's;
 * with MariaDB killed, those who are known are still accepted.
 */
import { chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as Tap from 'tap'
import { groupId } from '../../src/config/endpoint.js'
import { parseParameters, runPostconf } from '../../src/postfix/postconf.js'
import { run } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { adopt, serve, switchOver, writeConfig } from '../fixtures/move_over.js'
import { freePort } from '../fixtures/port.js'
import { settle, startPostfix } from '../fixtures/postfix.js'
import { smtpSession } from '../fixtures/smtp.js'

export const schema = `
  CREATE TABLE domain (name varchar(255), kind varchar(20), route varchar(255));
  INSERT INTO domain VALUES
    ('v.example', 'mailbox', 'discard:'), ('w.example', 'alias', 'discard:'), ('r.example', 'relay', 'discard:');
  CREATE TABLE alias (address varchar(255), target varchar(255));
  INSERT INTO alias VALUES ('info@v.example', 'ann@v.example'), ('list@v.example', 'ann@v.example,bob@v.example'),
    ('@w.example', 'ann@v.example'), ('sub@v.example', 'nobody@v.example'),
    ('away@v.example', 'friend@elsewhere.example'), ('across@v.example', 'rex@r.example'),
    -- Where a table of aliases says who may send.
    ('sender@elsewhere.example', 'OK');
  CREATE TABLE mailbox (address varchar(255), path varchar(255));
  INSERT INTO mailbox VALUES
    ('ann@v.example', 'v.example/ann/'), ('bob@v.example', 'v.example/bob/'), ('rex@r.example', 'OK');
  CREATE TABLE refused (address varchar(255), action varchar(255));
  INSERT INTO refused VALUES
    ('bob@v.example', 'REJECT not him'), ('spam@elsewhere.example', 'REJECT no thanks'),
    ('sub.r.example', 'REJECT nor there');
  CREATE TABLE rewritten (address varchar(255), target varchar(255));
  INSERT INTO rewritten VALUES ('old@v.example', 'renamed'), ('renamed', 'ann@v.example'), ('root', 'ann@v.example');
`

/** The queries of the fixtures' tables. Where a project has several for one purpose, only one has rows here. */
const queries: Readonly<Record<string, string>> = {
  domains: 'SELECT name FROM domain WHERE name=\'%s\' AND kind=\'mailbox\'',
  alias_domains: 'SELECT name FROM domain WHERE name=\'%s\' AND kind=\'alias\'',
  relay: 'SELECT name FROM domain WHERE name=\'%s\' AND kind=\'relay\'',
  alias: 'SELECT target FROM alias WHERE address=\'%s\'',
  // A mailbox is an alias to itself.
  alias_or_mailbox: 'SELECT target FROM alias WHERE address=\'%s\' UNION SELECT address FROM mailbox WHERE address=\'%s\'',
  mailbox: 'SELECT path FROM mailbox WHERE address=\'%s\'',
  transport: 'SELECT route FROM domain WHERE name=\'%s\'',
  refused: 'SELECT action FROM refused WHERE address=\'%s\'',
  rewritten: 'SELECT target FROM rewritten WHERE address=\'%s\'',
  none: 'SELECT target FROM alias WHERE address=\'%s\' AND target=\'\'',
}

export type Shape = {
  readonly name: string
  /** Which query each of its files has, by a part of the file's name; the first that fits. */
  readonly files: readonly (readonly [RegExp, keyof typeof queries])[]
  /** In place of what this machine can't have; null for Postfix's default. TEXT is a text table. */
  readonly settings: Readonly<Record<string, string | null>>
  /** Parameters whose tables stay MySQL's. */
  readonly keeps?: readonly string[]
}

/** Text tables before MySQL's, and access tables among the restrictions. */
export const ispconfig: Shape = {
  name: 'ispconfig',
  files: [
    [/virtual_alias_domains/, 'alias_domains'], [/virtual_domains/, 'domains'], [/relaydomains/, 'relay'],
    [/forwardings/, 'alias'],
    [/mailboxes|relayrecipientmaps/, 'mailbox'], [/transports/, 'transport'], [/sender\.cf|_recipient\.cf/, 'refused'],
    [/./, 'none'],
  ],
  keeps: ['virtual_gid_maps', 'virtual_uid_maps'],
  settings: {
    virtual_transport: 'discard', greylisting: 'check_client_access mysql:/etc/postfix/mysql-virtual_client.cf',
    virtual_alias_maps: 'texthash:TEXT, proxy:mysql:/etc/postfix/mysql-virtual_forwardings.cf, '
      + 'proxy:mysql:/etc/postfix/mysql-virtual_email2email.cf',
    transport_maps: 'texthash:TEXT, proxy:mysql:/etc/postfix/mysql-virtual_transports.cf',
    smtpd_sender_restrictions: 'check_sender_access proxy:mysql:/etc/postfix/mysql-virtual_sender.cf',
    smtpd_client_restrictions: 'check_client_access proxy:mysql:/etc/postfix/mysql-virtual_client.cf',
    smtpd_recipient_restrictions: 'reject_unauth_destination, check_recipient_access '
      + 'proxy:mysql:/etc/postfix/mysql-virtual_recipient.cf',
  },
}

/** Several tables in one parameter, all of them MySQL's. */
export const iredmail: Shape = {
  name: 'iredmail',
  files: [
    [/virtual_mailbox_domains/, 'domains'], [/relay_domains/, 'relay'], [/virtual_alias_maps/, 'alias'],
    [/virtual_mailbox_maps/, 'mailbox'],
    [/transport_maps_domain/, 'transport'], [/./, 'none'],
  ],
  settings: { virtual_transport: 'discard', virtual_alias_domains: 'w.example', smtpd_sender_restrictions: '' },
}

export const postfixadmin: Shape = {
  // virtual(8) delivers, and reads virtual_mailbox_maps too.
  name: 'postfixadmin',
  files: [
    [/domains_maps/, 'domains'], [/relay_domains/, 'relay'], [/virtual_alias_maps/, 'alias'],
    [/virtual_mailbox_maps|sender_login/, 'mailbox'],
    [/transport/, 'transport'],
  ],
  settings: { virtual_alias_domains: 'w.example' },
}

/** Every parameter that decides over a mail and can have a table. */
export const every: Shape = {
  name: 'every',
  files: [
    [/virtual_mailbox_domains/, 'domains'], [/virtual_alias_domains/, 'alias_domains'], [/relay_domains/, 'relay'],
    [/virtual_alias_maps/, 'alias'], [/virtual_mailbox_maps|relay_recipients/, 'mailbox'], [/mysql-transport/, 'transport'],
    [/_canonical|access/, 'none'], [/canonical/, 'rewritten'], [/./, 'none'],
  ],
  settings: { virtual_transport: 'discard' },
}

const sender = 'sender@elsewhere.example'
const recipients = [
  'ann@v.example', 'Ann@V.Example', 'ann+tag@v.example', 'bob@v.example', 'info@v.example', 'info+tag@v.example',
  'list@v.example', 'away@v.example', 'across@v.example',
  'sub@v.example', 'nobody@v.example', 'anyone@w.example', 'any+one@w.example', 'rex@r.example', 'nobody@r.example',
  'rex@sub.r.example',
  'user@none.example', '"odd one"@v.example', '"odd one"@w.example', 'o\'neil@v.example', 'old@v.example',
  'other@text.example', 'root', 'nobody',
]
export const known = [
  'ann@v.example', 'Ann@V.Example', 'info@v.example', 'list@v.example', 'anyone@w.example', 'rex@r.example',
  'away@v.example', 'across@v.example',
]
const refusedSender = 'spam@elsewhere.example'

/** What smtpd says to each recipient. */
const replies = async (port: number): Promise<readonly string[]> => {
  const said: string[] = []
  const session = await smtpSession(port)
  for (const [from, to] of [
    ...recipients.map(recipient => [sender, recipient] as const), [refusedSender, 'ann@v.example'] as const,
  ]) {
    await session.mail(from)
    const { code, text } = await session.rcpt(to)
    said.push(`${from} ${to}: ${code} ${text}`)
    await session.command('RSET')
  }
  await session.quit()
  return said
}

export type Bed = Awaited<ReturnType<typeof startBed>>

/** What is not accepted of a message to each recipient from each sender. */
export const refused = async (
  { postfix: { smtpPort } }: Bed, senders: readonly string[], client?: string, recipients = known,
): Promise<readonly string[]> => {
  const refusals: string[] = []
  for (const sender of senders) {
    for (const recipient of recipients) {
      const session = await smtpSession(smtpPort, client)
      const replies = [await session.mail(sender), await session.rcpt(recipient)]
      if (replies.at(-1)?.code === 250) replies.push(await session.data('Subject: test\n\ntest\n'))
      await session.quit()
      const last = replies.at(-1)
      if (last?.code !== 250) refusals.push(`${sender} ${recipient}: ${last?.code} ${last?.text}`)
    }
  }
  return refusals
}

/** Step 1. */
export const startBed = async (t: Tap.Test, shape: Shape, mariadb: Mariadb) => {
  const folder = freshFolder()
  const source = fileURLToPath(new URL(`../../../test/fixtures/adopt/${shape.name}`, import.meta.url))
  const text = join(folder, 'text')
  const write = (file: string, content: string): void => {
    writeFileSync(file, content, { mode: 0o640 })
    // proxymap(8) runs as Postfix's account.
    chownSync(file, 0, groupId('postfix') ?? 0)
    settle(file)
  }
  write(text, 'other@v.example ann@v.example\n')
  write(join(folder, 'vhost'), 'text.example\n')
  const here = (value: string): string => value.replaceAll('TEXT', text)
    .replace(/\$sql_dir/g, '/etc/postfix/mysql').replaceAll('/etc/postfix', folder).replace(
      /\b(hash|texthash|regexp|pcre):[^ ,}]+/g, `texthash:${text}`,
    )
  const server = {
    hosts: `inet:${mariadb.host}:${mariadb.port}`, user: mariadb.user, password: mariadb.password,
    dbname: mariadb.database,
  }

  const [all, overridden] = await Promise.all([runPostconf(source, ['-n']), runPostconf(source, ['-P'])])
  const own = [...parseParameters(all)]
    .filter(
      ([name]) => ![
        'compatibility_level', 'config_directory', 'myhostname', 'sql_dir', 'proxy_read_maps',
      ].includes(name),
    )
  // Tables may have their parameters in main.cf itself, where a $ is doubled.
  const inMainCf = own.flatMap(([name, value]) => /_maps$/.test(name) ? /\bmysql:(\w+)/.exec(value)?.[1] ?? [] : [])
    .flatMap(
      table => Object.entries(server).map(
        ([name, value]) => [`${table}_${name}`, value.replaceAll('$', '$$$$')] as const,
      ),
    )
  const settings: Readonly<Record<string, string | null>> = Object.fromEntries([
    ...own, ...inMainCf, ...Object.entries(shape.settings),
  ]
    .map(([name, value]) => [name, value === null ? null : here(value)]))
  const overrides = ['smtpd_helo_restrictions=check_helo_access,mysql:/etc/postfix/mysql-helo.cf',
    ...[...parseParameters(overridden)].filter(
      ([name, value]) => /\/inet\/smtpd_\w+_restrictions$/.test(name) && /mysql:|\$/.test(value),
    )
      .map(([name, value]) => `${name.replace(/.*\//, '')}=${value}`)].map(here)
  for (const value of [...Object.values(settings), ...overrides]) {
    for (const [, file = ''] of (value ?? '').matchAll(/(?:mysql|\$\{dbtype\}):(\/[^ ,}]+)/g)) {
      mkdirSync(join(file, '..'), { recursive: true })
      const query = shape.files.find(([name]) => name.test(file))?.[1] ?? 'none'
      write(
        file,
        [
          ...Object.entries(server), ['query', queries[query] ?? ''],
        ].map(([name = '', said = '']) => `${name} = ${said}\n`).join(''),
      )
    }
  }
  const chrootedPort = await freePort()
  const postfix = await during(t, startPostfix({
    mainCf: {
      smtpd_relay_restrictions: 'reject_unauth_destination',
      local_recipient_maps: '', alias_maps: '',
      local_transport: 'discard', relay_transport: 'discard', default_transport: 'discard',
      ...settings,
      proxy_read_maps: [
        '$local_recipient_maps', ...Object.values(settings).flatMap(value => value?.match(/proxy:[^ ,]+/g) ?? []),
      ].join(' '),
    },
    masterCf: `127.0.0.1:${chrootedPort} inet n - y - - smtpd\n  -o smtpd_helo_required=yes\n${overrides.map(
      text => `  -o ${text.includes(' ') ? `{ ${text} }` : text}\n`,
    ).join('')}`
      + 'cleanup unix n - y - 0 cleanup\nrewrite unix - - y - - trivial-rewrite\n',
  }))
  return {
    postfix, folder, shape,
    answers: async (): Promise<readonly string[]> => [
      ...await replies(postfix.smtpPort), ...await replies(chrootedPort),
    ],
    /** Both files, as Postfix understands them. */
    settings: async (): Promise<string> => {
      for (const name of ['main.cf', 'master.cf']) settle(join(postfix.configDir, name))
      const [main = '', ...master] = await Promise.all(
        [['-n'], ['-M'], ['-P']].map(args => runPostconf(postfix.configDir, args)),
      )
      return main + master.join('').replace(/[ ,{}]+/g, ' ').replaceAll(' = ', '=').replace(/ +$/gm, '')
    },
  }
}

/** Moves a Postfix over to its own Holdfast, with what adopt writes; `restart` ends that one and starts another. */
export const move = async (t: Tap.Test, bed: Bed): Promise<{ readonly restart: () => Promise<void> }> => {
  const config = join(bed.folder, 'holdfast.yaml')
  await writeConfig(t, bed.postfix, config)
  let daemon = await serve(t, config)
  await switchOver(t, bed.postfix)
  return {
    restart: async () => {
      await daemon.kill()
      daemon = await serve(t, config)
    },
  }
}

/**
 * Runs the steps above as tests; `meanwhile` while Postfix asks Holdfast, with its configuration file and the answers
 * of before.
 */
export const moveOverAndBack = async (
  t: Tap.Test, bed: Bed,
  meanwhile: (config: string, before: readonly string[]) => Promise<void> = () => Promise.resolve(),
): Promise<void> => {
  const before = { answers: await bed.answers(), settings: await bed.settings() }
  t.match(before.answers.join('\n'), /: 250 [^]*: 5\d\d /, 'some are accepted, some are not')
  t.notMatch(before.answers.join('\n'), /: 4\d\d /, 'every table can be asked')

  const config = join(bed.folder, 'holdfast.yaml')
  await writeConfig(t, bed.postfix, config)
  t.equal(await bed.settings(), before.settings, 'so far nothing has changed')

  await serve(t, config)
  const applied = await switchOver(t, bed.postfix)
  const copies = readdirSync(bed.postfix.configDir).filter(name => name.includes('before-holdfast'))
  t.equal(copies.length, 2, 'main.cf and master.cf have copies')
  const again = await adopt(bed.postfix)
  t.match(again, { code: 0, stdout: /All tables are moved: Postfix asks Holdfast in / }, 'a second adopt says so')
  const checked = await run(process.execPath, [mainFile, 'check', '--config-dir', bed.postfix.configDir, config])
  t.match(checked, { code: 0, stdout: /^ok: [^\n]*\n$/ }, 'and check finds nothing')
  t.strictSame(await bed.answers(), before.answers, 'the answers are those of before')
  const left = [
    ...parseParameters(await runPostconf(bed.postfix.configDir, ['-n'])),
    ...parseParameters(await runPostconf(bed.postfix.configDir, ['-P'])),
  ]
  t.strictSame(left.filter(
    // virtual(8) takes no socketmap, and keeps its tables in a -o of its own.
    ([name, value]) => value.includes('mysql:') && !/^proxy_read_maps$|^virtual\/unix\//.test(name),
  ).map(([name]) => name).sort(),
    bed.shape.keeps ?? [], 'MySQL is asked by nobody but Holdfast')
  await meanwhile(config, before.answers)

  const back = applied.slice(applied.indexOf('To switch back:')).split('\n').slice(1)
    .filter(line => !line.includes('reload'))
  const { code, stderr } = await run('sh', ['-e'], { stdin: back.join('\n') })
  t.equal(code, 0, stderr)
  t.equal(await bed.settings(), before.settings, 'main.cf and master.cf say what they said')
  await bed.postfix.reload()
  t.strictSame(await bed.answers(), before.answers, 'and so does Postfix')
}

/** The same, with a MariaDB of its own, and what doesn't depend on main.cf. */
export const moveThroughOutage = async (t: Tap.Test, shape: Shape): Promise<void> => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const bed = await startBed(t, shape, mariadb)
  const settings = await bed.settings()
  const early = await adopt(bed.postfix, '--apply')
  t.equal(early.code, 75, 'it doesn\'t switch over while nobody would answer')
  t.equal(await bed.settings(), settings, 'and changes nothing')

  await moveOverAndBack(t, bed, async (config, before) => {
    const compared = await run(
      process.execPath, [mainFile, 'compare', 'virtual_alias', '--config', config], { stdin: recipients.join('\n') },
    )
    t.equal(compared.code, 0, `${compared.stdout}${compared.stderr}`)
    await mariadb.kill()
    const accepted = (answers: readonly string[]): readonly string[] =>
      answers.filter(line => known.some(recipient => line.startsWith(`${sender} ${recipient}: 250 `)))
    t.equal(accepted(before).length, 2 * known.length)
    t.strictSame(accepted(await bed.answers()), accepted(before), 'those who are known are accepted without MySQL')
    await mariadb.start()
  })
}
