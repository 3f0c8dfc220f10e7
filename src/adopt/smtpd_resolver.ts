/**
 * What lets mail from strangers pass in an outage (lookup/recipient_guard.ts says why): the guard in smtpd(8)'s
 * restrictions, and lenient names of our maps for it and for a trivial-rewrite(8) that serves it alone. The queue
 * manager, cleanup(8) and the rest go on with the names and the trivial-rewrite that they have.
 */
import { socketInQueue } from './draft.js'
import type { AdoptionPlan, Draft } from './draft.js'
import { expand } from '../postfix/parameter_list.js'
import { asksGuardFirst, lenientPrefix } from '../postfix/guarded_lists.js'
import { domainLists, programsOf, purposes } from '../postfix/parameters.js'
import type { Service } from '../postfix/postconf.js'

/** The maps of a plan that trivial-rewrite asks whether a domain is ours. */
export const guardedMaps = ({ maps }: Pick<AdoptionPlan, 'maps'>, draft: Draft): readonly string[] => {
  const aliases = draft.postfix.written.get('virtual_alias_domains') === '$virtual_alias_maps'
  const lists: readonly string[] = [...domainLists, ...aliases ? ['virtual_alias_maps'] : []]
  return maps.filter(({ usedBy }) => usedBy.some(({ parameter }) => lists.includes(parameter))).map(({ name }) => name)
}

const nameOfService = 'rewrite_service_name'

/** Gives each smtpd whose restrictions ask the guard lenient names of our maps, and a trivial-rewrite that has them. */
export const addResolver = (draft: Draft): void => {
  const { postfix } = draft
  const name = postfix.expanded.get(nameOfService) ?? ''
  // Of two entries with one name, master(8) takes the last.
  const rewrite = postfix.services.findLast(service => service.name === `${name}/unix`)
  const users = postfix.services.filter(service => service.command === 'smtpd'
    && draft.valueAfter({ service: service.name, parameter: nameOfService }) === undefined
    && asksGuardFirst(postfix, service.name, (of, parameter) => draft.valueFor(of, parameter)))
  const options = rewrite === undefined ? null : lenientValues(draft, rewrite, ['trivial-rewrite'])
  const own = users.map(user => [user, lenientValues(draft, user, ['smtpd', 'cleanup'])] as const)
  const isThere = postfix.services.some(service => service.name === `${name}-smtpd/unix`)
  if (rewrite === undefined || options === null || options.size === 0 || users.length === 0 || isThere) return
  draft.addService({
    name: `${name}-smtpd/unix`,
    entry: [
      rewrite.entry.replace(/^\S+/, `${name}-smtpd`),
      ...[...options].map(([parameter, value]) => `-o {${parameter}=${value}}`),
    ].join(' '),
  })
  for (const [user, values] of own) {
    draft.addOverride(user, nameOfService, `${name}-smtpd`)
    for (const [parameter, value] of values ?? []) {
      if (draft.valueAfter({ service: user.name, parameter }) === undefined) draft.addOverride(user, parameter, value)
    }
  }
}

/**
 * The value of each parameter in which a service of these programs asks our maps, by their lenient names; null if a
 * condition decides what one comes to.
 */
const lenientValues = (
  draft: Draft, { name: service }: Service, programs: readonly string[],
): ReadonlyMap<string, string> | null => {
  const { written } = draft.postfix
  const values = new Map([...written.keys()].map(parameter => [parameter, draft.valueFor(service, parameter)]))
  const lenient = new Map<string, string>()
  for (const parameter of purposes.keys()) {
    const readers = programsOf(parameter)
    if (!programs.every(program => readers.includes(program))) continue
    const value = expand(values.get(parameter) ?? '', values)
    // The default of relay_domains has a condition.
    if (value === null && draft.postfix.expanded.get(parameter)?.includes('mysql:') === true) return null
    if (value?.includes(`${socketInQueue}:`) !== true) continue
    lenient.set(parameter, value.replaceAll(`${socketInQueue}:`, `${socketInQueue}:${lenientPrefix}`))
  }
  return lenient
}
