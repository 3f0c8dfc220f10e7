/** The text of the Holdfast configuration for a plan. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { localNames } from './circumstances.js'
import { splitList } from '../postfix/parameter_list.js'
import { socketInQueue } from './draft.js'
import type { AdoptionPlan, PlannedMap } from './draft.js'
import { placeName } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'

const names = (postfix: Postconf, parameter: string): readonly string[] =>
  splitList(postfix.expanded.get(parameter) ?? '').map(({ text }) => text)

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

/** The addresses at which Postfix receives mail for itself, as in `user@[192.0.2.1]`. */
const addressLiterals = (postfix: Postconf): readonly string[] => {
  const machine = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
  const protocols = postfix.expanded.get('inet_protocols') ?? 'all'
  return ['inet_interfaces', 'proxy_interfaces'].flatMap(parameter => names(postfix, parameter)).flatMap(name => {
    if (name === 'all') return machine.map(({ address }) => address)
    if (name === 'loopback-only') return machine.filter(({ internal }) => internal).map(({ address }) => address)
    return name.replace(/^\[|\]$/g, '')
  }).flatMap(address => {
    const family = isIP(address)
    if (family === 4) return [`[${address}]`]
    return family === 6 && /all|ipv6/.test(protocols) ? [`[ipv6:${address}]`] : []
  })
}

/** The domains whose users Postfix also looks up without the domain, as far as main.cf itself names them. */
const localDomains = (postfix: Postconf): readonly string[] => {
  const all = [...localNames(postfix) ?? [], originOf(postfix), ...addressLiterals(postfix)]
  return [...new Set(all.filter(name => name !== '').map(name => name.toLowerCase()))]
}

/** The socket that all processes of Postfix reach, chrooted or not. */
export const socketPath = (postfix: Postconf): string =>
  `${postfix.expanded.get('queue_directory') ?? ''}/${socketInQueue}`

// Every string of JSON is one of YAML.
const list = (values: readonly string[]): string => `[${values.map(value => JSON.stringify(value)).join(', ')}]`

/** One map of the `maps` section, a line each. */
const mapLines = ({ name, search, sensitive, files, usedBy }: PlannedMap): readonly string[] => {
  // With `search: exact` Postfix does the steps; a new route still shows as soon as with `search: transport`.
  const isRoutes = search === 'exact' && usedBy.some(({ parameter }) => /transport_maps$/.test(parameter))
  return [
    `  ${JSON.stringify(name)}:  # ${usedBy.map(placeName).join(', ')}`,
    `    search: ${search}`,
    ...files.length === 1 ? [`    cf: ${JSON.stringify(files[0])}`]
      : ['    cf:', ...files.map(file => `      - ${JSON.stringify(file)}`)],
    ...isRoutes ? ['    absent_for: 5s'] : [],
    ...sensitive ? ['    sensitive: true  # rights or secrets: not kept in Redis, not used when stale'] : [],
  ]
}

/** YAML with comments. `group` is the group of Postfix's processes; null: unknown, so everybody may use the socket. */
export const configText = (postfix: Postconf, plan: AdoptionPlan, group: string | null): string => {
  return `${[
    `# From ${postfix.configDir}, by holdfast adopt.`,
    '',
    '# As in main.cf; repeat here what you change there:',
    `recipient_delimiter: ${JSON.stringify(postfix.expanded.get('recipient_delimiter') ?? '')}`,
    `propagate_unmatched_extensions: ${list(names(postfix, 'propagate_unmatched_extensions'))}`,
    `parent_domain_matches_subdomains: ${list(names(postfix, 'parent_domain_matches_subdomains'))}`,
    '# mydestination, myorigin and the addresses of inet_interfaces and proxy_interfaces',
    `local_domains: ${list(localDomains(postfix))}`,
    '',
    'listen:',
    '  # Within the queue folder: all processes of Postfix see it, those in a chroot jail too.',
    `  - socketmap: ${JSON.stringify(`unix:${socketPath(postfix)}`)}`,
    ...group === null ? ['    mode: "0666"'] : [`    group: ${JSON.stringify(group)}`, '    mode: "0660"'],
    '',
    'maps:',
    ...plan.maps.flatMap(mapLines),
  ].join('\n')}\n`
}
