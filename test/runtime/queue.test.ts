import t from 'tap'
import { Place, Queue } from '../../src/runtime/queue.js'

class Numbered extends Place<Numbered> {
  readonly number: number

  constructor(number: number) {
    super()
    this.number = number
  }
}

const all = (queue: Queue<Numbered>): number[] => {
  const numbers: number[] = []
  for (let place = queue.first; place !== null; place = place.after) numbers.push(place.number)
  return numbers
}

t.test('they wait in the order of coming, whoever leaves', t => {
  const queue = new Queue<Numbered>()
  const expected: number[] = []
  const places: Numbered[] = []
  for (let number = 0; number < 500; number++) {
    const place = new Numbered(number)
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
  const [here, there] = [new Queue<Numbered>(), new Queue<Numbered>()]
  const place = new Numbered(1)
  t.equal(here.remove(place), false)
  here.add(place)
  t.equal(there.remove(place), false)
  t.equal(here.remove(place), true)
  t.equal(here.remove(place), false)
  there.add(place)
  t.same([all(here), all(there)], [[], [1]], 'and may come again, there or elsewhere')
  t.end()
})
