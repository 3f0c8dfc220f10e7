/**
 * Mail addresses as Postfix takes them apart: the quoted form by which it asks
 * tables, and the unquoted form from which it cuts extensions. Pure text; rules from
 * RFC 822 s6.1 as Postfix reads it (quote_822_local, split_addr in its source).
 *
 * All functions work on keys (any text) and on ByteStrings alike: beyond ASCII
 * nothing is special.
 */
import { SocketAddress, isIP } from 'node:net'

// The domain is never quoted, and neither is a source route ("@a,@b:").
const localpartStart = (address: string): number => address.startsWith('@') ? address.indexOf(':') + 1 : 0

const special = /[\x00-\x20\x7f()<>@,;:\\"[\]]/

/** `localpart` in quotes unless it is an RFC 822 dot-string; an empty one is not. */
export const quoteLocalpart = (localpart: string): string => {
  const dotString = localpart !== '' && !localpart.startsWith('.') && !localpart.endsWith('.')
    && !localpart.includes('..') && !special.test(localpart)
  return dotString ? localpart : `"${localpart.replace(/["\\\r]/g, '\\$&')}"`
}

/** The domain of an address; a text without @ is taken for one. */
export const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1)

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

/** `[ipv6:2001:db8:0::1]` (folded) as `[ipv6:2001:db8::1]`, whatever the spelling; other domains as they are. */
export const canonicalLiteral = (domain: string): string => {
  const address = /^\[ipv6:(.*)\]$/.exec(domain)?.[1]
  return address === undefined || isIP(address) !== 6 ? domain
    : `[ipv6:${new SocketAddress({ family: 'ipv6', address }).address}]`
}
