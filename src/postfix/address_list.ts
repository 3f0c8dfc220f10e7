/**
 * Lists of addresses as Postfix reads them out of a table's value, to put an
 * extension back onto each. Rules from its source: tok822_parse, rewrite_tree and
 * mail_addr_crunch, with allow_percent_hack and swap_bangpath on, as by default.
 * Works on ByteStrings: beyond ASCII nothing is special.
 */
import { byteString } from '../outcome.js'
import type { ByteString } from '../outcome.js'
import { quoteAddress, quoteLocalpart } from './address.js'

/** A word, with its quotes and backslashes off, or an operator, which is its own kind. */
type AddressToken = { readonly kind: string, readonly text: string }

const operators = '|%!()<>@,;:\\".[]'
const isBlank = (char: string): boolean => char !== '' && ' \t\r\n'.includes(char)
const isWord = ({ kind }: AddressToken): boolean => kind === 'atom' || kind === 'string' || kind === 'literal'

/** The tokens of a text; comments are left out, for they are no part of an address. */
const tokensOf = (text: string): readonly AddressToken[] => {
  const tokens: AddressToken[] = []
  let at = 0
  /** Takes characters up to one that ends the word; a backslash takes the next one as it is. */
  const collect = (ends: (char: string) => boolean): string => {
    let word = ''
    for (; at < text.length; at++) {
      if (text.charAt(at) === '\\') at++
      else if (ends(text.charAt(at))) break
      const char = text.charAt(at)
      word += isBlank(char) ? ' ' : char
    }
    return word
  }
  const skipComment = (): void => {
    for (let depth = 1; at < text.length && depth > 0; at++) {
      const char = text.charAt(at)
      if (char === '(') depth++
      else if (char === ')') depth--
      else if (char === '\\') at++
    }
  }
  const bracketed = (kind: 'literal' | 'string', end: string): void => {
    tokens.push({ kind, text: collect(char => char === end) })
    at++
  }
  while (at < text.length) {
    const char = text.charAt(at)
    const isOperator = char !== '\\' && operators.includes(char)
    if (isBlank(char) || isOperator) at++
    if (isBlank(char)) continue
    if (char === '(') skipComment()
    else if (char === '[') bracketed('literal', ']')
    else if (char === '"') bracketed('string', '"')
    else if (isOperator) tokens.push({ kind: char, text: char })
    else tokens.push({ kind: 'atom', text: collect(each => isBlank(each) || operators.includes(each)) })
  }
  return tokens
}

/** The addresses of a list, as tokens: names before <>, names of groups and commas are no part of them. */
const addressesOf = (tokens: readonly AddressToken[]): readonly (readonly AddressToken[])[] => {
  const addresses: (readonly AddressToken[])[] = []
  let end = tokens.length
  const take = (before: number): void => {
    if (before + 1 < end) addresses.unshift(tokens.slice(before + 1, end))
  }
  /** The last token before `from` that is one of these; -1 if there is none. */
  const lastOf = (from: number, kinds: string): number => {
    for (let at = from; at >= 0; at--) if (kinds.includes(tokens[at]?.kind ?? '')) return at
    return -1
  }
  let mayBeWord = true
  let isInGroup = false
  // From right to left, as Postfix does: two words side by side belong to two addresses.
  for (let at = tokens.length - 1; at >= 0;) {
    const token = tokens[at]
    if (token === undefined) break
    if (token.kind === ':' && isInGroup) {
      take(at)
      end = at = lastOf(at, ',')
      continue
    }
    if (token.kind === '>') {
      take(at)
      end = at
      const start = lastOf(at, '<')
      take(start)
      end = at = lastOf(start, '>;,:')
      mayBeWord = true
      continue
    }
    if (isWord(token)) {
      if (!mayBeWord) {
        take(at)
        end = at + 1
      }
      mayBeWord = false
    } else {
      if (token.kind === ',' || token.kind === ';') {
        take(at)
        end = at
      }
      if (token.kind === ';') isInGroup = true
      mayBeWord = true
    }
    at--
  }
  take(-1)
  return addresses
}

/** Without quotes, as Postfix keeps an address. */
const plain = (tokens: readonly AddressToken[]): string =>
  tokens.map(({ kind, text }) => kind === 'literal' ? `[${text}]` : text).join('')

/** As it stands in a list. */
const written = (tokens: readonly AddressToken[]): string => tokens.map(({ kind, text }) => {
  if (kind === 'literal') return `[${text.replace(/[\\\r\n]/g, '\\$&')}]`
  return kind === 'string' || /[\x00-\x20\x7f|%!()<>@,;:\\".[\]]/.test(kind === 'atom' ? text : '')
    ? `"${text.replace(/["\\\r\n]/g, '\\$&')}"` : text
}).join('')

const withExtension = (address: readonly AddressToken[], extension: string): string => {
  const colon = address[0]?.kind === '@' ? address.findIndex(({ kind }) => kind === ':') : -1
  const tokens = colon > 0 && colon < address.length - 1 ? address.slice(colon + 1) : address
  const at = tokens.findLastIndex(({ kind }) => kind === '@')
  if (at >= 0) return `${quoteLocalpart(plain(tokens.slice(0, at)) + extension)}@${written(tokens.slice(at + 1))}`
  const bang = tokens.findIndex(({ kind }) => kind === '!')
  if (bang >= 0) {
    return `${quoteLocalpart(plain(tokens.slice(bang + 1)) + extension)}@${written(tokens.slice(0, bang))}`
  }
  const percent = tokens.findLastIndex(({ kind }) => kind === '%')
  if (percent >= 0) {
    return `${quoteLocalpart(plain(tokens.slice(0, percent)) + extension)}@${written(tokens.slice(percent + 1))}`
  }
  // Without a domain, an operator in the extension would be one of the address.
  const localpart = plain(tokens) + extension
  const safe = quoteLocalpart(localpart)
  return /[!%|]/.test(localpart) && !safe.startsWith('"') ? `"${safe}"` : safe
}

/**
 * `value`, the result of a lookup of `localpart` without its extension, with that extension (its
 * delimiter included) added to the localpart of each address in it, as Postfix does it. A value without any address
 * comes back unchanged.
 */
export const appendExtension = (value: ByteString, extension: string, localpart: string): ByteString => {
  // Postfix itself puts the whole localpart, extension included, before a domain alone.
  if (extension === '' || /^@[^@\s,;:<>()"\\]*$/.test(value)) return value
  const list = value.startsWith('@') ? quoteAddress(byteString(localpart) + value) : value
  const addresses = addressesOf(tokensOf(list)).filter(address => plain(address) !== '' && plain(address) !== '@')
  const suffix = byteString(extension)
  return addresses.length === 0 ? value
    : addresses.map(address => withExtension(address, suffix)).join(', ') as ByteString
}
