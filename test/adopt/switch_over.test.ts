/** Switching over and back: what the commands say, that a shell reads them as meant, and that it is all or nothing. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { AdoptionPlan } from '../../src/adopt/draft.js'
import { applyChanges, shellLines, shellWord, switchBack, switchOver } from '../../src/adopt/switch_over.js'
import { readPostconf } from '../../src/postfix/postconf.js'
import type { Postconf } from '../../src/postfix/postconf.js'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'

const postfix = (configDir: string): Postconf =>
  ({
    configDir, written: new Map(), expanded: new Map(), inMainCf: new Set(), overrides: [],
    services: [{
      name: 'submission/inet', chroot: 'n', command: 'smtpd',
      entry: 'submission inet n - n - - smtpd -v -o {smtpd_sender_restrictions=mysql:/c} -o x=y',
    }],
  })

const plan: AdoptionPlan = {
  maps: [], newServices: [], guard: [], leftAlone: [],
  edits: [
    { service: null, parameter: 'virtual_alias_maps', from: '$v, mysql:/a', to: 'socketmap:a', wasDefault: false },
    { service: null, parameter: 'relay_domains', from: '$mydestination', to: 'socketmap:b', wasDefault: true },
    {
      service: 'submission/inet', parameter: 'smtpd_sender_restrictions', from: 'mysql:/c', to: 'socketmap:c',
      wasDefault: false,
    },
  ],
}

t.test('switching over sets the new values, in one call for each file', async t => {
  t.strictSame(switchOver(postfix('/'), plan), [
    ['-Me', 'submission/inet=submission inet n - n - - smtpd -v -o smtpd_sender_restrictions=socketmap:c -o x=y'],
    ['-e', 'virtual_alias_maps=socketmap:a', 'relay_domains=socketmap:b'],
  ])
})

t.test('switching back sets the old values, and removes what was not there', async t => {
  t.strictSame(switchBack(postfix('/'), plan), [
    ['-e', 'virtual_alias_maps=$v, mysql:/a'],
    ['-X', 'relay_domains'],
    ['-Me', 'submission/inet=submission inet n - n - - smtpd -v -o smtpd_sender_restrictions=mysql:/c -o x=y'],
  ])
})

t.test('blanks and braces in a value of master.cf come through postconf(1) and back', async t => {
  const value = 'check_recipient_access inline:{ {u9@vm.example = REJECT go  away} }, check_sender_access mysql:/c.cf'
  const folder = freshFolder()
  writeFileSync(join(folder, 'main.cf'), '')
  writeFileSync(join(folder, 'master.cf'), `smtp inet n - n - - smtpd -o { smtpd_sender_restrictions = ${value} } -v\n`)
  const before = await readPostconf(folder)
  const to = value.replace('mysql:/c.cf', 'socketmap:unix:x:c')
  const edit = { service: 'smtp/inet', parameter: 'smtpd_sender_restrictions', from: value, to, wasDefault: false }
  for (const [calls, expected] of [
    [switchOver(before, { ...plan, edits: [edit] }), to], [switchBack(before, { ...plan, edits: [edit] }), value],
  ] as const) {
    await applyChanges(folder, calls, 'stamp')
    t.strictSame((await readPostconf(folder)).overrides.map(override => override.value), [expected])
  }
  t.strictSame((await readPostconf(folder)).services, before.services)
})

t.test('a file without changes is not touched', async t => {
  t.strictSame(switchOver(postfix('/'), { ...plan, edits: plan.edits.slice(2) }).map(call => call[0]), ['-Me'])
})

t.test('a shell passes each word on unchanged', async t => {
  const words = ['a=b', 'a=$v, mysql:/x', 'it\'s "quoted" `x` \\', '!x *', 'unionmap:{inline:{a=x},y}', 'a=']
  const { stdout } = await run('sh', ['-c', `printf '%s\\n' ${words.map(shellWord).join(' ')}`])
  t.strictSame(stdout.split('\n').slice(0, -1), words)
})

t.test('the folder is an option unless it is Postfix\'s default', async t => {
  t.equal(shellLines(postfix('/etc/postfix'), ['-X', 'a', 'b']), 'postconf -X \\\n    a \\\n    b')
  t.equal(shellLines(postfix('/srv/my postfix'), ['-X', 'a']), 'postconf -c \'/srv/my postfix\' -X \\\n    a')
})

const main = '# a comment\nvirtual_alias_maps =\n    mysql:/a.cf\n    # another\n    mysql:/b.cf\n'
const master = 'smtp inet n - n - - smtpd\n  -o { smtpd_sender_restrictions = check_sender_access mysql:/c.cf, '
  + 'permit }\n'

const folderWith = (): string => {
  const folder = freshFolder()
  writeFileSync(join(folder, 'main.cf'), main, { mode: 0o640 })
  writeFileSync(join(folder, 'master.cf'), master)
  return folder
}
const read = (folder: string): readonly string[] => ['main.cf', 'master.cf'].map(
  name => readFileSync(join(folder, name), 'utf8'),
)

t.test('the files are changed, and the copies have the old text', async t => {
  const folder = folderWith()
  const copies = await applyChanges(folder, [
    ['-Pe', 'smtp/inet/smtpd_sender_restrictions=check_sender_access,socketmap:unix:x:c,permit'],
    ['-e', 'virtual_alias_maps=socketmap:unix:x:a'],
  ], 'stamp')
  const postfix = await readPostconf(folder)
  t.equal(postfix.written.get('virtual_alias_maps'), 'socketmap:unix:x:a')
  t.strictSame(postfix.overrides, [
    {
      service: 'smtp/inet', parameter: 'smtpd_sender_restrictions',
      value: 'check_sender_access,socketmap:unix:x:c,permit',
    },
  ])
  t.strictSame(copies, [join(folder, 'main.cf.stamp'), join(folder, 'master.cf.stamp')])
  t.strictSame(copies.map(file => readFileSync(file, 'utf8')), [main, master])
  t.equal(statSync(join(folder, 'main.cf.stamp')).mode & 0o777, 0o640, 'with the same permissions')
})

t.test('if one file can\'t be changed, both have their old text', async t => {
  const folder = folderWith()
  await t.rejects(applyChanges(folder, [
    ['-e', 'virtual_alias_maps=socketmap:unix:x:a'], ['-Pe', 'not a setting'],
  ], 'stamp'), /postconf/)
  t.strictSame(read(folder), [main, master])
})
