/** Extensions put back onto values of every shape. test/scenarios/extension.test.ts has a real Postfix judge them. */
import t from 'tap'
import { byteString, readable } from '../../src/outcome.js'
import { appendExtension } from '../../src/postfix/address_list.js'

// value, extension, what Postfix makes of it
const values: readonly (readonly [string, string, string])[] = [
  ['box@example.net', '+tag', 'box+tag@example.net'],
  ['box', '+tag', 'box+tag'],
  ['a@example.net,b@example.org', '+t', 'a+t@example.net, b+t@example.org'],
  ['a@example.net, b@example.org\n c ,', '+t', 'a+t@example.net, b+t@example.org, c+t'],
  [' a@example.net b@example.net', '+t', 'a+t@example.net, b+t@example.net'],
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
  ['box', '+a!b', '"box+a!b"'],
  ['user%x@example.net', '+t', 'user%x+t@example.net'],
  ['müller@exämple.net', '+ü', 'müller+ü@exämple.net'],
  ['à@example.net', '+t', 'à+t@example.net'],
  ['box@example.net', '', 'box@example.net'],
  ['box@example.net', '+\udce9', 'box+\udce9@example.net'],
  ['<box@example.net>', '+t', 'box+t@example.net'],
  ['Box <box@example.net>', '+t', 'box+t@example.net'],
  ['"Last, First" <box@example.net> (Box), b@c', '+t', 'box+t@example.net, b+t@c'],
  ['box@example.net (comment (in it))', '+t', 'box+t@example.net'],
  ['box (comment) @ example . net', '+t', 'box+t@example.net'],
  ['group: a@b, c@d;', '+t', 'a+t@b, c+t@d'],
  ['group: a@b, c@d;, e@f', '+t', 'a+t@b, c+t@d, e+t@f'],
  ['@relay:box@example.net', '+t', '"user@relay:box+t"@example.net'],
  ['<@a,@b:box@example.net>', '+t', 'box+t@example.net'],
  ['box%example.net', '+t', 'box+t@example.net'],
  ['a%b%example.net', '+t', 'a%b+t@example.net'],
  ['host!box', '+t', 'box+t@host'],
  ['a!b!box', '+t', 'b!box+t@a'],
  ['box@', '+t', 'box+t@'],
  ['box@example.net.', '+t', 'box+t@example.net.'],
  ['"a".b@example.net', '+t', 'a.b+t@example.net'],
  ['a\\ b@example.net', '+t', '"a b+t"@example.net'],
  ['|cmd', '+t', '"|cmd+t"'],
  [':include:/x', '+t', '":include:/x+t"'],
  ['a@example.net, @other.example', '+t', 'a+t@example.net, +t@other.example'],
  ['@other.example', '+t', '@other.example'],
  ['@other.example,box', '+t', 'user+t@other.example, box+t'],
  ['@other.example, x@y', '+t', '"user@other.example, x+t"@y'],
]

for (const [value, extension, expected] of values) {
  t.equal(readable(appendExtension(byteString(value), extension, 'user')), readable(byteString(expected)),
    `${value} with the extension '${extension}' is ${expected}`)
}

for (const value of ['', ', ,', '@', '""', '(c)', '<>']) {
  t.equal(readable(appendExtension(byteString(value), '+t', 'user')), value, `'${value}' has no address`)
}
