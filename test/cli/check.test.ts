/**
 * `holdfast check` on a Postfix that asks Holdfast: no finding for a sound one,
 * and one for each of the usual mistakes of the first hour. main.cf and
 * master.cf are real, read by postconf(1); master.cf chroots what Debian's does.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { exposureFindings, fileFindings } from '../../src/check/access.js'
import { checkPostfix } from '../../src/check/postfix.js'
import { loadConfig } from '../../src/config/load.js'
import { groupId } from '../../src/config/endpoint.js'
import { openSources } from '../../src/tables/open.js'
import { run } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { metaDirectory, settle } from '../fixtures/postfix.js'
import { withRemedies } from '../fixtures/remedy.js'
import { serverSettings } from '../fixtures/server_settings.js'

const postfixGroup = groupId('postfix') ?? 0
const debians = fileURLToPath(new URL('../../../test/fixtures/adopt/iredmail/master.cf', import.meta.url))
const socketmap = (map: string, path = 'holdfast/holdfast.sock'): string => `socketmap:unix:${path}:${map}`

type Host = {
  /** main.cf, beside what each Postfix here has. */
  readonly main?: Readonly<Record<string, string>>
  readonly master?: string
  readonly guard?: readonly string[]
  /** Which steps each map does. */
  readonly search?: Readonly<Record<string, string>>
  /** What an absence does in each map, other than by default. */
  readonly absence?: Readonly<Record<string, string>>
  readonly listen?: readonly Readonly<Record<string, unknown>>[]
  /** Group and mode of the socket; null: there is none. */
  readonly socket?: { readonly gid: number, readonly mode: number } | null
  readonly folderMode?: number
}

const sound: Readonly<Record<string, string>> = {
  virtual_alias_maps: socketmap('alias'), transport_maps: socketmap('transport'), relay_domains: socketmap('relay'),
  smtpd_sender_restrictions: `check_sender_access ${socketmap('access')}`,
}

const writeMain = (dir: string, settings: Readonly<Record<string, string>>): void => {
  const file = join(dir, 'etc/main.cf')
  const own = {
    compatibility_level: '3.6', meta_directory: metaDirectory, queue_directory: join(dir, 'queue'), mydestination: '',
    alias_maps: '',
  }
  writeFileSync(file, Object.entries({ ...own, ...settings }).map(([name, value]) => `${name} = ${value}\n`).join(''))
  settle(file)
}

/** A Postfix and Holdfast's configuration; the folder that has both, `queue` and `etc`. */
const host = async (
  t: Test,
  {
    main = {}, master = '', guard = [], search = {}, absence = {}, listen, socket = { gid: postfixGroup, mode: 0o660 },
    folderMode = 0o750,
  }: Host,
): Promise<string> => {
  const dir = freshFolder()
  const [queue, etc] = [join(dir, 'queue'), join(dir, 'etc')]
  for (const folder of [queue, etc, join(queue, 'holdfast')]) mkdirSync(folder)
  const file = join(queue, 'holdfast/holdfast.sock')
  if (socket !== null) {
    const server = createServer()
    t.teardown(() => new Promise(resolve => server.close(resolve)))
    await new Promise<void>(resolve => server.listen(file, resolve))
    chownSync(file, 0, socket.gid)
    chmodSync(file, socket.mode)
  }
  chownSync(join(queue, 'holdfast'), 0, postfixGroup)
  chmodSync(join(queue, 'holdfast'), folderMode)
  writeMain(dir, { ...sound, ...main })
  writeFileSync(join(etc, 'master.cf'), readFileSync(debians, 'utf8') + master)
  settle(join(etc, 'master.cf'))
  writeFileSync(join(dir, 'table'), 'ann@v.example box@v.example\n')
  const searches = {
    alias: 'virtual', transport: 'transport', relay: 'domain', access: 'access', mailbox: 'recipient', ...search,
  }
  writeFileSync(join(dir, 'holdfast.yaml'), JSON.stringify({
    health: 'off', recipient_guard: guard,
    listen: listen ?? [{ socketmap: `unix:${file}`, group: 'postfix', mode: '0660' }],
    maps: Object.fromEntries(
      Object.entries(searches).map(([name, steps]) => [name, { search: steps, text: 'table', absence: absence[name] }]),
    ),
  }))
  return dir
}

/** What it says there, a line each, with DIR for the folder. */
const saidAt = async (dir: string): Promise<readonly string[]> => {
  const loaded = loadConfig(join(dir, 'holdfast.yaml'), {})
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const findings = await checkPostfix(join(dir, 'etc'), loaded.config)
  withRemedies((findings ?? []).map(({ text }) => text))
  return (findings ?? [{ level: 'no Postfix that asks Holdfast', place: '', text: '' }])
    .map(({ level, place, text }) => `${level}: ${place}: ${text}`.replaceAll(dir, 'DIR'))
}
const said = async (t: Test, given: Host): Promise<readonly string[]> => saidAt(await host(t, given))

/** One finding, and no other. */
const finds = async (t: Test, given: Host, ...patterns: readonly RegExp[]): Promise<void> => {
  const lines = await said(t, given)
  t.equal(lines.length, patterns.length, lines.join('\n'))
  for (const [i, pattern] of patterns.entries()) t.match(lines[i], pattern)
}

t.test('check has no findings on a sound Postfix, chrooted or not', async t => {
  t.strictSame(await said(t, {}), [])
  t.strictSame(
    await said(
      t,
      {
        main: { virtual_alias_maps: `unionmap:{internal:none,${socketmap('mailbox')}}` },
        search: { mailbox: 'exact' },
      },
    ),
    [],
  )
})

t.test('check has no findings if Postfix asks other tables, or isn\'t installed', async t => {
  const others = {
    virtual_alias_maps: 'inline:{a=b}', transport_maps: '', relay_domains: '', smtpd_sender_restrictions: '',
  }
  t.match(await said(t, { main: others }), [/^no Postfix that asks Holdfast/])
  const dir = await host(t, {})
  const none = await run(
    process.execPath, [mainFile, 'check', '--config-dir', join(dir, 'none'), join(dir, 'holdfast.yaml')],
  )
  t.match(none, { code: 0, stdout: /^ok: [^\n]*\n$/ })
})

t.test('check warns of a map whose absence does more to mail than its `absence` says', async t => {
  const relay = { relay_recipient_maps: socketmap('mailbox') }
  await finds(t, { main: relay, absence: { mailbox: 'passes' } },
    /^warning: .*relay_recipient_maps: .*refuses mail, and map mailbox has absence: passes.*Set absence: refuses$/)
  await finds(t, { main: { smtpd_sender_restrictions: `check_sender_access ${socketmap('access')}, reject` } },
    /^warning: .*smtpd_sender_restrictions: .*map access has absence: passes.*Set absence: refuses$/)
  await finds(
    t, { absence: { transport: 'passes' } }, /^warning: .*transport_maps: .*another way.*Set absence: reroutes$/,
  )
  for (const effect of ['passes', 'reroutes', 'refuses']) {
    t.strictSame(
      await said(t, { main: { sender_bcc_maps: socketmap('mailbox') }, absence: { mailbox: effect } }), [], effect,
    )
  }
})

t.test('a lenient name is an error unless smtpd alone asks it, and asks the guard before it refuses', async t => {
  const lenient = '-o holdfast_lenient=lenient/\n'
  const main = {
    holdfast_lenient: '', relay_domains: socketmap('${holdfast_lenient}relay'),
    virtual_alias_maps: socketmap('${holdfast_lenient}alias'),
    virtual_alias_domains: '', smtpd_sender_restrictions: '',
  }
  const resolver = (name: string): string => `${name} unix - - y - - trivial-rewrite ${lenient}`
  const smtpd = (options: string): string => `smtp inet n - y - - smtpd -o rewrite_service_name=own ${options}`
  const refusing = '-o smtpd_relay_restrictions=reject_unauth_destination\n'
  const guarded = `-o { smtpd_relay_restrictions = check_recipient_access ${socketmap('recipient_guard')}, `
    + 'reject_unauth_destination }'
  const guard = ['relay']
  const master = `${resolver('own')}${smtpd(guarded)}\n`
  t.strictSame(await said(t, { guard, main, master }), [])
  t.strictSame(await said(t, { guard, main, master: `${resolver('own')}${smtpd(guarded)} ${lenient}` }), [])
  const isError = /^error: .*own\/unix\/relay_domains: .*exist: smtpd_relay_restrictions of smtp\/inet does not ask recipient_guard first\. Ask the map without/
  await finds(t, { guard, main, master: resolver('own') + smtpd(refusing) }, isError)
  await finds(t, { guard, main, master: resolver('rewrite') }, /^error: .*rewrite\/unix\/relay_domains: .*unless smtpd\(8\) alone asks it/)
  await finds(t, { guard, main, master: `cleanup unix n - y - 0 cleanup ${lenient}` },
    /^error: .*cleanup\/unix\/virtual_alias_maps: .*in an outage/)
  await finds(t, { guard, main: { ...main, default_transport: 'error:no' }, master },
    /^error: .*own\/unix\/relay_domains: .*exist: default_transport = error:no refuses/)
  await finds(t, { guard: ['alias'], main, master },
    /^error: .*own\/unix\/relay_domains: .*lacks relay: .*\(554\)\. Add relay to recipient_guard$/)
  await finds(t, { guard, main: { relay_domains: socketmap('lenient/relay') } }, /^error: .*main.cf: relay_domains: /)
  await finds(t, { main, master: `${resolver('own')}${smtpd('\n')}` }, /^error: .*relay_domains: .* has no recipient_guard: .*\(451\)\. Set it to the maps that list our domains$/)
  const unseen = { ...main, virtual_mailbox_domains: 'inline:{a=b}' }
  t.strictSame(await said(t, { guard, main: unseen, master }), [])
  await finds(t, { guard, main: unseen, master: `${resolver('own')}${smtpd(guarded)} ${lenient}` },
    /^error: .*smtp\/inet\/virtual_alias_maps: .*in a table of mydestination, .*Ask the map without lenient/)
  await finds(t, { guard, main: { ...main, virtual_alias_domains: 'A.example' }, master },
    /^warning: .*holdfast.yaml: static_domains: main.cf has a\.example, and this configuration has not: /)
})

const lenientMain = {
  holdfast_lenient: '', relay_domains: socketmap('${holdfast_lenient}relay'), transport_maps: '',
  virtual_alias_maps: '',
}
const withResolver = 'own unix - - y - - trivial-rewrite -o holdfast_lenient=lenient/\n'

t.test('a service of smtpd that asks for senders without the lenient names that another has is a warning', async t => {
  const leniently = '-o rewrite_service_name=own -o holdfast_lenient=lenient/'
  const master = (options: string): string => `${withResolver}smtp inet n - y - - smtpd ${leniently}\n`
    + `submission inet n - y - - smtpd ${options}\n`
  const given = { guard: ['relay'], main: lenientMain }
  t.strictSame(await said(t, { ...given, master: master(leniently) }), [])
  const lacks = /^warning: DIR\/etc\/master.cf: submission\/inet: it asks for senders in relay_domains without lenient names, unlike smtp\/inet: .* Add -o rewrite_service_name=own -o holdfast_lenient=lenient\/$/
  await finds(t, { ...given, master: master('') }, lacks)
  await finds(t, { ...given, master: master('-o holdfast_lenient=lenient/') }, lacks)
  const saidWith = (option: string): Promise<readonly string[]> => said(t, { ...given, master: master(option) })
  t.strictSame(await saidWith('-o smtpd_sender_restrictions='), [], 'it asks for no sender')
  t.strictSame(await saidWith('-o smtpd_relay_restrictions=reject_unauth_destination'), [], 'it may not ask so')
  const both = { ...lenientMain, virtual_alias_maps: socketmap('${holdfast_lenient}alias'), virtual_alias_domains: '' }
  await finds(t, { ...given, main: both, master: master('-o rewrite_service_name=own') }, /submission\/inet: it asks for senders in virtual_alias_maps without/)
})

t.test('the guard has to ask aliases whose domains are ours by default, too', async t => {
  const main = { ...lenientMain, relay_domains: '', virtual_alias_maps: socketmap('${holdfast_lenient}alias') }
  const master = withResolver
    + ['smtp', 'submission'].map(name => `${name} inet n - y - - smtpd -o rewrite_service_name=own\n`).join('')
  t.strictSame(await said(t, { guard: ['alias'], main, master }), [])
  await finds(t, { guard: ['relay'], main, master }, /^error: .*own\/unix\/virtual_alias_domains: .*lacks alias: .*\(554\)\. Add alias to recipient_guard$/)
  const listed = await said(t, { guard: ['relay'], main: { ...main, virtual_alias_domains: 'a.example' }, master })
  t.strictSame(listed.filter(line => /lacks/.test(line)), [])
})

t.test('C142 an absolute path that a chrooted service can\'t see is an error', async t => {
  const dir = await host(t, {})
  writeMain(dir, { ...sound, virtual_alias_maps: socketmap('alias', `${dir}/queue/holdfast/holdfast.sock`) })
  t.match(
    await saidAt(dir),
    [
      /^error: DIR\/etc\/main\.cf: virtual_alias_maps: .*smtpd \(smtp\/inet\), .*cleanup \(cleanup\/unix\).*: chrooted to DIR\/queue.*\(451\)\. Write unix:holdfast\/holdfast\.sock here/,
    ],
  )
})

t.test('C142 a path from the root of the chroot is an error for services outside', async t => {
  await finds(t, {
    main: { virtual_alias_maps: socketmap('alias', '/holdfast/holdfast.sock') },
    master: 'cleanup unix n - n - 0 cleanup\n',
  },
    /virtual_alias_maps: .*cleanup \(cleanup\/unix\): not chrooted, and looks for \/holdfast\/holdfast\.sock.*Write unix:holdfast\/holdfast\.sock/)
})

t.test('a table behind proxy: is checked as proxymap(8) sees it', async t => {
  const dir = await host(t, {})
  writeMain(dir, { virtual_alias_maps: `proxy:${socketmap('alias', `${dir}/queue/holdfast/holdfast.sock`)}` })
  t.strictSame(await saidAt(dir), [])
})

t.test('a symbolic link out of the queue folder is an error for chrooted services', async t => {
  const dir = await host(t, {})
  mkdirSync(join(dir, 'run'))
  symlinkSync(join(dir, 'run'), join(dir, 'queue/link'))
  writeFileSync(
    join(dir, 'holdfast.yaml'),
    JSON.stringify({
      health: 'off', listen: [{ socketmap: `unix:${dir}/run/s` }],
      maps: { alias: { search: 'virtual', text: 'table' } },
    }),
  )
  writeMain(dir, { virtual_alias_maps: socketmap('alias', 'link/s') })
  t.match(await saidAt(dir), [/^error: .*a symbolic link leads out of there: .*Listen within the queue folder/])
})

t.test('a socket that Postfix\'s user can\'t write to is an error, and a real client fails on it', async t => {
  for (const [about, socket, isOpen] of [
    ['another group', { gid: 0, mode: 0o660 }, false],
    ['the group may only read', { gid: postfixGroup, mode: 0o640 }, false],
    ['everybody', { gid: 0, mode: 0o666 }, true],
  ] as const) {
    const dir = await host(t, { socket })
    const lines = await saidAt(dir)
    if (isOpen) t.strictSame(lines, [], about)
    else t.match(
      lines,
      [
        /^error: DIR\/etc\/main\.cf: .*postfix can't write to the socket \(owner 0, group \w+, mode 06[46]0\): .*\(451\)\. Set `group: postfix`/,
      ],
      about,
    )
    const client = await run(
      'setpriv',
      [
        '--reuid', 'postfix', '--regid', 'postfix', '--init-groups', 'test', '-w',
        join(dir, 'queue/holdfast/holdfast.sock'),
      ],
    )
    t.equal(client.code, isOpen ? 0 : 1)
  }
})

t.test('a configured group and mode that would keep Postfix out are an error before the daemon runs', async t => {
  await finds(
    t, { socket: null, listen: [{ socketmap: 'unix:/nowhere', mode: '0660' }] },
    /no listener of .*holdfast\.yaml is there/,
  )
  const dir = await host(t, { socket: null })
  const config = join(dir, 'holdfast.yaml')
  writeFileSync(config, readFileSync(config, 'utf8').replace('"group":"postfix","mode":"0660"', '"mode":"0600"'))
  t.match(
    await saidAt(dir),
    [
      /^warning: .*there is no socket DIR.*\(451\)\. Start the daemon$/,
      /^error: .*postfix could not write to a socket of .*mode 0600/,
    ],
  )
})

t.test('a folder that Postfix\'s user can\'t search is an error', async t => {
  await finds(
    t, { folderMode: 0o700 },
    /^error: .*postfix can't go through DIR\/queue\/holdfast \(owner 0, group postfix, mode 0700\): .*\(451\)/,
  )
  const dir = await host(t, { folderMode: 0o700 })
  chmodSync(join(dir, 'queue'), 0o700)
  const lines = await saidAt(dir)
  t.match(lines, [/postfix can't go through DIR\/queue \(/])
})

t.test('a Postfix that postconf(1) can\'t read is a warning, and the rest is checked', async t => {
  const dir = await host(t, {})
  rmSync(join(dir, 'etc/master.cf'))
  const { code, stdout } = await run(
    process.execPath, [mainFile, 'check', '--config-dir', join(dir, 'etc'), join(dir, 'holdfast.yaml')],
  )
  t.equal(code, 0, stdout)
  t.match(stdout, /^warning: .*\/etc: Postfix's side is not checked: postconf .*master\.cf.*; remove that error, and run this again$/m)
})

t.test('a socket without its folder, or another file in its place, is an error', async t => {
  const dir = await host(t, { socket: null })
  const folder = join(dir, 'queue/holdfast')
  writeFileSync(join(folder, 'holdfast.sock'), '')
  t.match(await saidAt(dir), [
    /^error: .*DIR\/queue\/holdfast\/holdfast\.sock is not a socket: .*\(451\)\. Remove it, and restart Holdfast$/,
  ])
  rmSync(folder, { recursive: true })
  t.match(await saidAt(dir), [
    /^error: .*there is no folder DIR\/queue\/holdfast: .*\(451\)\. Make it: install -d -m 0750 -g postfix DIR\/queue\/holdfast$/,
  ])
})

t.test('Postfix\'s user can run check, with the same findings', async t => {
  const dir = await host(t, { socket: { gid: 0, mode: 0o660 } })
  const asPostfix = ['--reuid', 'postfix', '--regid', 'postfix', '--init-groups']
  const mayRun = await run('setpriv', [...asPostfix, 'test', '-r', mainFile])
  if (mayRun.code !== 0) {
    t.comment('the built files are in a folder that is closed to others')
    return
  }
  // tap's modules would write where that user may not.
  const node = ['env', '-u', 'NODE_OPTIONS', process.execPath]
  const { code, stdout } = await run(
    'setpriv', [...asPostfix, ...node, mainFile, 'check', '--config-dir', join(dir, 'etc'), join(dir, 'holdfast.yaml')],
  )
  t.equal(code, 78, stdout)
  t.match(stdout, /^error: .*main\.cf: .*postfix can't write to the socket/m)
})

t.test('a socketmap: that virtual(8) or local(8) refuses is an error', async t => {
  await finds(t, {
    main: { virtual_uid_maps: socketmap('mailbox'), alias_maps: socketmap('mailbox') }, search: { mailbox: 'exact' },
  },
    /^error: .*main\.cf: alias_maps: .*local\(8\) takes no socketmap.*\(4\.3\.0\)/, /^error: .*main\.cf: virtual_uid_maps: .*virtual\(8\) takes no socketmap.*\(4\.3\.5\)/)
  await finds(t, { main: { virtual_mailbox_maps: socketmap('mailbox'), virtual_transport: 'virtual' } },
    /^error: .*main\.cf: virtual_mailbox_maps: .*\(4\.3\.5\).*virtual\(8\) reads it too/)
  t.strictSame(
    await said(
      t, { main: { virtual_mailbox_maps: socketmap('mailbox'), virtual_transport: 'lmtp:unix:private/lmtp' } },
    ),
    [], 'smtpd(8) alone may',
  )
})

t.test('a search that does other steps than the parameter needs is an error', async t => {
  await finds(
    t, { search: { alias: 'exact' } },
    /^error: .*main\.cf: virtual_alias_maps: .*map alias with search: exact .*"User unknown" \(550\)\. Set search: virtual/,
  )
  await finds(t, { search: { access: 'exact' } }, /^error: .*smtpd_sender_restrictions: .*Set search: access/)
  await finds(t, { search: { relay: 'exact' } }, /^error: .*relay_domains: .*Set search: domain/)
  await finds(
    t, { main: { virtual_mailbox_domains: socketmap('relay') } },
    /^error: .*virtual_mailbox_domains: .*Set search: exact/,
  )
  await finds(
    t, { search: { alias: 'recipient' } },
    /^warning: .*virtual_alias_maps: .*doesn't put the extension .*Set search: virtual/,
  )
})

t.test('steps that are done twice, or by nobody, are a warning', async t => {
  await finds(
    t, { main: { virtual_alias_maps: `unionmap:{inline:{a=b},${socketmap('alias')}}` } },
    /^warning: .*behind unionmap: .*Set search: exact/,
  )
  await finds(t, { main: { mynetworks: socketmap('mailbox') } }, /^warning: .*mynetworks: .*Write unionmap:/)
  await finds(
    t, { main: { virtual_alias_maps: `${socketmap('alias')}, inline:{a=b}` } },
    /^warning: .*virtual_alias_maps: .*other tables stand beside it/,
  )
})

t.test('a setting with which Postfix would do other steps than any search is a warning', async t => {
  const alias = /^warning: .*virtual_alias_maps: .*other steps than Holdfast does \(append_at_myorigin = no\)/
  await finds(t, { main: { append_at_myorigin: 'no' } }, alias)
  await finds(t, { main: { smtpd_null_access_lookup_key: 'null' } }, /^warning: .*\(smtpd_null_access_lookup_key = null\)/)
  await finds(t, { main: { smtpd_helo_restrictions: `check_helo_access ${socketmap('access')}` } },
    /^warning: .*smtpd_helo_restrictions: .*\(a HELO name may look like an address\)\. Let Postfix do them/)
  for (const [name, value] of [['owner_request_special', 'no'], ['double_bounce_sender', 'bounce']] as const) {
    const main = { recipient_delimiter: '-', [name]: value }
    const lines = (await said(t, { main })).filter(line => line.includes(name))
    t.equal(lines.length, 3, `${name}: aliases, routes and access`)
    for (const line of lines) t.match(line, `${name} = ${value}`)
  }
})

t.test('a charset that Postfix ignored before is a warning', async t => {
  const dir = await host(t, {})
  const [file, cf] = [join(dir, 'holdfast.yaml'), join(dir, 'alias.cf')]
  const config = JSON.parse(readFileSync(file, 'utf8')) as { maps: Record<string, object> }
  config.maps['alias'] = { search: 'virtual', cf }
  writeFileSync(file, JSON.stringify(config))
  const write = (charset: string): void =>
    writeFileSync(cf, `dbname = m\nquery = SELECT v FROM t WHERE k='%s'\ncharset = ${charset}\n`)
  write('utf8mb4')
  t.strictSame(await saidAt(dir), [])
  write('latin1')
  const { stdout: version } = await run('postconf', ['-hd', 'mail_version'])
  const [finding, ...others] = await saidAt(dir)
  // Postfix obeys it since 3.9.
  if (/^3\.[0-8]\./.test(version)) t.match(finding, /^warning: DIR\/alias\.cf: charset = latin1: .* Postfix 3\.\d+\.\d+ ignore it/)
  else t.equal(finding, undefined)
  t.strictSame(others, [])
})

t.test('answers that are too long for a socketmap are a warning, with their keys', async t => {
  // A thousand rows of a hundred bytes, with the commas between them, are too long; without the last, they are not.
  const rows = ['many', 'fewer'].flatMap(name => Array.from({ length: name === 'many' ? 1_000 : 990 },
    () => `('${name}@a.example', '${'x'.repeat(100)}')`))
  const mariadb = await startMariadb({ sql: `
    CREATE TABLE alias (address VARCHAR(255), goto MEDIUMTEXT);
    INSERT INTO alias VALUES ('info@a.example', REPEAT('x', 99997)), ('long@a.example', REPEAT('x', 99998));
    INSERT INTO alias VALUES ${rows.join(', ')};
  ` })
  t.teardown(() => mariadb.stop())
  const dir = freshFolder()
  const { socket, user, password, database } = mariadb
  writeFileSync(join(dir, 'alias.cf'), `hosts = unix:${socket}\nuser = ${user}\npassword = ${password}\n`
    + `dbname = ${database}\nquery = SELECT goto FROM alias WHERE address='%s'\n`)
  writeFileSync(join(dir, 'holdfast.yaml'), JSON.stringify({
    health: 'off', listen: [{ socketmap: `unix:${dir}/s` }], maps: { alias: { search: 'virtual', cf: 'alias.cf' } },
  }))
  const check = () => run(process.execPath, [mainFile, 'check', '--config-dir', dir, join(dir, 'holdfast.yaml')])
  const { code, stdout } = await check()
  t.equal(code, 0)
  t.match(stdout, /^warning: \S+: map alias: the answer for long@a\.example, many@a\.example is longer than 100000 bytes, .*deferred/m)
})

t.test('a map that the configuration doesn\'t have is an error', async t => {
  await finds(
    t, { main: { virtual_alias_maps: socketmap('aliases') } },
    /^error: .*virtual_alias_maps: .*no map 'aliases': .*\(451\); did you mean 'alias'\?/,
  )
  await finds(t, {
    master: 'submission inet n - n - - smtpd\n  -o virtual_alias_maps=socketmap:unix:holdfast/holdfast.sock:nothing\n',
  },
    /^error: DIR\/etc\/master\.cf: submission\/inet\/virtual_alias_maps: .*no map 'nothing'/)
})

t.test('a map that has faults is not called missing in main.cf, too', async t => {
  const dir = await host(t, { main: { virtual_alias_maps: socketmap('alias') } })
  const file = join(dir, 'holdfast.yaml')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"search":"virtual"', '"serch":"virtual"'))
  t.strictSame(await saidAt(dir), [])
})

t.test('an endpoint without a listener is an error if it is ours', async t => {
  const port = await freePort()
  await finds(
    t, { main: { virtual_alias_maps: `socketmap:inet:127.0.0.1:${port}:alias` } },
    /^error: .*virtual_alias_maps: inet:127\.0\.0\.1:\d+: no listener of .* is there, .*\(451\)/,
  )
  await finds(t, { main: { virtual_alias_maps: `tcp:127.0.0.1:${port}` } }, /^warning: .*The configuration has no tcp listener/)
  await finds(
    t, { main: { canonical_maps: 'socketmap:unix:srs/sock:forward' } }, /^warning: .*canonical_maps: .*no listener of/,
  )
})

t.test('tcp: tables are checked for the map of their listener', async t => {
  const port = await freePort()
  const none = { transport_maps: '', relay_domains: '', smtpd_sender_restrictions: '' }
  const listen = [{ tcp: `127.0.0.1:${port}`, map: 'relay' }]
  t.match(
    await said(t, { main: { ...none, virtual_alias_maps: `tcp:127.0.0.1:${port}` }, listen }),
    [/^error: .*map relay with search: domain .*Set search: virtual/],
  )
})

t.test('a file or a folder that the service\'s account can\'t read is an error', async t => {
  const dir = await host(t, {})
  const loaded = loadConfig(join(dir, 'holdfast.yaml'), {})
  if (!loaded.ok) throw new Error('the configuration is wrong')
  const account = { name: 'holdfast', uid: 4_000_000, gids: [postfixGroup] }
  const files = (): readonly string[] => fileFindings(
    loaded.config, account,
  ).map(({ level, place, text }) => `${level}: ${place}: ${text}`.replaceAll(
    dir, 'DIR',
  ))
  t.strictSame(files(), [])
  chmodSync(join(dir, 'table'), 0o640)
  t.match(
    files(), [/^error: DIR\/table: the service's account holdfast can't read it \(owner 0, group root, mode 0640\)/],
  )
  chownSync(join(dir, 'table'), 0, postfixGroup)
  t.strictSame(files(), [], 'its group may')
  chmodSync(dir, 0o700)
  t.match(files(), [/holdfast\.yaml: .*can't go through DIR/, /table: .*can't go through DIR/])
})

t.test('a parameter that decides the steps and differs from main.cf is a warning', async t => {
  await finds(
    t, { main: { recipient_delimiter: '+-' } },
    /^warning: DIR\/holdfast\.yaml: recipient_delimiter: main\.cf has '\+-'/,
  )
  await finds(t, { main: { propagate_unmatched_extensions: 'canonical' } },
    /^warning: .*propagate_unmatched_extensions: virtual is not in main\.cf's list, and in this one/)
  await finds(t, { main: { parent_domain_matches_subdomains: 'smtpd_access_maps' } },
    /^warning: .*parent_domain_matches_subdomains: relay_domains is not in main\.cf's list/)
  const none = { relay_domains: '', transport_maps: '', smtpd_sender_restrictions: '' }
  t.strictSame(await said(t, { main: { ...none, parent_domain_matches_subdomains: '' } }), [], 'no map in use minds it')
})

t.test('a map that knows more or less of UTF-8 than a service that asks it is a warning', async t => {
  const lines = await said(t, { main: { smtputf8_enable: 'no' } })
  t.equal(lines.length, 4, 'aliases, routes, domains and access')
  for (const line of lines) t.match(line, /^warning: .*has smtputf8_enable: yes, but a service that asks it has no: /)
  const master = 'cleanup unix n - y - 0 cleanup -o smtputf8_enable=no\n'
  await finds(t, {
    main: { virtual_alias_maps: '', sender_bcc_maps: `unionmap:{internal:none,${socketmap('mailbox')}}` }, master,
    search: { mailbox: 'exact' }, absence: { mailbox: 'passes' },
  }, /^warning: .*sender_bcc_maps: .*map mailbox has smtputf8_enable: yes, but a service that asks it has no: /)
})

t.test('files with passwords that every account can read, and a public status page, are warnings', async t => {
  const dir = freshFolder()
  chmodSync(dir, 0o755)
  const [config, cf] = [join(dir, 'holdfast.yaml'), join(dir, 'alias.cf')]
  writeFileSync(cf, 'hosts = 127.0.0.1:1\nuser = u\npassword = p\ndbname = d\nquery = SELECT v FROM a WHERE k=\'%s\'\n')
  const findings = (health: string, more = {}): readonly string[] => {
    writeFileSync(config, `# password: p\n${JSON.stringify({
      health, listen: [{ socketmap: `unix:${dir}/s` }], maps: { alias: { search: 'virtual', cf: 'alias.cf' } }, ...more,
    })}`)
    const loaded = loadConfig(config, {})
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    return exposureFindings(loaded.config).map(({ level, place, text }) => `${level}: ${place}: ${text}`.replaceAll(
      dir, 'DIR',
    ))
  }
  chmodSync(cf, 0o644)
  t.match(findings('off'), [
    /^warning: DIR\/alias\.cf: it holds a password or a token, and every account can read it \(.*mode 0644\)/,
  ])
  const withPassword = readFileSync(cf, 'utf8')
  for (const none of ['', '# password = p\n', 'password =\n']) {
    writeFileSync(cf, withPassword.replace('password = p\n', none))
    t.strictSame(findings('off'), [], none)
  }
  writeFileSync(cf, withPassword)
  chmodSync(cf, 0o640)
  const [mail, redis] = [{ hosts: 'a', user: 'u', dbname: 'd' }, { sentinels: ['a'], master: 'm' }]
  for (const secret of [
    { admin_token: '0123456789abcdef' }, { databases: { mail: { ...mail, password: 'p' } } },
    { redis: { ...redis, password: 'p' } }, { redis: { ...redis, sentinel_password: 'p' } },
  ]) {
    t.match(findings('off', secret), [/^warning: DIR\/holdfast\.yaml: it holds a password or a token, /],
      JSON.stringify(secret))
  }
  writeFileSync(join(dir, 'secret'), '0123456789abcdef\n')
  for (const elsewhere of [
    { admin_token_file: 'secret' }, { databases: { mail: { ...mail, password_file: 'secret' } } },
  ]) {
    t.strictSame(findings('off', elsewhere), [], JSON.stringify(elsewhere))
  }
  for (const address of ['127.0.0.1:1', '10.1.2.3:1', '[::1]:1', '[fd00::1]:1']) {
    t.strictSame(findings(address), [], address)
  }
  for (const address of ['0.0.0.0:1', '192.0.2.1:1', '[2001:db8::1]:1', '[::]:1']) {
    t.match(findings(address), [/^warning: .*health: .* is no private address/], address)
  }
  chmodSync(cf, 0o644)
  chmodSync(dir, 0o750)
  t.strictSame(findings('off'), [], 'nobody else gets into its folder')
})

t.test('the command prints all findings, and its exit code counts errors alone', async t => {
  const check = async (given: Host): Promise<{ code: number | null, stdout: string }> => {
    const dir = await host(t, given)
    return run(process.execPath, [mainFile, 'check', '--config-dir', join(dir, 'etc'), join(dir, 'holdfast.yaml')])
  }
  t.match(await check({ search: { alias: 'recipient' } }), { code: 0, stdout: /^warning: .*\nok: / })
  t.match(await check({ search: { alias: 'exact' } }), { code: 78, stdout: /^error: [^\n]*\n$/ })
})

t.test('a command that can\'t use its configuration says what is wrong with it', async t => {
  const file = join(freshFolder(), 'c.yaml')
  const status = (): ReturnType<typeof run> => run(process.execPath, [mainFile, 'status', '--config', file])
  t.match(await status(), {
    code: 78, stderr: `holdfast status: ${file}: can't be read: no such file or directory; name a YAML file `,
  })
  writeFileSync(file, 'listen: []\nmaps: {}\n')
  t.match(await status(), { code: 78, stderr: `${file}:1: listen: is empty; name at least one listener\n` })
})

t.test('a TLS file that can\'t be read is named with its parameter, at the table that needs it', t => {
  const cf = join(freshFolder(), 'a.cf')
  writeFileSync(cf, 'hosts = 127.0.0.1\nuser = a\ndbname = b\nquery = SELECT 1\ntls_CAfile = /nosuch.pem\n')
  const source = { kind: 'cf', paths: [cf] } as const
  const map = { name: 'a', source, changes: null, smtputf8: true }
  const { faults } = openSources([map], serverSettings(), () => undefined)
  const [fault] = faults.get('a') ?? []
  t.equal(fault?.place, cf)
  t.match(fault?.text, /^tls_CAfile: can't be read: no such file or directory.*; name PEM files that this account may read$/)
  t.end()
})

t.test('check --outage says that a fallback with outage: reject refuses, and after what time', async t => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'a.cf'), 'hosts = 127.0.0.1:1\nuser = a\ndbname = b\nquery = SELECT 1 FROM a WHERE k=\'%s\'\n')
  const outage = async (more: object): Promise<string> => {
    writeFileSync(join(dir, 'c.yaml'), JSON.stringify({
      ...more, listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', outage_after: '3m',
      maps: { relay: { search: 'recipient', cf: 'a.cf' }, domains: { search: 'domain', cf: 'a.cf' } },
    }))
    return (await run(process.execPath, [mainFile, 'check', '--outage', '--config-dir', dir, join(dir, 'c.yaml')])).stdout
  }
  t.match(await outage({ role: 'fallback', outage: 'reject' }),
    '  outage: reject: once MySQL has been out for 3m, a recipient that was never found is refused, not deferred, by map relay\n')
  t.notMatch(await outage({ role: 'fallback' }), 'outage: reject')
})

t.test('check says what to do about a server that can\'t be used', async t => {
  const mariadb = await startMariadb()
  t.teardown(() => mariadb.stop())
  const dir = freshFolder()
  const { socket, user, password, database } = mariadb
  const query = 'SELECT v FROM nosuch WHERE k=\'%s\''
  writeFileSync(join(dir, 'c.yaml'), JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off',
    databases: {
      gone: { hosts: '127.0.0.1:1', user, password, dbname: database },
      there: { hosts: `unix:${socket}`, user, password, dbname: database },
      stranger: { hosts: `unix:${socket}`, user, password: 'wrong', dbname: database },
    },
    maps: Object.fromEntries(
      ['gone', 'there', 'stranger'].map(name => [name, { search: 'exact', database: name, query }])),
  }))
  const { code, stdout } = await run(process.execPath, [mainFile, 'check', '--config-dir', dir, join(dir, 'c.yaml')])
  t.equal(code, 75)
  t.match(stdout, /^error: .*: map gone: source-down: .*; start that server, or name another one under `hosts`$/m)
  t.match(stdout, /^error: .*: map there: query-error: .*; mend the query, or let the account read the table$/m)
  t.match(stdout, /^error: .*: map stranger: source-refused: .*; check user and password/m)
})
