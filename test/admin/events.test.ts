import t from 'tap'
import { createEvents } from '../../src/admin/events.js'
import { createLog } from '../../src/log.js'

const quiet = createLog({ level: 'error', format: 'text', journal: false }, () => undefined, () => 0)

t.test('changes of state are remembered, newest first; traffic and debugging are not', async t => {
  let now = 1
  const events = createEvents(() => now++)
  const log = events.recording(quiet)
  log.warn('redis: down')
  log.repeated('x', 'map alias: timeout')
  log.debug('a key')
  log.info('redis: ready')
  t.same(events.list(), [{ at: 2, level: 'info', text: 'redis: ready' }, { at: 1, level: 'warn', text: 'redis: down' }])
})

t.test('fifty are kept', async t => {
  const events = createEvents(() => 0)
  const log = events.recording(quiet)
  for (let i = 0; i < 200; i++) log.info(String(i))
  t.equal(events.list().length, 50)
  t.equal(events.list()[0]?.text, '199')
})
