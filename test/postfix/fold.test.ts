import t from 'tap'
import { fold } from '../../src/postfix/fold.js'

const cases = new Map([
  ['Info@Example.COM', 'info@example.com'],
  ['already@lower', 'already@lower'],
  ['', ''],
  ['JÜRGEN@BÜCHER.example', 'jürgen@bücher.example'],
  ['Straße@x', 'strasse@x'],
  ['\u1e9e', 'ss'],
  ['ΟΔΟΣ', 'οδοσ'],
  ['οδος', 'οδοσ'],
  ['ſ\u212a\ufb01', 'skfi'],
  ['\u0130', 'i\u0307'],
  ['\u0131I', '\u0131i'],
  ['\u13a0\uab70\u13f8', '\u13a0\u13a0\u13f0'],
  ['\u{10400}😀', '\u{10428}😀'],
])

t.test('keys are folded by Unicode\'s full case folding', t => {
  for (const [key, folded] of cases) t.equal(fold(key), folded, key)
  t.end()
})

t.test('folding a folded key changes nothing', t => {
  for (let code = 0; code < 0x20000; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const once = fold(String.fromCodePoint(code))
    if (fold(once) !== once) t.fail(`U+${code.toString(16)}`)
  }
  t.end()
})
