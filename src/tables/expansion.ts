/**
 * The % expansions of mysql_table(5), shared by `query` and `result_format`:
 * which there are, what a key or a value must have for them, and their text.
 * As Postfix 3.7's db_common module has it, which is what the manual means.
 *
 * The needs of both templates count together: `%D` in result_format is enough
 * for a key without a domain never to be asked.
 */

/** 'all', the part before the last @, the part after it, or the domain's label counted from the right (1 to 9). */
export type Part = 'all' | 'user' | 'domain' | number

export type Expansion = { readonly of: 'key' | 'value', readonly part: Part }

/** A piece of a template: text, or an expansion. */
export type Piece = string | Expansion

/** What an address must have; otherwise it is not asked (key) or skipped (value). */
export type Needs = {
  readonly keyUser: boolean
  readonly keyDomain: boolean
  readonly valueUser: boolean
  readonly valueDomain: boolean
  /** The key's domain has at least so many labels. */
  readonly labels: number
}

export type Template = 'query' | 'result_format'

/**
 * The expansion that `letter` after a % means; null if none has it. `%%` is no
 * expansion, but a percent sign. In a query, capital and small letters are one.
 */
export const expansionOf = (letter: string, template: Template): Expansion | null => {
  const small = template === 'query' ? 'key' : 'value'
  switch (letter) {
    case 's': return { of: small, part: 'all' }
    case 'u': return { of: small, part: 'user' }
    case 'd': return { of: small, part: 'domain' }
    case 'S': return { of: 'key', part: 'all' }
    case 'U': return { of: 'key', part: 'user' }
    case 'D': return { of: 'key', part: 'domain' }
    default: return /^[1-9]$/.test(letter) ? { of: 'key', part: Number(letter) } : null
  }
}

/** What is wrong with a % that no known letter follows. */
export const noExpansion = (letter: string): string =>
  letter === ''
    ? 'a single % at the end; write %% for a percent sign'
    : `%${/^[\x21-\x7e]$/.test(letter) ? letter : ' '} is no expansion; there are %s %u %d %S %U %D %1 to %9, and %% for a percent sign`

/** The needs of the pieces of both templates together. */
export const needsOf = (expansions: Iterable<Expansion>): Needs => {
  const needs = { keyUser: false, keyDomain: false, valueUser: false, valueDomain: false, labels: 0 }
  for (const { of, part } of expansions) {
    if (typeof part === 'number') needs.labels = Math.max(needs.labels, part)
    if (part === 'user') needs[of === 'key' ? 'keyUser' : 'valueUser'] = true
    if (part === 'domain' || typeof part === 'number') needs[of === 'key' ? 'keyDomain' : 'valueDomain'] = true
  }
  return needs
}

/** A key or a value taken apart, at the last @. Without one, all of it is the user and there is no domain. */
export type Address = { readonly all: string, readonly user: string, readonly domain: string | null }

export const addressOf = (all: string): Address => {
  const at = all.lastIndexOf('@')
  return at === -1 ? { all, user: all, domain: null } : { all, user: all.slice(0, at), domain: all.slice(at + 1) }
}

/** The labels of a domain, left to right; empty ones don't count. */
export const labelsOf = (domain: string): readonly string[] => domain.split('.').filter(label => label !== '')

/** Whether the address has what is needed of it. A bare word has a user but no domain. */
export const satisfies = (address: Address, needsUser: boolean, needsDomain: boolean): boolean =>
  !(needsDomain && (address.domain === null || address.domain === '')) && !(needsUser && address.user === '')

/** The text of one part. Only for an address that satisfies the template's needs. */
export const partOf = (address: Address, part: Part): string => {
  switch (part) {
    case 'all': return address.all
    case 'user': return address.user
    case 'domain': return address.domain ?? ''
    default: return labelsOf(address.domain ?? '').at(-part) ?? ''
  }
}
