/** The commands for the shell: what they say, and that a shell reads them as meant. */
import t from 'tap'
import { shellLines, shellWord, switchBack, switchOver } from '../../src/adopt/commands.js'
import type { AdoptionPlan } from '../../src/adopt/draft.js'
import type { Postconf } from '../../src/postfix/postconf.js'
import { run } from '../fixtures/child.js'

const postfix = (configDir: string): Postconf =>
  ({ configDir, written: new Map(), expanded: new Map(), inMainCf: new Set(), services: [], overrides: [] })

const plan: AdoptionPlan = {
  maps: [], leftAlone: [],
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
  t.strictSame(switchOver(plan), [
    ['-Pe', 'submission/inet/smtpd_sender_restrictions=socketmap:c'],
    ['-e', 'virtual_alias_maps=socketmap:a', 'relay_domains=socketmap:b'],
  ])
})

t.test('switching back sets the old values, and removes what was not there', async t => {
  t.strictSame(switchBack(plan), [
    ['-e', 'virtual_alias_maps=$v, mysql:/a'],
    ['-X', 'relay_domains'],
    ['-Pe', 'submission/inet/smtpd_sender_restrictions=mysql:/c'],
  ])
})

t.test('a list for master.cf has commas in place of blanks, which postconf -Pe refuses', async t => {
  const from = 'check_policy_service { inet:127.0.0.1:9, timeout = 10 }, check_sender_access  mysql:/c.cf permit'
  const [only] = switchBack(
    { ...plan, edits: [{ service: 'smtp/inet', parameter: 'p', from, to: '', wasDefault: false }] },
  )
  t.strictSame(
    only,
    ['-Pe', 'smtp/inet/p=check_policy_service,{inet:127.0.0.1:9,timeout=10},check_sender_access,mysql:/c.cf,permit'],
  )
})

t.test('a file without changes is not touched', async t => {
  t.strictSame(switchOver({ ...plan, edits: plan.edits.slice(2) }).map(call => call[0]), ['-Pe'])
})

t.test('a shell passes each word on unchanged', async t => {
  const words = ['a=b', 'a=$v, mysql:/x', 'it\'s "quoted" `x` \\', '!x *', 'unionmap:{inline:{__none__=x},y}', 'a=']
  const { stdout } = await run('sh', ['-c', `printf '%s\\n' ${words.map(shellWord).join(' ')}`])
  t.strictSame(stdout.split('\n').slice(0, -1), words)
})

t.test('the folder is an option unless it is Postfix\'s default', async t => {
  t.equal(shellLines(postfix('/etc/postfix'), ['-X', 'a', 'b']), 'postconf -X \\\n    a \\\n    b')
  t.equal(shellLines(postfix('/srv/my postfix'), ['-X', 'a']), 'postconf -c \'/srv/my postfix\' -X \\\n    a')
})
