/** The steps of adopt.ts on the shape of iredmail: several tables in one parameter, all of them MySQL's. */
import t from 'tap'
import { moveThroughOutage } from './adopt.js'

t.test('C142 the same answers before, after, and after switching back, chrooted and not', t => moveThroughOutage(t, {
  name: 'iredmail',
  files: [
    [/virtual_mailbox_domains/, 'domains'], [/relay_domains/, 'relay'], [/virtual_alias_maps/, 'alias'], [/virtual_mailbox_maps/, 'mailbox'],
    [/transport_maps_domain/, 'transport'], [/./, 'none'],
  ],
  settings: { virtual_transport: 'discard', virtual_alias_domains: 'w.example', smtpd_sender_restrictions: '' },
}))
