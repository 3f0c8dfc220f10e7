/** Runs the bench with --smoke: each case must answer, whatever its figures are. */
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../fixtures/child.js'

t.test('each case of the bench finishes and is in the report', async t => {
  const { code, stdout, stderr } = await run(process.execPath, [fileURLToPath(new URL('main.js', import.meta.url)), '--smoke'])
  t.equal(code, 0, stderr)
  for (const name of ['bare Node', 'memory hit', 'absent hit', 'Redis hit', 'MySQL miss', 'stale in an outage']) t.match(stdout, name)
})
