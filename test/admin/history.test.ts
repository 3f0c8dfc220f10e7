import t from 'tap'
import { createEvents, createHistory } from '../../src/admin/history.js'
import type { Status } from '../../src/admin/status.js'
import { createLog } from '../../src/log.js'
import { wellStatus } from '../fixtures/status.js'

const after = (minute: number, fresh: number, memory: number): Status => {
  const well = wellStatus({ now: 2_000_000 + minute * 60_000 })
  return {
    ...well,
    answers: well.answers.map(answers => ({ ...answers, fresh, stale: 0, absent: 0, unavailable: {} })),
    maps: well.maps.map(map => ({
      ...map,
      cached: map.cached === null ? null
        : { ...map.cached, origins: { memory, redis: 0, table: 0, queries: 0, savedAbsences: 0 } },
    })),
  }
}

t.test('each step holds what came in it, and the last one is under way', async t => {
  const history = createHistory()
  history.sample(after(0, 0, 0))
  history.sample(after(1, 10, 9))
  t.match(history.steps(after(1.5, 13, 11)), {
    alias: [{ lookups: 0 }, { lookups: 10, hits: 9 }, { lookups: 3, hits: 2 }],
  })
})

t.test('the history goes back an hour, and no more', async t => {
  const history = createHistory()
  for (let minute = 0; minute < 200; minute++) history.sample(after(minute, minute, 0))
  t.equal(history.steps(after(200, 200, 0))['alias']?.length, 60)
})

t.test('counters that start anew give no negative step', async t => {
  const history = createHistory()
  history.sample(after(0, 100, 100))
  t.match(history.steps(after(1, 100, 4)), { alias: [{ lookups: 100 }, { lookups: 0, hits: 0 }] })
})

/** A log that writes nothing, and the events that are kept of it. */
const recorded = (now: () => number) => {
  const events = createEvents(now)
  return { events, log: createLog({ level: 'error', format: 'text', journal: false }, () => undefined, now, events.add) }
}

t.test('changes of state are remembered, newest first; traffic and debugging are not', async t => {
  let now = 1
  const { events, log } = recorded(() => now)
  log.info('redis: ready')
  log.warn('redis: down')
  log.repeated('x', 'map alias: timeout')
  log.debug('a key')
  now = 20_000
  log.info('redis: ready')
  t.same(events.list(), [
    { at: 20_000, level: 'info', text: 'redis: ready' }, { at: 1, level: 'warn', text: 'redis: down' },
  ], 'and what becomes well at the start is no change')
})

t.test('the last fifty events are kept', async t => {
  const { events, log } = recorded(() => 0)
  for (let i = 0; i < 200; i++) log.warn(String(i))
  t.equal(events.list().length, 50)
  t.equal(events.list()[0]?.text, '199')
})
