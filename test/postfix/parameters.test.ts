/** What an absence does in each parameter. */
import t from 'tap'
import { absenceOfAccess } from '../../src/postfix/allow_lists.js'
import { purposes } from '../../src/postfix/parameters.js'
import type { AbsenceEffect } from '../../src/postfix/parameters.js'
import type { Postconf } from '../../src/postfix/postconf.js'

t.test('an absence refuses mail where a recipient, a domain or a right is looked up, and nowhere else', async t => {
  const parametersWith = (effect: AbsenceEffect): readonly string[] =>
    [...purposes].flatMap(
      ([name, purpose]) => purpose.kind !== 'refused' && purpose.absence === effect ? [name] : [],
    ).sort()
  t.strictSame(parametersWith('refuses'), [
    'lmtp_sasl_password_maps', 'local_recipient_maps', 'mydestination', 'mynetworks', 'relay_clientcerts',
    'relay_domains',
    'relay_recipient_maps', 'smtp_sasl_password_maps', 'virtual_alias_domains', 'virtual_alias_maps',
    'virtual_mailbox_domains',
    'virtual_mailbox_maps', 'virtual_maps',
  ])
  t.strictSame(parametersWith('weakens'), ['lmtp_tls_policy_maps', 'smtp_tls_per_site', 'smtp_tls_policy_maps'])
  t.strictSame(parametersWith('passes'), [
    'fast_flush_domains', 'lmtp_discard_lhlo_keyword_address_maps', 'rbl_reply_maps', 'recipient_bcc_maps',
    'relocated_maps',
    'sender_bcc_maps', 'smtp_discard_ehlo_keyword_address_maps', 'smtpd_discard_ehlo_keyword_address_maps',
    'smtpd_milter_maps',
    'smtpd_sender_login_maps',
  ])
})

t.test('an -o in master.cf makes an allow list too', async t => {
  const list = 'check_sasl_access socketmap:a,reject'
  const postfix: Postconf = {
    configDir: '', written: new Map(), expanded: new Map(), inMainCf: new Set(), services: [],
    overrides: [{ service: 'submission/inet', parameter: 'smtpd_client_restrictions', value: list }],
  }
  const absenceOf = absenceOfAccess(postfix)
  t.equal(absenceOf('check_sasl_access', 'socketmap:a'), 'refuses')
  t.equal(absenceOf('check_client_access', 'socketmap:a'), 'passes')
  t.equal(absenceOf('check_sasl_access', 'socketmap:b'), 'passes')
})
