/**
 * The short drill on Holdfast alone, as a test. Mail comes in while, one after
 * the other, mysqld is killed, started again and stopped dead, the alias table
 * is truncated, Redis is killed alone and together with mysqld, and Holdfast
 * is killed and started again by its supervisor.
 */
import t from 'tap'
import { phases } from './phases.js'
import { misses } from './report.js'
import { runDrill } from './run.js'

t.test('nobody who exists is refused, and whoever is known is accepted, whatever breaks', async t => {
  const chosen = phases.filter(({ quick }) => quick === true)
  const reports = await runDrill(['holdfast'], chosen, { durationMs: 2_000, patienceMs: 20_000 }, () => undefined)
  t.strictSame(reports.map(({ phase }) => phase), chosen.map(({ name }) => name))
  // How long a reply takes on a busy machine is not a test's business.
  t.strictSame(misses(reports).filter(({ kind }) => kind !== 'slow'), [])
  for (const { phase, peers: { holdfast } } of reports) t.ok((holdfast?.asked ?? 0) > 0, `${phase}: mail came in`)
})
