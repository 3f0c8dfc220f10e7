import t from 'tap'
import { byteString, readable } from '../../src/outcome.js'
import { appendExtension, extensionStart, quoteAddress, unquoteAddress } from '../../src/postfix/address.js'

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

// value, extension, what Postfix makes of it
const values: readonly (readonly [string, string, string])[] = [
  ['box@example.net', '+tag', 'box+tag@example.net'],
  ['box', '+tag', 'box+tag'],
  ['a@example.net,b@example.org', '+t', 'a+t@example.net,b+t@example.org'],
  ['a@example.net, b@example.org\n c ,', '+t', 'a+t@example.net, b+t@example.org\n c+t ,'],
  [' a@example.net b@example.net', '+t', ' a+t@example.net b+t@example.net'],
  ['box+x@example.net', '+t', 'box+x+t@example.net'],
  ['"a b"@example.net', '+t', '"a b+t"@example.net'],
  ['"a, b"@example.net, c@d', '+t', '"a, b+t"@example.net, c+t@d'],
  ['"a b"', '+t', '"a b+t"'],
  ['"box"@example.net', '+t', 'box+t@example.net'],
  ['box@[192.0.2.1]', '+t', 'box+t@[192.0.2.1]'],
  ['box@[IPv6:2001:db8::1]', '+t', 'box+t@[IPv6:2001:db8::1]'],
  ['box@example.net', '+a b', '"box+a b"@example.net'],
  ['box@example.net', '+a@b', '"box+a@b"@example.net'],
  ['box@example.net', '+', 'box+@example.net'],
  ['user%x@example.net', '+t', 'user%x+t@example.net'],
  ['müller@exämple.net', '+ü', 'müller+ü@exämple.net'],
  ['à@example.net', '+t', 'à+t@example.net'],
  ['box@example.net', '', 'box@example.net'],
]

for (const [value, extension, expected] of values) {
  t.equal(readable(appendExtension(byteString(value), extension)), expected,
    `${value} with the extension '${extension}' is ${expected}`)
}

const notPlain = [
  '@other.example', 'a@example.net, @other.example', '<box@example.net>', 'Box <box@example.net>',
  'box@example.net (comment)', 'group: a@b, c@d;', '@relay:box@example.net', 'box%example.net', 'host!box',
  'box@', 'box @ example.net', '"a".b@example.net', '"open@example.net', 'a\\ b@example.net', '.', ', ,', '',
]

for (const value of notPlain) {
  t.equal(readable(appendExtension(byteString(value), '+t')), value, `'${value}' is left without the extension`)
}
