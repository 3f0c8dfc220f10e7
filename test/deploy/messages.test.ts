/** The page of messages is made of the source: the log calls of src, their explanations, and the alerts. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { explain, readExplanations } from '../../deploy/pages/explanations.js'
import { logMessages } from '../../deploy/pages/log_messages.js'
import { messagesPage } from '../../deploy/pages/messages_page.js'
import { reasons } from '../../src/outcome.js'
import { packageFile } from '../../src/runtime/package.js'
import { doubtCauses } from '../../src/trust/doubt.js'

const read = (file: string): string => readFileSync(packageFile(file), 'utf8')
const yaml = read('deploy/pages/messages.yaml')
const texts = logMessages()

t.test('deploy/guides/messages.md is what the source makes now', async t => {
  t.equal(read('deploy/guides/messages.md'), messagesPage(), '`npm run guides` makes it anew')
})

t.test('the texts are those of the log calls, with their choices', async t => {
  t.ok(texts.length > 40, 'messages were found')
  for (const text of [
    'bug: …', 'redis: ready', 'map …: its last good definition stays in use', 'redis: takes writes again',
    'map …: a copy of its table (… row[s]) is ready for outages', 'mysql …: fails: …; other servers and the caches answer; what they don\'t know is deferred',
  ]) t.ok(texts.includes(text), text)
})

t.test('the page has each message, cause, reason and alert', async t => {
  const page = messagesPage()
  const alerts = [...read('deploy/alerts/holdfast.yaml').matchAll(/- alert: (\w+)/g)].map(([, alert = '']) => alert)
  t.ok(alerts.length > 10)
  for (const text of [...texts, ...Object.values(doubtCauses), ...reasons, ...alerts]) t.ok(page.includes(text), text)
})

t.test('each explanation says what to do', async t => {
  const { messages, causes, reasons } = readExplanations()
  for (const { texts, means, remedy } of [...messages, ...causes, ...reasons]) t.ok(means !== '' && remedy !== '', texts.join())
})

t.test('a message without an explanation is refused by its name', async t => {
  t.throws(() => explain([...texts, 'quota: … is full'], yaml), { message: /^messages\.yaml does not explain .*: quota: … is full$/ })
})

t.test('an explanation of no message is refused by its name', async t => {
  t.throws(() => explain(texts.filter(text => text !== 'redis: ready'), yaml), { message: /explains a message .*: redis: ready$/ })
})

t.test('a reason or a cause without an explanation, and one that there is not, are refused', async t => {
  type File = { readonly reasons: Record<string, unknown>, readonly causes: Record<string, unknown> }
  const changed = (change: (file: File) => void): string => {
    const file = parse(yaml) as File
    change(file)
    return stringify(file)
  }
  t.throws(() => explain(texts, changed(({ reasons }) => { delete reasons['timeout'] })), /timeout/)
  t.throws(() => explain(texts, changed(({ causes }) => { causes['moon'] = { means: 'x', remedy: 'y' } })), /moon/)
})
