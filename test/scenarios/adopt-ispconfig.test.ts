/** The steps of adopt.ts on the shape of ispconfig: text tables before MySQL's, and access tables among the restrictions. */
import t from 'tap'
import { moveThroughOutage } from './adopt.js'

t.test('the same answers before, after, and after switching back', t => moveThroughOutage(t, {
  name: 'ispconfig',
  files: [
    [/virtual_alias_domains/, 'alias_domains'], [/virtual_domains/, 'domains'], [/relaydomains/, 'relay'], [/forwardings/, 'alias'],
    [/mailboxes|relayrecipientmaps/, 'mailbox'], [/transports/, 'transport'], [/sender\.cf|_recipient\.cf/, 'refused'], [/./, 'none'],
  ],
  keeps: ['virtual_gid_maps', 'virtual_uid_maps'],
  settings: {
    virtual_transport: 'discard', greylisting: 'check_client_access mysql:/etc/postfix/mysql-virtual_client.cf',
    virtual_alias_maps: 'texthash:TEXT, proxy:mysql:/etc/postfix/mysql-virtual_forwardings.cf, proxy:mysql:/etc/postfix/mysql-virtual_email2email.cf',
    transport_maps: 'texthash:TEXT, proxy:mysql:/etc/postfix/mysql-virtual_transports.cf',
    smtpd_sender_restrictions: 'check_sender_access proxy:mysql:/etc/postfix/mysql-virtual_sender.cf',
    smtpd_client_restrictions: 'check_client_access proxy:mysql:/etc/postfix/mysql-virtual_client.cf',
    smtpd_recipient_restrictions: 'reject_unauth_destination, check_recipient_access proxy:mysql:/etc/postfix/mysql-virtual_recipient.cf',
  },
}))
