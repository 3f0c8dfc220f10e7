/**
 * A Postfix that `adopt --apply` moved over does what it did: a few random
 * scenarios, always the same. `npm run differential` runs others, and shows the smallest that differs.
 */
import t from 'tap'
import { freshFolder } from '../fixtures/guard.js'
import { startStage } from './pair.js'
import { makeScenario } from './scenario.js'

/** A seed makes the same scenario each time, and so the test ends the same: new seeds are for `npm run differential`. */
const firstSeed = 100
const scenarios = 4

t.test('random scenarios end the same on mysql: tables and on Holdfast', async t => {
  const stage = await startStage()
  t.teardown(() => stage.stop())
  for (let seed = firstSeed; seed < firstSeed + scenarios; seed++) {
    const compared = await stage.run(makeScenario(seed, freshFolder(), stage.login, 6))
    const differences = compared.kind === 'not moved' ? [] : compared.differences
    t.strictSame(differences, [], `npm run differential -- --one --seed ${seed}`)
  }
})
