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
    : `%${/^[\x21-\x7e]$/.test(letter) ? letter : ' '} is no expansion; there are %s %u %d %S %U %D %1 to %9, `
      + 'and %% for a percent sign'

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
export type AddressParts = { readonly all: string, readonly user: string, readonly domain: string | null }

export const addressOf = (all: string): AddressParts => {
  const at = all.lastIndexOf('@')
  return at === -1 ? { all, user: all, domain: null } : { all, user: all.slice(0, at), domain: all.slice(at + 1) }
}

/** The labels of a domain, left to right; empty ones don't count. */
export const labelsOf = (domain: string): readonly string[] => domain.split('.').filter(label => label !== '')

/** Whether the address has what is needed of it. A bare word has a user but no domain. */
export const satisfies = (address: AddressParts, needsUser: boolean, needsDomain: boolean): boolean =>
  !(needsDomain && (address.domain === null || address.domain === '')) && !(needsUser && address.user === '')

/** The text of one part. Only for an address that satisfies the template's needs. */
export const partOf = (address: AddressParts, part: Part): string => {
  switch (part) {
    case 'all': return address.all
    case 'user': return address.user
    case 'domain': return address.domain ?? ''
    default: return labelsOf(address.domain ?? '').at(-part) ?? ''
  }
}

/** Pieces put together: plain text, a part of the key, or what SUBSTRING_INDEX cuts from another text. */
export type KeyText = readonly KeyPiece[]
export type KeyPiece =
  | string
  | Expansion
  | { readonly cut: KeyText, readonly delimiter: string, readonly count: number }

/** Whether the text is LIKE the pattern, or is not. */
export type KeyTest = { readonly text: KeyText, readonly pattern: string, readonly isNegated: boolean }

/** SUBSTRING_INDEX of MySQL: what stands before the delimiter's nth occurrence, or after it, counted from the end. */
const substringIndex = (text: string, delimiter: string, count: number): string => {
  const parts = text.split(delimiter)
  return (count > 0 ? parts.slice(0, count) : parts.slice(count)).join(delimiter)
}

/** The text for a folded key, taken apart. */
export const evaluate = (text: KeyText, address: AddressParts): string => {
  let value = ''
  for (const piece of text) {
    if (typeof piece === 'string') value += piece
    else if ('part' in piece) value += partOf(address, piece.part)
    else value += substringIndex(evaluate(piece.cut, address), piece.delimiter, piece.count)
  }
  return value
}

/** Whether the key passes. Case makes no difference. */
export const passes = ({ text, pattern, isNegated }: KeyTest, address: AddressParts): boolean => {
  const regex = pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('%', '[^]*').replaceAll('_', '[^]')
  return new RegExp(`^${regex}$`, 'i').test(evaluate(text, address)) !== isNegated
}

/** Whether a part of the key stands in it. */
export const hasPart = (text: KeyText): boolean => text.some(piece => typeof piece !== 'string')

/** The part of the key that the text is, and nothing else; null if it is more. */
export const onlyPart = (text: KeyText): Part | null => {
  const [piece] = text
  return text.length === 1 && typeof piece === 'object' && 'part' in piece ? piece.part : null
}

/** Reads the parts of a key out of what a text was for it. */
const readParts = (text: KeyText, value: string, parts: Map<Part, string>): void => {
  const only = onlyPart(text)
  if (only !== null) return void parts.set(only, value)
  const seen: Part[] = []
  let regex = ''
  for (const piece of text) {
    if (typeof piece === 'string') regex += piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    else if ('part' in piece) {
      seen.push(piece.part)
      regex += piece.part === 'all' || piece.part === 'user' ? '(.*)' : piece.part === 'domain' ? '([^@]*)' : '([^.@]*)'
    } else {
      if (text.length === 1) readParts(piece.cut, value, parts)
      regex += '.*'
    }
  }
  const [, ...found] = new RegExp(`^${regex}$`).exec(value) ?? []
  for (const [index, part] of seen.entries()) parts.set(part, found[index] ?? '')
}

/** A key for which the texts are these values, with parts made up where they don't say; null if none is found. */
export const keyWith = (texts: readonly KeyText[], values: readonly string[]): string | null => {
  const parts = new Map<Part, string>()
  for (const [index, text] of texts.entries()) readParts(text, values[index] ?? '', parts)
  const numbers = [...parts.keys()].filter(part => typeof part === 'number').sort((a, b) => b - a)
  const labels = numbers.map(label => parts.get(label) ?? '')
  const domain = parts.get('domain') ?? (labels.length > 0 ? labels.join('.') : 'holdfast.invalid')
  for (const key of [parts.get('all'), `${parts.get('user') ?? 'holdfast-check'}@${domain}`]) {
    if (key === undefined) continue
    const address = addressOf(key)
    const hasLabels = labels.length <= labelsOf(address.domain ?? '').length
    if (hasLabels && texts.every((text, index) => evaluate(text, address) === values[index])) return key
  }
  return null
}
