/** The text of a Holdfast configuration for a plan. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { localNames } from './circumstances.js'
import { splitList } from '../postfix/parameter_list.js'
import { socketInQueue } from './draft.js'
import type { AdoptionPlan } from './draft.js'
import { placeName } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'

const names = (postfix: Postconf, parameter: string): readonly string[] =>
  splitList(postfix.expanded.get(parameter) ?? '').map(({ text }) => text)

/** Debian writes `myorigin = /etc/mailname`: the file's first line. */
const originOf = (postfix: Postconf): string => {
  const origin = postfix.expanded.get('myorigin') ?? ''
  if (!origin.startsWith('/')) return origin
  try {
    return readFileSync(origin, 'utf8').split('\n', 1)[0]?.trim() ?? ''
  } catch {
    return ''
  }
}

/** The addresses at which Postfix takes mail for itself, as the domain of `user@[192.0.2.1]`. */
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

/** The domains whose users Postfix also looks up without the domain; where it alone knows them, the plan leaves it the steps. */
const localDomains = (postfix: Postconf): readonly string[] => {
  const all = [...localNames(postfix) ?? [], originOf(postfix), ...addressLiterals(postfix)]
  return [...new Set(all.filter(name => name !== '').map(name => name.toLowerCase()))]
}

/** The socket that all of Postfix's processes reach, chrooted or not. */
export const socketPath = (postfix: Postconf): string => `${postfix.expanded.get('queue_directory') ?? ''}/${socketInQueue}`

// JSON's strings are YAML's too, whatever they hold.
const list = (values: readonly string[]): string => `[${values.map(value => JSON.stringify(value)).join(', ')}]`

/** YAML, commented. `group` is the group of Postfix's processes; null: unknown, so the socket is for everybody. */
export const configText = (postfix: Postconf, plan: AdoptionPlan, group: string | null): string => {
  const maps = plan.maps.flatMap(({ name, search, sensitive, files, usedBy }) => [
    `  ${JSON.stringify(name)}:  # ${usedBy.map(placeName).join(', ')}`,
    `    search: ${search}`,
    files.length === 1 ? `    cf: ${JSON.stringify(files[0])}` : `    cf:${files.map(file => `\n      - ${JSON.stringify(file)}`).join('')}`,
    // The default for a map of routes: a new one is not to wait longer because Postfix does the steps.
    ...search === 'exact' && usedBy.some(({ parameter }) => /transport_maps$/.test(parameter)) ? ['    absent_for: 5s'] : [],
    ...sensitive ? ['    sensitive: true  # gives rights or holds secrets: not kept in Redis, not used when stale'] : [],
  ])
  return `${[
    `# From ${postfix.configDir}, by holdfast adopt.`,
    '',
    '# As in main.cf, where a change has to be repeated here:',
    `recipient_delimiter: ${JSON.stringify(postfix.expanded.get('recipient_delimiter') ?? '')}`,
    `propagate_unmatched_extensions: ${list(names(postfix, 'propagate_unmatched_extensions'))}`,
    `parent_domain_matches_subdomains: ${list(names(postfix, 'parent_domain_matches_subdomains'))}`,
    '# mydestination, myorigin and the addresses of inet_interfaces and proxy_interfaces',
    `local_domains: ${list(localDomains(postfix))}`,
    '',
    'listen:',
    '  # Within the queue folder: Postfix\'s processes work there, and those in a chroot jail see no more than that.',
    `  - socketmap: ${JSON.stringify(`unix:${socketPath(postfix)}`)}`,
    ...group === null ? ['    mode: "0666"'] : [`    group: ${JSON.stringify(group)}`, '    mode: "0660"'],
    '',
    'maps:',
    ...maps,
  ].join('\n')}\n`
}
