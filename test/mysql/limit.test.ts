/** How many statements a server gets at once. */
import t from 'tap'
import { Limit } from '../../src/mysql/limit.js'

t.test('however slow its statements are, a server gets two at once, if it may have two connections', async t => {
  for (const [max, least] of [[8, 2], [2, 2], [1, 1]] as const) {
    const limit = new Limit(max)
    // Each time of statements that were sent after the last one.
    for (let times = 0; times < 5; times++) limit.shrink(Infinity)
    t.equal(limit.value, least)
  }
})
