import t from 'tap'
import { FlushTimes } from '../../src/lookup/flush_times.js'

t.test('a flush from a clock that ran ahead counts from when it is noticed, and not until its own time', async t => {
  for (const what of [null, '@example.com', 'info@example.com']) {
    const flushes = new FlushTimes()
    flushes.note(what, 1_000_000)
    t.equal(flushes.lastAt('info@example.com', 2_000), 2_000)
    t.equal(flushes.lastAt('info@example.com', 3_000), 2_000, 'what is verified from then on is fresh')
    flushes.note(what, 4_000)
    t.equal(flushes.lastAt('info@example.com', 5_000), 4_000)
  }
})
