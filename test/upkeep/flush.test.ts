import t from 'tap'
import type { MysqlMap } from '../../src/lookup/maps.js'
import { asBytes } from '../../src/postfix/fold.js'
import { flushHere, watchChanges } from '../../src/upkeep/flush.js'
import { unavailable } from '../../src/outcome.js'
import type { Unavailable } from '../../src/outcome.js'
import { fakeClock } from '../fixtures/clock.js'

const minute = 60_000

t.test('changes are asked for since the last answer, but no further back than anything can be fresh', async t => {
  const clock = fakeClock()
  const asked: number[] = []
  const told: [string | null, boolean][] = []
  const problems: Unavailable[] = []
  let answer: readonly string[] | null | Unavailable = ['a']
  const end = watchChanges({
    ask: seconds => {
      asked.push(seconds)
      return Promise.resolve(answer)
    },
    onChanged: (key, isNew) => told.push([key, isNew]),
    onProblem: problem => problems.push(problem),
    everyMs: 5_000, freshForMs: 5 * minute, clock,
  })
  await clock.advance(0)
  answer = ['a', 'b']
  await clock.advance(5_000)
  t.strictSame(asked, [300, 5], 'at the start, as far back as anything can be fresh')
  t.strictSame(told, [['a', true], ['a', false], ['b', true]])
  answer = unavailable('breaker-open', 'down')
  await clock.advance(20_000)
  t.equal(problems.length, 4)
  answer = null
  await clock.advance(5_000)
  t.equal(asked.at(-1), 25, 'since it last had an answer')
  t.strictSame(told.at(-1), [null, true])
  clock.set(clock.now() - 60 * minute)
  await clock.advance(60 * minute + 5_000)
  t.ok(asked.every(seconds => seconds <= 300), 'a clock that jumps asks for no more')
  const before = asked.length
  end()
  await clock.advance(minute)
  t.equal(asked.length, before)
  t.equal(clock.timers(), 0)
})

t.test('a flush names its key as the map knows it', t => {
  for (const [smtputf8, known] of [[true, 'josé@example.com'], [false, asBytes('josé@example.com')]] as const) {
    const flushed: (string | null)[] = []
    const map = { name: 'alias', config: { smtputf8 }, lookup: { flush: (key: string | null) => flushed.push(key) } } as unknown as MysqlMap
    t.equal(flushHere(map, 'josé@example.com'), known)
    t.equal(flushHere(map, null), null)
    t.strictSame(flushed, [known, null])
  }
  t.end()
})
