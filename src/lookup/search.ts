/**
 * The keys behind a key: what Postfix asks of a `mysql:` table, one after the
 * other, when it looks for an address or a domain. Of a `socketmap:` or `tcp:`
 * table it asks the first of them only, so the rest is ours to ask. Pure: it
 * names the keys and completes the value; asking is the caller's.
 *
 * Rules from Postfix 3.7's source, function by function: mail_addr_find_opt,
 * strip_addr, mail_addr_map_opt, match_hostname, check_domain_access,
 * check_addr_access, transport_lookup.
 *
 * Quoted localparts. Postfix keeps `a b@example.com` unquoted and asks tables
 * for `"a b"@example.com`; some of its programs ask for the unquoted form next,
 * which of a socketmap is a second question. The quoted question gets every
 * step that Postfix would do on a mysql: table, so that if the second one
 * comes, all it could find has been looked for in the right order. The second
 * gets the steps for the unquoted form alone. Neither can find what a mysql:
 * table would not.
 *
 * Several tables in one parameter. Postfix asks all of them for the first key,
 * then all of them for the second. A table with a search does all its steps
 * before its neighbour on the right is asked for even the first, and before the
 * one on the left is asked for the second. In
 * `virtual_alias_maps = socketmap:...:alias, socketmap:...:mailbox` the row
 * `@example.com` of `alias` takes the mail of `user@example.com`, which only
 * `mailbox` has; in `mysql:mailbox.cf, socketmap:...:alias` it takes that of
 * `user+tag@example.com`. So with neighbours, all the tables are `exact` and
 * Postfix does the steps (unionmap:{internal:none,socketmap:...} for
 * each), or one map has all the rows. Only where no row of one table can stand
 * for an address in another, as with tables of different domains, do searches
 * side by side give Postfix's answers.
 *
 * Bugs: double_bounce_sender, owner_request_special, allow_percent_hack,
 * swap_bangpath, append_at_myorigin and smtpd_null_access_lookup_key are taken to
 * have their default values, and a HELO name is taken for a client's. Where main.cf
 * has it otherwise, `adopt` leaves the steps to Postfix.
 *
 * Each step's answer is kept under the step's key. An answer found beyond the first
 * step is also kept *whole*, under a key of its own, so that the known answer of a
 * catch-all or a plus address survives an outage in which its steps are no longer
 * all known.
 */
import { isIP } from 'node:net'
import { byteString, found } from '../outcome.js'
import type { ByteString, Found } from '../outcome.js'
import type { Search, SearchSettings } from '../postfix/parameters.js'
import { canonicalLiteral, extensionStart, quoteAddress, quoteLocalpart, unquoteAddress } from '../postfix/address.js'
import { appendExtension } from '../postfix/address_list.js'
import { fold } from '../postfix/fold.js'

/** One key to ask the table for, and what {@link completeValue} does with the value found there. */
export type Step = {
  readonly key: string
  /** The extension that the key has lost and the value's addresses are to get, delimiter included; or ''. */
  readonly extension: string
  /** Put in front of a value that begins with @, if Postfix would put something else there; or ''. */
  readonly localpart: string
  /** The localpart as it was sent, without the extension that it has lost; or ''. */
  readonly sent: string
}

export type Plan = {
  /**
   * The steps for `key` (folded by the caller), in Postfix's order, without repetition. The first is always
   * `key` itself with its value taken as it stands, so a caller that finds that one needs no steps at all.
   * `asked` is the key before folding: extensions keep the sender's case.
   */
  steps(key: string, asked?: string): readonly Step[]
}

/** The value found at `step` as Postfix would have made it of a mysql: table's. May grow: check its size after. */
export const completeValue = (step: Step, value: ByteString): ByteString => {
  if (step.extension !== '') return appendExtension(value, step.extension, step.sent)
  if (step.localpart !== '' && value.startsWith('@')) {
    return quoteAddress(byteString(step.localpart) + value) as ByteString
  }
  return value
}

/** The steps of `search` under `settings`, for a map with this smtputf8_enable; compiled once per map. */
export const compileSearch = (search: Search, settings: SearchSettings, smtputf8 = true): Plan => {
  const { localDomains, localDomainBytes = localDomains } = settings
  const addresses = (strategy: Omit<Strategy, 'delimiters' | 'localDomains'>): Plan => {
    const compiled: Strategy = {
      ...strategy, delimiters: settings.recipientDelimiter, localDomains: smtputf8 ? localDomains : localDomainBytes,
    }
    return { steps: (key, asked = key) => addressSteps(compiled, key, asked) }
  }
  const parents = (parameter: string): Parents =>
    settings.parentDomainMatchesSubdomains.has(parameter) ? 'plain' : 'dotted'
  switch (search) {
    case 'virtual':
    case 'canonical':
    case 'generic': {
      const extension = settings.propagateUnmatchedExtensions.has(search) ? 'propagate' : 'drop'
      return addresses({ alsoUnquoted: false, extension, rest: 'at-domain' })
    }
    case 'recipient':
      return addresses({ alsoUnquoted: true, extension: 'ignore', rest: 'at-domain' })
    case 'transport': {
      const style = parents('transport_maps')
      return addresses({ alsoUnquoted: true, extension: 'ignore', rest: { parents: style, localpartAt: false } })
    }
    case 'access': {
      const style = parents('smtpd_access_maps')
      const ofAddress =
        addresses({ alsoUnquoted: true, extension: 'ignore', rest: { parents: style, localpartAt: true } })
      return {
        steps: (key, asked) => key.includes('@') ? ofAddress.steps(key, asked)
          : distinct(isIP(key) === 0 ? domainAndParents(key, style) : networks(key)),
      }
    }
    case 'domain': {
      const style = parents('relay_domains')
      return { steps: key => isIP(key) === 0 ? distinct(domainAndParents(key, style)) : [keyOnly(key)] }
    }
    case 'exact':
      return { steps: key => [keyOnly(key)] }
    default: {
      const impossible: never = search
      throw new Error(`no such search: ${String(impossible)}`)
    }
  }
}

type Parents = 'plain' | 'dotted'

type Strategy = {
  readonly delimiters: string
  readonly localDomains: ReadonlySet<string>
  /** A quoted localpart is asked for without quotes too, at each step. */
  readonly alsoUnquoted: boolean
  /**
   * What becomes of an extension dropped from the key: to the value, or not though Postfix rewrites it, or no matter.
   */
  readonly extension: 'propagate' | 'drop' | 'ignore'
  /** After the address: the bare localpart of local domains and @domain; or the domain, its parents and `user@`. */
  readonly rest: 'at-domain' | { readonly parents: Parents, readonly localpartAt: boolean }
}

type Completion = Omit<Step, 'key'>

const asItStands: Completion = { extension: '', localpart: '', sent: '' }

const keyOnly = (key: string): Step => ({ key, ...asItStands })

// No caller in Postfix asks for an empty partial key, and none gains by asking twice.
const distinct = (keys: readonly string[]): readonly Step[] =>
  [...new Set(keys)].filter((key, i) => i === 0 || key !== '').map(keyOnly)

const addressSteps = (strategy: Strategy, key: string, asked: string): readonly Step[] => {
  const address = split(key, strategy.delimiters)
  if (address === null) return [keyOnly(key)]
  const { localpart, domain, stripped } = address

  // A handful: looking through them is faster than a Map.
  const steps = [keyOnly(key)]
  const add = (step: Step): void => {
    if (step.key !== '' && !steps.some(earlier => earlier.key === step.key)) steps.push(step)
  }
  const forms = (unquoted: string, quote: (text: string) => string, completion: Completion): void => {
    if (address.quoted) add({ key: quote(unquoted), ...completion })
    if (!address.quoted || strategy.alsoUnquoted) add({ key: unquoted, ...completion })
  }
  const cut = strategy.extension === 'ignore' || stripped === null ? asItStands
    : afterCut(strategy.extension, split(asked, strategy.delimiters) ?? address)

  forms(`${localpart}@${domain}`, quoteAddress, asItStands)
  if (stripped !== null) forms(`${stripped}@${domain}`, quoteAddress, cut)

  if (strategy.rest === 'at-domain') {
    if (strategy.localDomains.size > 0 && strategy.localDomains.has(localName(domain))) {
      forms(localpart, quoteLocalpart, asItStands)
      if (stripped !== null) forms(stripped, quoteLocalpart, cut)
    }
    add(keyOnly(`@${domain}`))
    return steps
  }

  for (const name of domainAndParents(domain, strategy.rest.parents)) add(keyOnly(name))
  if (strategy.rest.localpartAt) {
    forms(`${localpart}@`, quoteAddress, asItStands)
    if (stripped !== null) forms(`${stripped}@`, quoteAddress, asItStands)
  }
  return steps
}

/** A domain without the dot at its end, and an IPv6 address in the one spelling that the set of local domains has. */
const localName = (domain: string): string =>
  domain.startsWith('[ipv6:') ? canonicalLiteral(domain) : domain.replace(/(?<=[^.])\.$/, '')

const afterCut = (extension: 'propagate' | 'drop', { localpart, stripped }: Address): Completion => {
  if (stripped === null) return asItStands
  return extension === 'propagate'
    ? { extension: localpart.slice(stripped.length), localpart: '', sent: stripped }
    : { extension: '', localpart: stripped, sent: stripped }
}

type Address = {
  readonly localpart: string
  readonly domain: string
  /** The localpart without its extension; null if it has none. */
  readonly stripped: string | null
  /** The key is the form that Postfix asks for first: quoted, where there is something to quote. */
  readonly quoted: boolean
}

// Parts are unquoted. A key that quoting its unquoted form doesn't give back isn't a quoted
// address: it is the unquoted form of one that has something to quote in it.
const split = (key: string, delimiters: string): Address | null => {
  const unquoted = unquoteAddress(key)
  const quoted = quoteAddress(unquoted) === key
  const text = quoted ? unquoted : key
  const at = text.lastIndexOf('@')
  if (at < 0) return null
  const localpart = text.slice(0, at)
  const cut = extensionStart(localpart, delimiters)
  return { localpart, domain: text.slice(at + 1), stripped: cut < 0 ? null : localpart.slice(0, cut), quoted }
}

/** `a.b.c` and then `b.c`, `c` (plain) or `.b.c`, `.c` (dotted). A first character is never taken for a separator. */
const domainAndParents = (domain: string, style: Parents): readonly string[] => {
  const names: string[] = []
  for (let name = domain; name !== '';) {
    names.push(name)
    const dot = name.indexOf('.', 1)
    if (dot < 0) break
    name = name.slice(style === 'plain' ? dot + 1 : dot)
  }
  return names.length === 0 ? [domain] : names
}

/** `192.0.2.1`, `192.0.2`, `192.0`, `192`; IPv6 the same at its colons, also the empty groups of `::`. */
const networks = (address: string): readonly string[] => {
  const delimiter = address.includes(':') ? ':' : '.'
  const prefixes = [address]
  for (let end = address.lastIndexOf(delimiter); end >= 0; end = address.lastIndexOf(delimiter, end - 1)) {
    prefixes.push(address.slice(0, end))
    if (end === 0) break
  }
  return prefixes
}

/** The walk of a key through the steps of a plan. Most end at the first one: the others are made when needed. */
export class Walk {
  /** The key as Postfix sent it. */
  readonly asked: string
  /** The folded key, which is the key of the first step. */
  readonly key: string
  readonly #plan: Plan
  #steps: readonly Step[] | null = null

  constructor(plan: Plan, asked: string, key = fold(asked)) {
    this.asked = asked
    this.key = key
    this.#plan = plan
  }

  get steps(): readonly Step[] {
    this.#steps ??= this.#plan.steps(this.key, this.asked)
    return this.#steps
  }

  /** The answer of the step of that number as Postfix would have completed it. */
  complete(index: number, outcome: Found): Found {
    const step = index === 0 ? undefined : this.steps[index]
    return step === undefined ? outcome : complete(outcome, step)
  }
}

/**
 * The cache key of a whole answer: the folded key, and whatever of the key as it was asked goes into the answer
 * (an extension keeps the sender's case). No key from Postfix holds a NUL, since its keys are C strings.
 */
export const wholeKey = (walk: Walk): string => {
  const { asked, key } = walk
  if (asked !== key) {
    for (const { extension, localpart } of walk.steps) {
      const part = extension + localpart
      if (part !== '' && part !== fold(part)) return `${foldedWholeKey(key)}\0${part}`
    }
  }
  return foldedWholeKey(key)
}

/** The cache key of the whole answer in which nothing has the sender's case. */
export const foldedWholeKey = (key: string): string => `\0${key}`

/** The folded key of a whole answer's cache key; null for the cache key of a step. */
export const keyOfWhole = (cacheKey: string): string | null =>
  isRowKey(cacheKey) ? null : cacheKey.split('\0', 2)[1] ?? ''

/** Whether a cache key is a step's, and so the key of a row. */
export const isRowKey = (cacheKey: string): boolean => cacheKey.charCodeAt(0) !== 0

/**
 * Whether the answer of this cache key depends on the case in which somebody sent an extension: nobody else can ask for
 * it.
 */
export const hasSendersCase = (cacheKey: string): boolean => cacheKey.includes('\0', 1)

/** Whether a step's answer has the localpart as it was sent in it, so that it is nobody else's. */
export const hasSentLocalpart = ({ value }: Found, { extension, sent }: Step): boolean =>
  extension !== '' && value.startsWith('@') && sent !== fold(sent)

/** A step's answer as Postfix would have completed it: the extension that the key lost goes back onto each address. */
export const complete = (outcome: Found, step: Step): Found =>
  step.extension === '' && step.localpart === '' ? outcome : found(completeValue(step, outcome.value), outcome.age)

/** The keys by which the caches may answer a walk: those of its steps, and of the whole answer in either spelling. */
export const cacheKeysOf = (walk: Walk): readonly string[] =>
  [...walk.steps.map(step => step.key), wholeKey(walk), foldedWholeKey(walk.key)]
