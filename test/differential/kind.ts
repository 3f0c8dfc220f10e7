/** Runs a written scenario, and gives what Postfix did on its mysql: tables: for settings with a test of their own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { freshFolder } from '../fixtures/guard.js'
import { settle } from '../fixtures/postfix.js'
import type { Observed } from './observed.js'
import { startStage } from './pair.js'
import type { Stage } from './pair.js'
import type { Scenario, Session, Step } from './scenario.js'

const stage: Stage = await startStage()
t.teardown(() => stage.stop())

const folder = freshFolder()
/** A mysql: table, and the name by which `rows` has its content. */
export const table = (name: string, query = `SELECT v FROM bin WHERE tab='${name}' AND k='%s' ORDER BY id`): string => {
  const file = join(folder, `${name}.cf`)
  writeFileSync(file, `${stage.login}query = ${query}\n`)
  settle(file)
  return `mysql:${file}`
}
export const rowsOf = (rows: Readonly<Record<string, readonly (readonly [key: string, value: string])[]>>): Scenario['rows'] =>
  Object.entries(rows).flatMap(([name, list]) => list.map(([key, value]) => ({ table: name, key, value })))

/** One session that sends a mail to each of these recipients; every letter is a byte. */
export const mailTo = (
  recipients: readonly string[], more: Partial<Session> = {}, sender = 'someone@out.example',
): Session => ({
  helo: 'helo.example', xclient: null, ...more,
  steps: recipients.flatMap((recipient, number): readonly Step[] => [
    { verb: 'MAIL', text: `<${sender}>` }, { verb: 'RCPT', text: `<${recipient}>` },
    { verb: 'DATA', text: `Message-ID: <s0.0.${number}@m.example>\r\nFrom: <x@out.example>\r\n\r\nx` },
    { verb: 'RSET', text: '' },
  ]),
})

export const none: Scenario['overrides'] = { smtpd: {}, cleanup: {}, rewrite: {} }
export const common = {
  default_transport: 't2:', virtual_transport: 't1:', relay_transport: 'relay', recipient_delimiter: '+',
}

/** What Postfix did on its mysql: tables, and also on Holdfast. */
export type Same = {
  /** The replies to RCPT TO: code and recipient. */
  readonly replies: readonly string[]
  /** Its log lines about messages. */
  readonly log: string
  readonly before: Observed
  /** What `adopt` printed. */
  readonly said: string
}

/** Runs a scenario, and asserts that it ends the same. */
export const same = async (
  t: Test, scenario: Pick<Scenario, 'main' | 'rows' | 'sessions'> & Partial<Scenario>,
): Promise<Same> => {
  const compared = await stage.run({ seed: 0, overrides: none, ...scenario, main: { ...common, ...scenario.main } })
  if (compared.kind === 'not moved') throw new Error(compared.said)
  const { before, said } = compared
  t.strictSame(compared.differences, [])
  const replies = before.replies.flat().flatMap(line => {
    const [, recipient = '', code = ''] = /^RCPT TO:<(.*)>: (\d+)/.exec(line) ?? []
    return code === '' ? [] : [`${code} ${recipient}`]
  })
  return { replies, log: [...before.log.values()].flat().join('\n'), before, said }
}

/** Makes a string with a letter for each byte of the text. */
export const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')
