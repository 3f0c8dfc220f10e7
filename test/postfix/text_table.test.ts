import t from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { absent, byteString, found } from '../../src/outcome.js'
import { fold } from '../../src/postfix/fold.js'
import { parseTextTable, textSource } from '../../src/postfix/text_table.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { postmapAnswers, settle } from '../fixtures/postfix.js'
import { withRemedies } from '../fixtures/remedy.js'

const table = (text: string | Buffer) => parseTextTable(Buffer.from(text), '/t')
const warningsOf = (text: string | Buffer): readonly string[] =>
  withRemedies(table(text).warnings.map(({ place, text }) => `${place} ${text}`))

t.test('a text table has the rows that postmap(1) reads from it', async t => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const file = join(folder, 'table')
  const content = [
    'plain@a.example   one@b.example, two@b.example  ',
    '# comment', '', 'Upper@A.Example\tUPPER', 'cont@a.example first,', '\tsecond,', '# between', '', '    third',
    '"a b"@a.example quoted', '"Q\\"x y"@a.example escaped', 'back\\ slash@a.example value', 'nokey',
    'half"open@a.example x',
    'ünï@a.example ümlaut', 'STRASSE@a.example folded', 'dup@a.example first', 'DUP@a.example second', 'colon: value',
    'tail@a.example a # b', '@a.example catch@a.example', 'a.example\x0bvertical tab', 'last@a.example no newline',
  ].join('\n')
  writeFileSync(file, content)
  settle(file)
  const source = textSource(parseTextTable(Buffer.from(content), file))
  const keys = [
    'plain@a.example', 'PLAIN@a.example', 'upper@a.example', 'cont@a.example', '"a b"@a.example', '"a', 'a b@a.example',
    '"q\\"x y"@a.example',
    'back\\ slash@a.example', 'back\\', 'nokey', 'half"open@a.example', 'ünï@a.example', 'ÜNÏ@a.example',
    'straße@a.example', 'dup@a.example',
    'colon:', 'colon', 'tail@a.example', '@a.example', 'a.example', 'last@a.example', '#', 'second,', 'third',
    'between',
  ]
  const answers = await postmapAnswers(`texthash:${file}`, keys)
  for (const key of keys) {
    const outcome = source.lookup(fold(key))
    t.same(outcome, answers.has(key) ? found(byteString(answers.get(key) ?? '')) : absent, key)
  }
  t.equal(answers.size, 16)
})

t.test('a skipped line is a warning, with its place', t => {
  t.match(warningsOf('a b\nnovalue\n'), [/^\/t:2 .*no value/])
  t.match(warningsOf('ab"c d\n'), [/^\/t:1 .*double quote.*; close the quote$/])
  t.match(warningsOf(Buffer.from('x y\n\xff z\n', 'latin1')), [/^\/t:2 .*UTF-8/])
  t.match(warningsOf(' x y\n'), [/^\/t:1 .*continues nothing/])
  t.match(warningsOf('k v\nK w\n'), [/^\/t:2 .*first line counts/])
  t.match(warningsOf('postmaster: root\n'), [/^\/t:1 .*alias file/])
  t.end()
})

t.test('a value keeps its bytes even if they are not UTF-8', t => {
  t.equal(table(Buffer.from('k caf\xe9\n', 'latin1')).entries.get('k'), 'caf\xe9')
  t.end()
})

t.test('two tables have the same content if their answers are the same, whatever their comments and order', t => {
  const content = (text: string): string => textSource(table(text)).content
  const same = content('a b\nc d\n')
  for (const text of ['# made today\na b\nc d', 'c\td\n\na   b\na x\n']) t.equal(content(text), same, text)
  for (const text of ['a b', 'a b\nc e', 'a d\nc b', 'a b\nc d\ne f']) t.not(content(text), same, text)
  t.end()
})
