/**
 * What `holdfast check` finds in a Postfix. With an error, mail is deferred, refused or sent elsewhere; what a warning
 * is about may be intended.
 */
import { placeName } from '../postfix/postconf.js'
import type { ParameterPlace, Postconf } from '../postfix/postconf.js'

export type Finding = { readonly level: 'error' | 'warning', readonly place: string, readonly text: string }

/** A finding whose place is still to come. */
export type FindingText = Pick<Finding, 'level' | 'text'>

/** What Postfix answers when it can't look something up. */
export const deferred = '"Temporary lookup failure" (451)'

/** The file and the parameters in it: `/etc/postfix/main.cf: virtual_alias_maps`. */
export const fileAndName = ({ configDir }: Postconf, places: readonly ParameterPlace[]): string => {
  const files = new Set(places.map(({ service }) => service === null ? 'main.cf' : 'master.cf'))
  return `${configDir}/${[...files].sort().join(' and ')}: ${[...new Set(places.map(placeName))].join(', ')}`
}
