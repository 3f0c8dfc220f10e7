/**
 * The short drill on Holdfast alone, as a test. Mail comes in all the time. One
 * after the other, mysqld is killed, restarted and frozen, the alias table is
 * truncated, Redis is killed alone and together with mysqld, and Holdfast is
 * killed, and restarted by its supervisor.
 */
import t from 'tap'
import { phases } from './phases.js'
import { misses } from './report.js'
import { runDrill } from './run.js'

t.test('whatever breaks, no existing recipient is refused, and each known recipient is accepted', async t => {
  const chosen = phases.filter(({ quick }) => quick === true)
  const reports = await runDrill(['holdfast'], chosen, { durationMs: 2_000, patienceMs: 20_000 }, () => undefined)
  t.strictSame(reports.map(({ phase }) => phase), chosen.map(({ name }) => name))
  // The time of a reply depends on how busy the machine is, so a test must not judge it.
  t.strictSame(misses(reports).filter(({ kind }) => kind !== 'slow'), [])
  for (const { phase, peers: { holdfast } } of reports) t.ok((holdfast?.asked ?? 0) > 0, `${phase}: mail came in`)
})
