/**
 * Mail addresses as Postfix takes them apart: the quoted form by which it asks
 * tables, the unquoted form from which it cuts extensions, and how it puts an
 * extension back on. Pure text; rules from RFC 822 s6.1 as Postfix reads it
 * (quote_822_local, split_addr, mail_addr_crunch in its source).
 *
 * All functions work on keys (any text) and on ByteStrings alike: beyond ASCII
 * nothing is special.
 */
import { byteString, type ByteString } from '../outcome.js'

// The domain is never quoted, and neither is a source route ("@a,@b:").
const localpartStart = (address: string): number => address.startsWith('@') ? address.indexOf(':') + 1 : 0

const special = /[\x00-\x20\x7f()<>@,;:\\"[\]]/

/** `localpart` in quotes unless it is an RFC 822 dot-string; an empty one is not. */
export const quoteLocalpart = (localpart: string): string => {
  const dotString = localpart !== '' && !localpart.startsWith('.') && !localpart.endsWith('.')
    && !localpart.includes('..') && !special.test(localpart)
  return dotString ? localpart : `"${localpart.replace(/["\\\r]/g, '\\$&')}"`
}

/** `address` (unquoted) as tables have it: `a b@example.com` becomes `"a b"@example.com`. */
export const quoteAddress = (address: string): string => {
  const start = localpartStart(address)
  const at = address.lastIndexOf('@')
  const end = at < start ? address.length : at
  return address.slice(0, start) + quoteLocalpart(address.slice(start, end)) + address.slice(end)
}

/** The reverse of {@link quoteAddress}; text without quotes and backslashes comes back as it is. */
export const unquoteAddress = (address: string): string => {
  if (!address.includes('"') && !address.includes('\\')) return address
  const start = localpartStart(address)
  let text = address.slice(0, start)
  let quoted = false
  let domain: { readonly from: number, readonly textLength: number } | null = null
  for (let i = start; i < address.length; i++) {
    const char = address.charAt(i)
    if (char === '"') {
      quoted = !quoted
      continue
    }
    if (char === '@' && !quoted) domain = { from: i, textLength: text.length }
    if (char === '\\') {
      i++
      text += address.charAt(i)
    } else {
      text += char
    }
  }
  // The domain follows the last @ outside quotes, and keeps its quotes and backslashes.
  return domain === null ? text : text.slice(0, domain.textLength) + address.slice(domain.from)
}

// The defaults of double_bounce_sender and owner_request_special.
const neverSplit = new Set(['postmaster', 'mailer-daemon', 'double-bounce'])

/**
 * Where the extension of `localpart` (unquoted) begins, delimiter included, or
 * -1 if it has none: at the first character that is one of `delimiters`
 * (recipient_delimiter, postconf(5)). There is none in the addresses of the mail
 * system itself, none at the start, and with `-` none in owner-list and
 * list-request. `user+` has the extension `+`.
 */
export const extensionStart = (localpart: string, delimiters: string): number => {
  let first = -1
  for (const delimiter of delimiters) {
    const at = localpart.indexOf(delimiter)
    if (at >= 0 && (first < 0 || at < first)) first = at
  }
  if (first <= 0) return -1
  const folded = localpart.toLowerCase()
  if (neverSplit.has(folded)) return -1
  if (delimiters.includes('-')
    && (folded.startsWith('owner-') || (folded.endsWith('-request') && folded.length > '-request'.length))) return -1
  return first
}

// A word or a quoted string, then perhaps a domain or an address literal. No
// part has a separator of addresses, or what Postfix's parser gives a meaning.
// White space is spelled out, since \s matches 0xA0, a byte of many UTF-8 characters.
const localpartPattern = /"(?:[^"\\\t\r\n]|\\[^\t\r\n])+"|[^ \t\r\n()<>[\]@,;:\\"]+/
const domainPattern = /\[[^ \t\r\n()<>[\]@,;\\"]*\]|[^ \t\r\n()<>[\]@,;:\\"!%|]+/
const plainAddress = new RegExp(`(${localpartPattern.source})(@(?:${domainPattern.source}))?`, 'y')
const separator = /[ \t\r\n,]*/y

/**
 * `value`, a list of addresses, with `extension` (delimiter included) added to
 * the localpart of each, as Postfix does (mail_addr_map, mail_addr_crunch) with
 * the result of a lookup for which it dropped that extension.
 *
 * A value that isn't a list of plain addresses comes back unchanged: the mail
 * arrives, without its extension. Such are `@other.example`, where Postfix puts
 * the whole localpart in front, comments, <>, groups, source routes and user%domain.
 */
export const appendExtension = (value: ByteString, extension: string): ByteString => {
  if (extension === '') return value
  const suffix = byteString(extension)
  const separated = (from: number): number => {
    separator.lastIndex = from
    return from + (separator.exec(value)?.[0].length ?? 0)
  }
  let at = separated(0)
  let extended = value.slice(0, at)
  while (at < value.length) {
    plainAddress.lastIndex = at
    const [address, localpart = '', domain = ''] = plainAddress.exec(value) ?? ['']
    const next = separated(at + address.length)
    const alone = next > at + address.length || next === value.length
    // Operators at an edge bind to the neighbour across a space; % and ! without a domain are routes.
    if (!alone || /^[.|%!]|[.|%!]$/.test(address) || (domain === '' && /^[^"]*[%!]/.test(localpart))) return value
    const bare = localpart.startsWith('"') ? unquoteAddress(localpart) : localpart
    extended += quoteLocalpart(bare + suffix) + domain + value.slice(at + address.length, next)
    at = next
  }
  return extended as ByteString
}
