/**
 * without_rules.ts takes pieces of code out by their text. Each text must occur once in its file: else a change of that
 * code would make without_rules.ts test nothing.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { cuts } from './cuts.js'

for (const { rule, what, file, from } of cuts) {
  t.test(`rule ${rule}, ${what}: the text to take out occurs once in ${file}`, async t => {
    const source = readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8')
    t.equal(source.split(from).length - 1, 1)
  })
}

t.test('each of the 16 rules has a text to take out', async t => {
  t.strictSame([...new Set(cuts.map(({ rule }) => rule))], Array.from({ length: 16 }, (_, index) => index + 1))
})
