import t from 'tap'
import { Place, Queue } from '../src/queue.js'

const all = (queue: Queue<number>): number[] => {
  const items: number[] = []
  for (let place = queue.first; place !== null; place = place.after) items.push(place.item)
  return items
}

t.test('they wait in the order of coming, whoever leaves', t => {
  const queue = new Queue<number>()
  const expected: number[] = []
  const places: Place<number>[] = []
  for (let number = 0; number < 500; number++) {
    const place = new Place(number)
    places.push(place)
    queue.add(place)
    expected.push(number)
    // First, last and between, at one time or another all of them.
    if (number % 3 === 0) continue
    const [leaves = 0] = expected.splice((number * 7919) % expected.length, 1)
    const leaving = places[leaves]
    t.ok(leaving !== undefined && queue.remove(leaving))
    t.same(all(queue), expected)
    t.equal(queue.size, expected.length)
  }
  for (let place = queue.first; place !== null; place = queue.first) queue.remove(place)
  t.same([all(queue), queue.size], [[], 0])
  t.end()
})

t.test('who has left, or waits elsewhere, can\'t leave', t => {
  const [here, there] = [new Queue<number>(), new Queue<number>()]
  const place = new Place(1)
  t.equal(here.remove(place), false)
  here.add(place)
  t.equal(there.remove(place), false)
  t.equal(here.remove(place), true)
  t.equal(here.remove(place), false)
  there.add(place)
  t.same([all(here), all(there)], [[], [1]], 'and may come again, there or elsewhere')
  t.end()
})
