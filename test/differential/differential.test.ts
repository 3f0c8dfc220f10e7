/**
 * A Postfix that `adopt --apply` moved over does what it did: random scenarios for a
 * minute. `npm run differential` runs more of them, and shows the smallest that differs.
 */
import t from 'tap'
import { freshFolder } from '../fixtures/guard.js'
import { startStage } from './pair.js'
import { makeScenario } from './scenario.js'

t.test('random scenarios end the same on mysql: tables and on Holdfast', async t => {
  const until = performance.now() + 60_000
  const stage = await startStage()
  t.teardown(() => stage.stop())
  for (let seed = Math.floor(Date.now() / 1_000), count = 0; performance.now() < until || count < 2; seed++, count++) {
    const compared = await stage.run(makeScenario(seed, freshFolder(), stage.login, 6))
    if (compared.kind === 'not moved') continue
    t.strictSame(compared.differences, [], `npm run differential -- --one --seed ${seed}`)
  }
})
