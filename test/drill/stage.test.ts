/** The Postfix of each drill must ask as one that `adopt` moved. */
import t from 'tap'
import { askedOfSenders } from '../../src/check/outage_mail.js'
import { readPostconf } from '../../src/postfix/postconf.js'
import { makePostfix } from '../fixtures/postfix.js'
import { nodePostfix } from './mx.js'
import { postfixOnHoldfast } from './stage.js'

const socket = '/run/holdfast/s'

for (const [drill, options] of Object.entries({
  servers: postfixOnHoldfast(socket), roles: nodePostfix(socket, '127.0.0.2:2525'),
})) {
  t.test(`drill of ${drill}: each smtpd asks lists for a sender's domain by their lenient names`, async t => {
    const made = await makePostfix(options)
    t.teardown(() => made.remove())
    const postfix = await readPostconf(made.configDir)
    const isOurs = (parameter: string): boolean => postfix.expanded.get(parameter)?.includes('socketmap:') === true
    t.ok(isOurs('virtual_alias_domains') && isOurs('relay_domains'))
    t.strictSame(askedOfSenders(postfix).filter(isOurs), [])
  })
}
