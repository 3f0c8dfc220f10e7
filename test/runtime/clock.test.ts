import { mock } from 'node:test'
import t from 'tap'
import { systemClock } from '../../src/runtime/clock.js'

const dayMs = 86_400_000

t.test('a wait of more than 24.8 days, the longest for a timer of Node\'s, does not end at once', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let runs = 0
  systemClock.after(60 * dayMs, () => runs++)
  const cancel = systemClock.after(60 * dayMs, () => t.fail('it was cancelled'))
  for (let days = 0; days < 59; days++) mock.timers.tick(dayMs)
  t.equal(runs, 0)
  cancel()
  // The mock runs a timer late if it ticks past it.
  for (let days = 0; days < 3; days++) mock.timers.tick(dayMs)
  t.equal(runs, 1)
  mock.timers.tick(60 * dayMs)
  t.equal(runs, 1)
})
