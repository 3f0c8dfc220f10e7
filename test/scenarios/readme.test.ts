/**
 * Every command of README.md, as it stands there and in its order, on a copy of this machine.
 *
 * 1. `npm start` serves the text tables; what is pasted after it answers.
 * 2. A Postfix on mysql: tables moves over to Holdfast, and recipients get the replies of before.
 * 3. The commands of operation, on a node that shares a Redis and whose domain has the MX records of README.md.
 *
 * What takes systemd, apt, npm's registry or minutes is run elsewhere. A command that stands nowhere fails the test.
 */
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { accountOf, writeCf } from '../fixtures/cf.js'
import { run } from '../fixtures/child.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noOverlay, overlay } from '../fixtures/overlay.js'
import type { Overlay } from '../fixtures/overlay.js'
import { makePostfix, metaDirectory } from '../fixtures/postfix.js'
import type { Postfix } from '../fixtures/postfix.js'
import { startRedis } from '../fixtures/redis.js'
import { mainFile } from '../fixtures/shipped.js'
import { rcptReply } from '../fixtures/smtp.js'
import { startZone } from '../fixtures/zone.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** A line of a zone, with what a node is besides. */
const record = /^example\.com\. +MX (\d+) (\S+) +role: (\S+)$/

/** The nodes of the MX records. */
const nodes = [...readme.matchAll(/^ {4}(\S.*)$/gm)].flatMap(([, line = '']) => {
  const [whole, number = '', name = '', role = ''] = record.exec(line) ?? []
  return whole === undefined ? [] : [{ mx: `${number} ${name}.example.com`, host: `${name}.example.com`, role }]
})

/** Commands that other programs run, as they stand here: each in this file. */
const elsewhere: ReadonlyMap<string, string> = new Map([
  ['npm ci', '.ci/run'],
  ['npm test', '.ci/run'],
  ['npm run drill', '.ci/long'],
  ['npm run bench -- mail', '.ci/long'],
  ['npm run systems', '.ci/long'],
  ['npm run package', 'package.json'],
  ['apt install ./dist/holdfast_*_amd64.deb', 'test/systems/trial.sh'],
  ['systemctl enable --now holdfast.socket holdfast', 'test/systems/trial.sh'],
  ['systemctl reload holdfast', 'test/systems/trial.sh'],
])

/** Commands that go on until somebody ends them, and what they have printed by then. */
const endless: ReadonlyMap<string, RegExp> = new Map([
  ['npm start', /ready: \d+ maps/],
  ['holdfast status --watch', /safe|accepted/],
])

/** What a sentence has in back quotes is a command if it begins so. */
const program = /^(?:npm|npx|holdfast|postmap|postfix|postconf|curl|systemctl|journalctl|apt|man) /

/** The lines to type of a section, without their comments, then the commands in its sentences that no line has. */
const linesOf = (section: string): readonly string[] => {
  const lines = [...section.matchAll(/^ {4}(\S.*?)(?: +#.*)?$/gm)].map(([, line = '']) => line)
  const inText = [...section.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text.replace(/\s+/g, ' '))
  return [
    ...lines.filter(line => !record.test(line)),
    ...inText.filter(text => program.test(text)).filter(text => !readme.includes(`\n    ${text}`) && !readme.includes(` && ${text}`)),
  ]
}

/** What a person does after a line, by that line. */
type Afterwards = Readonly<Record<string, () => unknown>>

/** Runs the lines of a section, but for commands that are run elsewhere. */
const runLines = async (t: Test, machine: Overlay, section: string, afterwards: Afterwards): Promise<void> => {
  // A checkout, or the home of an administrator.
  const folder = section.startsWith('Try it\n') ? root : '/root'
  for (const line of linesOf(section)) {
    const script = line.split(' && ').filter(command => !elsewhere.has(command)).join(' && ')
    const said = endless.get(script)
    if (said !== undefined) {
      const child = await during(t, machine.start(`cd ${folder} && exec ${script}`), 'kill')
      await child.printed(said)
      t.pass(line)
    } else if (script !== '') {
      const [nsenter = '', ...entry] = machine.command
      const once = () => run(nsenter, [...entry, 'sh', '-c', `cd ${folder} && ${script}`])
      let done = await once()
      // sysexits(3), EX_TEMPFAIL: on a busy machine a daemon answers late.
      while (done.code === 75) done = await once()
      t.equal(done.code, 0, done.code === 0 ? line : `${line}: ${done.stdout}${done.stderr}`)
      t.not(done.stdout + done.stderr, '', `${line}: it says something`)
    }
    await afterwards[line]?.()
  }
}

/** The copy of this machine, with `holdfast` and its folders as the package would have them. */
const startMachine = async (t: Test): Promise<Overlay> => {
  const machine = await during(t, overlay(root), 'close')
  await machine.sh(`printf '#!/bin/sh\\nexec "%s" "%s" "$@"\\n' "$1" "$2" > /usr/bin/holdfast
chmod 755 /usr/bin/holdfast; mkdir -p /etc/holdfast /run/holdfast /var/lib/holdfast`, process.execPath, mainFile)
  return machine
}

const sql = `
  CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY);
  INSERT INTO domain VALUES ('example.com');
  CREATE TABLE mailbox (address VARCHAR(255) PRIMARY KEY, path VARCHAR(255));
  INSERT INTO mailbox VALUES ('ann@example.com', 'ann/');
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
  INSERT INTO alias VALUES ('info@example.com', 'ann@example.com');
`

/** A Postfix in the copy, which has its configuration in /etc/postfix, on mysql: tables. */
const startLivePostfix = async (t: Test, machine: Overlay): Promise<Postfix> => {
  const mariadb = await during(t, startMariadb({ sql }))
  const table = (name: string): string => `mysql:/etc/postfix/mysql-${name}.cf`
  const made = await makePostfix({
    command: machine.command,
    mainCf: {
      virtual_mailbox_domains: table('domain'), virtual_mailbox_maps: table('mailbox'),
      virtual_alias_maps: table('alias'), virtual_transport: 'discard', mynetworks: '',
    },
  })
  for (const [name, query] of [
    ['domain', "SELECT domain FROM domain WHERE domain='%s'"],
    ['mailbox', "SELECT path FROM mailbox WHERE address='%s'"],
    ['alias', "SELECT goto FROM alias WHERE address='%s'"],
  ] as const) {
    writeCf(made.configDir, `mysql-${name}`, { ...accountOf(mariadb), query })
  }
  for (const name of ['dynamicmaps.cf', 'dynamicmaps.cf.d', 'postfix-files', 'postfix-files.d']) {
    const file = join(metaDirectory, name)
    if (existsSync(file)) cpSync(file, join(made.configDir, name), { recursive: true })
  }
  await machine.sh('mkdir -p /etc/postfix; mount --bind "$1" /etc/postfix', made.configDir)
  return during(t, made.start())
}

/** What a person adds to the configuration that adopt writes: this node's place among the others. */
const nodeSettings = async (t: Test): Promise<string> => {
  const redis = await during(t, startRedis())
  const zone = await during(t, startZone(name => name === 'example.com' ? { soa: true, mx: nodes.map(({ mx }) => mx) }
    : nodes.some(({ host }) => host === name) ? { a: ['192.0.2.1'] } : undefined))
  return stringify({
    node: nodes[0]?.host, role: Object.fromEntries(nodes.map(({ host, role }) => [host, role])),
    redis: { path: redis.socket }, mx_resolver: zone.address,
  })
}

t.test('each command works as it stands, in the order of the page', { skip: await noOverlay() }, async t => {
  const machine = await startMachine(t)
  const [postfix, settings] = await Promise.all([startLivePostfix(t, machine), nodeSettings(t)])
  const replies = async (): Promise<readonly number[]> => {
    const recipients = ['info@example.com', 'ann@example.com', 'nobody@example.com']
    return (await Promise.all(recipients.map(to => rcptReply(postfix.smtpPort, to)))).map(({ code }) => code)
  }
  t.same(await replies(), [250, 250, 550])
  const unit = readFileSync(join(root, 'deploy/systemd/holdfast.service'), 'utf8')
  const start = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? 'none'
  const afterwards: Afterwards = {
    'holdfast adopt --output /etc/holdfast/holdfast.yaml': () => machine.sh(`
echo "$1" >> /etc/holdfast/holdfast.yaml
printf '%s@example.com\\n' info nobody > /root/addresses.txt`, settings),
    // The folder is the package's, the rest the unit's.
    'systemctl enable --now holdfast.socket holdfast': async () => {
      mkdirSync(join(postfix.queueDir, 'holdfast'))
      const daemon = await during(t, machine.start(`STATE_DIRECTORY=/var/lib/holdfast exec ${start}`), 'kill')
      await daemon.printed(/ready: \d+ maps/)
    },
    'holdfast adopt --apply && postfix reload': async () => {
      await postfix.logged(/reload/)
      const { stdout } = await postfix.postconf('-h', 'virtual_alias_maps')
      t.match(stdout, /^socketmap:unix:holdfast\/holdfast\.sock:.*virtual_alias\n$/)
      t.same(await replies(), [250, 250, 550], 'Postfix answers as before')
    },
  }
  for (const section of readme.split(/^## /m)) {
    await t.test(section.split('\n')[0] ?? '', t => runLines(t, machine, section, afterwards))
  }
})

/** The commands of a script, each up to its end or to what follows it in the same line. */
const commandsIn = (text: string): readonly string[] => text.split('\n').filter(line => !/^ *#/.test(line))
  .flatMap(line => line.split(/&&|[;"']/)).map(command => command.trim())

t.test('what is not run here is run by the file that is named for it', async t => {
  for (const [command, file] of elsewhere) {
    const commands = commandsIn(readFileSync(join(root, file), 'utf8'))
    t.ok(readme.includes(command), `README.md has ${command}`)
    t.ok(commands.some(each => each === command || each.startsWith(`${command} `)), `${file} runs ${command}`)
  }
})
