/** A flush as an administrator or a changed row wants it: on this node, and on all that share its Redis. */
import type { Generation, MysqlMap } from '../daemon/generation.js'
import { fold } from '../postfix/fold.js'

/** Has keys of a map asked anew, everywhere: all (null), those of `@domain`, or one. Why not everywhere, or ''. */
export const flushEverywhere = async (generation: Generation, map: MysqlMap, what: string | null): Promise<string> => {
  map.lookup.flush(what, Date.now())
  // Keys of a sensitive map stay out of Redis.
  const problem = await generation.announce({ map: map.name, what: map.config.sensitive || what === null ? null : fold(what) })
  return problem === null ? '' : `; other nodes could not be told: ${problem}`
}

/** What was done, in a line; null for a text table. */
export const flush = async (generation: Generation, name: string, what: string | null): Promise<string | null> => {
  const map = generation.maps.get(name)
  if (map?.kind !== 'mysql') return null
  const untold = await flushEverywhere(generation, map, what)
  if (what === null || what.startsWith('@')) {
    return `${name}: every key${what === null ? '' : ` of ${what}`} is asked anew when it is next asked for; until then what is known bridges an outage${untold}`
  }
  const outcome = await map.lookup.renew(what)
  return `${name}: asked anew: ${outcome.kind === 'unavailable' ? `${outcome.reason}: ${outcome.detail}` : outcome.kind}${untold}`
}
