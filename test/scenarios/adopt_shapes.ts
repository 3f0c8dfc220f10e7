/** The main.cf of other mail server projects (test/fixtures/adopt), and what their tables hold here. */
import { postfixadmin } from './adopt.js'
import type { Shape } from './adopt.js'

export const shapes: readonly Shape[] = [
  postfixadmin,
  {
    // No probes of recipients, and nobody to ask for a policy.
    name: 'modoboa',
    files: [
      [/sql-domains/, 'domains'], [/domain-aliases/, 'alias_domains'], [/sql-aliases/, 'alias_or_mailbox'],
      [/relaydomains/, 'relay'],
      [/sql-transport/, 'transport'], [/login/, 'mailbox'], [/maintain/, 'refused'],
    ],
    settings: {
      smtpd_recipient_restrictions: 'check_recipient_access proxy:${dbtype}:/etc/postfix/sql-maintain.cf '
        + 'check_recipient_access proxy:${dbtype}:/etc/postfix/sql-relay-recipient-verification.cf '
        + 'reject_unauth_destination',
    },
  },
  {
    name: 'vimbadmin',
    files: [[/alias/, 'alias'], [/domains/, 'domains'], [/mailbox/, 'mailbox']],
    settings: { virtual_alias_domains: 'w.example' },
  },
  {
    // Parameters of a table in main.cf itself; local(8)'s aliases, which are local recipients by default.
    name: 'froxlor',
    files: [
      [/mailbox_domains/, 'domains'], [/mailbox_maps|sender_permissions/, 'mailbox'], [/alias_maps/, 'alias'],
      [/aliases/, 'rewritten'],
    ],
    settings: {
      local_recipient_maps: null, virtual_alias_domains: 'w.example',
      rewrite_query: 'SELECT target FROM rewritten WHERE address=\'%s\'',
    },
    keeps: ['alias_maps', 'canonical_maps'],
  },
  {
    name: 'docker-mailserver',
    files: [
      [/domains/, 'domains'], [/mailboxes|senders/, 'mailbox'], [/aliases/, 'alias'], [/rewrite/, 'rewritten'],
      [/banned|no-outgoing/, 'refused'],
    ],
    settings: { virtual_alias_domains: 'w.example' },
    keeps: ['header_checks'],
  },
]
