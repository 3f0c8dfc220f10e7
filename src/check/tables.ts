/** Whether the maps that Postfix asks for are there, do the steps that it expects, and may be asked by it at all. Pure. */
import { virtualAgent } from '../adopt/circumstances.js'
import type { Postconf } from '../postfix/postconf.js'
import type { Config, MapConfig } from '../config/config.js'
import type { Search } from '../postfix/parameters.js'
import { nearest } from '../config/spelling.js'
import { fileAndName } from './finding.js'
import type { Finding, FindingText } from './finding.js'
import type { Use } from './uses.js'

const wholeKeyOnly = 'Postfix asks a socketmap: or tcp: table for the whole key alone'

/** What comes of steps that nobody does. */
const consequence: Readonly<Record<Search, string>> = {
  virtual: 'recipients known by a catch-all, or with an extension, are answered "User unknown" (550)',
  recipient: 'recipients known by a catch-all, or with an extension, are answered "User unknown" (550)',
  canonical: 'addresses of a whole domain, or with an extension, are not rewritten',
  generic: 'addresses of a whole domain, or with an extension, leave as they are',
  transport: 'mail goes another way than the table says for its domain',
  domain: 'parents are not tried, or tried too often: "Relay access denied" (554), or mail taken for domains that are nobody\'s',
  access: 'entries for domains, networks or user@ have no effect',
  exact: 'what is in no list counts as listed if a parent domain is',
}

const searchProblem = ({ asked, purpose, table }: Use, { name, search }: MapConfig): FindingText | null => {
  if (asked === 'other' || purpose === null || purpose.kind === 'refused') return null
  const addresses: readonly Search[] = ['virtual', 'canonical', 'generic', 'recipient']
  const wanted = purpose.kind === 'search' ? purpose.search : null
  // Of a bare domain these ask no more than `exact` does.
  if (search === 'exact' ? asked === 'steps' || wanted === 'exact' : wanted === 'exact' && addresses.includes(search)) return null
  if (asked === 'steps') {
    return {
      level: 'warning',
      text: `${table}: behind unionmap: Postfix does the steps itself, and map ${name} with search: ${search} does them once more for each: `
        + 'a catch-all may take the mail of those who stand in another table. Set search: exact',
    }
  }
  if (wanted === null) {
    return { level: 'warning', text: `${table}: ${wholeKeyOnly}, and no search does the steps of this parameter. Write unionmap:{inline:{__none__=x},${table}} and search: exact` }
  }
  if (search === wanted) return null
  if (addresses.includes(search) && addresses.includes(wanted)) {
    const isExtension = search === 'recipient' || wanted === 'recipient'
    return {
      level: 'warning',
      text: `${table}: map ${name} has search: ${search}, which ${isExtension ? `${search === 'recipient' ? 'doesn\'t put' : 'puts'} the extension of a plus address back on results` : `has the defaults of a ${search} map`}. Set search: ${wanted}`,
    }
  }
  return { level: 'error', text: `${table}: ${wholeKeyOnly}, and map ${name} with search: ${search} does other steps than it would: ${consequence[wanted]}. Set search: ${wanted}` }
}

const refusal = (postfix: Postconf, { parameter, service, purpose, table }: Use): FindingText | null => {
  if (purpose?.kind === 'refused' && purpose.by !== null) {
    const reply = purpose.by === 'local' ? '"alias database unavailable" (4.3.0)' : '"mail system configuration error" (4.3.5)'
    return { level: 'error', text: `${table}: ${purpose.why}: mail that ${purpose.by}(8) delivers is deferred, ${reply}. Use the mysql: table itself here` }
  }
  const isVirtuals = postfix.services.some(({ name, command }) => name === service && command === 'virtual')
  if (parameter !== 'virtual_mailbox_maps' || (service !== null && !isVirtuals)) return null
  const why = isVirtuals ? 'virtual(8) takes no socketmap. Use the mysql: table itself here' : virtualAgent(postfix)
  return why === null ? null : { level: 'error', text: `${table}: mail that virtual(8) delivers is deferred, "mail system configuration error" (4.3.5): ${why}` }
}

const orderProblem = ({ hasNeighbours, asked, purpose, table }: Use, { search }: MapConfig): FindingText | null => {
  // Where only found or not counts, the order doesn't.
  if (!hasNeighbours || asked !== 'whole' || search === 'exact' || purpose?.kind !== 'search' || purpose.search === 'recipient') return null
  return {
    level: 'warning',
    text: `${table}: other tables stand beside it, and its steps are all done before Postfix asks them for theirs: a catch-all here takes what an address there should have. `
      + `Put them into one map (\`cf: [a.cf, b.cf]\`), or write unionmap:{inline:{__none__=x},${table}} and search: exact`,
  }
}

/** Findings about uses that are for this configuration, each with the map of its listener if it is a tcp: table. */
export const tableFindings = (postfix: Postconf, { maps }: Config, uses: readonly { readonly use: Use, readonly tcpMap: string | null }[]): readonly Finding[] => {
  const findings = uses.flatMap(({ use, tcpMap }): Finding[] => {
    const place = fileAndName(postfix, [use])
    const named = use.map ?? tcpMap
    const map = maps.find(({ name }) => name === named)
    if (map === undefined) {
      const names = maps.map(({ name }) => name)
      const near = nearest(named ?? '', names)
      return [{
        level: 'error', place,
        text: `${use.table}: there is no map '${named ?? ''}': each lookup is "Temporary lookup failure" (451); ${near === null ? `known maps: ${names.join(', ')}` : `did you mean '${near}'?`}`,
      }]
    }
    return [refusal(postfix, use) ?? searchProblem(use, map), orderProblem(use, map)]
      .flatMap(said => said === null ? [] : [{ ...said, place }])
  })
  return findings.filter(({ place, text }, i) => findings.findIndex(other => other.place === place && other.text === text) === i)
}
