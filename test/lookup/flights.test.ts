import t from 'tap'
import { absent } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import { minute, fresh, stale, stage } from './stage.js'

t.test('a hundred callers for one key cost one query', async t => {
  const { lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  source.latencyMs = 50
  const answers = Promise.all(Array.from({ length: 100 }, async () => lookup.lookup('info@example.com')))
  await clock.advance(50)
  t.ok((await answers).every(outcome => outcome.kind === 'found'))
  t.strictSame(source.asked, ['info@example.com'])
  t.equal(lookup.flights, 0)
})

t.test('a hundred users of one domain cost one query for its catch-all', async t => {
  const { lookup, source, clock } = stage({ '@example.com': 'catch@example.net' })
  source.latencyMs = 50
  const answers = Promise.all(Array.from({ length: 100 }, async (_, user) => lookup.lookup(`user${user}@example.com`)))
  await clock.advance(100)
  t.ok((await answers).every(outcome => outcome.kind === 'found'))
  t.equal(source.asked.filter(key => key === '@example.com').length, 1)
})

t.test('a slow table has until the soft deadline when a stale answer is at hand', async t => {
  const { ask, askTimed, lookup, source, clock } = stage({ 'info@example.com': 'old@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.rows.set('info@example.com', 'new@example.net')
  source.latencyMs = 1_000
  t.strictSame(await askTimed('info@example.com'), { outcome: stale('old@example.net'), ms: 300 })
  t.strictSame(lookup.lookup('info@example.com'), stale('old@example.net'), 'the next caller does not wait')
  await clock.advance(700)
  t.strictSame(lookup.lookup('info@example.com'), fresh('new@example.net'), 'the query went on behind it')
})

t.test('a table that gives no answer is a time-out at the deadline, and no later', async t => {
  const { askTimed, source, lookup, clock } = stage({})
  source.latencyMs = 60_000
  const { outcome, ms } = await askTimed('info@example.com')
  t.match(outcome, { kind: 'unavailable', reason: 'timeout' })
  t.equal(ms, 2_000)
  await clock.advance(10)
  t.equal(lookup.flights, 0)
  t.equal(clock.timers(), 0)
})

t.test('all steps together have one deadline', async t => {
  const { askTimed, source } = stage({ '@example.com': 'catch@example.net' })
  source.latencyMs = 900
  const { outcome, ms } = await askTimed('user+tag@example.com')
  t.match(outcome, { kind: 'unavailable', reason: 'timeout' })
  t.equal(ms, 2_000)
})

t.test('a caller who joins late still has an answer within a deadline of its own', async t => {
  const { askTimed, source, lookup, clock } = stage({})
  source.latencyMs = 60_000
  const first = lookup.lookup('info@example.com')
  await clock.advance(1_000)
  t.ok((await askTimed('info@example.com')).ms <= 2_000)
  t.match(await first, { reason: 'timeout' })
})

t.test('lookups beyond what the map will queue get a temporary error', async t => {
  const { lookup, source, clock } = stage({})
  source.latencyMs = 1_000
  const answers = Array.from({ length: 10_001 }, (_, user) => lookup.lookup(`user${user}@example.com`))
  t.equal(lookup.flights, 10_000)
  await clock.advance(0)
  t.match(await answers.at(-1), { kind: 'unavailable', reason: 'overloaded' })
})

t.test('with as many keys under way as the map will queue, a known recipient is still accepted', async t => {
  const { lookup, source, clock, ask } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.latencyMs = 1_000
  for (let user = 0; user < 10_000; user++) void lookup.lookup(`user${user}@example.com`)
  t.equal(lookup.flights, 10_000)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
})

t.test('a lookup after a flush joins no question from before it, and the late answer takes nothing away', async t => {
  for (const [about, before, after] of [
    ['edited', fresh('old'), fresh('new')], ['added', absent, fresh('new')], ['removed', fresh('old'), absent],
  ] as const) {
    for (const flushed of ['a@example.com', '@example.com', null]) {
      const { clock, lookup, source } = stage({}, { search: 'exact' })
      const answers = [[before, 200], [after, 50]] as const
      source.outcomeOf = key => {
        source.asked.push(key)
        const [outcome, latencyMs] = answers[source.asked.length - 1] ?? answers[1]
        return new Promise(resolve => { clock.after(latencyMs, () => resolve(outcome)) })
      }
      const said: [string, Outcome][] = []
      const ask = (who: string): void => {
        void Promise.resolve(lookup.lookup('a@example.com')).then(outcome => said.push([who, outcome]))
      }
      ask('before')
      await clock.advance(20)
      ask('joined')
      t.equal(source.asked.length, 1)
      lookup.flush(flushed, clock.now())
      await clock.advance(20)
      ask('after')
      await clock.advance(20)
      ask('after, joined')
      await clock.advance(200)
      // An absence from before the flush denies nobody who was found since.
      const late = before.kind === 'absent' ? after : before
      t.strictSame(
        said, [['after', after], ['after, joined', after], ['before', late], ['joined', late]],
        `${about}, ${flushed ?? 'all'}`,
      )
      t.equal(source.asked.length, 2)
      t.equal(lookup.flights, 0)
      t.strictSame(await lookup.lookup('a@example.com'), after)
      t.equal(source.asked.length, 2, 'it is fresh')
    }
  }
})

t.test('a flush of one key leaves the questions for others as they are', async t => {
  const { clock, lookup, source } = stage({ 'a@example.com': 'a', 'b@other.example': 'b' }, { search: 'exact' })
  source.latencyMs = 100
  const asked = ['a@example.com', 'b@other.example'].map(key => lookup.lookup(key))
  lookup.flush('a@example.com', clock.now())
  lookup.flush('@example.com', clock.now())
  const again = lookup.lookup('b@other.example')
  await clock.advance(200)
  t.strictSame(await Promise.all([...asked, again]), [fresh('a'), fresh('b'), fresh('b')])
  t.equal(source.asked.length, 2)
})
