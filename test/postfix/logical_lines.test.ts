import t from 'tap'
import { logicalLines } from '../../src/postfix/logical_lines.js'

const texts = (file: string): string[] => [...logicalLines(file)].map(({ number, text }) => `${number}:${text}`)

t.test('a line that starts with white space continues the one before', t => {
  t.same(texts('a\n b\n\tc\nd'), ['1:a b\tc', '4:d'])
  t.end()
})

t.test('comment lines and blank lines within a continued line are skipped', t => {
  t.same(texts('a\n# note\n  # indented note\n\n \t \n b\nc\n'), ['1:a b', '7:c'])
  t.end()
})

t.test('a number sign within a line is text', t => {
  t.same(texts('a # b\n'), ['1:a # b'])
  t.end()
})

t.test('a carriage return is white space at the end of a line and stays in the text', t => {
  t.same(texts('a\r\n\r\n b\r\nc\r\n'), ['1:a\r b\r', '4:c\r'])
  t.end()
})

t.test('a line that starts with white space and continues nothing is marked', t => {
  t.same([...logicalLines('# c\n a\nb\n')].map(({ number, orphan }) => [number, orphan]), [[2, true], [3, false]])
  t.end()
})

t.test('a file without content has no lines', t => {
  t.same(texts(''), [])
  t.same(texts('\n#\n  \n'), [])
  t.end()
})
