/** What decides how the tables of a Postfix can be adopted: its version, its local domains, its delivery agents. */
import { splitList } from '../postfix/parameter_list.js'
import type { Postconf, Service } from '../postfix/postconf.js'

/** Whether unionmap: distinguishes an error from an absence: not before Postfix 3.0.7, and not in 3.1.0 to 3.1.2. */
export const unionmapIsSafe = (version: string): boolean => {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(part => parseInt(part, 10))
  return major > 3 || (major === 3 && (minor > 1 || patch >= (minor === 1 ? 3 : 7)))
}

/** The domains of mydestination; null if only Postfix knows them all: some are in a table or a file, or excluded. */
export const localNames = (postfix: Postconf): readonly string[] | null => {
  const names = splitList(postfix.expanded.get('mydestination') ?? '').map(({ text }) => text)
  return names.some(name => /[:/!]/.test(name)) ? null : names
}

/**
 * Whether a service sees only the queue folder. By default it does not, unless compatibility_level asks for the default
 * of before Postfix 3.0 (master(5)).
 */
export const isChrooted = (postfix: Postconf, { chroot }: Service): boolean =>
  chroot === 'y' || (chroot === '-' && parseInt(postfix.expanded.get('compatibility_level') ?? '0', 10) < 1)

const transports = [
  'virtual_transport', 'local_transport', 'relay_transport', 'default_transport', 'mailbox_transport',
  'fallback_transport',
]

/** Why virtual(8) reads main.cf's virtual_mailbox_maps, or null if no transport in use is virtual(8). */
export const virtualAgent = (postfix: Postconf): string | null => {
  for (const parameter of transports) {
    const transport = (postfix.expanded.get(parameter) ?? '').split(':', 1)[0] ?? ''
    const service = postfix.services.find(({ name }) => name === `${transport}/unix`)
    if (service?.command !== 'virtual') continue
    const overrides = postfix.overrides.filter(override => override.service === service.name)
    if (!overrides.some(override => override.parameter === 'virtual_mailbox_maps')) {
      return `${parameter} = ${transport}: virtual(8) reads it too and takes no socketmap. Give the service `
        + `${service.name} in master.cf a -o virtual_mailbox_maps of its own, with the mysql: tables; `
        + 'then only smtpd(8) asks this one'
    }
  }
  return null
}
