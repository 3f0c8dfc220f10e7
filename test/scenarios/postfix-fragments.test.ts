/**
 * deploy/postfix/primary.cf and fallback.cf, each appended to a main.cf.
 *
 * 1. Every line that sets something has a comment above it; postconf(1) knows
 *    every parameter, and sees the value that the file gives.
 * 2. A Postfix runs with it. Recipients that no table has, a domain that is in
 *    no list, and a REJECT from an access table: for now on a primary, for good
 *    on the fallback. Who exists is accepted on both.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startPostfix } from '../fixtures/postfix.js'
import { rcptReply } from '../fixtures/smtp.js'

const linesOf = (name: string): readonly string[] =>
  readFileSync(fileURLToPath(new URL(`../../../deploy/postfix/${name}`, import.meta.url)), 'utf8').split('\n')

/** The parameters that a file sets; none of them is continued on a next line. */
const settingsOf = (lines: readonly string[]): Readonly<Record<string, string>> => Object.fromEntries(lines.flatMap(line => {
  const [, name, value] = /^(\w+) = (.*)$/.exec(line) ?? []
  return name === undefined || value === undefined ? [] : [[name, value]]
}))

const accepted = ['user@local.example', 'info@alias.example', 'user@box.example', 'user@relay.example']
const refused: readonly (readonly [recipient: string, why: string, onPrimary: number, onFallback: number])[] = [
  ['nobody@local.example', 'not in local_recipient_maps', 450, 550],
  ['nobody@alias.example', 'not in virtual_alias_maps', 450, 550],
  ['nobody@box.example', 'not in virtual_mailbox_maps', 450, 550],
  ['nobody@relay.example', 'not in relay_recipient_maps', 450, 550],
  ['user@elsewhere.example', 'a domain in no list', 450, 554],
  ['barred@relay.example', 'REJECT in an access table', 450, 554],
]

for (const [file, isPrimary] of [['primary.cf', true], ['fallback.cf', false]] as const) {
  const lines = linesOf(file)
  const settings = settingsOf(lines)

  t.test(`${file}: every setting has a comment above it, and nothing else is in the file`, t => {
    for (const [index, line] of lines.entries()) {
      if (line === '' || line.startsWith('#')) continue
      t.match(line, /^\w+ = \S/)
      t.match(lines[index - 1] ?? '', /^# \S/, `above ${line}`)
    }
    t.ok(Object.keys(settings).length >= 8)
    t.end()
  })

  t.test(`${file}: Postfix knows the parameters and answers as they say`, async t => {
    const postfix = await startPostfix({ mainCf: {
      mydestination: 'local.example',
      local_recipient_maps: 'inline:{{ user@local.example = x }}',
      virtual_alias_domains: 'alias.example',
      virtual_alias_maps: 'inline:{{ info@alias.example = user@relay.example }}',
      virtual_mailbox_domains: 'box.example',
      virtual_mailbox_maps: 'inline:{{ user@box.example = x }}',
      relay_domains: 'relay.example',
      relay_recipient_maps: 'inline:{{ user@relay.example = x }, { barred@relay.example = x }}',
      smtpd_recipient_restrictions: 'check_recipient_access inline:{{ barred@relay.example = REJECT }}',
      ...settings,
    } })
    t.teardown(() => postfix.stop())

    for (const [name, value] of Object.entries(settings)) {
      const { stdout, stderr } = await postfix.postconf(name)
      t.equal(stderr, '', `${name} is a parameter of Postfix`)
      t.equal(stdout, `${name} = ${value}\n`)
    }
    t.equal((await postfix.postconf('-n')).stderr, '', 'nothing to warn of')

    for (const recipient of accepted) t.match(await rcptReply(postfix.smtpPort, recipient), { code: 250 }, recipient)
    for (const [recipient, why, onPrimary, onFallback] of refused) {
      t.match(await rcptReply(postfix.smtpPort, recipient), { code: isPrimary ? onPrimary : onFallback }, `${recipient}: ${why}`)
    }
    t.notMatch(postfix.log(), /warning|fatal|panic/)
  })
}
