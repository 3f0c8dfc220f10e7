/** The code that without_rules.ts takes out is there: each text once, so that a change of it can't make that run mean nothing. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { cuts } from './cuts.js'

for (const { rule, what, file, from } of cuts) {
  t.test(`rule ${rule}, ${what}: its file has the text once`, async t => {
    const source = readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8')
    t.equal(source.split(from).length - 1, 1)
  })
}

t.test('each rule has code that is taken out', async t => {
  t.strictSame([...new Set(cuts.map(({ rule }) => rule))], Array.from({ length: 16 }, (_, index) => index + 1))
})
