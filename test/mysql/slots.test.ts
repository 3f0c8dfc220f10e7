import t from 'tap'
import { Slots } from '../../src/mysql/slots.js'
import type { Turn } from '../../src/mysql/slots.js'

const take = async (slots: Slots, timeoutMs: number): Promise<Turn> => slots.take(timeoutMs)

t.test('as many as the size get a turn at once, the next one when one is released', async t => {
  const slots = new Slots(2)
  t.equal(slots.take(1_000), 'turn')
  t.equal(slots.take(1_000), 'turn')
  const third = slots.take(1_000)
  t.same(slots.counts, { used: 2, limit: 2, waiting: 1 })
  slots.release()
  t.equal(await third, 'turn')
  t.same(slots.counts, { used: 2, limit: 2, waiting: 0 })
})

t.test('turns come in the order of asking', async t => {
  const slots = new Slots(1)
  slots.take(1_000)
  const order: number[] = []
  const waits = [1, 2, 3].map(async number => {
    await slots.take(1_000)
    order.push(number)
    slots.release()
  })
  slots.release()
  await Promise.all(waits)
  t.same(order, [1, 2, 3])
})

t.test('who waits too long goes without a turn, and none is lost by it', async t => {
  const slots = new Slots(1)
  slots.take(1_000)
  const patient = slots.take(60_000)
  const late = [3, 1, 2].map(ms => take(slots, ms))
  t.same(await Promise.all(late), ['late', 'late', 'late'])
  slots.release()
  t.equal(await patient, 'turn')
  slots.release()
  t.same(slots.counts, { used: 0, limit: 1, waiting: 0 })
})

t.test('the thousand and first that would wait is turned away at once', async t => {
  const slots = new Slots(1)
  slots.take(1_000)
  const waits = Array.from({ length: 1_000 }, () => take(slots, 10_000))
  t.equal(slots.take(1_000), 'full')
  slots.flush()
  t.same(new Set(await Promise.all(waits)), new Set(['flushed']))
})

t.test('after narrow one at a time, and twice as many with each growth up to the size', async t => {
  const slots = new Slots(5)
  slots.narrow()
  const waits = Array.from({ length: 9 }, () => take(slots, 1_000))
  const used: number[] = [slots.counts.used]
  for (let growths = 0; growths < 4; growths++) {
    slots.grow()
    used.push(slots.counts.used)
  }
  t.same(used, [1, 2, 4, 5, 5])
  slots.flush()
  await Promise.all(waits)
})

t.test('narrowed while more are at work: the next gets a turn when all of them have left', async t => {
  const slots = new Slots(2)
  slots.take(1_000)
  slots.take(1_000)
  slots.narrow()
  const next = slots.take(1_000)
  slots.release()
  t.equal(slots.counts.waiting, 1)
  slots.release()
  t.equal(await next, 'turn')
})
