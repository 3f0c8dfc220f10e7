/**
 * A Postfix that `adopt --apply` moved over does the same as before: a few random scenarios, the same ones each time.
 * `npm run differential` runs others, and shows the smallest part of one that differs.
 */
import t from 'tap'
import { freshFolder } from '../fixtures/guard.js'
import { startStage } from './pair.js'
import { makeScenario } from './scenario.js'

/** The seeds are fixed, so that the test has the same result each time; `npm run differential` tries new ones. */
const firstSeed = 100
const scenarios = 4

t.test('in random scenarios Postfix does the same on mysql: tables and on Holdfast', async t => {
  const stage = await startStage()
  t.teardown(() => stage.stop())
  for (let seed = firstSeed; seed < firstSeed + scenarios; seed++) {
    const compared = await stage.run(makeScenario(seed, freshFolder(), stage.login, 6))
    const differences = compared.kind === 'not moved' ? [] : compared.differences
    t.strictSame(differences, [], `npm run differential -- --one --seed ${seed}`)
  }
})
