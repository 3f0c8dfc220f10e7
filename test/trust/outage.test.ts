import t from 'tap'
import { absent, unavailable } from '../../src/outcome.js'
import { longestTryMs } from '../../src/mysql/breaker.js'
import { Outage } from '../../src/trust/outage.js'
import { fakeClock } from '../fixtures/clock.js'

const second = 1_000
const down = unavailable('source-down', 'refused')
const open = unavailable('breaker-open', 'not asked after failures')

t.test('while the breaker is open, the tries in the background tell for how long the servers have been out', async t => {
  const clock = fakeClock()
  const outage = new Outage(60 * second, longestTryMs(5 * second, 10 * second), clock)
  const since = clock.elapsed()
  for (const seconds of [0, 30, 59]) {
    await clock.advance(since + seconds * second - clock.elapsed())
    outage.note(open, clock.elapsed(), { since, at: clock.elapsed() })
    t.notOk(outage.isLong, `after ${seconds} s`)
  }
  await clock.advance(1 * second)
  t.ok(outage.isLong)
  outage.note(absent, clock.elapsed())
  t.notOk(outage.isLong, 'a server answered')
})

for (const [reset, connectTimeout] of [[5, 10], [5, 60], [60, 10], [1, 1]] as const) {
  t.test(`tries every ${reset} s that take ${connectTimeout} s each: a long outage stays one from try to try`, async t => {
    const clock = fakeClock()
    const tryMs = longestTryMs(reset * second, connectTimeout * second)
    const outage = new Outage(60 * second, tryMs, clock)
    const since = clock.elapsed()
    while (clock.elapsed() - since < 300 * second) {
      const at = clock.elapsed()
      for (let tenths = 0; tenths <= 10; tenths++) {
        outage.note(open, clock.elapsed(), { since, at })
        t.equal(outage.isLong, clock.elapsed() - since >= 60 * second)
        if (tenths < 10) await clock.advance(tryMs / 10)
      }
    }
  })
}

t.test('a breaker that is open for another reason than an outage makes none', async t => {
  const clock = fakeClock()
  const outage = new Outage(60 * second, longestTryMs(5 * second, 10 * second), clock)
  outage.note(down, clock.elapsed())
  for (let seconds = 0; seconds <= 120; seconds += 10) {
    await clock.advance(10 * second)
    // The last try was refused: a limit, or the password.
    outage.note(open, clock.elapsed(), null)
  }
  t.notOk(outage.isLong)
})

t.test('tries that ended long ago tell nothing', async t => {
  const clock = fakeClock()
  const outage = new Outage(60 * second, longestTryMs(5 * second, 10 * second), clock)
  outage.note(down, clock.elapsed())
  const since = clock.elapsed()
  await clock.advance(120 * second)
  outage.note(open, clock.elapsed(), { since, at: since })
  t.notOk(outage.isLong)
})

t.test('two failures with nobody asking in between are no outage of that length', async t => {
  const clock = fakeClock()
  const outage = new Outage(60 * second, longestTryMs(5 * second, 10 * second), clock)
  outage.note(down, clock.elapsed())
  await clock.advance(300 * second)
  outage.note(down, clock.elapsed())
  t.notOk(outage.isLong)
})
