import { fileURLToPath } from 'node:url'
import t from 'tap'
import { summaryText } from '../../src/adopt/overview.js'
import { planAdoption } from '../../src/adopt/plan.js'
import { readPostconf } from '../../src/postfix/postconf.js'

const summaryOf = async (shape: string, unsuitable: (file: string) => string | null): Promise<string> => {
  const folder = fileURLToPath(new URL(`../../../test/fixtures/adopt/${shape}`, import.meta.url))
  return summaryText(planAdoption(await readPostconf(folder), unsuitable))
}

t.test('the summary counts, says first what stays and why, and has a line for each place', async t => {
  t.equal(await summaryOf('ispconfig', () => null), `\
Of the mysql: tables, 12 move whole, 5 move with Postfix's steps, 3 stay.

Stay; Postfix goes on asking MySQL:
  virtual/unix/virtual_mailbox_maps: mysql-virtual_mailboxes.cf
      virtual(8) takes no socketmap; for it alone they stay, in a -o of its own
  virtual_uid_maps: mysql-virtual_uids.cf
  virtual_gid_maps: mysql-virtual_gids.cf
      virtual(8) takes no socketmap for data that decides under which user it acts

Move with Postfix's steps; Postfix asks Holdfast for each part of an address or domain:
  virtual_alias_maps: mysql-virtual_forwardings.cf, mysql-virtual_alias_maps.cf, mysql-virtual_email2email.cf
  transport_maps: mysql-virtual_transports.cf
  smtp_sasl_password_maps: mysql-virtual_sender-relayauth.cf
      tables of other kinds stand beside it

Move whole:
  relay_domains: mysql-virtual_relaydomains.cf
  virtual_alias_domains: mysql-virtual_alias_domains.cf
  virtual_mailbox_domains: mysql-virtual_domains.cf
  virtual_mailbox_maps: mysql-virtual_mailboxes.cf
  relay_recipient_maps: mysql-virtual_relayrecipientmaps.cf
  sender_bcc_maps: mysql-virtual_outgoing_bcc.cf
  smtpd_sender_login_maps: mysql-virtual_sender_login_maps.cf
  smtpd_client_restrictions: mysql-virtual_client.cf
  greylisting: mysql-virtual_client.cf
  smtpd_sender_restrictions: mysql-virtual_sender.cf
  smtpd_recipient_restrictions: mysql-virtual_recipient.cf, mysql-virtual_policy_greylist.cf

`)
})

t.test('where all tables move whole, or none moves, the summary says no more than that', async t => {
  t.match(await summaryOf('vimbadmin', () => null), /^Of the mysql: tables, 4 move whole\.\n\nMove whole:\n/)
  t.match(await summaryOf('vimbadmin', () => 'can\'t be read'),
    /^Of the mysql: tables, 4 stay\.\n\nStay; .*:\n(?: {2}\w+: \w+\.cf\n){4} {6}can't be read\n\n$/)
})
