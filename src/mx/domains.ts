/** The domains that mail is taken for: those that maps list, and those that main.cf lists by name. */
import { isIP } from 'node:net'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import type { Copy } from '../caches/copy.js'
import type { Config, MapConfig } from '../config/config.js'
import type { Problem } from '../log.js'
import type { Maps } from '../lookup/maps.js'
import type { Sources, Table } from '../tables/open.js'
import type { Copies } from '../upkeep/copies.js'

export type MxDomains = {
  readonly domains: readonly string[]
  /** The maps of which they could not be had, and why. */
  readonly problems: readonly Problem[]
}

/** relay_domains, virtual_alias_domains, virtual_mailbox_domains and their like. */
const hasDomains = ({ search, absence, sensitive }: MapConfig): boolean =>
  (search === 'domain' || search === 'exact') && absence.does === 'refuses' && !sensitive

/** Not a host without a domain, an address, a parent's `.example.com`, or an IP address. */
const isDomain = (key: string): boolean =>
  /^[^.].*\.[^.]+$/.test(key) && !/[@\s/:[\]*]/.test(key) && isIP(key) === 0

/** The event loop gets its turn after so many keys. */
const sliceKeys = 500

/** `copyOf` gives the copy of one table of a map, or says why there is none. */
export const listDomains = async (
  { maps, staticDomains, search: { localDomains } }: Config, sources: Sources,
  copyOf: (map: string, table: Table, index: number) => Copy | string | Promise<Copy | string>,
): Promise<MxDomains> => {
  const domains = new Set([...staticDomains].filter(domain => isDomain(domain) && !localDomains.has(domain)))
  const problems: Problem[] = []
  const add = async (keys: Iterable<string>, isThere: (key: string) => boolean): Promise<void> => {
    let seen = 0
    for (const key of keys) {
      if (isDomain(key) && isThere(key)) domains.add(key)
      if (++seen % sliceKeys === 0) await eventLoopTurn()
    }
  }
  for (const { name } of maps.filter(hasDomains)) {
    if (!sources.has(name)) continue
    const opened = sources.of(name)
    if (opened.kind === 'text') await add(opened.keys, () => true)
    else {
      for (const [index, table] of opened.tables.entries()) {
        const copy = await copyOf(name, table, index)
        if (typeof copy === 'string') problems.push({ place: `map ${name}`, text: copy })
        else await add(copy.listKeys(), key => copy.answer(key).kind !== 'absent')
      }
    }
  }
  return { domains: [...domains].sort(), problems }
}

/** What the running daemon has. */
export type Served = {
  readonly config: Config
  readonly sources: Sources
  readonly maps: Maps
  readonly copies: Pick<Copies, 'of'>
}

/** The same from the copies of the running daemon, which answer in an outage of MySQL, too. */
export const copiedDomains = ({ config, sources, maps, copies }: Served): Promise<MxDomains> =>
  listDomains(config, sources, (name, _table, index) => {
    const map = maps.get(name)
    const copy = map?.kind === 'mysql' ? map.copies.of(index) : null
    const problem = copies.of(name)[index]?.problem ?? ''
    return copy ?? (problem === '' ? 'there is no copy of its table yet' : problem)
  })
