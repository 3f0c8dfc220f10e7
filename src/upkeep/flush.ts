/** A flush, asked for by an administrator or by a changed row: on this node, and on all nodes that share its Redis. */
import type { FlushChannel } from '../caches/flush_channel.js'
import type { MysqlMap } from '../lookup/maps.js'
import { fold } from '../postfix/fold.js'

/** Tells the other nodes of a flush: null if all of them know, else why some may not. */
export type Announce = FlushChannel['announce']

/**
 * Makes keys of a map stale on every node: all (null), those of `@domain`, or one. '' or why some node may not know.
 */
export const flushEverywhere = async (map: MysqlMap, what: string | null, announce: Announce): Promise<string> => {
  map.lookup.flush(what, Date.now())
  // Keys of a sensitive map stay out of Redis.
  const problem = await announce({ map: map.name, what: map.config.sensitive || what === null ? null : fold(what) })
  return problem === null ? '' : `; other nodes could not be told: ${problem}`
}

/** The same, and one key is looked up in its table at once; gives one line that says what was done. */
export const flush = async (map: MysqlMap, what: string | null, announce: Announce): Promise<string> => {
  const { name } = map
  const untold = await flushEverywhere(map, what, announce)
  if (what === null || what.startsWith('@')) {
    return `${name}: every key${what === null ? '' : ` of ${what}`} is asked anew when it is next asked for; until then what is known bridges an outage${untold}`
  }
  const outcome = await map.lookup.renew(what)
  return `${name}: asked anew: ${outcome.kind === 'unavailable' ? `${outcome.reason}: ${outcome.detail}` : outcome.kind}${untold}`
}
