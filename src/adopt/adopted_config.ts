/** The text of the Holdfast configuration for a plan. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { localNames } from './circumstances.js'
import { absenceOfSearch, domainLists } from '../postfix/parameters.js'
import { socketInQueue } from './draft.js'
import type { AdoptionPlan, PlannedMap } from './draft.js'
import { listIn, placeName } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'

/** The addresses of hosts, by name. */
export type Hosts = ReadonlyMap<string, readonly string[]>

/** Debian writes `myorigin = /etc/mailname`: the origin is the first line of that file. */
const originOf = (postfix: Postconf): string => {
  const origin = postfix.expanded.get('myorigin') ?? ''
  if (!origin.startsWith('/')) return origin
  try {
    return readFileSync(origin, 'utf8').split('\n', 1)[0]?.trim() ?? ''
  } catch {
    return ''
  }
}

/** The names among inet_interfaces and proxy_interfaces, which stand for addresses. */
export const interfaceNames = (postfix: Postconf): readonly string[] => interfacesOf(postfix)
  .filter(name => isIP(name) === 0 && name !== 'all' && name !== 'loopback-only')

const interfacesOf = (postfix: Postconf): readonly string[] => ['inet_interfaces', 'proxy_interfaces']
  .flatMap(parameter => listIn(postfix, parameter)).map(name => name.replace(/^\[|\]$/g, ''))

/** The addresses at which Postfix receives mail for itself, as in `user@[192.0.2.1]`. */
const addressLiterals = (postfix: Postconf, hosts: Hosts): readonly string[] => {
  const machine = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
  const protocols = postfix.expanded.get('inet_protocols') ?? 'all'
  return interfacesOf(postfix).flatMap(name => {
    if (name === 'all') return machine.map(({ address }) => address)
    if (name === 'loopback-only') return machine.filter(({ internal }) => internal).map(({ address }) => address)
    return hosts.get(name) ?? name
  }).flatMap(address => {
    const family = isIP(address)
    if (family === 4) return /all|ipv4/.test(protocols) ? [`[${address}]`] : []
    return family === 6 && /all|ipv6/.test(protocols) ? [`[ipv6:${address}]`] : []
  })
}

/** The domains whose users Postfix also looks up without the domain, as far as main.cf itself names them. */
const localDomains = (postfix: Postconf, hosts: Hosts): readonly string[] => {
  const all = [...localNames(postfix) ?? [], originOf(postfix), ...addressLiterals(postfix, hosts)]
  return [...new Set(all.filter(name => name !== '').map(name => name.toLowerCase()))]
}

/** The domains that mail is taken for, as far as main.cf itself names them. */
export const staticDomains = (postfix: Postconf): readonly string[] => {
  const all = domainLists.flatMap(parameter => {
    const items = listIn(postfix, parameter)
    return items.filter(name => !/^[.!]|[:/]/.test(name) && !items.includes(`!${name}`))
  })
  return [...new Set(all.map(name => name.toLowerCase()))]
}

/** The socket that all processes of Postfix reach, chrooted or not. */
export const socketPath = (postfix: Postconf): string =>
  `${postfix.expanded.get('queue_directory') ?? ''}/${socketInQueue}`

// Every string of JSON is one of YAML.
const list = (values: readonly string[]): string => `[${values.map(value => JSON.stringify(value)).join(', ')}]`

const knowsUtf8 = (postfix: Postconf): boolean => postfix.expanded.get('smtputf8_enable') !== 'no'

/** Whether a map says who may send as whom, and nothing else. */
const isOfLogins = ({ usedBy }: PlannedMap): boolean =>
  usedBy.every(({ parameter }) => parameter === 'smtpd_sender_login_maps')

/** One map of the `maps` section, a line each. */
const mapLines = (postfix: Postconf, map: PlannedMap): readonly string[] => {
  const { name, search, sensitive, absence, smtputf8, isAccess, files, usedBy } = map
  // With `search: exact` Postfix does the steps; a new route still shows as soon as with `search: transport`.
  const isRoutes = search === 'exact' && usedBy.some(({ parameter }) => /transport_maps$/.test(parameter))
  return [
    `  ${JSON.stringify(name)}:  # ${usedBy.map(placeName).join(', ')}`,
    `    search: ${search}`,
    ...files.length === 1 ? [`    cf: ${JSON.stringify(files[0])}`]
      : ['    cf:', ...files.map(file => `      - ${JSON.stringify(file)}`)],
    ...smtputf8 === knowsUtf8(postfix) ? [] : [`    smtputf8_enable: ${smtputf8 ? 'yes' : 'no'}`],
    ...absence === absenceOfSearch(search) ? [] : [`    absence: ${absence}`],
    // Better some spam than every sender kept waiting; only search: access has this by default.
    ...isAccess && absence === 'passes' && search !== 'access' ? ['    in_outage: pass'] : [],
    ...isOfLogins(map) ? ['    in_outage: pass-strangers  # an absence refuses what our users send'] : [],
    ...isAccess && absence === 'passes' ? ['    max_shrink: 100%  # its rows may come and go'] : [],
    ...isRoutes ? ['    absent_for: 5s'] : [],
    ...sensitive ? ['    sensitive: true  # rights or secrets: not kept in Redis, stale for a day at most'] : [],
  ]
}

/** What a map answers in an outage for a key that it doesn't know. */
const inOutage = (map: PlannedMap): string => {
  const { search, absence, isAccess } = map
  switch (absence) {
    case 'refuses': return 'absent would refuse mail: defers, unless another map knows the key'
    case 'weakens': return 'absent would send mail unprotected: defers'
    case 'reroutes': return 'absent would send mail elsewhere: absent if MySQL last said so, else defers'
    case 'passes':
      if (isAccess || search === 'access') return 'absent does nothing to mail: passes'
      return isOfLogins(map)
        ? 'absent refuses nobody who isn\'t logged in: passes senders of other domains, defers ours'
        : 'absent leaves out a copy or a setting: absent if MySQL last said so, else defers'
    default: return absence satisfies never
  }
}

/** A line for each map: what it does in an outage with a key that it doesn't know. */
export const outageText = ({ maps }: AdoptionPlan): string => {
  const width = Math.max(...maps.map(({ name }) => name.length))
  return maps.map(map => `  ${map.name.padEnd(width)}  ${inOutage(map)}\n`).join('')
}

/** Which machine and which instance of Postfix the configuration is for: what main.cf does not say. */
export type Site = {
  /** The group of Postfix's processes; null: unknown, so everybody may use the socket. */
  readonly group: string | null
  /** The addresses of {@link interfaceNames}. */
  readonly hosts: Hosts
  /** Whether the service of the package reads it: then systemd makes the folder of the admin socket. */
  readonly isService: boolean
  /** The port of the status page; null: the default. */
  readonly healthPort: number | null
}

const defaultHealthPort = 8_025

/**
 * The port of the status page for the instance of Postfix in `configDir`: each of postmulti(1)'s gets one of its own.
 * null: the default. `instances` are the folders in multi_instance_directories of Postfix's default instance.
 */
export const healthPortFor = (configDir: string, instances: readonly string[]): number | null => {
  const index = instances.indexOf(configDir)
  return index === -1 ? null : defaultHealthPort + 1 + index
}

/** Addresses for people and programs, besides the listener. */
const otherAddresses = ({ isService, healthPort }: Site): readonly string[] => [
  ...healthPort === null ? [] : [
    '# The status page, /readyz and /metrics. Each instance of Postfix has a Holdfast with a port of its own.',
    `health: 127.0.0.1:${healthPort}`, '',
  ],
  ...isService ? [
    '# For `holdfast explain`, `trust` and `flush`: root and the group holdfast.',
    'admin: unix:/run/holdfast/admin.sock', '',
  ] : ['# For `holdfast explain`, `trust` and `flush`, in a folder of the daemon\'s account:',
    '#admin: unix:/run/holdfast/admin.sock', ''],
  '# Nodes that share a Redis share their answers, and a new node knows them at once.',
  '#redis:', '#  host: 127.0.0.1', '',
]

/** YAML with comments. */
export const configText = (postfix: Postconf, plan: AdoptionPlan, site: Site): string => {
  const { group, hosts } = site
  return `${[
    `# From ${postfix.configDir}, by holdfast adopt.`,
    '',
    '# As in main.cf; repeat here what you change there:',
    `smtputf8_enable: ${knowsUtf8(postfix) ? 'yes' : 'no'}`,
    `recipient_delimiter: ${JSON.stringify(postfix.expanded.get('recipient_delimiter') ?? '')}`,
    `propagate_unmatched_extensions: ${list(listIn(postfix, 'propagate_unmatched_extensions'))}`,
    `parent_domain_matches_subdomains: ${list(listIn(postfix, 'parent_domain_matches_subdomains'))}`,
    '# mydestination, myorigin and the addresses of inet_interfaces and proxy_interfaces',
    `local_domains: ${list(localDomains(postfix, hosts))}`,
    `# ${domainLists.join(', ')}, as far as main.cf names the domains`,
    `static_domains: ${list(staticDomains(postfix))}`,
    ...plan.guard.length === 0 ? [] : [
      '# The lists of our domains: what they can\'t say in an outage defers recipients, not senders.',
      `recipient_guard: ${list(plan.guard)}`,
    ],
    '',
    'listen:',
    '  # Within the queue folder: all processes of Postfix see it, those in a chroot jail too.',
    `  - socketmap: ${JSON.stringify(`unix:${socketPath(postfix)}`)}`,
    ...group === null ? ['    mode: "0666"'] : [`    group: ${JSON.stringify(group)}`, '    mode: "0660"'],
    '',
    ...otherAddresses(site),
    'maps:',
    ...plan.maps.flatMap(map => mapLines(postfix, map)),
  ].join('\n')}\n`
}
