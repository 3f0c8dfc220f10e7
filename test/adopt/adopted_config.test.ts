/** The configuration that adopt writes: one that Holdfast takes, with what main.cf says. */
import t from 'tap'
import { configText, healthPortFor, outageText } from '../../src/adopt/adopted_config.js'
import type { Site } from '../../src/adopt/adopted_config.js'
import type { AdoptionPlan, PlannedMap } from '../../src/adopt/draft.js'
import type { Postconf } from '../../src/postfix/postconf.js'
import { parseConfig } from '../../src/config/parse.js'

const expanded = new Map(Object.entries({
  queue_directory: '/var/spool/postfix', recipient_delimiter: '+-', propagate_unmatched_extensions: 'virtual',
  parent_domain_matches_subdomains: 'relay_domains, smtpd_access_maps', mydestination: 'Mx.Example, localhost',
  relay_domains: '$mydestination hash:/r, /etc/list, .sub.example, !no.example, no.example, mx.example',
  virtual_alias_domains: 'alias.example',
  virtual_mailbox_domains: 'proxy:mysql:/d.cf', myorigin: 'origin.example',
  inet_interfaces: '192.0.2.1, [2001:db8::1]', inet_protocols: 'all', proxy_interfaces: '198.51.100.1',
}))
const postfix: Postconf = {
  configDir: '/etc/postfix', written: new Map(), expanded, inMainCf: new Set(), services: [], overrides: [],
}
const place = { service: null, parameter: 'virtual_alias_maps' }
const plan: AdoptionPlan = {
  maps: [
    {
      name: 'virtual_alias', search: 'virtual', sensitive: false, absence: 'refuses', isAccess: false, smtputf8: true,
      stepsStay: null,
      files: ['/etc/a.cf', '/etc/b: "c".cf'], usedBy: [place],
    },
    {
      name: '2', search: 'access', sensitive: true, absence: 'passes', isAccess: true, smtputf8: true, stepsStay: null,
      files: ['/etc/d.cf'],
      usedBy: [place, { service: 'smtp/inet', parameter: 'x' }],
    },
  ],
  edits: [], newServices: [], guard: [], leftAlone: [],
}

const site: Site = { group: 'postfix', hosts: new Map(), isService: true, healthPort: null }

const parsed = (text: string) => {
  const result = parseConfig(text, 'holdfast.yaml')
  if (!result.ok) throw new Error(result.problems.map(problem => problem.text).join('\n'))
  return result.file
}

t.test('the configuration has each map, with its files in order', async t => {
  const { maps } = parsed(configText(postfix, plan, site))
  t.match(maps, {
    virtual_alias: { search: 'virtual', cf: ['/etc/a.cf', '/etc/b: "c".cf'], sensitive: false },
    2: { search: 'access', cf: '/etc/d.cf', sensitive: true },
  })
})

t.test('an absent route is forgotten after 5 s, even if Postfix does the steps', async t => {
  const map = {
    name: 'transport', search: 'exact', sensitive: false, absence: 'reroutes', isAccess: false, smtputf8: true,
    stepsStay: null, files: ['/t.cf'],
    usedBy: [{ service: null, parameter: 'transport_maps' }],
  } as const
  t.equal(parsed(configText(postfix, { ...plan, maps: [map] }, { ...site, group: null })).maps['transport']?.absent_for, 5_000)
})

t.test('smtputf8_enable is main.cf\'s, and a map has its own where its services have another', async t => {
  const maps = plan.maps.map((map, index) => ({ ...map, smtputf8: index === 0 }))
  const written = (value: string) => {
    const file = parsed(configText({ ...postfix, expanded: new Map([...expanded, ['smtputf8_enable', value]]) }, { ...plan, maps }, site))
    return [file.smtputf8_enable, ...['virtual_alias', '2'].map(name => file.maps[name]?.smtputf8_enable)]
  }
  t.strictSame(written('yes'), ['yes', undefined, 'no'])
  t.strictSame(written('no'), ['no', 'yes', undefined])
})

t.test('the configuration repeats the parameters of main.cf that decide the steps', async t => {
  const file = parsed(configText(postfix, plan, site))
  t.equal(file.recipient_delimiter, '+-')
  t.strictSame(file.propagate_unmatched_extensions, ['virtual'])
  t.strictSame(file.parent_domain_matches_subdomains, ['relay_domains', 'smtpd_access_maps'])
  t.strictSame(
    file.local_domains,
    ['mx.example', 'localhost', 'origin.example', '[192.0.2.1]', '[ipv6:2001:db8::1]', '[198.51.100.1]'],
  )
})

t.test('the domains that main.cf names are written down, as far as they stand for themselves', async t => {
  const given = {
    ...postfix,
    expanded: new Map(
      [...expanded, ['relay_domains', expanded.get('relay_domains')?.replace('$mydestination', 'Mx.Example') ?? '']],
    ),
  }
  t.strictSame(parsed(configText(given, plan, { ...site, group: null })).static_domains, ['mx.example', 'localhost', 'alias.example'])
})

t.test('what an absence does is written where it isn\'t the default, and listed, a line for each map', async t => {
  const map = (name: string, more: Partial<PlannedMap>): PlannedMap =>
    ({
      name, search: 'recipient', sensitive: false, absence: 'passes', isAccess: false, smtputf8: true, stepsStay: null,
      files: ['/a.cf'],
      usedBy: [place], ...more,
    })
  const maps = [
    map('mailbox', { absence: 'refuses' }), map('bcc', {}),
    map('login', { usedBy: [{ ...place, parameter: 'smtpd_sender_login_maps' }] }),
    map('route', { absence: 'reroutes' }),
    map('tls', { search: 'exact', absence: 'weakens' }),
    map('block', { search: 'access', sensitive: true, isAccess: true }),
    map('block_union', { search: 'exact', sensitive: true, isAccess: true }),
    map('allow', { search: 'access', absence: 'refuses', sensitive: true, isAccess: true }),
  ]
  const file = parsed(configText(postfix, { ...plan, maps }, { ...site, group: null }))
  t.strictSame(Object.entries(file.maps).map(
    ([name, { absence, in_outage, max_shrink }]) => [name, absence, in_outage, max_shrink],
  ), [
    ['mailbox', undefined, undefined, undefined], ['bcc', 'passes', undefined, undefined],
    ['login', 'passes', 'pass-strangers', undefined], ['route', 'reroutes', undefined, undefined],
    ['tls', 'weakens', undefined, undefined], ['block', undefined, undefined, 1],
    ['block_union', 'passes', 'pass', 1], ['allow', 'refuses', undefined, undefined],
  ])
  const lines = outageText({ ...plan, maps }).trimEnd().split('\n')
  t.equal(lines.length, maps.length)
  t.match(lines, [
    /^ {2}mailbox {6}absent would refuse mail: defers/, /absent if MySQL last said so/, /defers ours/, /else defers/,
    /unprotected: defers/, /passes$/, /passes$/, /allow .*would refuse/,
  ])
})

t.test('the socket is in the queue folder, for Postfix\'s group alone if there is one', async t => {
  const socketmap = 'unix:/var/spool/postfix/holdfast/holdfast.sock'
  t.match(parsed(configText(postfix, plan, site)).listen, [{ socketmap, group: 'postfix', mode: '0660' }])
  t.strictSame(parsed(configText(postfix, plan, { ...site, group: null })).listen, [{ socketmap, mode: '0666' }])
})

t.test('the service gets an admin socket in its systemd folder; other daemons get the line as a comment', async t => {
  t.equal(parsed(configText(postfix, plan, site)).admin, 'unix:/run/holdfast/admin.sock')
  const text = configText(postfix, plan, { ...site, isService: false })
  t.equal(parsed(text).admin, 'off')
  t.match(text, /^#admin: unix:/m)
  t.match(text, /^#redis:\n# {2}host: /m)
})

t.test('each instance of postmulti(1) has a status page on a port of its own', async t => {
  const instances = ['/etc/postfix-out', '/etc/postfix-in']
  const portOf = (folder: string) =>
    parsed(configText(postfix, plan, { ...site, healthPort: healthPortFor(folder, instances) })).health
  t.strictSame(['/etc/postfix', ...instances].map(portOf), ['127.0.0.1:8025', '127.0.0.1:8026', '127.0.0.1:8027'])
})
