import t from 'tap'
import { Alarm } from '../../src/runtime/alarm.js'
import { fakeClock } from '../fixtures/clock.js'

/** An alarm over deadlines of the test's own, and when it rang. */
const stage = () => {
  const clock = fakeClock(0)
  const rang: number[] = []
  const deadlines = new Set<number>()
  const alarm = new Alarm(clock, now => {
    rang.push(now)
    for (const deadline of deadlines) if (deadline <= now) deadlines.delete(deadline)
    return Math.min(...deadlines)
  })
  const setFor = (deadline: number): void => {
    deadlines.add(deadline)
    alarm.setFor(deadline, clock.elapsed())
  }
  return { clock, rang, deadlines, setFor }
}

t.test('it rings at each deadline that is left, with one timer', async t => {
  const { clock, rang, setFor } = stage()
  for (const deadline of [300, 100, 200, 300]) setFor(deadline)
  t.equal(clock.timers(), 1)
  await clock.advance(1_000)
  t.same(rang, [100, 200, 300])
  t.equal(clock.timers(), 0)
})

t.test('for what was done in time it rings once, at the first deadline, and then when there is something to end', async t => {
  const { clock, rang, deadlines, setFor } = stage()
  for (let passed = 0; passed < 100; passed++) {
    deadlines.clear()
    setFor(clock.elapsed() + 1_000)
    await clock.advance(1)
  }
  t.equal(clock.timers(), 1)
  await clock.advance(10_000)
  t.same(rang, [1_000, 1_099])
  t.equal(clock.timers(), 0)
})

t.test('a deadline that is over already rings at once', async t => {
  const { clock, rang, setFor } = stage()
  await clock.advance(500)
  setFor(100)
  await clock.advance(0)
  t.same(rang, [500])
})

t.test('the time of day makes no difference', async t => {
  const { clock, rang, setFor } = stage()
  setFor(1_000)
  clock.set(clock.now() - 3_600_000)
  await clock.advance(999)
  t.same(rang, [])
  clock.set(clock.now() + 7_200_000)
  await clock.advance(1)
  t.same(rang, [1_000])
})
