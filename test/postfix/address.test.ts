import t from 'tap'
import { canonicalLiteral, extensionStart, quoteAddress, unquoteAddress } from '../../src/postfix/address.js'

// unquoted, as written in tables
const addresses = new Map([
  ['user@example.com', 'user@example.com'],
  ['first.last+tag@example.com', 'first.last+tag@example.com'],
  ["o'brien%x!y@example.com", "o'brien%x!y@example.com"],
  ['a b@example.com', '"a b"@example.com'],
  ['a"b@example.com', '"a\\"b"@example.com'],
  ['a\\b@example.com', '"a\\\\b"@example.com'],
  ['a@b@example.com', '"a@b"@example.com'],
  ['.user@example.com', '".user"@example.com'],
  ['user.@example.com', '"user."@example.com'],
  ['a..b@example.com', '"a..b"@example.com'],
  ['@example.com', '""@example.com'],
  ['a,b@[192.0.2.1]', '"a,b"@[192.0.2.1]'],
  ['<>', '"<>"'],
  ['user', 'user'],
  ['müller@example.com', 'müller@example.com'],
  ['@a,@b:us er@example.com', '@a,@b:"us er"@example.com'],
])

for (const [plain, quoted] of addresses) {
  t.equal(quoteAddress(plain), quoted, `${plain} is quoted as ${quoted}`)
  t.equal(unquoteAddress(quoted), plain, `${quoted} is unquoted as ${plain}`)
}

t.equal(unquoteAddress('a"b@c"@example.com'), 'ab@c@example.com', 'quotes within a word are dropped')
t.equal(unquoteAddress('"a"@exam"ple\\.com'), 'a@exam"ple\\.com', 'a domain keeps quotes and backslashes')
t.equal(unquoteAddress('user\\'), 'user', 'a backslash at the end is dropped')

// localpart, delimiters, extension
const extensions: readonly (readonly [string, string, string])[] = [
  ['user+tag', '+', '+tag'],
  ['user+tag+more', '+', '+tag+more'],
  ['user-a+b', '+-', '-a+b'],
  ['user+a-b', '-+', '+a-b'],
  ['user+', '+', '+'],
  ['+user', '+', ''],
  ['++user', '+', ''],
  ['user', '+', ''],
  ['user+tag', '', ''],
  ['a b+c@d', '+', '+c@d'],
  ['postmaster', 'm', ''],
  ['MAILER-DAEMON', '-', ''],
  ['double-bounce', '-', ''],
  ['postmaster+x', '+', '+x'],
  ['owner-list', '-', ''],
  ['Owner-list+x', '-+', ''],
  ['owner-list+x', '+', '+x'],
  ['list-request', '-', ''],
  ['-request', '-', ''],
  ['list-request+x', '-+', '-request+x'],
]

for (const [localpart, delimiters, expected] of extensions) {
  const start = extensionStart(localpart, delimiters)
  t.equal(start < 0 ? '' : localpart.slice(start), expected,
    `${localpart} with delimiters '${delimiters}' has the extension '${expected}'`)
}

t.equal(canonicalLiteral('[ipv6:2001:db8:0:0::1]'), '[ipv6:2001:db8::1]')
for (const other of ['[ipv6:x]', '[192.0.2.1]', 'a.example']) t.equal(canonicalLiteral(other), other)
