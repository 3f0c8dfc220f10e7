import t from 'tap'
import { loadApart } from '../../src/warm/apart.js'
import type { Job } from '../../src/warm/job.js'
import { fakeClock } from '../fixtures/clock.js'
// Loaders start without tap's own modules.
import './bed.js'

const job: Job = {
  definedBy: { kind: 'cf', path: '/nowhere' }, fingerprint: '', hosts: [], login: { user: '', password: '', dbname: '', charset: 'utf8mb4', tls: null },
  listing: { key: 'a', values: 'b', from: 'c', where: 'TRUE', order: '', maxRows: 1 }, after: null,
  redis: { path: '/nowhere', keyPrefix: '', commandTimeoutMs: 100 }, identity: { name: 'alias', definition: '0123456789abcdef' },
  verifiedAt: 0, keepMs: 1,
}

t.test('what a loader says at its end comes whole, more than the channel takes at once, too', async t => {
  const path = `/${'x'.repeat(8_000_000)}`
  const { ended } = loadApart({ ...job, definedBy: { kind: 'cf', path } }, { clock: fakeClock(), onProgress: () => undefined, objection: () => null })
  const { problem } = await ended
  t.ok(problem === `${path} has changed since the daemon read it: reload`, problem?.slice(0, 100) ?? 'none')
})
