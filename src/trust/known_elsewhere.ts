/**
 * Which absences may outlive an outage.
 *
 * On the way to accepting a recipient Postfix also asks tables that don't have
 * it: virtual_alias_maps for whoever is no alias, virtual_alias_domains for
 * each relay domain, transport_maps for whatever has no route of its own. When
 * one of these can't say absent, the recipient is deferred, however well it is
 * known elsewhere (trivial-rewrite/resolve.c, smtpd_check.c: an error in any
 * table ends the search).
 *
 * An absence that is past its time is no knowledge by itself. But where another
 * map knows the recipient, or the domain, that map has the last word on it: the
 * old absence then can't refuse anybody. The same goes for an address elsewhere
 * that a known alias leads to. So it may stand in, as an old found answer may;
 * a map that names recipients never does so for its own absences.
 */
import { isIP } from 'node:net'
import { readable } from '../outcome.js'
import type { ByteString } from '../outcome.js'
import { domainOf } from '../postfix/address.js'
import { fold } from '../postfix/fold.js'
import type { Search } from '../postfix/parameters.js'

/** Where the known aliases lead: cleanup(8) looks each address of an answer up as an alias again. */
export type Targets = {
  /** A found answer of virtual_alias_maps, or of a map that may be that. */
  note(value: ByteString): void
  /** Whether an answer noted lately holds this folded address, or one at this `@domain`. */
  has(key: string): boolean
}

/** At least so many addresses and domains are kept, and at most twice as many: those noted last. */
const keptTargets = 100_000

export const createTargets = (): Targets => {
  // The older set goes as a whole: an LRU's order would cost each found answer more than all else that memory does
  // with it.
  let recent = new Set<string>()
  let before = new Set<string>()
  let lastDomain = ''
  return {
    note: value => {
      if (!value.includes('@')) return
      for (const address of readable(value).split(/[,\s]+/)) {
        const key = fold(address)
        const at = key.lastIndexOf('@')
        if (at < 1) continue
        if (recent.size >= keptTargets) {
          before = recent
          recent = new Set()
          lastDomain = ''
        }
        recent.add(key)
        const domain = key.slice(at)
        // Mostly one address after the other leads to the same.
        if (domain !== lastDomain) recent.add(domain)
        lastDomain = domain
      }
    },
    has: key => recent.has(key) || before.has(key),
  }
}

/**
 * A map of this node, as far as the others need it. Sensitive ones are left out:
 * that an address may log in or send doesn't say that it takes mail.
 */
export type Neighbour = {
  readonly search: Search
  /** Whether it has a found answer for this folded key, fresh or stale; asks nobody. */
  readonly knows: (key: string) => boolean
  /** Brings into memory what Redis knows of this folded key, until `deadline` (elapsed ms), if there is a Redis. */
  readonly readRedis?: (key: string, deadline: number) => Promise<void>
  /** For a map of aliases, or of what may be aliases. */
  readonly targets?: Targets
  /** It names some of our domains (those in main.cf), and others may be in tables that Holdfast doesn't have. */
  readonly isPartial?: true
}

/** Brings into memory what the neighbours' Redis knows of a folded key and its domain, until then (elapsed ms). */
export const readElsewhere = async (
  key: string, deadline: number, neighbours: Iterable<Neighbour>,
): Promise<void> => {
  const at = key.lastIndexOf('@')
  const keys = [...new Set([key, key.slice(at + 1), key.slice(Math.max(at, 0))])].filter(each => each !== '')
  const readers = [...neighbours].flatMap(({ readRedis }) => readRedis ?? [])
  await Promise.all(readers.flatMap(read => keys.map(each => read(each, deadline))))
}

const hasDomains = (neighbours: Iterable<Neighbour>): boolean => {
  for (const { search, isPartial } of neighbours) {
    if (isPartial !== true && (search === 'domain' || search === 'exact')) return true
  }
  return false
}

/**
 * Whether a list of our domains is known to have the domain of a folded key. If not, it may still be ours
 * (`mayBeOurs` in lookup/recipient_guard.ts). A key without @ is a domain, but for an access table: to that it is a
 * client or what one calls itself, and a stranger.
 */
export const isKnownAsOurs = (search: Search, key: string, neighbours: Iterable<Neighbour>): boolean => {
  const domain = domainOf(key)
  if (isIP(domain) !== 0 || (search === 'access' && domain === key)) return false
  for (const { search, knows } of neighbours) {
    if ((search === 'domain' || search === 'exact') && knows(domain)) return true
  }
  return false
}

/**
 * Whether one of the `neighbours` has the last word on `key` (folded), so that its absence from a map of that search
 * refuses nobody.
 */
export const isKnownElsewhere = (search: Search, key: string, neighbours: Iterable<Neighbour>): boolean => {
  const known = (asked: string, ...searches: readonly Search[]): boolean => {
    for (const neighbour of neighbours) if (searches.includes(neighbour.search) && neighbour.knows(asked)) return true
    return false
  }
  const isTarget = (): boolean => {
    for (const { targets } of neighbours) if (targets?.has(key) === true) return true
    return false
  }
  const at = key.lastIndexOf('@')
  const domain = key.slice(at + 1)
  // Without a list of our domains nobody can say that a domain isn't one of them.
  const isForeign = (): boolean => hasDomains(neighbours) && !known(domain, 'domain', 'exact')
  switch (search) {
    case 'virtual': case 'canonical': case 'generic':
      // virtual_alias_maps is asked for bare domains too: it is the default of virtual_alias_domains.
      if (at === -1) return known(domain, 'domain', 'exact')
      // The catch-all that a domain doesn't have: a step on the way, asked by itself by nobody.
      if (at === 0) return known(domain, 'domain', 'exact') || (isTarget() && isForeign())
      // An alias that leads out of our domains: whether its target is accepted is for others to say.
      return known(key, 'recipient', 'exact') || (isTarget() && isForeign())
    case 'domain':
      return at === -1 && known(domain, 'domain', 'exact')
    case 'exact':
      if (at < 1) return known(domain, 'domain', 'exact') || (at === 0 && isTarget() && isForeign())
      // Aliases or recipients for which Postfix does the steps: another map of them has the key, or the catch-all of
      // its domain comes next.
      return known(key, 'recipient', 'exact') || known(key.slice(at), 'exact') || (isTarget() && isForeign())
    case 'transport':
      // trivial-rewrite(8) asks for * by itself; without its answer nothing is routed.
      if (at < 1) return key === '*' || known(domain, 'domain', 'exact')
      // It asks for whatever address a stranger makes up in our domains, before smtpd looks for the recipient.
      return known(key, 'recipient', 'virtual', 'exact')
    case 'recipient': case 'access':
      return false
    default: return search satisfies never
  }
}
