import t from 'tap'
import { longestTryMs, oneMoreFailed, outMsOf } from '../../src/mysql/breaker.js'
import type { FailedTries } from '../../src/mysql/breaker.js'

const second = 1_000

for (const [reset, connectTimeout] of [[5, 10], [5, 60], [60, 10], [1, 1]] as const) {
  const longestMs = longestTryMs(reset * second, connectTimeout * second)
  /** Tries that fail, this long after each other. */
  const failing = (gapMs: number, count: number): FailedTries | null => {
    let tries: FailedTries | null = null
    for (let number = 0; number < count; number++) tries = oneMoreFailed(tries, number * gapMs, longestMs)
    return tries
  }

  t.test(`tries every ${reset} s that take ${connectTimeout} s each: an outage goes on from try to try`, async t => {
    const gapMs = reset * second + connectTimeout * second
    for (const elapsedMs of [0, gapMs - 1]) t.equal(outMsOf(failing(gapMs, 8), 7 * gapMs + elapsedMs, longestMs), 7 * gapMs + elapsedMs)
  })

  t.test(`${reset} s, ${connectTimeout} s: a process that was held up knows nothing of the time between`, async t => {
    const gapMs = longestMs + 1
    t.equal(outMsOf(failing(gapMs, 8), 7 * gapMs, longestMs), 0)
    t.equal(outMsOf(failing(second, 8), 7 * second + longestMs + 1, longestMs), null, 'nobody has tried it lately')
  })
}

t.test('a server that has not failed is not out', async t => {
  t.equal(outMsOf(null, 5 * second, 15 * second), null)
})
