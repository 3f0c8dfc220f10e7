/** What `holdfast check` says of a Postfix. An error is mail that is deferred, refused or sent elsewhere; a warning may be meant so. */
import { placeName } from '../adopt/plan.js'
import type { Place } from '../adopt/plan.js'
import type { Postconf } from '../postfix/postconf.js'

export type Finding = { readonly level: 'error' | 'warning', readonly place: string, readonly text: string }

/** The file and the parameters in it: `/etc/postfix/main.cf: virtual_alias_maps`. */
export const fileAndName = ({ configDir }: Postconf, places: readonly Place[]): string => {
  const [first] = places
  const file = places.every(({ service }) => service === null) ? 'main.cf' : first?.service === null ? 'main.cf and master.cf' : 'master.cf'
  return `${configDir}/${file}: ${[...new Set(places.map(placeName))].join(', ')}`
}
