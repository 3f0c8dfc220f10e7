/**
 * What lets mail from strangers pass in an outage (lookup/recipient_guard.ts says why): the guard in smtpd(8)'s
 * restrictions, and lenient names of our maps for it and for a trivial-rewrite(8) that serves it alone. The queue
 * manager, cleanup(8) and the rest go on with the names and the trivial-rewrite that they have.
 */
import { socketInQueue } from './draft.js'
import type { Draft } from './draft.js'
import { editedEntry } from './switch_over.js'
import { joinList, splitList, textsOf } from '../postfix/parameter_list.js'
import {
  hasUnseenDomains, lenientParameter, lenientParameters, lenientPrefix, mayHaveStrangers, whyNotLenient,
} from '../postfix/guarded_lists.js'
import { domainLists } from '../postfix/parameters.js'
import type { Postconf, Service } from '../postfix/postconf.js'

/** The lists of domains; where the aliases are one, virtual_alias_maps is one too. */
const domainParameters = ({ written }: Postconf): readonly string[] =>
  [...domainLists, ...written.get('virtual_alias_domains') === '$virtual_alias_maps' ? ['virtual_alias_maps'] : []]

/** The maps of a plan that trivial-rewrite asks whether a domain is ours. */
export const guardedMaps = (draft: Draft): readonly string[] => {
  const lists = domainParameters(draft.postfix)
  const { maps, edits } = draft.plan()
  const asked = new Set(edits.filter(({ parameter }) => lists.includes(parameter)).flatMap(({ to }) =>
    textsOf(splitList(to)).flatMap((text, i, list) => mayHaveStrangers(list, i) ? [] : text.split(/[{},]/))))
  return maps.flatMap(({ name }) => [...asked].some(table => table.endsWith(`${socketInQueue}:${name}`)) ? [name] : [])
}

const nameOfService = 'rewrite_service_name'

/** Gives each smtpd that may ask leniently the lenient names of our maps, and a trivial-rewrite that has them. */
export const addResolver = (draft: Draft): void => {
  const { postfix } = draft
  const after = draft.after()
  const name = postfix.expanded.get(nameOfService) ?? ''
  // Of two entries with one name, master(8) takes the last.
  const rewrite = postfix.services.findLast(service => service.name === `${name}/unix`)
  const earlier = postfix.services.find(({ name: service, command }) => command === 'trivial-rewrite'
    && overridesIn(after, service).has(lenientParameter))
  const users = postfix.services.filter(({ name: service, command }) => command === 'smtpd'
    && !overridesIn(after, service).has(nameOfService) && whyNotLenient(after, service) === null)
  if (earlier === undefined && (rewrite === undefined || users.length === 0)) return

  const isComplete = !hasUnseenDomains(after, table => table.includes(`${socketInQueue}:`))
  draft.rewriteEdits(({ parameter, to }) =>
    isComplete || domainParameters(postfix).includes(parameter) ? leniently(parameter, to) : to)
  if (!postfix.written.has(lenientParameter)) draft.addSetting({ service: null, parameter: lenientParameter }, '')
  const resolver = earlier?.name.replace(/\/unix$/, '') ?? newName(postfix, `${name}-smtpd`)
  if (earlier === undefined && rewrite !== undefined) addService(draft, resolver, rewrite)
  for (const user of users) addOptions(draft, user, resolver, isComplete)
}

const overridesIn = ({ overrides }: Postconf, service: string): ReadonlySet<string> =>
  new Set(overrides.filter(each => each.service === service).map(({ parameter }) => parameter))

/** A service like `rewrite`, but for the names of our maps. */
const addService = (draft: Draft, name: string, rewrite: Service): void => {
  const entry = editedEntry(rewrite.entry, draft.plan().edits.filter(({ service }) => service === rewrite.name))
  draft.addService({
    name: `${name}/unix`, entry: `${entry.replace(/^\S+/, name)} -o ${lenientParameter}=${lenientPrefix}`,
  })
}

const addOptions = (draft: Draft, { name: service }: Service, resolver: string, isComplete: boolean): void => {
  draft.addSetting({ service, parameter: nameOfService }, resolver)
  if (isComplete) draft.addSetting({ service, parameter: lenientParameter }, lenientPrefix)
}

/** The value of a parameter in which {@link lenientParameter} decides by which name our maps are asked. */
const leniently = (parameter: string, value: string): string => {
  if (!lenientParameters.includes(parameter)) return value
  const pieces = splitList(value)
  const texts = textsOf(pieces)
  return joinList(pieces.map(({ separator, text }, i) => ({
    separator,
    // The guard asks for a domain, and not for its parents as Postfix does behind unionmap:.
    text: mayHaveStrangers(texts, i) || (parameter === 'relay_domains' && text.startsWith('unionmap:')) ? text
      : text.replaceAll(new RegExp(`${socketInQueue}:(?!\\$)`, 'g'), `${socketInQueue}:\${${lenientParameter}}`),
  })))
}

/** A name that no service has yet. */
const newName = ({ services }: Postconf, wish: string): string => {
  let name = wish
  for (let n = 2; services.some(service => service.name === `${name}/unix`); n++) name = `${wish}${n}`
  return name
}
