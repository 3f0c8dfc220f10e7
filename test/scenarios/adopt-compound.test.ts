/**
 * What adopt makes of pipemap: and unionmap:, to a real smtpd(8).
 *
 * 1. The plan for parameters with such tables of MySQL's is put into a private
 *    Postfix; a socketmap server that keeps what it is asked stands in for the daemon.
 * 2. For a recipient without a row smtpd has to ask for every partial key, as it
 *    does of mysql: tables, and the results have to go through the pipe and the union.
 */
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { planAdoption } from '../../src/adopt/plan.js'
import type { AdoptionPlan } from '../../src/adopt/draft.js'
import { during } from '../fixtures/during.js'
import { startPostfix } from '../fixtures/postfix.js'
import { rcptReply } from '../fixtures/smtp.js'
import { startSocketmap } from '../fixtures/socketmap.js'

const planFor = (main: Readonly<Record<string, string>>): AdoptionPlan => {
  const values = new Map(Object.entries({ mail_version: '3.7.11', ...main }))
  return planAdoption({
    configDir: '/etc/postfix', written: values, expanded: values, inMainCf: new Set(values.keys()), services: [],
    overrides: [],
  }, () => null)
}

const rows: Readonly<Record<string, string>> = {
  'first @pipe.example': 'Key', 'second key': 'ann@elsewhere.example',
  'left @union.example': 'ann@elsewhere.example', 'right @union.example': 'bob@elsewhere.example',
  'right user@union.example': 'bob@elsewhere.example',
}

t.test('tables in a pipe or a union are asked for the keys that mysql: tables are', async t => {
  const server = await during(t, startSocketmap(({ map, key }) => rows[`${map} ${map === 'second' ? key.toLowerCase() : key}`]))
  const { edits } = planFor({
    virtual_alias_maps: 'pipemap:{mysql:/first.cf, mysql:/second.cf}, proxy:unionmap:{mysql:/left.cf, mysql:/right.cf}',
  })
  const postfix = await during(t, startPostfix({
    mainCf: {
      ...Object.fromEntries(edits.map(({ parameter, to }) => [parameter, to])),
      recipient_delimiter: '+', virtual_alias_domains: 'pipe.example, union.example',
    },
  }))
  mkdirSync(join(postfix.queueDir, 'holdfast'))
  symlinkSync(server.path, join(postfix.queueDir, 'holdfast', 'holdfast.sock'))
  const asked = (map: string): readonly string[] => [
    ...new Set(server.asked.filter(question => question.map === map).map(({ key }) => key)),
  ]

  t.equal((await rcptReply(postfix.smtpPort, 'User+Tag@Pipe.example')).code, 250, 'found through the pipe')
  t.strictSame(asked('first'), ['user+tag@pipe.example', 'user@pipe.example', '@pipe.example'])
  t.strictSame(asked('second').map(key => key.toLowerCase()), ['key'], 'what the first one found')

  t.equal((await rcptReply(postfix.smtpPort, 'any+tag@union.example')).code, 250, 'found in the union')
  for (const map of ['left', 'right']) {
    t.strictSame(
      asked(map).filter(key => key.includes('union')), ['any+tag@union.example', 'any@union.example', '@union.example'],
      map,
    )
  }
  t.notMatch(postfix.log(), /fatal|bad syntax|lookup error/)
})
